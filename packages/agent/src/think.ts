// Owns one turn of the model: asks, streams, and answers with the turn as an event. Retries a turn whose engine failed; never runs a tool.
import type { EventOf, Fault, JobEventBody, TokenProbability, ToolCall } from '@hearth/protocol'
import { fault, ModelRequest, noUsage } from '@hearth/protocol'
import { asksLikelihood, likelihoodOf } from './escalate/likelihood.ts'
import type { Understood } from './modes/mode.ts'
import { mend, type Malformed } from './repair/mend.ts'
import { samplesOf } from './ladder.ts'
import { put, type Run } from './run.ts'
import { isChat } from './talk.ts'

/** A local technical fault is retried locally so often; it never becomes a reason to ask anybody else. */
const engineRetries = 3

const triesTemperature = 0.7

/** Of one turn; more of it tells nobody anything. */
const thoughtCharacters = 200_000

const retried = new Set(['worker_exited', 'worker_stuck', 'worker_out_of_memory', 'gpu_lost'])

export type Thought =
  /** `repairs` are stored with the turn: its calls are the mended ones. */
  | { type: 'turn'; turn: EventOf<'turn'>; understood: Understood; repairs: EventOf<'call_repaired'>[] }
  | { type: 'failed'; fault: Fault }
  /** `turn`: what it had said by then. */
  | { type: 'aborted'; turn: EventOf<'turn'> }

/** One turn for the history's current step. */
export async function think(run: Run): Promise<Thought> {
  for (let attempt = 1; ; attempt += 1) {
    const result = await askOnce(run)
    if (result.type === 'failed' && !retried.has(result.fault.code) && isChat(run)) await put(run, result.event)
    if (result.type !== 'failed' || !retried.has(result.fault.code)) return result
    const retry = attempt <= engineRetries && !run.signal.aborted
    await put(run, { ...result.event, retry })
    if (!retry) return result
  }
}

type Asked = Exclude<Thought, { type: 'failed' }> | { type: 'failed'; fault: Fault; event: EventOf<'turn_failed'> }

async function askOnce(run: Run): Promise<Asked> {
  const { mode, history, signal } = run
  const { model } = run.ports
  const { jobId, seed } = run.input
  const { step } = history
  const { profile } = model.info
  const failed = (problem: Fault, usage = noUsage, timings = { queuedMs: 0, prefillMs: 0, decodeMs: 0, ttftMs: null as number | null, totalMs: 0 }): Asked =>
    ({ type: 'failed', fault: problem, event: { type: 'turn_failed', step, model: model.info.id, fault: problem, usage, timings, retry: false } })
  const request = ModelRequest.safeParse({
    messages: [...history.messages], ...mode.asked(), sampling: { ...profile.sampling, ...variety(run), seed: (seed + step) % 2 ** 32 },
    ...(profile.stop === undefined ? {} : { stop: profile.stop }), ...(profile.reasoning?.ask === undefined ? {} : { reasoning: profile.reasoning.ask }),
    ...(asksLikelihood(seed, step) ? { likelihoods: true } : {}), maxTokens: profile.maxCallTokens, sessionKey: jobId, class: 'job', purpose: 'agent',
  })
  if (!request.success) return failed(fault('internal', { problem: `the request of step ${step} is not valid: ${request.error.issues[0]?.message ?? ''}` }))

  let [text, thoughts] = ['', '']
  const thought = (): { reasoning?: string } => (thoughts === '' ? {} : { reasoning: thoughts })
  const stopped = ({ usage, timings }: Pick<EventOf<'turn'>, 'usage' | 'timings'>): Asked =>
    ({ type: 'aborted', turn: { type: 'turn', step, model: model.info.id, text, toolCalls: [], stop: 'cancelled', usage, timings, ...thought() } })
  const calls: ToolCall[] = []
  const malformed: Malformed[] = []
  const tokens: TokenProbability[] = []
  for await (const event of model.generate(request.data, signal)) {
    switch (event.type) {
      case 'text':
        text += event.text
        tokens.push(...event.probabilities ?? [])
        if (event.text !== '') await run.ports.emit({ type: 'text', step, text: event.text })
        break
      case 'tool_call':
        calls.push({ ...event.call, id: freeId(event.call.id, step, (id) => history.callIds.has(id) || calls.some((call) => call.id === id)) })
        break
      case 'malformed_call':
        malformed.push({ text: event.text, problem: event.problem })
        break
      case 'reasoning': {
        const piece = event.text.slice(0, Math.max(0, thoughtCharacters - thoughts.length))
        thoughts += piece
        if (piece !== '') await run.ports.emit({ type: 'thought', step, text: piece })
        break
      }
      case 'queued': case 'started': case 'prefill':
        break
      case 'done': {
        if (event.stop === 'cancelled') {
          return signal.aborted ? stopped(event) : failed(fault('internal', { problem: `the model ${model.info.id} stopped as if it had been cancelled` }), event.usage, event.timings)
        }
        const answer = { text, calls, malformed: malformed[0] ?? null, cut: event.stop === 'max_tokens' }
        const { understood, words, repairs } = mend({
          answer, malformed, understood: mode.understand(answer, step), tools: run.tools, mode: profile.toolMode, read: () => textsRead(history.events),
          id: (taken) => freeId('', step, (id) => history.callIds.has(id) || taken.includes(id)),
        })
        const likelihood = likelihoodOf(tokens, thoughts)
        const whole = words ?? text + malformed.map((one) => one.text).join('')
        return {
          type: 'turn', understood, repairs: repairs.map((repair) => ({ type: 'call_repaired', step, ...repair })),
          turn: {
            type: 'turn', step, model: model.info.id, text: whole, toolCalls: understood.type === 'calls' ? understood.calls : [], stop: event.stop, usage: event.usage, timings: event.timings, ...thought(),
            ...(likelihood === null ? {} : { likelihood }),
          },
        }
      }
      case 'failed':
        return signal.aborted ? stopped(event) : failed(event.fault, event.usage, event.timings)
      default:
        event satisfies never
    }
  }
  return failed(fault('internal', { problem: `the model ${model.info.id} ended its answer without a terminal event` }))
}

/** What the model has read in this job: a call that stands there is a quotation. */
function textsRead(events: readonly JobEventBody[]): string[] {
  return events.flatMap((event) => (event.type === 'tool_result' ? [event.observation] : event.type === 'opened' ? event.instructions.map((one) => one.text) : []))
}

/** Greedy tries would all be the same one. */
function variety({ history, ports }: Run): { temperature?: number } {
  return samplesOf(history.events) === 0 ? {} : { temperature: Math.max(triesTemperature, ports.model.info.profile.sampling.temperature ?? 0) }
}

/** A call's id names a file of outputs and must be unique in its job; a model's own id is kept only when it is fit for both. */
function freeId(id: string, step: number, taken: (id: string) => boolean): string {
  if (/^[A-Za-z0-9_-]{1,64}$/.test(id) && !taken(id)) return id
  let number = 1
  while (taken(`s${step}_${number}`)) number += 1
  return `s${step}_${number}`
}
