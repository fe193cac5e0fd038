// Owns what differs when a person takes part: turns that end in waiting, words that come in between, an interruption, a call that needs a yes.
// All of it is read off the events, so a chat that was cut off waits, or goes on, where they end.
import type { AgentEnd, EventOf, ToolCall } from '@hearth/protocol'
import { interruptedText } from './history.ts'
import { argumentsProblem } from './repair/fit.ts'
import { put, type Run } from './run.ts'

const waits: AgentEnd = { type: 'suspended', reason: 'waiting for you', state: 'paused' }

export function isChat(run: Run): boolean {
  return run.input.request.kind === 'chat'
}

/** Takes in what was said meanwhile. To be asked before anything is put: what comes after belongs behind it. */
export function hear({ history, ports }: Run): void {
  for (const said of ports.heard?.() ?? []) history.apply(said)
}

/** The model has said all it wanted to: the chat waits, unless somebody spoke meanwhile. */
export function turnOver(run: Run): AgentEnd | null {
  hear(run)
  return run.history.heard ? null : waits
}

/** `finish` in a chat: the words are for the person, and the call has its answer, because templates want one. */
export async function finishTurn(run: Run, call: ToolCall): Promise<AgentEnd | null> {
  await put(run, answerTo(call, run.history.step, { ok: true, cause: 'exited', observation: 'The person has read it.' }))
  return turnOver(run)
}

/** Closes a turn that a person or the clock stopped: every call gets an answer, and the model will know that it was stopped. */
export async function closeTurn(run: Run): Promise<void> {
  const { history } = run
  for (let call = history.pending; call !== null; call = history.pending) {
    await put(run, answerTo(call, history.step, { ok: false, cause: 'cancelled', observation: 'It was not run: the person interrupted.' }))
  }
  if (!history.closed) await put(run, { type: 'nudge', step: history.step, text: interruptedText })
}

/** Null = the call may be done now. An end = it waits for a yes. 'denied' = it has its answer already. */
export async function permission(run: Run, call: ToolCall): Promise<AgentEnd | 'denied' | null> {
  const { history, input } = run
  const tool = run.tools.find(({ name }) => name === call.name)
  if (history.interrupted?.call.id === call.id || tool === undefined || argumentsProblem(tool, call.arguments) !== null) return null
  const outward = await outwardQuestion(run, call)
  // What only looks needs no yes, and what is no call is refused anyway.
  if (outward === null && (input.request.approve !== 'writes' || tool.idempotency === 'pure')) return null
  const given = history.events.findLast((event) => event.type === 'approval_given' && event.callId === call.id)
  if (given?.type === 'approval_given') {
    if (given.approved) return null
    const why = given.note.trim()
    await put(run, answerTo(call, history.step, {
      ok: false, cause: 'denied', observation: `The person did not allow this call${why === '' ? '' : `: ${why}`}. It was not run. Do not try the same in another way.`,
    }))
    return 'denied'
  }
  if (!history.events.some((event) => event.type === 'approval_asked' && event.callId === call.id)) {
    await put(run, { type: 'approval_asked', step: history.step, callId: call.id, question: outward ?? `May ${call.name} be called? ${JSON.stringify(call.arguments).slice(0, questionCharacters)}` })
  }
  return { type: 'suspended', reason: `waiting for an approval of ${call.name}`, state: 'waiting_approval' }
}

/** What is asked before a call of a server's tool leaves this box; null = nothing. */
async function outwardQuestion({ ports }: Run, { name, arguments: args }: ToolCall): Promise<string | null> {
  const { name: tool, arguments: given } = args
  if (name !== 'mcp' || ports.mcp?.question === undefined || typeof tool !== 'string' || typeof given !== 'object' || given === null) return null
  const at = tool.indexOf('__')
  return ports.mcp.question(tool.slice(0, at), tool.slice(at + 2), given as Record<string, unknown>)
}

// The whole call stands in its `turn`.
const questionCharacters = 1000

function answerTo(call: ToolCall, step: number, answer: Pick<EventOf<'tool_result'>, 'ok' | 'cause' | 'observation'>): EventOf<'tool_result'> {
  return {
    type: 'tool_result', step, callId: call.id, name: call.name, exitCode: null, totalBytes: Buffer.byteLength(answer.observation), outputFile: null, durationMs: 0, wrote: false, ...answer,
  }
}

/** Events since somebody spoke last: limits and guards of a chat are those of one turn. */
export function stepsOfTurn({ history }: Run): number {
  const { events } = history
  return events.slice(1 + events.findLastIndex((event) => event.type === 'said')).filter((event) => event.type === 'step').length
}
