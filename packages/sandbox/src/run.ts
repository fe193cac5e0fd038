// Owns the life of one sandboxed process tree: start, feed, watch, end, and the proof that it is gone. Decides no mounts and no limits kind.
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { createWriteStream, openSync, type WriteStream } from 'node:fs'
import type { Socket } from 'node:net'
import { constants } from 'node:os'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { fault, type Fault, type RunCause, type RunResult, type RunSpec } from '@hearth/protocol'
import { Capture } from './capture.ts'
import { launcherRefused } from './launch.ts'
import type { Group } from './limiter.ts'
import { closeQuietly, inheritedFds, type Pipes } from './pipes.ts'
import { isRunning, statOf, treeBelow } from './processes.ts'
import { whyNot } from './probe.ts'

const watchEveryMs = 100
/** Between SIGTERM to what runs inside and SIGKILL of everything. */
const graceMs = 1000

/** After 0, 1, 2 and the status pipe. */
export const firstExtraFd = 4

export type Start = {
  spec: RunSpec
  pipes: Pipes
  command: { file: string; args: string[] }
  /** Opens the files that the child gets from descriptor `firstExtraFd` on. */
  extra(): number[]
  group: Group
  log(line: string): void
}

/** Starts the command and resolves when it and all its descendants are gone. Never throws. */
export async function superviseRun(start: Start, signal: AbortSignal): Promise<RunResult> {
  const { spec, group, log } = start
  const began = performance.now()
  const [out, err, feed] = await Promise.all([start.pipes.take(), start.pipes.take(), spec.input === undefined ? null : start.pipes.feed()])
  let child: ChildProcess
  try {
    child = spawnWith(start, feed?.readFd ?? null, out.writeFd, err.writeFd)
  } catch (error) {
    out.reader.destroy()
    err.reader.destroy()
    feed?.writer.destroy()
    return { ok: false, fault: spawnFault(error) }
  }
  const output = new Output(spec, out.reader, err.reader)
  const stopFeeding = feed === null || spec.input === undefined ? () => {} : pump(spec.input, feed.writer)
  const tree = new Tree(child, group)
  let cause: RunCause | null = null
  let gentle: NodeJS.Timeout | undefined
  const end = (why: RunCause, kindly: boolean): void => {
    if (cause !== null) return
    cause = why
    if (!kindly) return tree.kill()
    tree.terminate()
    gentle = setTimeout(() => tree.kill(), graceMs)
  }
  output.onFull = () => end('output', false)
  output.onFileError = (problem) => log(`sandbox: the output could not be kept in ${spec.outputFile ?? ''}: ${problem}`)
  const onAbort = (): void => end('cancelled', true)
  const wall = setTimeout(() => end('timeout', true), spec.limits.wallMs)
  const watch = setInterval(() => {
    if (tree.init === null) return
    const excess = group.excess(tree.init.pid) ?? tooMany(tree.init.pid, spec.limits.pids)
    if (excess !== null) end(excess, false)
  }, watchEveryMs)
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, { once: true })

  const failedToSpawn = await new Promise<Error | null>((resolve) => {
    child.once('error', resolve)
    child.once('close', () => resolve(null))
    tree.follow()
  })
  clearTimeout(wall)
  clearTimeout(gentle)
  clearInterval(watch)
  signal.removeEventListener('abort', onAbort)
  const gone = failedToSpawn !== null || (await tree.gone())
  if (!gone) log(`sandbox: process ${tree.init?.pid ?? '?'} is still there after SIGKILL (state ${statOf(tree.init?.pid ?? 0)?.state ?? '?'})`)
  stopFeeding()
  await output.close(gone)
  for (const pipe of [out, err, feed]) if (gone) pipe?.giveBack()

  // bubblewrap may still have told of our own SIGKILL before it died of it.
  const ended = tree.killed && tree.exitCode === 137 ? null : tree.exitCode
  const stopped = cause as RunCause | null
  if (ended === null && stopped === null) {
    const excess = group.verdict(true)
    // An excess before the program had a chance (limits smaller than bubblewrap itself) is still an excess.
    if (excess === null && child.signalCode === null) return { ok: false, fault: notStarted(spec, failedToSpawn, child.exitCode, output.complaint) }
    cause = excess
  }
  if (cause === null) cause = group.verdict(ended !== 0) ?? 'exited'
  return {
    ok: true, cause, exitCode: ended, signal: ended === null ? 'SIGKILL' : signalOf(ended),
    stdout: output.stdout.done(), stderr: output.stderr.done(), durationMs: Math.round(performance.now() - began),
  }
}

/** Feeds a program's stdin until the pieces, the program or the returned function end it. A program that reads nothing holds up only its own input. */
function pump(input: AsyncIterable<Uint8Array>, writer: Socket): () => void {
  let over = false
  writer.on('error', () => { over = true })
  const feed = async (): Promise<void> => {
    for await (const piece of input) {
      if (over) return
      if (!writer.write(piece) && !writer.destroyed) await drained(writer)
    }
    writer.end()
  }
  feed().catch(() => writer.destroy())
  return () => {
    over = true
    writer.destroy()
  }
}

/** Resolves when there is room again, or never will be. */
function drained(writer: Socket): Promise<void> {
  return new Promise((resolve) => {
    const over = (): void => {
      writer.off('drain', over).off('close', over)
      resolve()
    }
    writer.on('drain', over).on('close', over)
  })
}

/** The backstop of every kind: the parent counts too, whatever the kernel was asked to enforce. The first process is bubblewrap's own. */
function tooMany(init: number, limit: number): 'pids' | null {
  return treeBelow(init, limit + 1).tasks > limit + 1 ? 'pids' : null
}

/** The child gets descriptors 0, 1, 2, the status pipe and the extra files (bubblewrap keeps those), and /dev/null in place of what leaked into this process. */
function spawnWith({ spec, command, pipes, extra }: Start, stdin: number | null, stdout: number, stderr: number): ChildProcess {
  const opened = [...(stdin === null ? [] : [stdin]), stdout, stderr]
  const keep = (fd: number): number => {
    opened.push(fd)
    return fd
  }
  try {
    const stdio: StdioOptions = [stdin ?? (spec.stdin === undefined ? 'ignore' : keep(pipes.input(spec.stdin))), stdout, stderr, 'pipe']
    for (const fd of extra()) stdio.push(keep(fd))
    const leaked = inheritedFds().filter((fd) => fd >= stdio.length)
    const empty = leaked.length === 0 ? 'ignore' : keep(openSync('/dev/null', 'r'))
    for (let fd = stdio.length; fd <= Math.max(0, ...leaked); fd++) stdio.push(leaked.includes(fd) ? empty : 'ignore')
    // /proc/1/environ inside shows this environment: it stays empty.
    return spawn(command.file, command.args, { env: {}, cwd: '/', stdio })
  } finally {
    for (const fd of opened) closeQuietly(fd)
  }
}

/** The signal in an exit code as a shell reports it (128 + number); null for an ordinary code. */
function signalOf(code: number): string | null {
  return Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0] ?? null
}

function spawnFault(error: unknown): Fault {
  if ((error as NodeJS.ErrnoException).code === 'E2BIG') return fault('bad_request', { where: 'argv', problem: 'the arguments are too long for this system' })
  return fault('sandbox_unavailable', whyNot(error instanceof Error ? error.message : String(error), process.getuid?.() ?? 0))
}

/** bubblewrap ended before it started the program. */
function notStarted(spec: RunSpec, error: Error | null, code: number | null, stderr: string): Fault {
  const said = stderr.trim().split('\n').at(-1) ?? ''
  if (error !== null) return spawnFault(error)
  if (code === launcherRefused) return fault('limits_unavailable', { why: `the launcher could not enter its control group (${said})` })
  if (said.includes("Can't chdir")) return fault('bad_cwd', { path: spec.cwd ?? '.', problem: 'it is not a folder inside the workspace' })
  if (said.includes("Can't find source path")) return fault('bad_cwd', { path: spec.workspace, problem: `its owner cannot reach it (${said})` })
  return fault('sandbox_unavailable', whyNot(stderr, process.getuid?.() ?? 0))
}

/** The processes of one run, seen from the host. Its first process is known from bubblewrap's status lines. */
class Tree {
  readonly #child: ChildProcess
  readonly #group: Group
  init: { pid: number; started: string } | null = null
  /** As the program or its signal gave it; null when it never came to an end of its own, or never started. */
  exitCode: number | null = null
  killed = false
  #pending: (() => void) | null = null

  constructor(child: ChildProcess, group: Group) {
    this.#child = child
    this.#group = group
  }

  follow(): void {
    let text = ''
    const status = this.#child.stdio[3] as Readable | null
    status?.on('error', () => {})
    status?.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      const pid = /"child-pid": (\d+)/.exec(text)?.[1]
      if (pid !== undefined && this.init === null) {
        this.init = { pid: Number(pid), started: statOf(Number(pid))?.started ?? '' }
        this.#group.started(this.init.pid)
        this.#pending?.()
      }
      const code = /"exit-code": (\d+)/.exec(text)?.[1]
      if (code !== undefined) this.exitCode = Number(code)
    })
  }

  /** Runs now, or as soon as the first process is known: a signal before that would miss what bubblewrap is just making. */
  #whenKnown(act: () => void): void {
    if (this.init !== null) return act()
    this.#pending = act
  }

  /** SIGTERM to everything inside but its first process, which is bubblewrap's own. */
  terminate(): void {
    this.#whenKnown(() => {
      const init = this.init
      if (init === null || !isRunning(init.pid, init.started)) return
      for (const pid of treeBelow(init.pid).pids) if (pid !== init.pid) send(pid, 'SIGTERM')
    })
  }

  /** SIGKILL to the first process: the kernel then kills the whole pid namespace, whatever it forks meanwhile. */
  kill(): void {
    this.killed = true
    this.#whenKnown(() => {
      const init = this.init
      if (init !== null && isRunning(init.pid, init.started)) send(init.pid, 'SIGKILL')
      this.#group.kill()
      this.#child.kill('SIGKILL')
    })
  }

  /** Waits until the first process is gone; the kernel ends it only after all others of its namespace. False after ten seconds. */
  async gone(): Promise<boolean> {
    const init = this.init
    if (init === null) return true
    for (let round = 0; round < 1000; round++) {
      if (!isRunning(init.pid, init.started)) return true
      send(init.pid, 'SIGKILL')
      await sleep(1 + round / 100)
    }
    return false
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // Gone meanwhile.
  }
}

/** Both output streams of one run: captured, counted, copied to the file, handed on. */
class Output {
  readonly #spec: RunSpec
  readonly #readers: readonly Socket[]
  readonly #ended: Promise<unknown>
  readonly stdout: Capture
  readonly stderr: Capture
  /** The first words on stderr, however little the caller wants to keep: bubblewrap's own when it could not start. */
  complaint = ''
  #total = 0
  #file: WriteStream | null = null
  onFull: () => void = () => {}
  onFileError: (problem: string) => void = () => {}

  constructor(spec: RunSpec, out: Socket, err: Socket) {
    this.#spec = spec
    this.#readers = [out, err]
    this.stdout = new Capture(spec.captureBytes)
    this.stderr = new Capture(spec.captureBytes)
    this.#ended = Promise.all(this.#readers.map((reader) => new Promise((resolve) => reader.once('close', resolve))))
    if (spec.outputFile !== undefined) this.#keepIn(spec.outputFile)
    this.#follow('stdout', out)
    this.#follow('stderr', err)
  }

  #keepIn(path: string): void {
    const file = createWriteStream(path, { mode: 0o600 })
    this.#file = file
    const goOn = (): void => this.#readers.forEach((reader) => reader.resume())
    file.on('drain', goOn)
    file.on('error', (error) => {
      this.#file = null
      this.onFileError(error.message)
      goOn()
    })
  }

  #follow(name: 'stdout' | 'stderr', reader: Socket): void {
    reader.on('error', () => {})
    reader.on('data', (chunk: Buffer) => {
      const room = this.#spec.limits.outputBytes - this.#total
      if (room <= 0) return this.onFull()
      const piece = chunk.subarray(0, room)
      this.#total += piece.length
      this[name].push(piece)
      if (name === 'stderr' && this.complaint.length < 4096) this.complaint += piece.toString('utf8')
      this.#spec.onOutput?.(name, piece)
      const kept = this.#spec.outputOf === undefined || this.#spec.outputOf === name
      if (kept && this.#file !== null && !this.#file.write(piece)) this.#readers.forEach((other) => other.pause())
      if (chunk.length > room) this.onFull()
    })
  }

  /** Waits for the last bytes; `all` is false when a process that cannot be killed still holds the pipes. */
  async close(all: boolean): Promise<void> {
    if (!all) this.#readers.forEach((reader) => reader.destroy())
    await this.#ended
    const file = this.#file
    if (file === null) return
    await new Promise<void>((resolve) => {
      file.once('error', () => resolve())
      file.end(() => resolve())
    })
  }
}
