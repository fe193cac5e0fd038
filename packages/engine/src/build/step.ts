// Owns one program of a build as a process: at low priority, confined when it can be, its output as lines, killed with all that it started.
// Knows no build.
import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { setPriority } from 'node:os'
import type { Confine, Fault } from '@hearth/protocol'
import { howItEnded, innermost, signalKill } from '../local/process.ts'

const keptLines = 400
const lineChars = 2000
/** The lowest: a build gives way to everything else. */
const niceness = 19

export type StepSpec = {
  argv: readonly string[]
  readOnly: readonly string[]
  readWrite: readonly string[]
  env: Readonly<Record<string, string>>
}

export type StepEnd = { ok: true; lines: readonly string[] } | { ok: false; how: string; lines: readonly string[] } | { fault: Fault } | 'aborted'

/** Runs it to its end. Aborting kills it and its descendants; `aborted` then comes when they are gone. */
export async function runStep(spec: StepSpec, confine: Confine | null, signal: AbortSignal, onLine: (line: string) => void = () => undefined): Promise<StepEnd> {
  if (signal.aborted) return 'aborted'
  const argv = hasNice() ? [nicePath, '-n', String(niceness), ...spec.argv] : [...spec.argv]
  const command = confine === null ? { file: argv[0] ?? '', args: argv.slice(1), env: { ...spec.env } } : confine.wrap({ ...spec, argv, gpu: false })
  if ('fault' in command) return command
  // A group of its own, so that one signal reaches the compilers too; stdout is a pipe, so that ninja ends at its next line when we are gone.
  const child = spawn(command.file, command.args, { env: command.env, stdio: ['ignore', 'pipe', 'pipe'], detached: true, cwd: '/' })
  const lines: string[] = []
  const hear = (line: string): void => {
    lines.push(line.slice(0, lineChars))
    if (lines.length > keptLines) lines.splice(0, lines.length - keptLines)
    onLine(line)
  }
  for (const stream of [child.stdout, child.stderr]) {
    let rest = ''
    stream.setEncoding('utf8').on('data', (text: string) => {
      const whole = (rest + text).split(/\r?\n|\r/)
      rest = (whole.pop() ?? '').slice(0, lineChars)
      for (const line of whole) hear(line)
    }).on('end', () => {
      if (rest !== '') hear(rest)
    })
  }
  const { pid } = child
  if (pid !== undefined && !hasNice()) {
    try {
      setPriority(pid, niceness)
    } catch {
      // It has ended already.
    }
  }
  const kill = (): void => {
    if (pid === undefined) return
    const inner = innermost(pid)
    if (inner !== pid) signalKill(inner)
    signalKill(-pid)
  }
  signal.addEventListener('abort', kill, { once: true })
  try {
    return await new Promise<StepEnd>((resolve) => {
      child.once('error', (error) => resolve({ ok: false, how: `cannot be run (${error.message})`, lines }))
      child.once('close', (code, killed) => resolve(signal.aborted ? 'aborted' : code === 0 ? { ok: true, lines } : { ok: false, how: `ended with ${howItEnded(code, killed)}`, lines }))
    })
  } finally {
    signal.removeEventListener('abort', kill)
  }
}

const nicePath = '/usr/bin/nice'

function hasNice(): boolean {
  try {
    accessSync(nicePath, constants.X_OK)
    return true
  } catch {
    return false
  }
}
