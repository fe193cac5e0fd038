// Owns whether a model of this box that is not in memory is loaded to be asked: what is forecast against how long a job of this class waits, and what forbids it whatever
// it takes. And the asking of it: never longer in the line than that, and a crash of the engine is met with one more try here. Loads nothing itself.
import { chatStaysMs, fault, type Config, type Consultation, type Fault, type Job, type Model, type ModelEvent, type PassedOver, type Swap } from '@hearth/protocol'
import type { Parts } from '../parts.ts'
import type { Store } from '../store/store.ts'
import { provedUseless, type Track } from './routes.ts'

/** `remedy`: for who would have liked it to be asked. */
export type NotAsked = PassedOver & { remedy: string }
/** `swap`: null = nothing has to be loaded. */
export type Weighed = { ok: true; swap: Swap | null; because: string } | { ok: false; passed: NotAsked }

export type StrongerOptions = { config: Config; parts: Pick<Parts, 'tuning'>; store: Pick<Store, 'read'> }

const jobsLookedAt = 1000

/** Seconds that a job waits for a model which has to be loaded. */
export function allowedSeconds({ escalation: { localWaitSeconds } }: Config, { request }: Pick<Job, 'request'>): number {
  return localWaitSeconds[request.class]
}

/** Asked anew at each question. `frameChars`: what stands around the packet. */
export async function weigh(o: StrongerOptions, job: Job, id: string, asked: Consultation, frameChars: number, track: Track | undefined, now: number): Promise<Weighed> {
  const said = await forbidden(o, job, id, asked, frameChars, now)
  if (!said.ok) return said
  const { swap } = said
  const not = (why: string, remedy: string): Weighed => ({ ok: false, passed: { model: id, why, swap, remedy } })
  if (provedUseless(track)) return not(`none of its ${track.asked} answers helped, so it is not loaded for one more`, 'Name another model in escalation.routes.')
  const unknown = unknownOf(swap)
  if (unknown !== null) return not(`nothing was measured that tells how long ${unknown} takes`, `'hearth tune ${id}' measures it.`)
  const ms = totalMs(swap)
  const allowed = allowedSeconds(o.config, job)
  if (ms > allowed * 1000) return not(`${Math.ceil(ms / 1000)} s is more than the ${allowed} s allowed for a job of class ${job.request.class} (${swapWords(swap)})`, `Raise escalation.localWaitSeconds.${job.request.class}, or keep it in memory.`)
  return { ok: true, swap, because: `it is on this box, and loading it pays: ${swapWords(swap)}, ${allowed} s allowed` }
}

/** Not ok: it may not be loaded for this, whatever it takes. */
export async function forbidden({ config, parts, store }: StrongerOptions, job: Job, id: string, asked: Consultation, frameChars: number, now: number): Promise<{ ok: true; swap: Swap } | { ok: false; passed: NotAsked }> {
  const not = (why: string, remedy: string): { ok: false; passed: NotAsked } => ({ ok: false, passed: { model: id, why, remedy } })
  if (allowedSeconds(config, job) === 0) return not(`it is not in memory, and no job of class ${job.request.class} waits for a load`, `Raise escalation.localWaitSeconds.${job.request.class}, or keep it in memory.`)
  const promptChars = asked.packet.prefix.length + asked.packet.body.length + frameChars
  const said = await parts.tuning.swap(id, { asker: job.model, sessionKey: job.id, promptChars, maxTokens: asked.maxTokens, turns: asked.maxTurns })
  if (!said.ok) return not(said.why, said.remedy)
  const other = whoUses(store, said.swap.leaves, job, now)
  return other === null ? said : not(other, 'Ask again later.')
}

/** A job at work on one of them is between two of its turns, and a chat is with a person: neither waits until this question is over. */
function whoUses({ read }: Pick<Store, 'read'>, models: readonly string[], job: Job, now: number): string | null {
  if (models.length === 0) return null
  const on = (state: Job['state'], uses: (one: Job) => boolean): Job | undefined => read.jobs(state, jobsLookedAt).find((one) => one.id !== job.id && models.includes(one.model) && uses(one))
  const works = on('running', () => true)
  if (works !== undefined) return `job ${works.id} works with '${works.model}', which would have to leave the memory`
  const chat = on('paused', (one) => one.request.kind === 'chat' && now - (read.events(one.id, one.lastSeq - 1, -1)[0]?.at ?? 0) < chatStaysMs)
  return chat === undefined ? null : `somebody chats with '${chat.model}', which would have to leave the memory`
}

function unknownOf({ loadMs, checkMs, answerMs, backMs }: Swap): string | null {
  return loadMs === null ? 'loading it' : checkMs === null ? 'checking its first words' : answerMs === null ? 'its answer' : backMs === null ? "bringing back the job's own model" : null
}

/** Of a swap without an unknown figure. */
function totalMs({ roomMs, loadMs, checkMs, answerMs, backMs }: Swap): number {
  return roomMs + (loadMs ?? 0) + (checkMs ?? 0) + (answerMs ?? 0) + (backMs ?? 0)
}

// Less is no tenth of a second, and says nothing.
const shownMs = 50

/** '41 s to load, 12 s to read and answer, 9 s back'. */
export function swapWords({ roomMs, loadMs, loadFrom, checkMs, answerMs, backMs }: Swap): string {
  const part = (ms: number | null, what: string): string[] => (ms === null || ms < shownMs ? [] : [`${ms < 9950 ? (ms / 1000).toFixed(1) : Math.round(ms / 1000)} s ${what}`])
  return [
    ...part(roomMs, 'to make room'), ...part(loadMs, `to load${loadFrom === null ? '' : ` (by what '${loadFrom}' took)`}`), ...part(checkMs, 'to check its first words'),
    ...part(answerMs, 'to read and answer'), ...part(backMs, 'back'),
  ].join(', ')
}

// What a crash of the engine is told as, also while it loads.
const crashed: ReadonlySet<Fault['code']> = new Set(['worker_exited', 'worker_stuck', 'worker_out_of_memory', 'gpu_lost', 'load_failed'])

/** Tries once more after a crash of the engine, if nothing was said by then: that stays on this box, and is no reason to ask anybody else. */
export function triedTwice(inner: Model): Model {
  return {
    info: inner.info,
    async *generate(request, signal) {
      let spoke = false
      for await (const event of inner.generate(request, signal)) {
        if (event.type === 'failed' && crashed.has(event.fault.code) && !spoke && !signal.aborted) break
        spoke ||= event.type === 'text' || event.type === 'reasoning' || event.type === 'tool_call' || event.type === 'malformed_call'
        yield event
        if (event.type === 'done' || event.type === 'failed') return
      }
      yield* inner.generate(request, signal)
    },
  }
}

/** A call that has not begun after so long is given up: somebody else may have taken the place meanwhile. Null = it is in memory and is waited for. */
export function begunWithin(inner: Model, seconds: number | null): Model {
  if (seconds === null) return inner
  return {
    info: inner.info,
    async *generate(request, signal) {
      const late = new AbortController()
      const timer = setTimeout(() => late.abort(), seconds * 1000)
      try {
        for await (const event of inner.generate(request, AbortSignal.any([signal, late.signal]))) {
          if (event.type !== 'queued') clearTimeout(timer)
          yield event.type === 'done' && event.stop === 'cancelled' && late.signal.aborted && !signal.aborted ? tooLate(event, inner.info.id, seconds) : event
        }
      } finally {
        clearTimeout(timer)
      }
    },
  }
}

/** No fault of policy or money: who goes on without it may ask somebody else later. */
export function notLoaded(why: string, remedy: string): Fault {
  return fault('engine_unavailable', { why, remedy })
}

function tooLate({ usage, timings }: Extract<ModelEvent, { type: 'done' }>, id: string, seconds: number): ModelEvent {
  return { type: 'failed', usage, timings, fault: notLoaded(`'${id}' had not begun to answer after ${seconds} s`, 'Ask again later.') }
}
