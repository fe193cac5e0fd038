// Owns the job's checks: whether they can start, what they say. A job is resolved by a check that passed and by nothing else.
import type { EventOf, Fault, JobEventBody, JobRequest, Limits, NetworkGrant, Sandbox } from '@hearth/protocol'
import { fault } from '@hearth/protocol'
import { harmless, observe } from './observe.ts'
import { withNotes } from './tools/run.ts'

export type CheckPlace = { sandbox: Sandbox; workspace: string; limits: Limits; signal: AbortSignal; network?: NetworkGrant }

/** After so many times "done" with a failing check the job ends as check_failed. */
export const finalAttempts = 3

/** How each refusal of a "done" begins; they are counted by it. */
export const notDone = 'Not done:'

const outputBytes = 2000

/** The checks that decide a job: its own, and those of a plan that were seen to start. */
export function checksOf({ checks }: Pick<JobRequest, 'checks'>, events: readonly JobEventBody[]): readonly string[] {
  const added = events.flatMap((event) => (event.type === 'handed_back' ? event.checks ?? [] : []))
  return added.length === 0 ? checks : [...checks, ...added]
}

/**
 * Before any work: is it a command at all? Syntax and, when it begins with a plain or absolute program name, its presence in the sandbox.
 * What the job itself may make (anything below the workspace) counts as present. Null = it can start.
 */
export async function checkStarts(command: string, place: CheckPlace): Promise<Fault | null> {
  const script = `sh -n -c "$1" 2>&1 || exit 3
word=\${1%%[!A-Za-z0-9_./+-]*}
case \${1#"$word"} in ''|[[:space:]';&|<>']*) ;; *) exit 0;; esac
case $word in ''|/work/*) exit 0;; /*) [ -e "$word" ] && exit 0; echo "there is no $word in the sandbox"; exit 3;; */*) exit 0;; esac
command -v -- "$word" > /dev/null && exit 0
echo "there is no program $word in the sandbox"; exit 3`
  const result = await place.sandbox.run({
    argv: ['sh', '-c', script, 'sh', command], workspace: place.workspace, readOnly: true, limits: place.limits, captureBytes: 4096,
  }, place.signal)
  if (!result.ok) return result.fault
  if (result.exitCode !== 3) return null
  return fault('check_cannot_start', { check: command, problem: harmless(result.stdout.text).trim().split('\n')[0] ?? 'it is not a command' })
}

/** Runs one check; a fault means that the sandbox could not run it at all. */
export async function runCheck(command: string, when: 'final' | 'after_edit', step: number, place: CheckPlace): Promise<EventOf<'check'> | Fault> {
  const result = await place.sandbox.run({
    argv: ['sh', '-c', 'exec 2>&1; eval "$1"', 'sh', command], workspace: place.workspace, limits: place.limits, captureBytes: 64 * 1024,
    ...(place.network === undefined ? {} : { network: place.network }),
  }, place.signal)
  if (!result.ok) return result.fault
  const text = observe(withNotes(`${result.stdout.text}${result.stderr.text}`, result.refused ?? []), outputBytes, null)
  return {
    type: 'check', step, command, when, passed: result.cause === 'exited' && result.exitCode === 0,
    exitCode: result.exitCode, cause: result.cause, output: text, durationMs: result.durationMs,
  }
}

/** A check that takes longer is no check for after an edit. */
export const fastCheckMs = 10_000

/** Whether this check has not shown itself to be slow. */
export function isFast(command: string, events: readonly JobEventBody[]): boolean {
  return !events.some((event) => event.type === 'check' && event.command === command && (event.cause === 'timeout' || event.durationMs > fastCheckMs))
}

/** What the model is told of a check that ran after its edit; `before`: the same check's run before this one. */
export function afterEditText(check: EventOf<'check'>, before: EventOf<'check'> | null): string | null {
  // A check that is slow after edits is simply not run there any more.
  if (check.cause === 'timeout') return null
  if (check.passed) return 'The check passes now. If the whole task is done, call finish.'
  const how = check.cause === 'exited' ? `exit ${check.exitCode}` : check.cause
  if (before !== null && !before.passed && before.output === check.output) return `The check fails as before (${how}).`
  return `After this change the check fails (${how}).\n${check.command}\n${check.output}`.trimEnd()
}

/** What the model is told after a "done" that a check contradicts. */
export function failedText(check: EventOf<'check'>): string {
  const how = check.cause === 'exited' ? `exit ${check.exitCode}` : check.cause
  return `${notDone} the check failed (${how}).\n${check.command}\n${check.output}`.trimEnd()
}
