// A world whose truth is known: a local model that solves a task by itself with a set probability and does what advice says, a bought one that always helps or never does,
// and some tasks of the set. Both models are a real server; what they say depends on nothing but what they read.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { EvalTask, type EvalEvent, type Job } from '@hearth/protocol'
import { tasksFolder } from '../tasks/set.ts'
import type { Box } from './box.ts'

type Call = { name: string; arguments: Record<string, unknown> }
type Turn = { text?: string; calls?: Call[] }
type Said = { role: string; content: string }
export type Heard = { seed?: number; messages: Said[]; tools?: unknown[] }

/** A visible check where the task has none: weak, as people's checks are, but it fails on the start. */
const checks: Readonly<Record<string, string | null>> = {
  'py-cli-flag': 'grep -q -- --json wc.py', 'py-csv-price': 'grep -q 12.50 prices.csv', 'py-fix-median': null, 'py-parse-log': 'test -f summary.json', 'py-rename-function': null,
  'py-write-roman': 'test -f roman.py', 'sh-awk-report': null, 'sh-errors-by-hour': 'test -s errors.txt', 'sh-idempotent': 'mkdir /tmp/a && sh install.sh /tmp/a && sh install.sh /tmp/a',
  'sh-spaces-in-names': 'mkdir "/tmp/a b" && touch "/tmp/a b/x y.txt" && sh backup.sh "/tmp/a b" /tmp/out && test -f "/tmp/out/x y.txt"',
}

const helpful = 'I know this one: do it as you have learned it.\nGO ON'
const useless = 'Look at the failing output again, and try something else.\nGO ON'

export class World {
  /** Chance that the local model solves a task alone. */
  ability = 0.5
  helps = true
  /** Waits before it gives advice: what is bought takes time. */
  adviceMs = 0
  readonly folder: string
  /** Requests to the local model, in their order. */
  readonly heard: Heard[] = []
  readonly #server: Server
  readonly #tasks: { name: string; prompt: string; turns: Turn[] }[]
  /** Base seeds of the jobs: a step's seed is the job's with the number of the step added. */
  readonly #jobs: number[] = []

  constructor(folder: string, names: readonly string[] = Object.keys(checks)) {
    this.folder = folder
    this.#tasks = names.map((name) => {
      cpSync(join(tasksFolder, name), join(folder, name), { recursive: true })
      const file = join(folder, name, 'task.json')
      const task = EvalTask.parse(JSON.parse(readFileSync(file, 'utf8')))
      writeFileSync(file, JSON.stringify({ ...task, check: checks[name] ?? task.check }))
      const { turns } = JSON.parse(readFileSync(join(folder, name, 'trajectory.json'), 'utf8')) as { turns: Turn[] }
      return { name, prompt: task.prompt, turns }
    })
    this.#server = createServer((request, response) => void this.#answer(request, response))
  }

  async open(): Promise<void> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  /** The part of a box's configuration that knows both models. */
  config(keyFile: string): object {
    const url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
    return {
      sandbox: { limits: 'weak' }, storage: { refuseBelowBytes: 1024 },
      engine: { endpoints: [{ id: 'small', url: `${url}/small`, model: 'small', local: true, contextTokens: 100_000 }] },
      escalation: {
        consent: 'auto', modes: ['plan', 'advise', 'step', 'review', 'rest'], budget: { dayUsdMicros: 50_000_000 },
        providers: [{
          id: 'shop', kind: 'compatible', url: `${url}/far`, keyFile,
          models: [{ id: 'far', model: 'far', contextTokens: 100_000, maxOutputTokens: 4000, prices: [{ from: '2026-01-01', input: 3_000_000, cacheRead: 300_000, cacheWrite: 3_750_000, output: 15_000_000 }] }],
        }],
      },
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const heard = JSON.parse(await text(request)) as Heard
    const far = request.url?.startsWith('/far') === true
    if (!far) this.heard.push(heard)
    const turn = far && (heard.tools ?? []).length === 0 ? await this.#advice() : this.#work(heard, far)
    const promptTokens = Math.ceil(JSON.stringify(heard.messages).length / 4)
    const completionTokens = Math.ceil(JSON.stringify(turn).length / 4)
    const chunk = (choices: object[], more: object = {}): string => `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: far ? 'far' : 'small', choices, ...more })}\n\n`
    const calls = turn.calls?.map((call, index) => ({ index, id: `call_${heard.messages.length}_${index}`, type: 'function', function: { name: call.name, arguments: JSON.stringify(call.arguments) } }))
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.end(`${chunk([{ index: 0, delta: { role: 'assistant', content: turn.text ?? '', ...(calls === undefined ? {} : { tool_calls: calls }) }, finish_reason: null }])}${chunk([{ index: 0, delta: {}, finish_reason: calls === undefined ? 'stop' : 'tool_calls' }])}${chunk([], { usage: { prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens: promptTokens + completionTokens } })}data: [DONE]\n\n`)
  }

  async #advice(): Promise<Turn> {
    if (this.adviceMs > 0) await new Promise((done) => { setTimeout(done, this.adviceMs) })
    return { text: this.helps ? helpful : useless }
  }

  /** The recorded course for who can, or was told; the others look around and say that it is done. */
  #work({ messages, seed = 0 }: Heard, far: boolean): Turn {
    const task = this.#tasks.find(({ prompt }) => messages.some(({ content }) => content.includes(prompt)))
    if (task === undefined) return { text: 'I do not know this task.' }
    const told = messages.findIndex(({ content }) => content.includes(helpful))
    const turns = (since: number): number => messages.slice(since).filter(({ role }) => role === 'assistant').length
    const course = (turn: number): Turn => task.turns[turn] ?? { calls: [{ name: 'finish', arguments: { answer: 'done' } }] }
    if (far || this.#isAble(task.name, this.#jobOf(seed))) return course(turns(0))
    if (told >= 0) return course(turns(told))
    const turn = turns(0)
    return turn < 2 ? { calls: [{ name: 'bash', arguments: { command: `ls -a | head -${turn + 5}` } }] } : { calls: [{ name: 'finish', arguments: { answer: `I think it is done (${turn}).` } }] }
  }

  #jobOf(seed: number): number {
    const known = this.#jobs.find((base) => seed - base >= 1 && seed - base <= 200)
    if (known !== undefined) return known
    this.#jobs.push(seed - 1)
    return seed - 1
  }

  #isAble(task: string, job: number): boolean {
    return createHash('sha256').update(`${task} ${job}`).digest().readUInt32BE(0) / 2 ** 32 < this.ability
  }
}

/** `hearth eval --json` in a box, to its result. */
export async function evaluatedIn(box: Box, words: readonly string[]): Promise<{ code: number | null; events: EvalEvent[]; done: Extract<EvalEvent, { type: 'done' }>; stderr: string }> {
  const ran = await box.hearth(['eval', '--json', ...words])
  const events = ran.stdout.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as EvalEvent)
  const done = events.at(-1)
  assert.ok(done?.type === 'done', `${ran.stdout.slice(-2000)}\n${ran.stderr}`)
  return { code: ran.code, events, done, stderr: ran.stderr }
}

/** All jobs of an evaluation, newest first. */
export async function jobsOfEval(box: Box, id: string): Promise<Job[]> {
  return (await box.jobs()).filter(({ request: { tags } }) => tags['eval'] === id)
}
