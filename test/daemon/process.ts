// Starts a daemon program as a real process with its own folders, and speaks with it over its real socket.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, afterEach } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Client } from '@hearth/protocol/client'
import type { Job, JobEvent, JobRequestInput, SubmitReply } from '@hearth/protocol'

export const stub = fileURLToPath(new URL('../fixtures/stub-daemon.ts', import.meta.url))
export const real = fileURLToPath(new URL('../../packages/daemon/src/main.ts', import.meta.url))

// Shared by the daemons of one test program: each start after the first strips and compiles nothing.
const compiled = mkdtempSync(join(tmpdir(), 'hearth-compiled-'))
process.once('exit', () => rmSync(compiled, { recursive: true, force: true }))
const environment = (place: Place, more: Readonly<Record<string, string>>): Record<string, string> =>
  ({ PATH: process.env['PATH'] ?? '', HOME: place.root, HEARTH_HOME: place.home, NODE_COMPILE_CACHE: compiled, ...more })

/** A folder of the test's own, gone after it: HEARTH_HOME in it, and a workspace beside. */
export type Place = { root: string; home: string; work(name?: string): string; clear(): void }

export function makePlace(): Place {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'hearth-daemon-')))
  const home = join(root, 'home')
  mkdirSync(home)
  return {
    root, home,
    work(name = 'work') {
      const path = join(root, name)
      mkdirSync(path, { recursive: true })
      return path
    },
    clear: () => rmSync(root, { recursive: true, force: true }),
  }
}

export class DaemonProcess {
  readonly child: ChildProcess
  readonly client: Client
  readonly exited: Promise<number | null>
  stderr = ''

  private constructor(child: ChildProcess, socket: string) {
    this.child = child
    this.client = new Client(socket)
    this.exited = once(child, 'exit').then(([code]) => code as number | null)
    child.stderr?.setEncoding('utf8').on('data', (text: string) => { this.stderr += text })
  }

  /** Resolves when the program said that it is ready; rejects with its last words when it ends before that. */
  static async start(place: Place, program = stub, words: readonly string[] = ['serve'], env: Readonly<Record<string, string>> = {}, prefix: readonly string[] = []): Promise<DaemonProcess> {
    const command = [...prefix, process.execPath, '--disable-warning=ExperimentalWarning', program, ...words]
    const child = spawn(command[0] ?? '', command.slice(1), {
      env: environment(place, env), stdio: ['ignore', 'pipe', 'pipe'],
    })
    const daemon = new DaemonProcess(child, join(place.home, 'hearth.sock'))
    const ready = new Promise<void>((resolve) => {
      if (child.stdout !== null) createInterface(child.stdout).once('line', () => resolve())
    })
    await Promise.race([ready, daemon.exited.then((code) => { throw new Error(`the daemon ended with ${code}: ${daemon.stderr}`) })])
    return daemon
  }

  submit(request: JobRequestInput): Promise<SubmitReply> {
    return this.client.call<SubmitReply>('POST', '/api/jobs', request)
  }

  job(id: string): Promise<Job> {
    return this.client.call<Job>('GET', `/api/jobs/${id}`)
  }

  events(id: string, after = 0, follow = true): AsyncGenerator<JobEvent> {
    return this.client.stream<JobEvent>('GET', `/api/jobs/${id}/events?after=${after}&follow=${follow ? 1 : 0}`)
  }

  /** All events until `ended`. */
  async all(id: string, after = 0): Promise<JobEvent[]> {
    return Array.fromAsync(this.events(id, after))
  }

  /** Resolves with the first event of the type after a number. */
  async until(id: string, type: JobEvent['type'], after = 0): Promise<JobEvent> {
    for await (const event of this.events(id, after)) if (event.type === type) return event
    throw new Error(`job ${id} ended without '${type}'`)
  }

  async kill(signal: NodeJS.Signals): Promise<number | null> {
    this.child.kill(signal)
    return this.exited
  }
}

/** Runs a program that is expected to end by itself. */
export async function runToEnd(place: Place, program: string, words: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, ...words], {
    env: environment(place, env), stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => { stdout += text })
  child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text })
  const [code] = await once(child, 'close') as [number | null]
  return { code, stdout, stderr }
}

export const script = (words: Readonly<Record<string, unknown>>): string => JSON.stringify(words)

export function numbers(events: readonly JobEvent[]): number[] {
  return events.map((event) => event.seq)
}

export function upTo(last: number, first = 1): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index)
}

/** Places and daemons that are cleared away by themselves: a daemon after each test, the places after the file. */
export function daemonsOfThisFile(): { place: () => Place; start: typeof DaemonProcess.start } {
  const places: Place[] = []
  const daemons: DaemonProcess[] = []
  afterEach(async () => {
    for (const daemon of daemons.splice(0)) await daemon.kill('SIGKILL')
  })
  after(() => places.forEach((one) => one.clear()))
  return {
    place: () => {
      const made = makePlace()
      places.push(made)
      return made
    },
    start: async (...args) => {
      const daemon = await DaemonProcess.start(...args)
      daemons.push(daemon)
      return daemon
    },
  }
}
