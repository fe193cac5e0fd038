// Owns which checks of an expert's plan decide the job: those that were seen to start in the sandbox. What passes before any work proves none.
import type { AgentEnd, EventOf } from '@hearth/protocol'
import { checkStarts, runCheck } from '../checks.ts'
import { aborted } from '../ends.ts'
import { checkPlace, put, type Run } from '../run.ts'
import { checksIn } from './words.ts'

export type PlanChecks = { taken: string[]; refused: string[] }

// What a shell says of a program that it cannot start.
const cannotStart = new Set([126, 127])

/** Runs each proposed check once, which is an event. `refused`: with the reason. An end = the job was stopped meanwhile. */
export async function planChecks(run: Run, text: string): Promise<PlanChecks | { end: AgentEnd }> {
  const refused: string[] = []
  const ran: EventOf<'check'>[] = []
  for (const command of checksIn(text)) {
    const place = checkPlace(run)
    const problem = await checkStarts(command, place)
    if (problem !== null) {
      refused.push(problem.message.replace(/\.$/, ''))
      continue
    }
    const check = await runCheck(command, 'final', run.history.step, place)
    const stop = aborted(run.patient)
    if (stop !== null) return { end: stop }
    if ('code' in check) {
      refused.push(`'${command}' could not be run`)
      continue
    }
    if (check.cause !== 'exited' || (check.exitCode !== null && cannotStart.has(check.exitCode))) {
      refused.push(`'${command}' does not start (${check.cause === 'exited' ? `exit ${check.exitCode ?? '?'}` : check.cause})`)
      continue
    }
    await put(run, check)
    ran.push(check)
  }
  // They would resolve the job before anything was done.
  if (run.input.request.checks.length === 0 && ran.every(({ passed }) => passed)) {
    return { taken: [], refused: [...refused, ...ran.map(({ command }) => `'${command}' passes before any work`)] }
  }
  return { taken: ran.map(({ command }) => command), refused }
}
