// A whole Hearth in a folder of its own: the real launcher, the real daemon, the real sandbox, a script or the starter as model.
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Job, JobEvent, StatusReply } from '@hearth/protocol'
import type { ScriptInput } from '@hearth/engine'

export const root = fileURLToPath(new URL('../..', import.meta.url))
const launcher = join(root, 'node_modules/.bin/hearth')

export const starterFile = process.env['HEARTH_TEST_MODEL'] ?? join(process.env['HEARTH_TEST_CACHE'] ?? join(homedir(), '.cache/hearth-test'), 'SmolLM2-135M-Instruct.Q4_1.gguf')

export type Ran = { code: number | null; stdout: string; stderr: string }

export class Box {
  readonly home: string
  readonly env: Record<string, string>

  constructor(config: unknown = { sandbox: { limits: 'weak' } }) {
    this.home = mkdtempSync(join(tmpdir(), 'hearth-journey-'))
    // The person's own folder, which no tool may read.
    const person = join(this.home, 'person')
    mkdirSync(person)
    writeFileSync(join(person, 'secret.txt'), 'the secret of the house')
    this.env = { PATH: process.env['PATH'] ?? '', HOME: person, HEARTH_HOME: join(this.home, 'hearth'), LANG: 'C.UTF-8', NODE_COMPILE_CACHE: join(tmpdir(), 'hearth-journey-compile') }
    mkdirSync(this.env['HEARTH_HOME'] ?? '', { mode: 0o700 })
    this.configure(config)
  }

  configure(config: unknown): void {
    writeFileSync(join(this.env['HEARTH_HOME'] ?? '', 'config.json'), JSON.stringify(config))
  }

  /** A fresh folder for a job. */
  folder(files: Record<string, string> = {}): string {
    const folder = mkdtempSync(join(this.home, 'work-'))
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
    return folder
  }

  /** A scripted model's id for --model. */
  script(script: Omit<ScriptInput, 'version'>): string {
    const file = join(this.home, `script-${Math.random().toString(36).slice(2)}.json`)
    writeFileSync(file, JSON.stringify({ version: 1, ...script }))
    return `scripted:${file}`
  }

  /** Takes the starter model's file into the models, as a person without a network would. The daemon must be up. */
  async installStarter(): Promise<void> {
    if (!existsSync(starterFile)) throw new Error(`the starter model is missing at ${starterFile}: run scripts/setup --test`)
    const { code, stderr } = await this.hearth(['models', 'import', starterFile])
    if (code !== 0) throw new Error(`hearth models import ended with ${code}: ${stderr}`)
  }

  hearth(words: readonly string[], options: { cwd?: string; input?: string; signal?: AbortSignal } = {}): Promise<Ran> {
    return new Promise((resolve, reject) => {
      const child = spawn(launcher, words, { cwd: options.cwd ?? this.home, env: this.env, stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'], ...(options.signal === undefined ? {} : { signal: options.signal }) })
      const text = { stdout: '', stderr: '' }
      for (const stream of ['stdout', 'stderr'] as const) child[stream]?.setEncoding('utf8').on('data', (piece: string) => { text[stream] += piece })
      child.stdin?.end(options.input)
      child.once('error', reject)
      child.once('close', (code) => resolve({ code, ...text }))
    })
  }

  /** A job from start to end; its events parsed from NDJSON. */
  async job(words: readonly string[], options: { cwd?: string; input?: string } = {}): Promise<Ran & { events: JobEvent[]; job: JobEvent | undefined }> {
    const ran = await this.hearth(['run', '--json', ...words], options)
    const events = ran.stdout.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as JobEvent)
    return { ...ran, events, job: events.find((event) => event.type === 'ended') }
  }

  async json<T>(...words: string[]): Promise<T> {
    const { stdout, stderr, code } = await this.hearth([...words, '--json'])
    if (stdout === '') throw new Error(`hearth ${words.join(' ')} said nothing (exit ${code}): ${stderr}`)
    return JSON.parse(stdout) as T
  }

  async up(): Promise<number> {
    const { code, stderr } = await this.hearth(['up'])
    if (code !== 0) throw new Error(`hearth up ended with ${code}: ${stderr}`)
    return (await this.status()).pid
  }

  status(): Promise<StatusReply> {
    return this.json<StatusReply>('status')
  }

  async jobs(): Promise<Job[]> {
    return (await this.json<{ jobs: Job[] }>('ps', '--all')).jobs
  }

  async events(id: string): Promise<JobEvent[]> {
    const { stdout } = await this.hearth(['logs', id, '--json'])
    return stdout.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as JobEvent)
  }

  /** Waits until `found` says something; the daemon's own word is asked again and again. */
  async until<T>(what: string, found: () => Promise<T | null | undefined | false>, seconds = 60): Promise<T> {
    for (const end = Date.now() + seconds * 1000; Date.now() < end;) {
      const value = await found()
      if (value !== null && value !== undefined && value !== false) return value
      await pause(50)
    }
    throw new Error(`${what}: not within ${seconds} s`)
  }

  async close(): Promise<void> {
    await this.hearth(['down'])
    rmSync(this.home, { recursive: true, force: true, maxRetries: 5 })
  }
}

export type Process = { pid: number; parent: number; command: string }

/** All processes, with what they were started as. */
export function processes(): Process[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
      const rest = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      if (rest[0] === 'Z') return []
      return [{ pid: Number(name), parent: Number(rest[1]), command: readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim() }]
    } catch {
      return []
    }
  })
}

/** The process and all that descend from it. */
export function family(pid: number): Process[] {
  const all = processes()
  const found = all.filter((one) => one.pid === pid)
  for (const one of found) found.push(...all.filter((other) => other.parent === one.pid))
  return found
}

/** PRAGMA integrity_check by the sqlite of this Node, on a database that nobody holds. */
export function integrity(box: Box): string {
  const file = join(box.env['HEARTH_HOME'] ?? '', 'state/hearth.db')
  const program = `const {DatabaseSync}=require('node:sqlite');console.log(new DatabaseSync(process.argv[1]).prepare('PRAGMA integrity_check').get().integrity_check)`
  return execFileSync(join(root, 'node_modules/.bin/node'), ['--disable-warning=ExperimentalWarning', '-e', program, file], { encoding: 'utf8' }).trim()
}

/** Numbered from 1 without a gap or a double. */
export function gapless(events: readonly JobEvent[]): boolean {
  return events.every((event, index) => event.seq === index + 1)
}
