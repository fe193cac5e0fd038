// Owns the loop: think -> act -> check, until a check passes, the model gives up, a guard or a limit stops it, or somebody does.
// The next move is read off the history alone, so a resumed job goes on exactly where its events end.
import { faultEnd, type AbortCause, type AgentEnd, type AgentInput, type AgentPorts, type Fault, type JobEventBody, type ToolCall } from '@hearth/protocol'
import { act } from './act.ts'
import { beginAnew, goodState } from './anew.ts'
import { checksOf, checkStarts } from './checks.ts'
import { compaction } from './context/compact.ts'
import { openingOf } from './context/opening.ts'
import { checkAfterEdit, claimedDone, denied, expertSaid, finish, modelFailed, outOfSteps, stopped } from './done.ts'
import { aborted } from './ends.ts'
import { atEdge, lastResort, mayEscalate, resumeOpen, settleEffect, waitsForUse } from './escalate/escalate.ts'
import { guardSignal } from './escalate/signals.ts'
import { lastResortDenied, lastWord } from './escalate/state.ts'
import { type Evidence, malformedTurns, sinceFresh, spentTokens, watch } from './guards.ts'
import { longCandidate, type Rung, rungFor, unfinishedRung } from './ladder.ts'
import { McpServers } from './mcp/servers.ts'
import { beginRun, checkPlace, put, type Run } from './run.ts'
import { closeTurn, hear, isChat, permission, stepsOfTurn, turnOver } from './talk.ts'
import { think } from './think.ts'
import { windowProblem, windowWarning } from './window.ts'

/** Runs a job to its end or to a suspension. Never throws for anything a model, a tool or a person does. */
export async function runAgent(input: AgentInput, ports: AgentPorts, signal: AbortSignal): Promise<AgentEnd> {
  const { info } = ports.model
  // A model that has answered in this job goes on, whatever window it has after a restart.
  const met = input.past.some((event) => event.type === 'turn' && event.model === info.id)
  const problem = met ? null : windowProblem(info)
  if (problem !== null) return aborted(signal) ?? faultEnd(problem)
  const report = input.past.some((event) => event.type === 'step') ? null : await ports.sandbox.report()
  if (report !== null && report.fault !== null) return aborted(signal) ?? faultEnd(report.fault)
  const servers = new McpServers(input.mcpServers ?? {}, { sandbox: ports.sandbox, workspace: input.request.cwd, limits: { ...input.limits, wallMs: input.timeoutSeconds * 1000 }, door: ports.mcp ?? null })
  try {
    const opening = await openingOf(input, ports, servers, signal)
    if ('fault' in opening) return aborted(signal) ?? faultEnd(opening.fault)
    const run = beginRun(input, ports, signal, opening.opened, servers, runAgent)
    if (opening.fresh && opening.opened !== null && !signal.aborted) await put(run, opening.opened)
    const warning = met ? null : windowWarning(info)
    if (warning !== null && !signal.aborted && !input.past.some((event) => event.type === 'warned' && event.text === warning)) await put(run, { type: 'warned', text: warning })
    const end = await runToEnd(run)
    if (stoppedTurn(run)) await closeTurn(run)
    if (end.type === 'ended') await settleEffect(run)
    return end
  } finally {
    await servers.close()
  }
}

/** A chat goes on after a person or its time limit stopped it; a cancelled one does not, and one that the daemon stops goes on by itself. */
function stoppedTurn(run: Run): boolean {
  const cause = run.signal.aborted ? (run.signal.reason as AbortCause).kind : null
  return isChat(run) && (cause === 'interrupt' || cause === 'timeout')
}

async function runToEnd(run: Run): Promise<AgentEnd> {
  if (run.input.compact === true && run.history.pending === null) {
    await compactIfWorth(run)
    return aborted(run.signal) ?? turnOver(run) ?? runToEnd({ ...run, input: { ...run.input, compact: false } })
  }
  const refusal = run.history.step === 0 ? await cannotStart(run) : null
  if (refusal !== null) return aborted(run.signal) ?? refusal
  try {
    for (;;) {
      const end = aborted(run.signal) ?? (await nextMove(run))
      if (end !== null) return end
    }
  } finally {
    await run.background.close()
  }
}

/** The pending call of the last turn, an answer to its words, or a new turn. Null = go on. */
async function nextMove(run: Run): Promise<AgentEnd | null> {
  const { pending, unanswered, step, stepOpen, closed } = run.history
  if (pending !== null) return pending.name === 'finish' ? finish(run, pending) : actOn(run, pending)
  if (unanswered !== null) return claimedDone(run, unanswered)
  if (closed && isChat(run) && !run.history.heard) return turnOver(run)
  const open = await resumeOpen(run)
  if (open.type !== 'nothing') return open.type === 'end' ? open.end : null
  const { events } = run.history
  const word = lastWord(events)
  if (word !== null) return expertSaid(run, word)
  const refused = lastResortDenied(events)
  if (refused !== null && !refused.waited) return denied(run, refused)
  const cut = unfinishedRung(events)
  if (cut !== null) return perform(run, cut.action, cut)
  const evidence = unjudged(events) && !waitsForUse(run) ? watch(events) ?? longCandidate(events) : null
  if (evidence !== null) return climb(run, evidence)
  const edge = await atEdge(run)
  if (edge.type !== 'nothing') return edge.type === 'end' ? edge.end : null
  const limit = limitReached(run)
  if (limit !== null) return limit.guard === 'steps' ? outOfSteps(run, limit.evidence) : stopped(run, limit.outcome, limit.guard, limit.evidence)
  if (!stepOpen) {
    await compactIfWorth(run)
    hear(run)
    await put(run, { type: 'step', step: step + 1 })
  }
  return thinkOnce(run)
}

async function thinkOnce(run: Run): Promise<AgentEnd | null> {
  const { history } = run
  const thought = await think(run)
  if (thought.type === 'aborted') {
    if (stoppedTurn(run) && thought.turn.text !== '') await put(run, thought.turn)
    return aborted(run.signal)
  }
  if (thought.type === 'failed') return overflowed(run, thought.fault) ?? modelFailed(run, thought.fault)
  const { step, events } = history
  const { turn, understood, repairs } = thought
  switch (understood.type) {
    case 'calls':
    case 'said':
      await Promise.all([put(run, turn), ...repairs.map((repair) => put(run, repair))])
      return null
    case 'malformed': {
      // Stored together: why a turn was refused cannot be read off the turn alone.
      await Promise.all([put(run, turn), put(run, { type: 'call_rejected', step, text: turn.text.slice(0, 2000), problem: `Error: ${understood.problem}` })])
      const evidence = malformedTurns(events)
      return evidence === null || waitsForUse(run) ? null : climb(run, evidence)
    }
    default: return understood satisfies never
  }
}

async function actOn(run: Run, call: ToolCall): Promise<AgentEnd | null> {
  const { history } = run
  const allowed = await permission(run, call)
  if (allowed !== null && allowed !== 'denied') return allowed
  const result = allowed === 'denied' ? null : await act(run, call)
  if (result !== null && 'fault' in result) return aborted(run.signal) ?? faultEnd(result.fault)
  // Nothing may stand between the results of one turn: templates refuse it.
  if (history.pending !== null) return null
  const kept = await run.ports.workspace?.keep(history.step, call.name)
  if (kept != null) await put(run, kept)
  await checkAfterEdit(run)
  return null
}

/** A prompt that no shortening made fit: begun anew, then help, where there is any; null = the job ends with this fault. No other fault of an engine is a reason to ask anybody. */
function overflowed(run: Run, problem: Fault): Promise<AgentEnd | null> | null {
  if (problem.code !== 'context_overflow') return null
  const evidence = { guard: 'overflow', evidence: problem.message.replace(/\.$/, ''), nudge: '' } as const
  const { events } = run.history
  if (isChat(run) || run.ports.expert == null) return null
  // What an expert did may have been enough.
  if (events.some(({ type }) => type === 'handed_back') && !mayEscalate(run, evidence)) return stopped(run, 'stuck', evidence.guard, evidence.evidence)
  const begun = sinceFresh(events).length < events.length
  return mayEscalate(run, evidence) || !begun ? climb(run, evidence) : null
}

/** The results of the last turn were not yet looked at by the guards. */
function unjudged(events: readonly JobEventBody[]): boolean {
  const last = events.findLast(({ type }) => type === 'tool_result' || type === 'tool_unknown' || type === 'guard' || type === 'rewritten' || type === 'turn')
  // A refused "done" is no call of a tool: what was repeated before it was judged before it.
  return last?.type === 'tool_unknown' || (last?.type === 'tool_result' && last.name !== 'finish')
}

/** The next rung of the ladder for what a guard saw. */
async function climb(run: Run, evidence: Evidence): Promise<AgentEnd | null> {
  const { history, ports, input } = run
  const { action: rung } = rungFor(history.events, evidence, {
    canSample: checksOf(input.request, history.events).length > 0 && stateToBeginFrom(run) !== null, idle: ports.idle?.() ?? false, stepsLeft: stepsLeft(run),
    canEscalate: mayEscalate(run, evidence),
  })
  // Beginning anew would take away what the person said; they are there to say how to go on.
  const action = isChat(run) && rung !== 'nudge' ? 'stop' : rung
  const guard = { type: 'guard', step: history.step, guard: evidence.guard, action, evidence: evidence.evidence } as const
  if (action === 'nudge') {
    await Promise.all([put(run, guard), put(run, { type: 'nudge', step: history.step, text: evidence.nudge })])
    return null
  }
  await Promise.all([put(run, guard), ...(action === 'escalate' ? [put(run, { type: 'signals', step: history.step, signals: [guardSignal(guard)], acts: true } as const)] : [])])
  return perform(run, action, evidence)
}

/** Does what a stored guard event says; also after a crash that came between the two. */
async function perform(run: Run, action: Exclude<Rung['action'], 'nudge'>, evidence: Pick<Evidence, 'guard' | 'evidence'>): Promise<AgentEnd | null> {
  switch (action) {
    case 'replan':
      if (!(await beginAnew(run, evidence.evidence, goodState(run.history.events)))) await beginAnew(run, evidence.evidence, null)
      return null
    case 'sample':
      if (await beginAnew(run, evidence.evidence, stateToBeginFrom(run))) return null
      return stopped(run, 'stuck', evidence.guard, evidence.evidence)
    case 'escalate':
      if (run.ports.expert != null) return lastResort(run, run.ports.expert, evidence)
      return stopped(run, 'stuck', evidence.guard, evidence.evidence)
    case 'stop': return stopped(run, 'stuck', evidence.guard, evidence.evidence)
    default: return action satisfies never
  }
}

function stateToBeginFrom({ history, ports }: Run): string | null {
  return goodState(history.events) ?? ports.workspace?.base ?? null
}

async function compactIfWorth(run: Run): Promise<void> {
  const { history, ports } = run
  const { contextTokens, profile } = ports.model.info
  const rewritten = compaction({
    step: history.step, messages: history.messages, openingMessages: history.opening.length, events: history.events, contextTokens,
    maxCallTokens: profile.maxCallTokens, stepsLeft: stepsLeft(run), speedAt: ports.speedAt ?? null, asked: run.input.compact === true,
  })
  if (rewritten !== null) await put(run, rewritten)
}

/** Steps that may still be taken: in a chat before somebody speaks again. */
function stepsLeft(run: Run): number {
  return run.input.maxSteps - (isChat(run) ? stepsOfTurn(run) : run.history.step)
}

function limitReached(run: Run): { outcome: 'stuck' | 'over_budget'; guard: string; evidence: string } | null {
  const { history, input } = run
  const spent = spentTokens(isChat(run) ? history.events.slice(1 + history.events.findLastIndex(({ type }) => type === 'said')) : history.events)
  if (spent >= input.maxTokens) return { outcome: 'over_budget', guard: 'tokens', evidence: `${spent} tokens of ${input.maxTokens} are spent` }
  if (stepsLeft(run) <= 0 && !history.stepOpen) return { outcome: 'stuck', guard: 'steps', evidence: `all ${input.maxSteps} steps are used` }
  return null
}

/** Before any work: is every check a command? */
async function cannotStart(run: Run): Promise<AgentEnd | null> {
  for (const command of run.input.request.checks) {
    const problem = await checkStarts(command, checkPlace(run))
    if (problem !== null) return faultEnd(problem)
  }
  return null
}
