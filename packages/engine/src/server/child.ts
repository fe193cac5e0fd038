// Owns a llama-server as an operating-system process: looked at once, started confined on a Unix socket, its last words kept, killed whole.
// Decides nothing about it; knows no request.
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, readdirSync, realpathSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Confine, ConfineSpec, Fault } from '@hearth/protocol'
import { nativeCause } from '../local/native-cause.ts'
import { howItEnded, innermost, signalKill, type Exit } from '../local/process.ts'
import { readProbe, type ServerProbe } from './flags.ts'

const probeMs = 30_000
const probeChars = 1 << 20
const keptStderrChars = 4096
const logLineChars = 500

export type Confined = { confine: Confine | null; readOnly: readonly string[]; gpu: boolean; env: Readonly<Record<string, string>> }

/** The program, its libraries (beside it, or where its link leads) and what else it may see. */
export function specOf(program: string, argv: readonly string[], confined: Confined, readWrite: readonly string[]): ConfineSpec {
  const real = realpathSync(program)
  return {
    argv: [real, ...argv], readOnly: [...new Set([dirname(program), dirname(real), ...confined.readOnly])], readWrite: [...readWrite], gpu: confined.gpu,
    env: { HOME: '/tmp', PATH: '/usr/bin:/bin', LD_LIBRARY_PATH: dirname(real), ...confined.env },
  }
}

function commandOf(spec: ConfineSpec, confine: Confine | null): { file: string; args: string[]; env: Record<string, string> } | { fault: Fault } {
  const [file, ...args] = spec.argv
  return confine === null ? { file: file ?? '', args, env: { ...spec.env } } : confine.wrap(spec)
}

/** What a program can do, asked once per file: the answers of --help, --version and --list-devices, and what lies beside it. */
export class Probes {
  readonly #known = new Map<string, Promise<ServerProbe | { problem: string } | { fault: Fault }>>()

  of(program: string, confined: Confined): Promise<ServerProbe | { problem: string } | { fault: Fault }> {
    let key: string
    try {
      const { mtimeMs, size, ino } = statSync(program)
      key = `${program} ${ino} ${size} ${mtimeMs}`
    } catch {
      return Promise.resolve({ problem: `there is no file ${program}` })
    }
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const asked = probe(program, confined).catch((error: unknown) => ({ problem: `${program} could not be looked at (${error instanceof Error ? error.message : String(error)})` }))
    this.#known.set(key, asked)
    // What failed may go well the next time.
    void asked.then((answer) => {
      if (!('flags' in answer)) this.#known.delete(key)
    })
    return asked
  }
}

async function probe(program: string, confined: Confined): Promise<ServerProbe | { problem: string } | { fault: Fault }> {
  const said: string[] = []
  for (const flag of ['--help', '--version', '--list-devices']) {
    const command = commandOf(specOf(program, [flag], confined, []), confined.confine)
    if ('fault' in command) return command
    const answer = await said1(command)
    if (flag === '--help' && (answer.problem !== null || !answer.text.includes('--model'))) {
      return { problem: `${program} is no llama-server: its --help ${answer.problem ?? 'names no --model'}` }
    }
    said.push(answer.text)
  }
  return readProbe(said[0] ?? '', said[1] ?? '', said[2] ?? '', readdirSync(dirname(realpathSync(program))))
}

function said1(command: { file: string; args: string[]; env: Record<string, string> }): Promise<{ text: string; problem: string | null }> {
  return new Promise((resolve) => {
    const child = spawn(command.file, command.args, { env: command.env, stdio: ['ignore', 'pipe', 'pipe'] })
    let text = ''
    let late = false
    const timer = setTimeout(() => {
      late = true
      end(child)
    }, probeMs)
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (piece: string) => {
        if (text.length < probeChars) text += piece
      })
    }
    child.once('error', (error) => {
      clearTimeout(timer)
      resolve({ text, problem: `cannot be run (${error.message})` })
    })
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      resolve({ text, problem: late ? `did not end in ${probeMs / 1000} s` : code === 0 ? null : `ended with ${howItEnded(code, signal)}` })
    })
  })
}

/** A running llama-server and the private folder with its socket; both are gone when `exit` was called. */
export class ServerProcess {
  readonly socket: string
  readonly #folder: string
  #child: ChildProcess | null = null
  #stderr = ''
  #gone = false

  constructor() {
    // 0700, and short: the address of a socket holds 107 bytes.
    this.#folder = mkdtempSync(join(tmpdir(), 'hearth-ls-'))
    this.socket = join(this.#folder, 'llama.sock')
  }

  get pid(): number | null {
    return this.#gone || this.#child?.pid === undefined ? null : innermost(this.#child.pid)
  }

  /** Starts it; a fault, or an error that is thrown, means that nothing was started and nothing is left. */
  start(program: string, argv: readonly string[], confined: Confined, heard: { exit(exit: Exit): void; log(line: string): void }): { fault: Fault } | null {
    let command: ReturnType<typeof commandOf>
    try {
      command = commandOf(specOf(program, argv, confined, [this.#folder]), confined.confine)
    } catch (error) {
      this.#close()
      throw error
    }
    if ('fault' in command) {
      this.#close()
      return command
    }
    const child = spawn(command.file, command.args, { env: command.env, stdio: ['ignore', 'ignore', 'pipe'] })
    this.#child = child
    let line = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-keptStderrChars)
      const lines = (line + text).split('\n')
      line = (lines.pop() ?? '').slice(0, logLineChars)
      // Its own log is long; what it calls a warning or an error is ours too.
      for (const whole of lines) if (/\b[WE]\b|error|warn|fail|lost|out of memory/i.test(whole)) heard.log(whole.slice(0, logLineChars))
    })
    const exit = (how: string): void => {
      if (this.#gone) return
      this.#close()
      heard.exit({ how, native: nativeCause(this.#stderr) })
    }
    child.on('error', (error) => {
      if (child.pid === undefined) exit(error.message)
    })
    // `close` and not `exit`: the last words on stderr have then been read.
    child.on('close', (code, signal) => exit(howItEnded(code, signal)))
    return null
  }

  /** Asks it to end. bubblewrap does not pass a signal on, so it goes to the program itself. */
  terminate(): void {
    const pid = this.pid
    if (pid === null) return
    try {
      process.kill(pid, 'SIGTERM')
    } catch {
      // It ended between the look and the signal.
    }
  }

  kill(): void {
    if (this.#child !== null && !this.#gone) end(this.#child)
  }

  /** Removes the folder, once there is no process. */
  #close(): void {
    this.#gone = true
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

function end(child: ChildProcess): void {
  if (child.pid === undefined) return
  const inner = innermost(child.pid)
  if (inner !== child.pid) signalKill(inner)
  child.kill('SIGKILL')
}
