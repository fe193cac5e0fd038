// Owns finding and starting the daemon. Talks to it over its socket only; decides nothing about jobs.
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, fstatSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Client } from '@hearth/protocol/client'
import { fault, FaultError, type Fault } from '@hearth/protocol/fault'
import { version, wireVersion } from '@hearth/protocol/version'
import type { StatusReply } from '@hearth/protocol'
import { ask } from './ask.ts'
import type { Context } from './context.ts'

/** Beside this package in every checkout and release: packages/daemon/src/main.ts. */
export const daemonMain = fileURLToPath(new URL('../../daemon/src/main.ts', import.meta.url))
/** Downloads trust what the machine trusts: a company's own certificate authority is in the system's store, not in Node's. */
// The V8 flags keep a daemon that answered 10,000 requests at 180 MiB; without them it went to 340 before a full collection.
export const nodeFlags = ['--disable-warning=ExperimentalWarning', '--use-system-ca', '--heap-growing-percent=20', '--min-semi-space-size=8', '--max-semi-space-size=8']
// glibc gives each thread a heap of its own and keeps what the compiler's threads once needed in all of them: 5 to 20 MiB, measured. The owner may set his own.
export const nodeEnv = { MALLOC_ARENA_MAX: '2' }

/** Seconds without work after which a daemon ends that was started for one question, or for one job. */
export const idleExit = { question: 60, job: 600 } as const

const startMs = 30_000
/** How long the daemon of somebody else is waited for, when it owns the folder and does not answer yet. */
const otherStartMs = 10_000
const pollMs = 25

/** The daemon's status, or null when none runs. Throws FaultError when it speaks another wire. */
export async function reach(ctx: Context): Promise<StatusReply | null> {
  let status: StatusReply
  try {
    status = await ask<StatusReply>(new Client(ctx.paths.socket), '/api/status')
  } catch (error) {
    if (error instanceof FaultError && error.fault.code === 'daemon_unreachable') return null
    throw error
  }
  if (status.wire !== wireVersion) {
    throw new FaultError(fault('version_mismatch', { daemon: `${status.version} (wire ${status.wire})`, client: `${version} (wire ${wireVersion})` }))
  }
  return status
}

/** A client of the daemon; when none runs one is started that ends after so many seconds without work. `started` is its pid then. */
export async function serve(ctx: Context, idleExitSeconds: number = idleExit.question): Promise<{ client: Client; started: number | null }> {
  const running = await reach(ctx)
  const status = running ?? await start(ctx, ['--exit-when-idle', String(idleExitSeconds)])
  return { client: new Client(ctx.paths.socket), started: running === null ? status.pid : null }
}

/** The daemon's own log of starts and last words. */
export function daemonLog(ctx: Context): string {
  return join(ctx.paths.state, 'daemon.log')
}

/** Starts a daemon in a session of its own and waits until it answers. Throws its own fault when it ends before that. */
export async function start(ctx: Context, words: readonly string[]): Promise<StatusReply> {
  const log = daemonLog(ctx)
  const file = openLog(ctx.paths.state, log)
  let child: ChildProcess
  const from = fstatSync(file).size
  try {
    child = spawn(process.execPath, [...nodeFlags, daemonMain, 'serve', ...words], {
      detached: true, stdio: ['ignore', file, file], cwd: '/', env: { ...nodeEnv, ...ctx.env },
    })
  } finally {
    closeSync(file)
  }
  let ended: string | null = null
  child.once('error', (error) => { ended = error.message })
  child.once('exit', (code, signal) => { ended = signal ?? `exit ${code ?? '?'}` })
  child.unref()
  const begun = Date.now()
  for (; Date.now() - begun < startMs; await sleep(pollMs)) {
    const status = await reach(ctx)
    if (status !== null) return status
    if (ended === null) continue
    // A daemon that somebody else started at the same time owns the folder and is about to answer; it serves as well.
    const words = lastWords(log, from, ended)
    if (words.code !== 'daemon_running' || Date.now() - begun > otherStartMs) throw new FaultError(words)
  }
  throw new FaultError(fault('daemon_start', { how: `it did not answer within ${startMs / 1000} s`, log }))
}

function openLog(state: string, log: string): number {
  try {
    mkdirSync(state, { recursive: true, mode: 0o700 })
    return openSync(log, 'a', 0o600)
  } catch (error) {
    throw new FaultError(fault('cannot_create', { path: log, problem: error instanceof Error ? error.message : String(error) }))
  }
}

/** The fault a daemon wrote before it ended: a line `{"error": fault}`, else its last line as it stands. */
function lastWords(log: string, from: number, ended: string): Fault {
  const lines = readFileSync(log).subarray(from).toString('utf8').trim().split('\n')
  for (const line of lines.toReversed()) {
    if (!line.startsWith('{"error"')) continue
    try {
      const { error } = JSON.parse(line) as { error?: Partial<Fault> }
      if (typeof error?.code === 'string' && typeof error.message === 'string') return { origin: 'daemon', remedy: '', ...error } as Fault
    } catch {
      continue
    }
  }
  const last = lines.at(-1) ?? ''
  return fault('daemon_start', { how: last === '' ? ended : `${ended}: ${last}`, log })
}
