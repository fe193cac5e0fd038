// The course of a task waits for a person before it has come to where help would be asked for: it is heard as waiting, and goes on.
import assert from 'node:assert/strict'
import { after, it } from 'node:test'
import { JobRequest, type EvalEvent, type Job, type JobEvent, type JobEventBody, type Principal } from '@hearth/protocol'
import { playCourse, type Queue } from '../../packages/daemon/src/eval/play.ts'
import { makePlace } from './process.ts'

const place = makePlace()
after(() => place.clear())
const principal: Principal = { id: 'socket:0', kind: 'socket', origin: 'human', scopes: ['admin'], class: 'batch' }

it('a course that waits for a yes to a call is played on to its trigger', async () => {
  const pages: JobEventBody[][] = [
    [{ type: 'suspended', reason: 'waiting for an approval of mcp', state: 'waiting_approval' }],
    [
      { type: 'tool_result', step: 1, callId: 'c', name: 'mcp', ok: true, exitCode: null, cause: 'exited', observation: '', totalBytes: 0, outputFile: null, durationMs: 1, wrote: false },
      { type: 'escalation_offered', step: 2, mode: 'advise', signals: [] } as unknown as JobEventBody,
      { type: 'suspended', reason: 'waiting for an approval of what would be sent to nobody', state: 'waiting_approval' },
    ],
  ]
  const journal: JobEvent[] = []
  const put = (body: JobEventBody): JobEvent => {
    const event = { ...body, seq: journal.length + 1, jobId: 'j', at: 1 }
    journal.push(event)
    return event
  }
  const end = { type: 'ended', outcome: 'cancelled', receipt: { usdMicros: 0, seconds: 2, joules: null } } as unknown as JobEventBody
  let cancelled = 0
  const queue = {
    intake: { submit: (request: unknown) => Promise.resolve({ job: { id: 'j', request: JobRequest.parse(request) } as Job, duplicate: false }) },
    runner: { cancel: () => Promise.resolve(void (cancelled += 1)) },
    feed: { async *events() { yield cancelled > 0 ? [put(end)] : pages.shift()?.map(put) ?? []; while (pages.length > 0) yield pages.shift()?.map(put) ?? [] } },
    store: { read: { journal: () => journal } },
  } as unknown as Queue
  const task = { name: 't', prompt: 'p', checks: [], maxSteps: null, says: [], lay: () => Promise.resolve(), judge: () => Promise.resolve(false) }
  const playing = playCourse(queue, { task, arm: 'local', repeat: 0, request: { model: 'm', seed: 1, escalation: { untilTrigger: true } }, from: null }, { id: 'e', root: place.root, principal, signal: new AbortController().signal }, () => '')
  const told: EvalEvent[] = []
  let next = await playing.next()
  for (; next.done !== true; next = await playing.next()) told.push(next.value)
  assert.deepEqual(told.map(({ type }) => type), ['playing', 'waiting'])
  assert.ok('course' in next.value)
  assert.deepEqual([next.value.course.step, next.value.course.cannot, cancelled], [2, 'it had used an MCP server, which may remember it', 1])
})
