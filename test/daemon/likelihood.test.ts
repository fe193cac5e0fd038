// The query of docs/escalation.md that tells whether likelihoods say anything on this box: run as it stands there, on events whose answer is counted by hand.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { JobRequest, type JobEventBody, type Principal } from '@hearth/protocol'
import { openDb, queryOn } from '../../packages/daemon/src/store/db.ts'
import { Store } from '../../packages/daemon/src/store/store.ts'
import { root } from '../fixtures/starter.ts'
import { makePlace } from './process.ts'

const place = makePlace()
after(() => place.clear())

const usage = { promptTokens: 10, reusedTokens: 0, completionTokens: 5 }
const timings = { queuedMs: 0, prefillMs: 1, decodeMs: 1, ttftMs: 1, totalMs: 2 }
const result = (step: number, name: string, ok: boolean): JobEventBody => ({ type: 'tool_result', step, callId: `c${step}`, name, ok, exitCode: ok ? 0 : 1, cause: 'exited', observation: '', totalBytes: 0, outputFile: null, durationMs: 1, wrote: false })
const check = (step: number, passed: boolean): JobEventBody => ({ type: 'check', step, command: 'true', when: 'final', passed, exitCode: passed ? 0 : 1, cause: 'exited', output: '', durationMs: 1 })

// One step each: its lowest, and what became of it.
const steps: [number | null, ((step: number) => JobEventBody)[]][] = [
  [100, [(step) => result(step, 'edit', false)]],
  [300, [(step) => ({ type: 'call_rejected', step, text: '', problem: 'Error' })]],
  [500, [(step) => ({ type: 'call_repaired', step, callId: 'c', format: 'native', changes: ['x'] }), (step) => result(step, 'read', true)]],
  [900, [(step) => result(step, 'finish', true), (step) => check(step, false), (step) => check(step, false)]],
  // A command that fails has told something, and a step that was not asked counts nowhere.
  [400, [(step) => result(step, 'bash', false)]],
  [500, [(step) => result(step, 'edit', true)]],
  [800, [(step) => result(step, 'finish', true), (step) => check(step, true)]],
  [null, [(step) => result(step, 'edit', false)]],
]
const bad = [100, 300, 500, 900]
const good = [400, 500, 800]

test('the query of the documentation counts what it says', async () => {
  const sql = /```sql\n([^]+?)```/.exec(readFileSync(join(root, 'docs/escalation.md'), 'utf8'))?.[1] ?? assert.fail('there is no query')
  const store = await Store.open(join(place.root, 'likelihood.db'))
  const principal: Principal = { id: 'socket:1', kind: 'socket', origin: 'human', scopes: [], class: 'interactive' }
  const request = JobRequest.parse({ prompt: 'p', cwd: '/w' })
  // The same steps in two jobs: a step belongs to its job.
  for (const jobId of ['one', 'two']) {
    await store.accept({ id: jobId, request, principal, project: { id: '/w', path: '/w', dataClass: 'redact', consent: 'auto' }, model: 'small', createdAt: 1 }, { type: 'accepted', request, principal, model: 'small', seq: 1, jobId, at: 1 })
    const bodies = steps.flatMap(([lowest, became], index): JobEventBody[] => [
      {
        type: 'turn', step: index + 1, model: 'small', text: '', toolCalls: [], stop: 'tool_calls', usage, timings,
        ...(lowest === null ? {} : { likelihood: { names: { tokens: 1, lowest, tenth: lowest }, values: lowest === 800 ? null : { tokens: 20, lowest: 1000 - lowest, tenth: 1000 } } }),
      },
      ...became.map((one) => one(index + 1)),
    ])
    await store.append(bodies.map((body, index) => ({ ...body, seq: index + 2, jobId, at: 1 })))
  }
  await store.close()

  const pairs = bad.flatMap((one) => good.map((other): number => (one < other ? 1 : one === other ? 0.5 : 0)))
  const chance = pairs.reduce((sum, one) => sum + one, 0) / pairs.length
  const offBy = (n: number, m: number): number => Math.round(1960 * Math.sqrt((n + m + 1) / (12 * n * m))) / 1000
  const db = openDb(join(place.root, 'likelihood.db'), 'read')
  try {
    assert.deepEqual(queryOn(db)(sql).map((row) => ({ ...row })), [
      { model: 'small', figure: 'name_lowest', bad_steps: 8, good_steps: 6, chance: Math.round(1000 * chance) / 1000, off_by: offBy(8, 6) },
      // 900, 700, 500, 100 against 600 and 500.
      { model: 'small', figure: 'value_lowest', bad_steps: 8, good_steps: 4, chance: 0.438, off_by: offBy(8, 4) },
      { model: 'small', figure: 'value_tenth', bad_steps: 8, good_steps: 4, chance: 0.5, off_by: offBy(8, 4) },
    ])
  } finally {
    db.close()
  }
})
