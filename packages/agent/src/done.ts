// Owns what "done" means: checks decide; without one the model's word is taken, unless the last command contradicts it.
import { faultEnd, type AgentEnd, type Denial, type EventOf, type Fault, type JobEventBody, type ToolCall } from '@hearth/protocol'
import { checksOf, failedText, fastCheckMs, finalAttempts, isFast, notDone, runCheck } from './checks.ts'
import { aborted, ended } from './ends.ts'
import { reviewed } from './escalate/review.ts'
import { hasFailed, isCommand } from './escalate/runs.ts'
import { deniedNeed, hasWaited, type lastResortDenied } from './escalate/state.ts'
import { reviewRefusal } from './escalate/words.ts'
import { sinceFresh } from './guards.ts'
import { checkPlace, put, type Run } from './run.ts'
import { finishTurn, isChat, turnOver } from './talk.ts'

/** The model calls `finish`. Null = it was refused with the reason, and the model goes on. */
export function finish(run: Run, call: ToolCall): Promise<AgentEnd | null> {
  if (isChat(run)) return finishTurn(run, call)
  const answer = typeof call.arguments['answer'] === 'string' ? call.arguments['answer'] : ''
  return judge(run, answer, (reason) => put(run, refusal(call, run.history.step, reason)))
}

/** Words without a call: asked once what they mean, then taken as "done". Null = the model goes on. */
export async function claimedDone(run: Run, words: string): Promise<AgentEnd | null> {
  if (isChat(run)) return turnOver(run)
  const tell = (text: string): Promise<void> => put(run, { type: 'nudge', step: run.history.step, text })
  const asked = run.history.events.findLast((event) => event.type === 'nudge' || event.type === 'tool_result')?.type === 'nudge'
  if (asked) return judge(run, words, tell)
  await tell('If the task is done, call finish with a summary. If not, call a tool.')
  return null
}

/** The verdict of several tries, once one of them is taken or all are used. */
async function tellSamples(run: Run, passed: boolean): Promise<void> {
  const { events, step } = run.history
  const starts = events.flatMap((event, index) => (event.type === 'guard' && event.action === 'sample' ? [index] : []))
  if (starts.length === 0 || events.some((event) => event.type === 'sampled')) return
  const tries = starts.map((start, index) => {
    const part = events.slice(start, starts[index + 1] ?? events.length)
    const kept = part.filter((event) => event.type === 'committed')
    return { seed: run.input.seed + index, passed: passed && index === starts.length - 1, files: kept.reduce((sum, { files }) => sum + files, 0), commit: kept.at(-1)?.commit ?? null }
  })
  await put(run, { type: 'sampled', step, chosen: passed ? starts.length - 1 : null, candidates: tries })
}

/** Is it done? `refuse` tells the model why it is not; after so many times the job ends. */
async function judge(run: Run, answer: string, refuse: (reason: string) => Promise<void>): Promise<AgentEnd | null> {
  const { events } = run.history
  const last = 1 + sinceFresh(events).filter(isRefusal).length >= finalAttempts && !hasWaited(events)
  if (checksOf(run.input.request, events).length === 0) {
    const failed = lastFailure(events)
    if (failed === null) return reviewThen(run, answer, ended('done_unverified', answer), refuse)
    if (last) return withoutHelp(run, 'done') ?? stopped(run, 'stuck', 'done', `"done" although the last command failed (${failed})`)
    await refuse(`${notDone} the last command failed (${failed}). Mend it, or run it again with success.`)
    return null
  }
  const checks = await runChecks(run)
  if (checks.type === 'end') return checks.end
  if (checks.failed === null) {
    await tellSamples(run, true)
    return reviewThen(run, answer, ended('resolved', answer), refuse)
  }
  if (last) return withoutHelp(run, 'check_failed') ?? ended('check_failed', answer)
  await refuse(failedText(checks.failed))
  return null
}

/** Where no check of weight decided, an expert may look before the word of the model is taken. */
async function reviewThen(run: Run, answer: string, end: AgentEnd, refuse: (reason: string) => Promise<void>): Promise<AgentEnd | null> {
  const review = await reviewed(run, answer)
  if (review === null) return end
  if ('end' in review) return review.end
  await refuse(`${reviewRefusal}\n${review.redo}`)
  return null
}

function isRefusal(event: JobEventBody): boolean {
  return (event.type === 'tool_result' && event.name === 'finish') || (event.type === 'nudge' && event.text.startsWith(notDone))
}

/** A guard or a limit stops the job. Work that was already done counts: checks that pass still resolve it. */
export async function stopped(run: Run, outcome: 'stuck' | 'over_budget', guard: string, evidence: string): Promise<AgentEnd> {
  if (checksOf(run.input.request, run.history.events).length > 0) {
    const checks = await runChecks(run)
    if (checks.type === 'end') return checks.end
    await tellSamples(run, checks.failed === null)
    if (checks.failed === null) return ended('resolved', null)
  }
  return { type: 'ended', outcome, verified: false, summary: `Stopped (${guard}): ${evidence}.`, fault: null }
}

/** Help was the last resort and was denied: by the owner's policy the job is over, for want of money it waits, for a technical fault it is as stuck as before. */
export async function denied(run: Run, { guard, denied: { denial } }: NonNullable<ReturnType<typeof lastResortDenied>>): Promise<AgentEnd> {
  const end = await stopped(run, 'stuck', guard.guard, `${guard.evidence}. No help was bought: ${denial.why.replace(/\.$/, '')}`)
  return end.type === 'ended' && end.outcome === 'stuck' ? endOfDenial(denial, end) : end
}

/** "Done" was refused for the last time, and help that would have been next was denied; null = none was, or for a technical fault. */
function withoutHelp(run: Run, guard: string): AgentEnd | null {
  const need = deniedNeed(run.history.events)
  if (need === null || outcomeOfDenial[need.denial.rule] === 'stuck') return null
  const evidence = need.signals.map(({ evidence: seen }) => seen).join('; ')
  return endOfDenial(need.denial, { type: 'ended', outcome: 'stuck', verified: false, summary: `Stopped (${guard}): ${evidence}. No help was bought: ${need.denial.why.replace(/\.$/, '')}.`, fault: null })
}

/** All steps are used. Where policy forbade the help that was wanted, that is the outcome. */
export async function outOfSteps(run: Run, evidence: string): Promise<AgentEnd> {
  const end = await stopped(run, 'stuck', 'steps', evidence)
  const need = deniedNeed(run.history.events)
  const forbidden = need !== null && outcomeOfDenial[need.denial.rule] === 'blocked_by_policy' && end.type === 'ended' && end.outcome === 'stuck'
  return forbidden ? { ...end, outcome: 'blocked_by_policy', summary: `Stopped (steps): ${evidence}. No help was bought: ${need.denial.why}` } : end
}

function endOfDenial({ rule, why, remedy }: Denial, stuck: Extract<AgentEnd, { type: 'ended' }>): AgentEnd {
  const outcome = outcomeOfDenial[rule]
  return outcome === 'paused' ? { type: 'suspended', reason: `${why} ${remedy}`.trim(), state: 'paused', lacks: 'money' } : { ...stuck, outcome }
}

const outcomeOfDenial = {
  consent: 'blocked_by_policy', mode: 'blocked_by_policy', data_class: 'blocked_by_policy', secret: 'blocked_by_policy', price: 'blocked_by_policy', untrusted: 'blocked_by_policy',
  budget: 'paused', limit: 'paused', provider: 'stuck',
} as const

/** An expert took over the rest, or says that going on is useless. Checks decide in any case. */
export function expertSaid(run: Run, { mode, how, text, model }: EventOf<'handed_back'>): Promise<AgentEnd> {
  if (mode === 'rest' && how === 'done' && checksOf(run.input.request, run.history.events).length === 0) return Promise.resolve(ended('done_unverified', text))
  return stopped(run, 'stuck', 'expert', mode === 'rest' ? `${model} took over and did not get there` : `${model} says that going on is useless`)
}

/** The model cannot go on. After a check that ran and failed that verdict is the outcome, and the fault is told beside it. */
export function modelFailed(run: Run, problem: Fault): AgentEnd {
  const last = run.history.events.findLast((event) => event.type === 'check')
  if (last?.type === 'check' && !last.passed) return { type: 'ended', outcome: 'check_failed', verified: false, summary: null, fault: problem }
  return faultEnd(problem)
}

/** After a turn that edited: the job's first checks, as long as they are fast. The model reads the first that fails, or that all pass. */
export async function checkAfterEdit(run: Run): Promise<void> {
  const { events } = run.history
  const turn = events.findLastIndex((event) => event.type === 'turn')
  const edited = events.slice(turn + 1).some((event) => event.type === 'tool_result' && event.ok && event.wrote && (event.name === 'edit' || event.name === 'write'))
  if (!edited || run.ports.model.info.profile.checkAfterEdit === false) return
  const place = checkPlace(run)
  const checks = checksOf(run.input.request, events)
  for (const [index, command] of checks.entries()) {
    if (!isFast(command, events)) return
    const check = await runCheck(command, 'after_edit', run.history.step, { ...place, limits: { ...place.limits, wallMs: Math.min(place.limits.wallMs, fastCheckMs) } })
    // The job's end will meet the same sandbox; here it only means that nothing is told.
    if ('code' in check || check.cause === 'cancelled') return
    if (!check.passed || index === checks.length - 1) return put(run, check)
  }
}

type Checked = { type: 'ran'; failed: EventOf<'check'> | null } | { type: 'end'; end: AgentEnd }

/** All checks in order, up to the first that fails. */
async function runChecks(run: Run): Promise<Checked> {
  for (const command of checksOf(run.input.request, run.history.events)) {
    const check = await runCheck(command, 'final', run.history.step, checkPlace(run))
    if ('code' in check) return { type: 'end', end: aborted(run.patient) ?? faultEnd(check) }
    if (check.cause === 'cancelled') return { type: 'end', end: aborted(run.patient) ?? ended('check_failed', null) }
    await put(run, check)
    if (!check.passed) return { type: 'ran', failed: check }
  }
  return { type: 'ran', failed: null }
}

/** How the last shell command failed, when it did. */
function lastFailure(events: readonly JobEventBody[]): string | null {
  const last = events.findLast(isCommand)
  if (last === undefined || !hasFailed(last)) return null
  return last.exitCode === null ? last.cause : `exit ${last.exitCode}`
}

function refusal(call: ToolCall, step: number, observation: string): EventOf<'tool_result'> {
  return {
    type: 'tool_result', step, callId: call.id, name: call.name, ok: false, exitCode: null, cause: 'refused', observation,
    totalBytes: Buffer.byteLength(observation), outputFile: null, durationMs: 0, wrote: false,
  }
}
