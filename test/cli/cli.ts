// Runs the real hearth command as a process in a home of its own, and gives back what it said.
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { TestContext } from 'node:test'
import { resolvePaths } from '@hearth/protocol/paths'
import { FakeDaemon, type Script } from '../fixtures/fake-daemon.ts'

export const root = fileURLToPath(new URL('../..', import.meta.url))
export const launcher = join(root, 'packages/cli/bin/hearth')

export type Ran = { code: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string }
export type Running = { child: ChildProcess; done: Promise<Ran>; said: (stream: 'stdout' | 'stderr', text: string) => Promise<void> }

export type Home = {
  dir: string
  env: Record<string, string>
  socket: string
  launch(words: readonly string[], options?: { input?: string | null; env?: Record<string, string>; cwd?: string; program?: string }): Running
  hearth(...words: string[]): Promise<Ran>
}

/** A private HEARTH_HOME that is removed after the test, with every process that was launched in it; `daemon`: stop the real daemon first. */
export function makeHome(t: TestContext, daemon = false): Home {
  const dir = mkdtempSync(join(tmpdir(), 'hearth-cli-'))
  const children = new Set<ChildProcess>()
  t.after(async () => {
    for (const child of children) child.kill('SIGKILL')
    if (daemon) await launch(['down']).done
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
  })
  // The compiled code is shared between homes: it is no state.
  const env = { PATH: process.env['PATH'] ?? '', HOME: dir, HEARTH_HOME: dir, LANG: 'C.UTF-8', TERM: 'xterm', NODE_COMPILE_CACHE: join(tmpdir(), 'hearth-cli-compile') }
  const launch: Home['launch'] = (words, options = {}) => {
    const child = spawn(options.program ?? launcher, words, {
      cwd: options.cwd ?? dir, env: { ...env, ...options.env }, stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    })
    children.add(child)
    const text = { stdout: '', stderr: '' }
    const waiters = new Set<() => void>()
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream]?.setEncoding('utf8').on('data', (piece: string) => {
        text[stream] += piece
        for (const check of waiters) check()
      })
    }
    if (typeof options.input === 'string') child.stdin?.end(options.input)
    const done = new Promise<Ran>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, signal) => {
        children.delete(child)
        resolve({ code, signal, ...text })
        for (const check of waiters) check()
      })
    })
    const said: Running['said'] = (stream, wanted) => new Promise((resolve, reject) => {
      const check = (): void => {
        if (text[stream].includes(wanted)) waiters.delete(check), resolve()
        else if (child.exitCode !== null) reject(new Error(`hearth ended without saying '${wanted}': ${text.stdout}${text.stderr}`))
      }
      waiters.add(check)
      check()
    })
    return { child, done, said }
  }
  return { dir, env, socket: resolvePaths({ HEARTH_HOME: dir }, process.getuid?.() ?? 0).socket, launch, hearth: (...words) => launch(words).done }
}

/** A home with a fake daemon that listens there. */
export async function withDaemon(t: TestContext, script: Script): Promise<{ home: Home; daemon: FakeDaemon }> {
  const home = makeHome(t)
  const daemon = new FakeDaemon(home.socket, script)
  await daemon.listen()
  t.after(() => daemon.close())
  return { home, daemon }
}

/** NDJSON -> values; fails on a line that is no JSON. */
export function ndjson(text: string): unknown[] {
  if (text !== '' && !text.endsWith('\n')) throw new Error(`the last line has no end: ${text.slice(-80)}`)
  return text.split('\n').slice(0, -1).map((line) => JSON.parse(line) as unknown)
}
