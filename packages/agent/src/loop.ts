// Owns the loop: think -> act -> check, until a check passes, the model gives up, a guard or a limit stops it, or somebody does.
// The next move is read off the history alone, so a resumed job goes on exactly where its events end.
import { faultEnd, type AgentEnd, type AgentInput, type AgentPorts, type ToolCall } from '@hearth/protocol'
import { act } from './act.ts'
import { checkStarts } from './checks.ts'
import { checkPlace, claimedDone, finish, modelFailed, stopped } from './done.ts'
import { aborted } from './ends.ts'
import { type Evidence, malformedTurns, nudgesOf, repeatedCall, spentTokens } from './guards.ts'
import { beginRun, put, type Run } from './run.ts'
import { think } from './think.ts'

/** Runs a job to its end or to a suspension. Never throws for anything a model, a tool or a person does. */
export async function runAgent(input: AgentInput, ports: AgentPorts, signal: AbortSignal): Promise<AgentEnd> {
  const run = beginRun(input, ports, signal)
  const refusal = run.history.step === 0 ? await cannotStart(run) : null
  if (refusal !== null) return aborted(signal) ?? refusal
  for (;;) {
    const end = aborted(signal) ?? (await nextMove(run))
    if (end !== null) return end
  }
}

/** The pending call of the last turn, an answer to its words, or a new turn. Null = go on. */
async function nextMove(run: Run): Promise<AgentEnd | null> {
  const { pending, unanswered, step, stepOpen } = run.history
  if (pending !== null) return pending.name === 'finish' ? finish(run, pending) : actOn(run, pending)
  if (unanswered !== null) return claimedDone(run, unanswered)
  const limit = limitReached(run)
  if (limit !== null) return stopped(run, limit.outcome, limit.guard, limit.evidence)
  if (!stepOpen) await put(run, { type: 'step', step: step + 1 })
  return thinkOnce(run)
}

async function thinkOnce(run: Run): Promise<AgentEnd | null> {
  const { history } = run
  const thought = await think(run)
  if (thought.type === 'aborted') return aborted(run.signal)
  if (thought.type === 'failed') return modelFailed(run, thought.fault)
  const { step, events } = history
  const { turn, understood } = thought
  switch (understood.type) {
    case 'calls':
    case 'said':
      await put(run, turn)
      return null
    case 'malformed': {
      // Stored together: why a turn was refused cannot be read off the turn alone.
      await Promise.all([put(run, turn), put(run, { type: 'call_rejected', step, text: turn.text.slice(0, 2000), problem: `Error: ${understood.problem}` })])
      const evidence = malformedTurns(events)
      return evidence === null ? null : guardStops(run, evidence)
    }
    default: return understood satisfies never
  }
}

async function actOn(run: Run, call: ToolCall): Promise<AgentEnd | null> {
  const { history } = run
  const result = await act(run, call)
  if ('fault' in result) return faultEnd(result.fault)
  // Nothing may stand between the results of one turn: templates refuse it.
  if (history.pending !== null) return null
  const evidence = repeatedCall(history.events)
  if (evidence === null) return null
  if (nudgesOf(history.events, evidence.guard) > 0) return guardStops(run, evidence)
  await Promise.all([
    put(run, { type: 'guard', step: history.step, guard: evidence.guard, action: 'nudge', evidence: evidence.evidence }),
    put(run, { type: 'nudge', step: history.step, text: evidence.nudge }),
  ])
  return null
}

async function guardStops(run: Run, { guard, evidence }: Evidence): Promise<AgentEnd> {
  await put(run, { type: 'guard', step: run.history.step, guard, action: 'stop', evidence })
  return stopped(run, 'stuck', guard, evidence)
}

function limitReached({ history, input }: Run): { outcome: 'stuck' | 'over_budget'; guard: string; evidence: string } | null {
  const spent = spentTokens(history.events)
  if (spent >= input.maxTokens) return { outcome: 'over_budget', guard: 'tokens', evidence: `${spent} tokens of ${input.maxTokens} are spent` }
  if (history.step >= input.maxSteps && !history.stepOpen) return { outcome: 'stuck', guard: 'steps', evidence: `all ${input.maxSteps} steps are used` }
  return null
}

/** Before any work: is there a sandbox, and is every check a command? */
async function cannotStart(run: Run): Promise<AgentEnd | null> {
  const report = await run.ports.sandbox.report()
  if (report.fault !== null) return faultEnd(report.fault)
  for (const command of run.input.request.checks) {
    const problem = await checkStarts(command, checkPlace(run))
    if (problem !== null) return faultEnd(problem)
  }
  return null
}
