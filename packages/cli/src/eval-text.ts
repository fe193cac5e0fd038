// Owns how an evaluation reads on a terminal: a line for each job, the table of the arms, what follows. Pure.
import type { ArmSummary, EvalArm, EvalEvent, EvalRow, EvalSummary, Interval } from '@hearth/protocol'
import { counted, duration, table, usd, type Ink } from './print.ts'
import { oneLine, wrap } from './text.ts'

/** Arms that never ask, so that there is no moment to judge. */
const alone: ReadonlySet<EvalArm> = new Set<EvalArm>(['local', 'local_again', 'stronger', 'frontier'])

/** The local course that the forks of a task begin from. */
export function courseLine({ task, repeat, jobId, step, trigger, cannot }: Extract<EvalEvent, { type: 'course' }>): string {
  const what = step === null ? 'never comes to ask for help, and is the row of each arm that forks' : `would ask after step ${step} (${oneLine(trigger ?? '')})${cannot === null ? '' : `, and cannot be forked: ${oneLine(cannot)}`}`
  return `course ${jobId} of ${oneLine(task)} ${repeat + 1} ${what}`
}

/** One job that was judged. */
export function rowLine(row: EvalRow, done: number, jobs: number, ink: Ink): string {
  const asked = row.askedAt === undefined || row.askedAt.length === 0 ? '' : `, helped after step ${row.askedAt.join(', ')}`
  const denied = row.denied === undefined ? '' : ink.yellow(`, help refused (${oneLine(row.denied)})`)
  return `${String(done).padStart(String(jobs).length)}/${jobs}  ${row.solved ? ink.green('solved') : ink.red('failed')}  ${row.arm.padEnd(11)}  ${oneLine(row.task)} ${row.repeat + 1}  ${usd(row.usdMicros)}, ${duration(row.seconds * 1000)}${asked}${denied}`
}

/** The table and the sentences under it. */
export function summaryLines(summary: EvalSummary, width: number, ink: Ink): string[] {
  const right = { side: 'right' as const }
  const head = [{ title: 'ARM' }, { title: 'SOLVED' }, { title: '$/JOB', ...right }, { title: '$/SOLVED', ...right }, { title: 'TIME/JOB', ...right }, { title: 'HELP', ...right }, { title: 'PREC.', ...right }, { title: 'RECALL', ...right }, { title: 'GAP/$' }]
  const rows = summary.arms.map((arm) => [
    arm.arm, solvedText(arm.passRate), usd(arm.usdMicrosPerJob.value), arm.usdMicrosPerSolved === null ? '-' : usd(arm.usdMicrosPerSolved.value),
    duration(arm.secondsPerJob.value * 1000), arm.escalationsPerJob.toFixed(2), ...(alone.has(arm.arm) ? ['-', '-'] : [share(arm.precision), share(arm.recall)]), gapText(arm),
  ])
  const room = Math.min(width, 100)
  return [
    ink.bold(`${counted(summary.jobs, 'job')} of ${counted(summary.tasks, 'task')}`), '', ...table(head, rows, width, ink), '',
    ...wrap('SOLVED by the hidden check, with the interval that holds the truth in 95 of 100 evaluations like this one. $/SOLVED: a failed job is billed, and one run of the frontier arm after it. HELP: purchases a job. PREC.: of the jobs that were helped, those that fail without. RECALL: of those that fail without, the helped ones. GAP/$: share of the way from local to frontier that a dollar goes.', room).map((line) => ink.dim(line)),
    ...forkLines(summary, width, ink), '', ...summary.verdict.flatMap((sentence) => wrap(oneLine(sentence), room - 2).map((line, index) => `${index === 0 ? '- ' : '  '}${line}`)),
  ]
}

/** What each arm makes of the very same moments. */
function forkLines({ forks }: EvalSummary, width: number, ink: Ink): string[] {
  if (forks === undefined || forks.arms.length === 0) return []
  const right = { side: 'right' as const }
  const head = [{ title: 'FROM THE FORK' }, { title: 'MOMENTS', ...right }, { title: 'SOLVED' }, { title: 'AGAINST LOCAL' }, { title: 'USEFUL', ...right }, { title: '$/MOMENT', ...right }, { title: 'TIME', ...right }]
  const rows = forks.arms.map(({ arm, triggers, passRate, gain, useful, usdMicros, seconds }) => [
    arm, String(triggers), solvedText(passRate), gain === null ? '-' : `${signed(gain.value)} (${signed(gain.low)} to ${signed(gain.high)})`, share(useful), usd(usdMicros.value), duration(seconds.value * 1000),
  ])
  return ['', ...table(head, rows, width, ink), '', ...wrap('From the moments at which help would be asked for, the same for all these arms; money and time from there on. USEFUL: of those that the local model alone fails from, the solved ones.', Math.min(width, 100)).map((line) => ink.dim(line))]
}

function signed(part: number): string {
  return `${part < 0 ? '−' : '+'}${Math.abs(part * 100).toFixed(0)}`
}

/** '67 % (41-88)'. */
export function solvedText({ value, low, high }: Interval): string {
  const points = (part: number): string => (part * 100).toFixed(0)
  return `${points(value)} % (${points(low)}-${points(high)})`
}

function share(value: number | null): string {
  return value === null ? '-' : `${(value * 100).toFixed(0)} %`
}

function gapText({ gapPerUsd }: ArmSummary): string {
  return gapPerUsd === null ? '-' : gapPerUsd.toFixed(gapPerUsd >= 100 ? 0 : 1)
}
