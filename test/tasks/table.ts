// Owns how a task is played and judged: a fresh folder, the real loop and sandbox, any model; then the hidden check beside the folder that was left.
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { runAgent } from '@hearth/agent'
import { Config, JobRequest, type JobEventBody, type Limits, type Model, type Outcome, type Sandbox } from '@hearth/protocol'
import { createSandbox } from '@hearth/sandbox'
import type { Expected, TaskFolder } from './set.ts'

const limits: Limits = { memoryBytes: 2 ** 30, pids: 64, wallMs: 20_000, outputBytes: 4 * 2 ** 20, tmpBytes: 16 * 2 ** 20, fileBytes: 16 * 2 ** 20 }

export type Files = Map<string, Buffer>
export type Verdict = { passed: boolean; output: string }

export type Played = Omit<Expected, 'outcome'> & {
  outcome: Outcome | 'suspended'
  answer: string
  seconds: number
  /** What the judge says; the model never sees it. */
  verdict: Verdict
  /** The folder's files as the job left them. */
  files: Files
  events: JobEventBody[]
}

export type PlayOptions = { seed?: number; timeoutSeconds?: number }

/** The folder, and everything in it, is gone after `close`. */
export class TaskTable {
  readonly #root = mkdtempSync(join(tmpdir(), 'hearth-tasks-'))
  readonly #inner: Sandbox & { close(): Promise<void> }
  readonly #sandbox: Sandbox

  constructor() {
    mkdirSync(join(this.#root, 'state'))
    this.#inner = createSandbox({ config: Config.parse({ sandbox: { limits: 'weak' } }).sandbox, stateDir: join(this.#root, 'state'), log: () => undefined })
    // The pinned Node is not below /usr; jobs in JavaScript and TypeScript find it first, whatever the machine has.
    const node = dirname(realpathSync(process.execPath))
    this.#sandbox = {
      report: () => this.#inner.report(),
      run: (spec, signal) => this.#inner.run({
        ...spec, mounts: [...spec.mounts ?? [], { from: node, to: '/node', writable: false }],
        env: { PATH: '/node:/usr/local/bin:/usr/bin:/bin', PYTHONDONTWRITEBYTECODE: '1', ...spec.env },
      }, signal),
    }
  }

  async close(): Promise<void> {
    await this.#inner.close()
    rmSync(this.#root, { recursive: true, force: true })
  }

  /** The same task with other words: variant 0 is the task as it stands, and so is any that does not exist. */
  vary(task: TaskFolder, variant: number): TaskFolder {
    const words = Object.entries(task.variants[variant - 1] ?? {})
    if (words.length === 0) return task
    const said = (text: string): string => words.reduce((all, [from, to]) => all.replaceAll(from, to), text)
    const folder = mkdtempSync(join(this.#root, `${task.name}-varied-`))
    for (const part of ['start', 'hidden']) {
      mkdirSync(join(folder, part))
      if (!existsSync(join(task.folder, part))) continue
      for (const [path, bytes] of filesOf(join(task.folder, part))) writeFileSync(join(folder, part, said(path)), said(bytes.toString('utf8')))
    }
    return { ...task, folder, start: join(folder, 'start'), hidden: join(folder, 'hidden'), prompt: said(task.prompt), answer: task.answer === null ? null : said(task.answer) }
  }

  /** A fresh folder with what the agent is given; `solved`: with the reference solution laid over it. */
  async lay(task: TaskFolder, solved = false): Promise<string> {
    const folder = mkdtempSync(join(this.#root, `${task.name}-`))
    if (existsSync(task.start)) cpSync(task.start, folder, { recursive: true })
    if (task.setup !== undefined) {
      const made = await this.#sandbox.run({ argv: ['sh', '-c', task.setup], workspace: folder, limits, captureBytes: 4096 }, new AbortController().signal)
      if (!made.ok) throw new Error(made.fault.message)
      if (made.exitCode !== 0) throw new Error(`The setup of ${task.name} failed: ${made.stderr.text}`)
    }
    if (solved) {
      if (existsSync(task.solution)) cpSync(task.solution, folder, { recursive: true, force: true })
      for (const path of task.expected?.removed ?? []) rmSync(join(folder, path), { recursive: true })
    }
    return folder
  }

  /** The hidden check, with the answer in $ANSWER and its own folder at /check. */
  async judge(task: TaskFolder, folder: string, answer: string): Promise<Verdict> {
    const result = await this.#sandbox.run({
      argv: ['sh', '/check/check.sh'], workspace: folder, limits, captureBytes: 16_384, env: { ANSWER: answer },
      mounts: [{ from: task.hidden, to: '/check', writable: false }],
    }, new AbortController().signal)
    if (!result.ok) throw new Error(result.fault.message)
    return { passed: result.cause === 'exited' && result.exitCode === 0, output: `${result.stdout.text}${result.stderr.text}`.trim() }
  }

  async play(task: TaskFolder, model: Model, { seed = 1, timeoutSeconds = 600 }: PlayOptions = {}): Promise<Played> {
    const folder = await this.lay(task)
    const before = filesOf(folder)
    const outputDir = mkdtempSync(join(this.#root, 'out-'))
    const events: JobEventBody[] = []
    const begun = performance.now()
    const timeout = new AbortController()
    const timer = setTimeout(() => { timeout.abort({ kind: 'timeout', seconds: timeoutSeconds }) }, timeoutSeconds * 1000)
    const end = await runAgent({
      jobId: `${task.name}-${seed}`, request: JobRequest.parse({ prompt: task.prompt, cwd: folder, checks: task.check === null ? [] : [task.check], seed }),
      maxSteps: task.maxSteps, maxTokens: 5_000_000, timeoutSeconds, attempt: 1, seed, limits, past: [], outputDir,
    }, { model, sandbox: this.#sandbox, now: Date.now, emit: (event) => { events.push(event); return Promise.resolve() } }, timeout.signal)
    clearTimeout(timer)
    const seconds = (performance.now() - begun) / 1000
    const files = filesOf(folder)
    const answer = end.type === 'ended' ? end.summary ?? '' : ''
    const verdict = await this.judge(task, folder, answer)
    rmSync(folder, { recursive: true, force: true })
    const turns = events.filter((event) => event.type === 'turn' || event.type === 'turn_failed')
    return {
      outcome: end.type === 'ended' ? end.outcome : 'suspended', answer, seconds, verdict, files, events,
      steps: events.filter(({ type }) => type === 'step').length, tools: toolsOf(events), notes: notesOf(events),
      changed: [...files.keys()].filter((path) => before.get(path)?.equals(files.get(path) ?? Buffer.alloc(0)) !== true).sort(),
      removed: [...before.keys()].filter((path) => !files.has(path)).sort(),
      promptTokens: turns.reduce((sum, { usage }) => sum + usage.promptTokens, 0),
      evaluatedTokens: turns.reduce((sum, { usage }) => sum + usage.promptTokens - usage.reusedTokens, 0),
    }
  }
}

function toolsOf(events: readonly JobEventBody[]): string[] {
  const results = events.flatMap((event) => (event.type === 'tool_result' ? [`${event.name}${event.ok ? '' : '!'}`] : []))
  const last = events.findLast((event) => event.type === 'turn')
  const finishes = last?.type === 'turn' ? last.toolCalls.filter(({ name }) => name === 'finish').length : 0
  return [...results, ...(finishes > 0 && !results.at(-1)?.startsWith('finish') ? ['finish'] : [])]
}

function notesOf(events: readonly JobEventBody[]): string[] {
  return events.flatMap((event): string[] => {
    switch (event.type) {
      case 'nudge': return ['nudge']
      case 'guard': return [`guard ${event.guard} ${event.action}`]
      case 'call_repaired': return ['repaired']
      case 'call_rejected': return ['rejected']
      case 'rewritten': return [`rewritten ${event.reason}`]
      case 'check': return [`${event.when} ${event.passed ? 'passed' : 'failed'}`]
      case 'sub_step': return ['sub_step']
      default: return []
    }
  })
}

/** Regular files below a folder by their relative path. */
function filesOf(folder: string): Files {
  const files: Files = new Map()
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    files.set(relative(folder, path), readFileSync(path))
  }
  return files
}
