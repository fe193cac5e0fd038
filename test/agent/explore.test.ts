// The sub-agent: the same loop, reading only, in a conversation of its own; the job keeps its answer.
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { it } from 'node:test'
import type { Model, ModelRequest } from '@hearth/protocol'
import { ofType, Workbench } from './workbench.ts'

const usage = { promptTokens: 100, reusedTokens: 0, completionTokens: 5 }
const timings = { queuedMs: 0, prefillMs: 1, decodeMs: 1, ttftMs: 1, totalMs: 2 }
type Act = { name: string; arguments: Record<string, unknown> }

/** Answers by conversation: the job's own, and the sub-agent's. */
function two(job: Act[], sub: (turn: number, request: ModelRequest) => Act): Model {
  const turns = new Map<string, number>()
  return {
    info: { id: 'm', place: 'local', contextTokens: 32_768, profile: { toolMode: 'native', tools: null, fewShot: null, sampling: {}, maxCallTokens: 1000 } },
    async *generate(request) {
      await Promise.resolve()
      const key = request.sessionKey ?? ''
      const turn = turns.get(key) ?? 0
      turns.set(key, turn + 1)
      const act = key === 'job' ? job[turn] : sub(turn, request)
      yield { type: 'tool_call', call: { id: `${key}${turn}`, ...act ?? { name: 'finish', arguments: { answer: 'over' } } } }
      yield { type: 'done', stop: 'tool_calls', usage, timings }
    },
  }
}

const ask: Act = { name: 'explore', arguments: { question: 'Where is the lamp?' } }
const done: Act = { name: 'finish', arguments: { answer: 'done' } }

it('explore answers from a conversation of its own, and the job keeps one message of it', async () => {
  const bench = await Workbench.open({ 'a.txt': 'nothing\n', 'b.txt': 'the lamp is here\n' })
  const { requests, events, end } = await bench.run({
    script: { turns: [] },
    model: two([ask, done], (turn) => (turn === 0 ? { name: 'grep', arguments: { pattern: 'lamp' } } : { name: 'finish', arguments: { answer: 'b.txt:1' } })),
  })
  await bench.close()
  const [job, sub] = [requests.filter(({ sessionKey }) => sessionKey === 'job'), requests.filter(({ sessionKey }) => sessionKey !== 'job')]
  assert.deepEqual(sub[0]?.tools.map(({ name }) => name), ['finish', 'glob', 'grep', 'read'])
  assert.deepEqual(new Set(sub.map(({ sessionKey }) => sessionKey)).size, 1)
  assert.match(sub[1]?.messages.at(-1)?.text ?? '', /b\.txt/)
  assert.equal(job[1]?.messages.at(-1)?.text, 'b.txt:1')
  assert.ok(!JSON.stringify(job[1]).includes('the lamp is here'), 'what the sub-agent read is not in the job\'s history')
  assert.deepEqual(ofType(events, 'sub_step').map(({ n, call }) => [n, call]), [[1, 'grep lamp'], [2, 'finish']])
  assert.equal(end.type === 'ended' && end.outcome, 'done_unverified')
})

it('explore cannot change anything, cannot call itself, and says so when it gets stuck', async () => {
  const bench = await Workbench.open({ 'a.txt': 'x\n' })
  const { events } = await bench.run({
    script: { turns: [] }, model: two([ask, done], (turn) => (turn % 2 === 0 ? { name: 'write', arguments: { path: 'new.txt', content: 'x' } } : ask)),
  })
  const files = await readdir(bench.workspace)
  await bench.close()
  assert.deepEqual(files, ['a.txt'])
  const [result] = ofType(events, 'tool_result')
  assert.equal(result?.ok, false)
  assert.match(result?.observation ?? '', /^the search found no answer: Stopped \(refused\)/)
})

it('explore costs the job what it costs: its tokens count, and its limit ends it', async () => {
  const bench = await Workbench.open({ 'a.txt': 'x\n' })
  let turns = 0
  const { end, events } = await bench.run({
    script: { turns: [] }, maxTokens: 600, model: two([ask, ask, ask], () => ({ name: 'read', arguments: { path: 'a.txt', offset: ++turns } })),
  })
  await bench.close()
  assert.ok(ofType(events, 'sub_step').length <= 6)
  assert.equal(end.type === 'ended' && end.outcome, 'over_budget')
})

it('explore that a stop of the daemon cut off is asked again by the next run', async () => {
  const bench = await Workbench.open({ 'a.txt': 'x\n' })
  const first = await bench.run({
    script: { turns: [] }, model: two([ask, done], () => ({ name: 'bash', arguments: { command: 'true' } })),
    abortAt: { when: (event) => event.type === 'sub_step', cause: { kind: 'suspend', reason: 'the daemon was stopped' } },
  })
  const answered = await bench.run({ script: { turns: [] }, past: first.events, model: two([done], () => ({ name: 'finish', arguments: { answer: 'a.txt:1' } })) })
  await bench.close()
  assert.equal(first.end.type, 'suspended')
  assert.equal(ofType(first.events, 'tool_result').length, 0)
  assert.equal(ofType(answered.events, 'tool_result')[0]?.observation, 'a.txt:1')
})
