// Owns a fresh start in the middle of a job: which kept state the folder goes back to, and what the model is told of the time before.
import type { EventOf, JobEventBody } from '@hearth/protocol'
import { bytesPerToken, estimateTokens, refillMs } from './context/compact.ts'
import { callLine, receipt } from './context/receipt.ts'
import { put, type Run } from './run.ts'

/** The state to go on from: the newest one in which a check passed more than now; null = the folder stays as it is. */
export function goodState(events: readonly JobEventBody[]): string | null {
  const last = events.findLast((event) => event.type === 'check')
  if (last === undefined || last.passed) return null
  let commit: string | null = null
  let good: string | null = null
  for (const event of events) {
    if (event.type === 'workspace') commit = event.base
    if (event.type === 'committed' || event.type === 'reverted') commit = event.commit
    if (event.type === 'check' && event.passed && event.command === last.command) good = commit
  }
  return good
}

/** Begins the history anew. `commit`: the state that the folder is put back to, null = it stays. Returns false when that state cannot be put back. */
export async function beginAnew(run: Run, evidence: string, commit: string | null): Promise<boolean> {
  const { history, ports } = run
  const { events, messages, opening, step } = history
  if (commit !== null) {
    const problem = ports.workspace == null ? null : await ports.workspace.restore(commit)
    if (problem !== null || ports.workspace == null) return false
    await put(run, { type: 'reverted', step, toStep: stepOf(events, commit), commit, by: 'the harness' })
  }
  const text = [
    `You were stuck: ${evidence}.`,
    commit === null ? 'The files are as you left them.' : 'The files were put back to an earlier state; what you changed since then is gone.',
    receipt(events, 4000),
    ...deadEnds(events),
    'Begin again and take another way than before. Look at the files first.',
  ].join('\n')
  const scale = bytesPerToken(messages, events)
  const refillTokens = Math.ceil(Buffer.byteLength(text) / scale)
  await put(run, {
    type: 'rewritten', step, reason: 'replan', text, keptMessages: 0, droppedMessages: messages.length - opening.length,
    beforeTokens: estimateTokens(messages, scale), afterTokens: estimateTokens(opening, scale) + refillTokens, refillTokens, refillMs: refillMs(events, refillTokens), evidence,
  })
  return true
}

function stepOf(events: readonly JobEventBody[], commit: string): number {
  const event = events.find((one): one is EventOf<'committed'> => one.type === 'committed' && one.commit === commit)
  return event?.step ?? 0
}

/** Calls that were made again and again. */
function deadEnds(events: readonly JobEventBody[]): string[] {
  const counts = new Map<string, number>()
  for (const event of events) if (event.type === 'tool_planned') counts.set(callLine(event), (counts.get(callLine(event)) ?? 0) + 1)
  const often = [...counts].filter(([, count]) => count >= 3).sort((a, b) => b[1] - a[1]).slice(0, 3)
  return often.length === 0 ? [] : [`Do not do again: ${often.map(([line]) => line).join('; ')}`]
}
