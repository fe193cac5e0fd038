// A job that outgrows its window on a real model: shortened at a step edge, with one event for each time, and its price is what was read.
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { longJob, templateTail } from './long-job.ts'
import { ofType } from './workbench.ts'

it('a history that fills its window is shortened at a step edge, with one event for each time, and its price is what was read', async () => {
  const { end, events, turns } = await longJob('json', 2048, 26, (turn) => `seq ${turn * 100} ${turn * 100 + 40} | tr '\\n' ' '`)
  assert.equal(end.type === 'ended' && end.outcome, 'done_unverified')
  const rewrites = ofType(events, 'rewritten')
  assert.ok(rewrites.length >= 2, `${rewrites.length} rewrites`)
  let dropped = 0
  for (const [index, { usage }] of turns.entries()) {
    const before = turns[index - 1]
    if (before === undefined) continue
    const rewrite = rewrites.find(({ step }) => step === index)
    if (rewrite === undefined) {
      assert.ok(usage.reusedTokens >= before.usage.promptTokens - templateTail, `step ${index + 1} broke its prefix without an event`)
      continue
    }
    dropped += rewrite.droppedMessages
    const read = usage.promptTokens - usage.reusedTokens
    assert.ok(read < rewrite.beforeTokens * 0.7, `${read} tokens were read again of ${rewrite.beforeTokens}`)
    // The event's price is an estimate from bytes; what was really read stays near it.
    assert.ok(Math.abs(read - rewrite.refillTokens) <= Math.max(80, rewrite.refillTokens * 0.4), `${read} tokens were read, ${rewrite.refillTokens} were told`)
    assert.match(rewrite.evidence, /^the next prompt has about \d+ tokens, and \d+ fit beside an answer$/)
  }
  assert.ok(dropped >= 16, `${dropped} messages were left out`)
})
