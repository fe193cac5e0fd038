// Owns the worker as an operating-system process: spawned confined or not, spoken to over IPC on descriptor 3, killed, its last words kept.
// Decides nothing: what an exit means is supervision.ts's business.
import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { Confine, ConfineSpec, Fault } from '@hearth/protocol'
import { nativeCause } from './native-cause.ts'
import { isFromWorker, type FromWorker, type NativeCause, type ToWorker } from './wire.ts'

const keptStderrChars = 4096

/** How a process ended: in words, and the native cause its last words name. */
export type Exit = { how: string; native: NativeCause }

export interface WorkerProcess {
  /** Host pid of the program itself (not of bubblewrap around it); it may change while the sandbox is being set up. */
  readonly pid: number | null
  send(message: ToWorker): void
  kill(): void
}

export type Hearing = { message(message: FromWorker): void; exit(exit: Exit): void; log(line: string): void }
export type Launch = (hearing: Hearing) => WorkerProcess | { fault: Fault }

/**
 * Starts `spec.argv` inside `confine`, or as it is when there is none. The IPC variables are put into the child's environment again,
 * because the sandbox clears the one that spawn prepared.
 */
export function launcher(confine: Confine | null, spec: ConfineSpec): Launch {
  return (hearing) => {
    const env = { ...spec.env, NODE_CHANNEL_FD: '3', NODE_CHANNEL_SERIALIZATION_MODE: 'json' }
    const [file, ...args] = spec.argv
    const command = confine === null ? { file: file ?? '', args, env: { ...spec.env } } : confine.wrap({ ...spec, env })
    if ('fault' in command) return command
    const child = spawn(command.file, command.args, { env: command.env, stdio: ['ignore', 'ignore', 'pipe', 'ipc'], serialization: 'json' })
    return new Spawned(child, hearing)
  }
}

class Spawned implements WorkerProcess {
  readonly #child: ChildProcess
  #stderr = ''
  #gone = false

  constructor(child: ChildProcess, hearing: Hearing) {
    this.#child = child
    child.on('message', (message) => {
      if (isFromWorker(message)) hearing.message(message)
    })
    let line = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-keptStderrChars)
      const lines = (line + text).split('\n')
      line = lines.pop() ?? ''
      for (const whole of lines) if (whole !== '') hearing.log(whole)
    })
    const exit = (how: string): void => {
      if (this.#gone) return
      this.#gone = true
      hearing.exit({ how, native: nativeCause(this.#stderr) })
    }
    child.on('error', (error) => {
      // `error` also reports a failed send to a dying child; only a failed start ends it.
      if (child.pid === undefined) exit(error.message)
    })
    // `close` and not `exit`: the last words on stderr have then been read.
    child.on('close', (code, signal) => exit(howItEnded(code, signal)))
  }

  get pid(): number | null {
    return this.#gone || this.#child.pid === undefined ? null : innermost(this.#child.pid)
  }

  send(message: ToWorker): void {
    if (this.#gone || !this.#child.connected) return
    this.#child.send(message, () => undefined)
  }

  kill(): void {
    if (this.#gone || this.#child.pid === undefined) return
    // The program first: bubblewrap's own death is only passed on by the kernel once its child has set that up.
    const inner = innermost(this.#child.pid)
    if (inner !== this.#child.pid) signalKill(inner)
    this.#child.kill('SIGKILL')
  }
}

export function signalKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended between the look and the kill.
  }
}

/** bubblewrap passes a signal of its child on as exit status 128 + n. */
export function howItEnded(code: number | null, signal: NodeJS.Signals | null): string {
  const passedOn: Record<number, string> = { 132: 'SIGILL', 134: 'SIGABRT', 135: 'SIGBUS', 136: 'SIGFPE', 137: 'SIGKILL', 139: 'SIGSEGV', 143: 'SIGTERM' }
  const name = signal ?? passedOn[code ?? -1]
  return name === undefined ? `exit status ${code}` : `signal ${name}`
}

/** The end of the chain of first children: bwrap, its init, the program. Its own helpers are not followed, because it has no first child when it is ready. */
export function innermost(pid: number): number {
  for (let current = pid, depth = 0; ; depth++) {
    const child = depth < 3 ? firstChild(current) : null
    if (child === null) return current
    current = child
  }
}

function firstChild(pid: number): number | null {
  try {
    if (readFileSync(`/proc/${pid}/comm`, 'utf8').trim() !== 'bwrap') return null
    const first = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')[0] ?? ''
    return first === '' ? null : Number(first)
  } catch {
    return null
  }
}
