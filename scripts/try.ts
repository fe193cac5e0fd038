// Runs one job for a person who has just cloned the repository: daemon, model, job, receipt, and everything cleaned up. Uses only the CLI.
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { resolvePaths } from '@hearth/protocol/paths'
import type { ModelList, StatusReply } from '@hearth/protocol'
import { demoJob } from './demo.ts'
import { wordsOf, wrongWords } from './words.ts'

const root = join(import.meta.dirname, '..')
const hearth = join(root, 'node_modules/.bin/hearth')
const starter = 'smollm2-135m'
/** Outcomes that another seed may change: the check failed, a guard or the limit of steps stopped it, the budget is used up. */
const worthAnother = new Set([10, 11, 12])

const options = parsed()
const home = mkdtempSync(join(tmpdir(), 'hearth-try-'))
// The models are the user's own, so that they are fetched once and stay.
const models = resolvePaths(process.env, process.getuid?.() ?? 0).models
const env = { ...process.env, HEARTH_HOME: home, HEARTH_MODELS: models }
const model = process.env['HEARTH_MODEL'] ?? starter
let interrupted = false
let daemonPid: number | null = null

/** The command in the foreground. */
let running: ChildProcess | null = null
// From a terminal the command gets Ctrl-C by itself and cancels its job; a signal to this process alone is handed on.
for (const [signal, afterMs] of [['SIGINT', 5000], ['SIGTERM', 0], ['SIGHUP', 0]] as const) {
  process.on(signal, () => {
    interrupted = true
    setTimeout(() => running?.kill('SIGTERM'), afterMs).unref()
  })
}

let code = 1
try {
  code = await main()
} catch (error) {
  say(error instanceof Error ? error.message : String(error))
} finally {
  await cleanUp()
}
process.exitCode = interrupted ? 130 : code

async function main(): Promise<number> {
  say(`starting a daemon of its own in ${home}`)
  const up = await startDaemon()
  if (up !== 0) return up
  const status = JSON.parse((await asked(['status', '--json'])).out) as StatusReply
  if (status.sandbox.limits === 'none') {
    // An ordinary account without a control group of its own: said, and only for this private daemon; a daemon of the owner's would refuse.
    say('this account has no control group, so the tools of this run have the weaker limits (rlimits and a watching daemon); see docs/sandbox.md')
    writeFileSync(join(home, 'config.json'), JSON.stringify({ sandbox: { limits: 'weak' } }))
    await asked(['down', '--json'])
    const again = await startDaemon()
    if (again !== 0) return again
  }
  const fetched = model.startsWith('scripted:') ? 0 : await fetchIfMissing()
  if (fetched !== 0 || interrupted) return fetched
  return options.prompt === null ? await builtIn() : await own(options.prompt)
}

/** Pulls the model unless it is on this disk, with the CLI's own progress; 0 when it is there. */
async function fetchIfMissing(): Promise<number> {
  const list = await asked(['models', 'ls', '--json'])
  if (list.code !== 0) return list.code
  const row = (JSON.parse(list.out) as ModelList).models.find((one) => one.id === model)
  return row?.installed === true ? 0 : await shown(['models', 'pull', model])
}

/** Starts the daemon of this run; the exit code of `hearth up`. */
async function startDaemon(): Promise<number> {
  const up = await asked(['up', '--json'])
  if (up.code === 0) daemonPid = (JSON.parse(up.out) as { pid: number }).pid
  return up.code
}

/** The built-in job, at most twice. */
async function builtIn(): Promise<number> {
  const first = options.seed ?? Math.floor(Math.random() * 1e6)
  let code = 0
  for (const [attempt, seed] of [first, first + 1].entries()) {
    const job = demoJob(seed)
    const folder = mkdtempSync(join(home, 'work-'))
    for (const [file, text] of Object.entries(job.files)) {
      mkdirSync(dirname(join(folder, file)), { recursive: true })
      writeFileSync(join(folder, file), text)
    }
    say(`the built-in job, seed ${seed}: "${job.prompt}" in a folder with ${Object.keys(job.files).join(', ')}`)
    code = await shown(['run', '--model', model, '--cwd', folder, '--check', job.check, '--seed', String(seed), job.prompt])
    if (interrupted || !worthAnother.has(code)) return code
    say(attempt === 0
      ? `the model did not manage this one (exit code ${code}). It is a very small model; here is a second try with another seed.`
      : `the second try was not resolved either (exit code ${code}). Nothing is hidden here: run it again, or pull a larger model.`)
  }
  return code
}

/** The user's own prompt, once: a second run in a folder that the first one changed would be another job. */
async function own(prompt: string): Promise<number> {
  const folder = options.cwd ?? mkdtempSync(join(tmpdir(), 'hearth-work-'))
  const checks = options.checks.flatMap((check) => ['--check', check])
  const seed = options.seed === null ? [] : ['--seed', String(options.seed)]
  const code = await shown(['run', '--model', model, '--cwd', folder, ...checks, ...seed, prompt])
  say(`the files are in ${folder}`)
  return code
}

/** Runs a command of the CLI on this terminal; its exit code. It reads no standard input: the prompt is in its arguments. */
async function shown(argv: readonly string[]): Promise<number> {
  if (interrupted) return 130
  return await exitOf(spawn(hearth, argv, { env, stdio: ['ignore', 'inherit', 'inherit'] }))
}

/** The same with its standard output as text. */
async function asked(argv: readonly string[]): Promise<{ code: number; out: string }> {
  const child = spawn(hearth, argv, { env, stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => { out += text })
  return { code: await exitOf(child), out }
}

function exitOf(child: ChildProcess): Promise<number> {
  running = child
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (exit, signal) => {
      running = null
      resolve(exit ?? (signal === 'SIGINT' ? 130 : 1))
    })
  })
}

async function cleanUp(): Promise<void> {
  await asked(['down', '--json']).catch(() => null)
  for (let tries = 0; daemonPid !== null && alive(daemonPid) && tries < 250; tries++) await pause(100)
  if (daemonPid !== null && alive(daemonPid)) process.kill(daemonPid, 'SIGKILL')
  rmSync(home, { recursive: true, force: true })
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

function parsed(): { prompt: string | null; cwd: string | null; checks: string[]; seed: number | null } {
  const { values, positionals } = wordsOf('try', { options: { cwd: { type: 'string' }, check: { type: 'string', multiple: true }, seed: { type: 'string' } }, allowPositionals: true })
  const seed = values.seed === undefined ? null : Number(values.seed)
  if (seed !== null && !(Number.isInteger(seed) && seed >= 0)) wrongWords('try', `--seed takes a whole number, not '${values.seed}'`)
  if (positionals.length === 0 && (values.cwd !== undefined || values.check !== undefined)) wrongWords('try', '--cwd and --check belong to a prompt; give one')
  return { prompt: positionals.length === 0 ? null : positionals.join(' '), cwd: values.cwd === undefined ? null : resolve(values.cwd), checks: values.check ?? [], seed }
}

function say(text: string): void {
  console.error(`try: ${text}`)
}
