// Whether a model of this box is loaded to be asked: its figures against what a job waits, what forbids it, how the asking of it goes on over a crash, and the machines of
// the network that may be off. Over the real store; the engine's forecast and the models are functions.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { unreachable } from '@hearth/engine'
import { Config, EndpointConfig, fault, JobRequest, ModelRequest, noUsage, Project, type Consultation, type FaultCode, type Job, type JobEventBody, type Model, type ModelEvent, type Principal, type Swap } from '@hearth/protocol'
import { createDoor } from '../../packages/daemon/src/egress/door.ts'
import { begunWithin, forbidden, notLoaded, triedTwice, weigh } from '../../packages/daemon/src/egress/stronger.ts'
import { Store } from '../../packages/daemon/src/store/store.ts'
import { makePlace } from './process.ts'

const place = makePlace()
after(() => place.clear())
const owner: Principal = { id: 'socket:0', kind: 'socket', origin: 'human', scopes: ['escalate'], class: 'job' }
const asked: Consultation = { id: 'e1', mode: 'advise', step: 1, signals: [], packet: { prefix: 'a'.repeat(100), body: 'b'.repeat(900), files: [] }, maxTokens: 700, maxTurns: 1 }
const swap: Swap = { leaves: ['small'], roomMs: 0, loadMs: 41_000, loadFrom: null, checkMs: 0, answerMs: 12_000, backMs: 9000 }
let made = 0

type World = { config: Config; store: Store; wishes: unknown[]; job(more?: { class?: Job['request']['class']; kind?: 'chat' | 'task'; model?: string }, ...bodies: JobEventBody[]): Promise<Job>; why(job: Job, found?: Partial<Swap>): Promise<string> }

async function world(run: (at: World) => Promise<void>, localWaitSeconds: object = {}): Promise<void> {
  const config = Config.parse({ escalation: { localWaitSeconds } })
  const store = await Store.open(join(place.root, `db${made += 1}`))
  const wishes: unknown[] = []
  const at: World = {
    config, store, wishes,
    async job({ class: jobClass = 'job', kind = 'task', model = 'small' } = {}, ...bodies) {
      const id = `j${made += 1}`
      const request = JobRequest.parse({ prompt: 'p', cwd: place.root, class: jobClass, kind })
      await store.accept({ id, request, principal: owner, project: Project.parse({ id: 'p', path: place.root }), model, createdAt: 1 }, { type: 'accepted', request, principal: owner, model, seq: 1, jobId: id, at: 1 })
      for (const body of bodies) await store.append([{ ...body, seq: store.read.lastSeq(id) + 1, jobId: id, at: 1_000_000 }])
      const job = store.read.job(id)
      assert.ok(job !== null)
      return job
    },
    async why(job, found = {}) {
      const tuning = { swap: (id: string, wish: unknown) => { wishes.push([id, wish]); return Promise.resolve({ ok: true as const, swap: { ...swap, ...found } }) } }
      const said = await weigh({ config, store, parts: { tuning } as never }, job, 'big', asked, 2048, undefined, 1_000_000 + 599_000)
      return said.ok ? said.because : `${said.passed.why} | ${said.passed.remedy}`
    },
  }
  try {
    await run(at)
  } finally {
    await store.close()
  }
}

describe('a model of this box that would have to be loaded', () => {
  it('is asked when its figures are within what the class of the job waits, and they are told', () => world(async ({ job, why, wishes }) => {
    const one = await job()
    assert.equal(await why(one), 'it is on this box, and loading it pays: 41 s to load, 12 s to read and answer, 9.0 s back, 120 s allowed')
    assert.deepEqual(wishes, [['big', { asker: 'small', sessionKey: one.id, promptChars: 3048, maxTokens: 700, turns: 1 }]])
    assert.equal(await why(await job(), { loadMs: 169_000 }), '190 s is more than the 120 s allowed for a job of class job (169 s to load, 12 s to read and answer, 9.0 s back) | Raise escalation.localWaitSeconds.job, or keep it in memory.')
    assert.match(await why(await job({ class: 'batch' }), { loadMs: 169_000 }), /, 600 s allowed$/)
    assert.match(await why(await job({ class: 'interactive' })), /^62 s is more than the 30 s allowed for a job of class interactive /)
    assert.equal(await why(await job(), { roomMs: 1200, loadFrom: 'small', checkMs: 4000, backMs: 0, leaves: [] }),
      "it is on this box, and loading it pays: 1.2 s to make room, 41 s to load (by what 'small' took), 4.0 s to check its first words, 12 s to read and answer, 120 s allowed")
  }))

  it('is not asked on a guess, and not when nobody waits', () => world(async ({ job, why }) => {
    for (const [name, said] of [['loadMs', 'loading it'], ['checkMs', 'checking its first words'], ['answerMs', 'its answer'], ['backMs', "bringing back the job's own model"]] as const) {
      assert.equal(await why(await job(), { [name]: null }), `nothing was measured that tells how long ${said} takes | 'hearth tune big' measures it.`)
    }
    assert.equal(await why(await job({ class: 'batch' })), 'it is not in memory, and no job of class batch waits for a load | Raise escalation.localWaitSeconds.batch, or keep it in memory.')
  }, { batch: 0 }))

  it('is not asked once more when nothing it said ever helped', () => world(async ({ config, store, job }) => {
    const o = { config, store, parts: { tuning: { swap: () => Promise.resolve({ ok: true, swap }) } } as never }
    const one = await job()
    const of = async (asks: number, cleared: number): Promise<boolean> => (await weigh(o, one, 'big', asked, 0, { asked: asks, cleared, usdMicros: 0, seconds: 1 }, 0)).ok
    assert.deepEqual([await of(2, 0), await of(3, 0), await of(30, 1)], [true, false, true])
  }))

  it('takes nothing away from a job at work, nor from a person in a chat', () => world(async ({ job, why, store, config }) => {
    const one = await job()
    const started: JobEventBody = { type: 'started', attempt: 1 } as never
    await job({ model: 'another' }, started)
    assert.match(await why(one), /^it is on this box/)
    const chat = await job({ kind: 'chat' }, started, { type: 'suspended', reason: 'waits', state: 'paused' })
    assert.equal(store.read.job(chat.id)?.state, 'paused')
    assert.equal(await why(one), "somebody chats with 'small', which would have to leave the memory | Ask again later.")
    assert.match(await why(one, { leaves: [] }), /^it is on this box/)
    const later = await forbidden({ config, store, parts: { tuning: { swap: () => Promise.resolve({ ok: true, swap }) } } as never }, one, 'big', asked, 0, 1_000_000 + 600_001)
    assert.ok(later.ok, 'the person has gone')
    const works = await job({}, started)
    assert.equal(await why(one), `job ${works.id} works with 'small', which would have to leave the memory | Ask again later.`)
    assert.equal(await why(works), "somebody chats with 'small', which would have to leave the memory | Ask again later.", 'its own model may go')
  }))
})

const timings = { queuedMs: 0, prefillMs: 0, decodeMs: 0, ttftMs: null, totalMs: 0 }
const done: ModelEvent = { type: 'done', stop: 'end', usage: noUsage, timings }
const failedWith = (code: FaultCode): ModelEvent => ({ type: 'failed', fault: { code, message: code, remedy: '', domain: 'engine' } as never, usage: noUsage, timings })

/** One script of events for each time it is asked. */
function model(...runs: ModelEvent[][]): Model & { asked(): number } {
  let asks = 0
  return {
    info: { id: 'big', place: 'local', contextTokens: 4096, profile: { toolMode: 'native', tools: null, fewShot: null, sampling: {}, maxCallTokens: 100 } }, asked: () => asks,
    async *generate() { yield* runs[asks++] ?? [] },
  }
}

async function eventsOf(one: Model, signal = new AbortController().signal): Promise<string> {
  const events = await Array.fromAsync(one.generate(ModelRequest.parse({ messages: [{ role: 'user', text: 'x' }] }), signal))
  return events.map((event) => (event.type === 'failed' ? `failed:${event.fault.code}` : event.type)).join(' ')
}

describe('the asking of a model of this box', () => {
  it('is tried twice after a crash of the engine, not after it spoke, not for anything else, not when the job stops', async () => {
    const text: ModelEvent = { type: 'text', text: 'a' }
    for (const [runs, said, asks] of [
      [[[failedWith('load_failed')], [text, done]], 'text done', 2], [[[{ type: 'queued', position: 1 }, failedWith('worker_exited')], [failedWith('worker_exited')], [done]], 'queued failed:worker_exited', 2],
      [[[text, failedWith('worker_exited')], [done]], 'text failed:worker_exited', 1], [[[failedWith('does_not_fit')], [done]], 'failed:does_not_fit', 1],
    ] as const) {
      const one = model(...runs.map((run) => [...run]))
      assert.deepEqual([await eventsOf(triedTwice(one)), one.asked()], [said, asks])
    }
    const stopped = new AbortController()
    stopped.abort()
    assert.equal(await eventsOf(triedTwice(model([failedWith('worker_exited')], [done])), stopped.signal), 'failed:worker_exited')
  })

  it('is given up when it does not begin in time, and never once it has begun', async () => {
    const waiting = (begins: boolean): Model => ({
      ...model(),
      async *generate(_request, signal): AsyncGenerator<ModelEvent> {
        yield { type: 'queued', position: 1 }
        if (begins) yield { type: 'started', promptTokens: 1, reusedTokens: 0 }
        else await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
        yield begins ? done : { ...done, stop: 'cancelled' }
      },
    })
    assert.equal(await eventsOf(begunWithin(waiting(false), 0)), 'queued failed:engine_unavailable')
    assert.equal(await eventsOf(begunWithin(waiting(true), 60)), 'queued started done')
    const stops = new AbortController()
    const events = eventsOf(begunWithin(waiting(false), 600), stops.signal)
    setImmediate(() => stops.abort())
    assert.equal(await events, 'queued done', 'who stops the job has not waited too long')
    assert.equal(notLoaded('a', 'b').code, fault('engine_unavailable', { why: 'a', remedy: 'b' }).code)
  })
})

describe('a machine of the network', () => {
  it('that answers anything at all is there, and one that does not says why', async () => {
    const heard: string[] = []
    const server = createServer((request, response) => {
      heard.push(`${request.method} ${request.url} ${request.headers.authorization ?? 'no key'}`)
      response.writeHead(404).end('nothing here')
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const rows: { purpose: string; jobId: string | null }[] = []
    const door = createDoor(({ purpose, jobId }) => { rows.push({ purpose, jobId }); return Promise.resolve() })
    const endpoint = EndpointConfig.parse({ id: 'desk', url: `http://127.0.0.1:${port}/v1/`, model: 'm', contextTokens: 4096, keyFile: '/nowhere' })
    assert.equal(await unreachable(endpoint, door, 'j1'), null)
    assert.deepEqual([heard, rows], [['GET /v1/models no key'], [{ purpose: 'lan-endpoint', jobId: 'j1' }]])
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
    assert.equal(await unreachable(endpoint, door, 'j1'), 'nobody listens there')
  })
})
