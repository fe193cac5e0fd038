// Runs the checks and all test files, two at a time, each in a process and session of its own; ends with one line "N passed, N failed".
// A file that hangs, runs no test, skips one, or leaves a process behind has failed.
import { spawn } from 'node:child_process'
import { chmodSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { leftBy, marker, orphans, ownStart, processes, type Process } from './leftovers.ts'
import type { Ended } from './report.ts'
import { wordsOf } from './words.ts'

const root = join(import.meta.dirname, '..')
const atOnce = 2

type Task = { name: string; argv: string[]; kind: 'tests' | 'command'; seconds: number }
type Outcome = { passed: number; failures: { name: string; problem: string }[]; output: string; ms: number }

const { values, positionals } = wordsOf('test', {
  options: {
    full: { type: 'boolean', default: false },
    // A file that takes longer hangs, also where others compute beside it; the long ones of --full have an hour.
    'file-seconds': { type: 'string', default: '600' },
  },
  allowPositionals: true,
})
const limitSeconds = { test: Number(values['file-seconds']), full: 3600 }
const scratch = mkdtempSync(join(tmpdir(), 'ht-'))
// Some tests work as another user below it.
chmodSync(scratch, 0o755)
const runId = `${process.pid}-${Date.now()}`
const began = ownStart()
/** Test processes that run now, with their marks. */
const alive = new Map<number, string>()

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    for (const [session, mark] of alive) killAll(leftBy(processes(), session, mark))
    rmSync(scratch, { recursive: true, force: true })
    process.exit(130)
  })
}

let passed = 0
let failed = 0
const waiting = tasks()
await Promise.all(Array.from({ length: atOnce }, () => workOff()))

const lost = await settled(() => orphans(processes(), root, began))
if (lost.length > 0) {
  failed += 1
  console.log(`FAIL  processes of this run are still there (listed with their pid; end them yourself):\n${list(lost)}`)
}
rmSync(scratch, { recursive: true, force: true })
if (passed + failed === 0) {
  failed = 1
  console.log(`FAIL  no test was run${positionals.length > 0 ? `: no file matches ${positionals.join(', ')}` : ''}`)
}
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1

function tasks(): Task[] {
  const files = globSync(['test/**/*.test.ts', ...(values.full ? ['test/full/*.full.ts'] : [])], { cwd: root }).sort()
  const wanted = positionals.length === 0 ? files : files.filter((file) => positionals.some((name) => file.includes(name)))
  const found = wanted.map((file): Task => ({ name: file, argv: [file], kind: 'tests', seconds: file.endsWith('.full.ts') ? limitSeconds.full : limitSeconds.test }))
  if (positionals.length > 0) return found
  return [
    { name: 'scripts/check', argv: ['scripts/check.ts'], kind: 'command', seconds: limitSeconds.test },
    { name: 'scripts/check --size', argv: ['scripts/check.ts', '--size'], kind: 'command', seconds: limitSeconds.test },
    ...found,
  ]
}

async function workOff(): Promise<void> {
  for (let task = waiting.shift(); task !== undefined; task = waiting.shift()) {
    const outcome = await perform(task)
    passed += outcome.passed
    failed += outcome.failures.length
    const seconds = `${(outcome.ms / 1000).toFixed(1)} s`
    const counts = `${outcome.passed} passed${outcome.failures.length > 0 ? `, ${outcome.failures.length} failed` : ''}`
    console.log(`${outcome.failures.length === 0 ? 'ok  ' : 'FAIL'}  ${task.name}  ${counts}  ${seconds}`)
    for (const failure of outcome.failures) console.log(indent(`${failure.name}\n${indent(failure.problem)}`))
    if (outcome.failures.length > 0 && outcome.output.trim() !== '') console.log(indent(`its output:\n${indent(tail(outcome.output))}`))
  }
}

async function perform(task: Task): Promise<Outcome> {
  const start = performance.now()
  const folder = join(scratch, String(start).replace('.', ''))
  mkdirSync(folder)
  const events = `${folder}.ndjson`
  const reporter = task.kind === 'tests' ? [`--test-reporter=${join(root, 'scripts/report.ts')}`, `--test-reporter-destination=${events}`] : []
  const mark = `${runId}:${task.name}`
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...reporter, ...task.argv], {
    cwd: root, detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: environment(folder, mark),
  })
  const pid = child.pid
  if (pid === undefined) throw new Error(`${process.execPath} could not be started`)
  alive.set(pid, mark)
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => { output += text })
  let hung = false
  const timer = setTimeout(() => {
    hung = true
    killAll(leftBy(processes(), pid, mark))
  }, task.seconds * 1000)
  // 'exit' and not 'close': a process left behind may hold the pipes open for ever.
  const how = await new Promise<string>((resolve) => child.on('exit', (code, signal) => resolve(code === null ? `was ended by ${signal ?? '?'}` : `exit ${code}`)))
  clearTimeout(timer)
  const left = await settled(() => leftBy(processes(), pid, mark))
  killAll(left)
  alive.delete(pid)
  const ended = task.kind === 'tests' ? readEvents(events) : []
  rmSync(folder, { recursive: true, force: true })
  const failures = ended.flatMap((one) => (one.problem === null ? [] : [{ name: one.full, problem: one.problem }]))
  const add = (problem: string): void => { failures.push({ name: task.name, problem }) }
  if (hung) add(`did not end within ${task.seconds} s and was killed; the last test that ended was ${ended.at(-1)?.full ?? '(none)'}`)
  else if (how !== 'exit 0' && failures.length === 0) add(`its process failed outside of a test: ${how}`)
  else if (task.kind === 'tests' && ended.length === 0) add('it holds no test')
  if (left.length > 0) add(`it left ${left.length} process(es) behind (ended now):\n${list(left)}`)
  const passedHere = task.kind === 'tests' ? ended.filter((one) => one.problem === null).length : failures.length === 0 ? 1 : 0
  return { passed: passedHere, failures, output, ms: performance.now() - start }
}

/** The caller's environment without its own Hearth: a test says itself where things lie. */
function environment(folder: string, mark: string): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('HEARTH_') || name === 'HEARTH_LLAMA_SERVER')
  const cache = process.env['HEARTH_TEST_CACHE'] ?? join(homedir(), '.cache/hearth-test')
  const model = process.env['HEARTH_TEST_MODEL'] ?? join(cache, 'SmolLM2-135M-Instruct.Q4_1.gguf')
  return { ...Object.fromEntries(kept), HEARTH_TEST_CACHE: cache, HEARTH_TEST_MODEL: model, TMPDIR: folder, [marker]: mark }
}

/** Waits up to three seconds for the list to become empty: a killed process needs a moment to go. */
async function settled(look: () => Process[]): Promise<Process[]> {
  for (let tries = 0; tries < 30; tries++) {
    if (look().length === 0) return []
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return look()
}

function killAll(found: readonly Process[]): void {
  for (const one of found) {
    try {
      process.kill(one.pid, 'SIGKILL')
    } catch {
      // It is gone already.
    }
  }
}

function readEvents(path: string): Ended[] {
  let text = ''
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return []
  }
  return text.split('\n').filter((line) => line.endsWith('}')).map((line) => JSON.parse(line) as Ended)
}

function list(found: readonly Process[]): string {
  return found.map((one) => `  ${one.pid}  ${one.command.slice(0, 160)}`).join('\n')
}

function indent(text: string): string {
  return text.replace(/^/gm, '    ')
}

function tail(text: string): string {
  const lines = text.trimEnd().split('\n')
  return lines.length <= 200 ? lines.join('\n') : [`... ${lines.length - 200} lines before`, ...lines.slice(-200)].join('\n')
}
