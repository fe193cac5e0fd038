// An expert for tests: a scripted model behind an offer, with what it was asked, what was sent and what that cost. And local models that answer by what they read.
import { createHash } from 'node:crypto'
import { scriptedModel, type ScriptInput } from '@hearth/engine'
import { packetText, type Consultation, type Denial, type Expert, type Model, type ModelRequest, type Offer } from '@hearth/protocol'

type Options = {
  /** What it says, turn by turn, in each escalation. */
  turns: ScriptInput['turns']
  consent?: Offer['consent']
  /** Why a yes holds no more. */
  lapsed?: () => string | null
  /** Why this is refused; null = it is offered. */
  deny?: (asked: Consultation) => Denial | null
  /** Replaced in what would leave. */
  secret?: string
}

export const pricePerTurn = 1500

export class Experts implements Expert {
  readonly asked: Consultation[] = []
  readonly sent: { id: string; request: ModelRequest; approved: string | null }[] = []
  readonly #o: Options

  constructor(options: Options) {
    this.#o = options
  }

  offer(asked: Consultation): ReturnType<Expert['offer']> {
    this.asked.push(structuredClone(asked))
    const denial = this.#o.deny?.(asked) ?? null
    if (denial !== null) return Promise.resolve({ ok: false, denial })
    const whole = packetText(asked.packet)
    const { secret } = this.#o
    const preview = secret === undefined ? whole : whole.replaceAll(secret, '<SECRET-1>')
    return Promise.resolve({
      ok: true, offer: {
        model: 'big', place: 'remote', host: 'api.example.org', consent: this.#o.consent ?? 'auto', preview, sha256: sha256(preview), bytes: Buffer.byteLength(preview),
        redactions: preview === whole ? [] : [{ kind: 'key', count: whole.split(secret ?? '').length - 1 }], worstUsdMicros: asked.maxTurns * 2000,
      },
    })
  }

  model(asked: Consultation, offer: Offer, approved: string | null): Promise<Model> {
    const model = scriptedModel({ version: 1, turns: this.#o.turns }, 'big')
    return Promise.resolve({
      info: { ...model.info, place: offer.place },
      generate: (request, signal) => {
        this.sent.push({ id: asked.id, request: structuredClone(request), approved })
        return model.generate(request, signal)
      },
    })
  }

  lapsed(): Promise<string | null> {
    return Promise.resolve(this.#o.lapsed?.() ?? null)
  }

  spent(id: string): number {
    return this.sent.filter((one) => one.id === id).length * pricePerTurn
  }
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

export type Act = { name: string; arguments: Record<string, unknown> } | { malformed: string } | { fault: string }

const usage = { promptTokens: 10, reusedTokens: 0, completionTokens: 5 }
const timings = { queuedMs: 0, prefillMs: 1, decodeMs: 1, ttftMs: 1, totalMs: 2 }

/** A model whose answer depends on what it reads; `turn` counts the steps of the job, so that a job that goes on gets the same answers. */
export function local(answer: (request: ModelRequest, turn: number) => Act, onGenerate?: () => void): Model {
  let count = 0
  return {
    info: { id: 'small', place: 'local', contextTokens: 32_768, profile: { toolMode: 'native', tools: null, fewShot: null, sampling: {}, maxCallTokens: 1000 } },
    async *generate(request) {
      await Promise.resolve()
      onGenerate?.()
      const act = answer(request, count++)
      if ('malformed' in act) yield { type: 'malformed_call', text: act.malformed, problem: 'it is not JSON' }
      else if ('fault' in act) {
        yield { type: 'failed', fault: { code: act.fault as 'worker_stuck', origin: 'engine', message: `It failed (${act.fault}).`, remedy: '' }, usage, timings }
        return
      }
      else yield { type: 'tool_call', call: { id: `t${request.messages.length}`, ...act } }
      yield { type: 'done', stop: 'tool_calls', usage, timings }
    },
  }
}

export const bash = (command: string): Act => ({ name: 'bash', arguments: { command } })
export const write = (path: string, content: string): Act => ({ name: 'write', arguments: { path, content } })
export const finish = (answer = 'done'): Act => ({ name: 'finish', arguments: { answer } })
export const look = (pattern: string): Act => ({ name: 'glob', arguments: { pattern } })

/** Stuck, until an expert has spoken; then it writes `content` into f and finishes. */
export const obeying = (stuck: (turn: number) => Act, content = 'right\n') => (request: ModelRequest, turn: number): Act => {
  if (!isAdvised(request)) return stuck(turn)
  return request.messages.some((message) => message.role === 'assistant' && message.toolCalls?.some((call) => call.name === 'write') === true) ? finish() : write('f', content)
}

/** Words of an expert are in what the model reads. */
export const isAdvised = (request: ModelRequest): boolean => request.messages.some(({ text }) => /^(Advice of a stronger model|A stronger model took over)/.test(text))
