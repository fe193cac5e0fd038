// Does the starter model really do the built-in job of scripts/try? Fresh seeds through the real loop, engine and sandbox; and the same
// loop with a random choice among the calls that the grammar allows, which must not.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runAgent } from '@hearth/agent'
import { Engine } from '@hearth/engine'
import { type AgentEnd, Catalog, Config, JobRequest, type JobEventBody, type Message, type Model } from '@hearth/protocol'
import { createConfine, createSandbox } from '@hearth/sandbox'
import { demoJob } from '../demo.ts'
import { type Benchmark, recorded, type Row, within } from './frame.ts'

/** Never used while the examples were chosen: those were tuned on 1 to 40. */
const freshSeeds = { from: 101, count: 20 }
const bar = { resolved: 16, byChance: 4 }
const maxSteps = 12

export const starter: Benchmark = {
  name: 'starter',
  title: 'The built-in job, done by the starter model itself',
  async run({ root, model: path, say }) {
    const home = mkdtempSync(join(tmpdir(), 'hearth-starter-'))
    const config = Config.parse({ sandbox: { limits: 'weak' }, engine: { contextTokens: 4096, sequences: 1 } })
    const entry = Catalog.parse(JSON.parse(readFileSync(join(root, 'models.json'), 'utf8'))).models.find((one) => one.id === config.models.default)
    if (entry === undefined) throw new Error(`models.json has no ${config.models.default}`)
    const engine = new Engine({ config: config.engine, confine: createConfine({}), node: join(root, 'node_modules/.bin/node'), root, log: () => undefined })
    const sandbox = createSandbox({ config: config.sandbox, stateDir: join(home, 'state'), log: () => undefined })
    const local = engine.model({ id: entry.id, path, contextTokens: entry.contextTokens, toolFormat: entry.toolFormat, profile: entry.profile })

    const attempt = async (model: Model, seed: number): Promise<{ end: AgentEnd; events: JobEventBody[]; seconds: number }> => {
      const job = demoJob(seed)
      const work = mkdtempSync(join(home, 'work-'))
      const outputDir = mkdtempSync(join(home, 'out-'))
      for (const [name, text] of Object.entries(job.files)) writeFileSync(join(work, name), text)
      const events: JobEventBody[] = []
      const begun = performance.now()
      const limits = { memoryBytes: 2 ** 30, pids: 64, wallMs: 10_000, outputBytes: 2 ** 22, tmpBytes: 2 ** 24, fileBytes: 2 ** 24 }
      const end = await runAgent({
        jobId: `seed-${seed}`, request: JobRequest.parse({ prompt: job.prompt, cwd: work, checks: [job.check], seed }),
        maxSteps, maxTokens: 1e6, timeoutSeconds: 300, attempt: 1, seed, limits, past: [], outputDir,
      }, { model, sandbox, now: Date.now, emit: (event) => { events.push(event); return Promise.resolve() } }, new AbortController().signal)
      return { end, events, seconds: (performance.now() - begun) / 1000 }
    }

    const series = async (name: string, model: Model): Promise<{ resolved: number; steps: number[]; seconds: number[] }> => {
      const found = { resolved: 0, steps: [] as number[], seconds: [] as number[] }
      for (let seed = freshSeeds.from; seed < freshSeeds.from + freshSeeds.count; seed += 1) {
        const { end, events, seconds } = await attempt(model, seed)
        const outcome = end.type === 'ended' ? end.outcome : end.type
        if (outcome === 'resolved') found.resolved += 1
        found.steps.push(events.filter((event) => event.type === 'step').length)
        found.seconds.push(seconds)
        if (outcome !== 'resolved' && model === local) say(`seed ${seed} ${outcome}: ${end.type === "ended" && end.fault !== null ? end.fault.message : ""} ${told(events)}`)
      }
      say(`${name}: ${found.resolved} of ${freshSeeds.count} resolved`)
      return found
    }

    try {
      mkdirSync(join(home, 'state'))
      const real = await series('the starter model', local)
      const chance = await series('random legal calls', randomCalls(local))
      const rows: Row[] = [
        within({ bench: 'starter', figure: 'resolved by the model', unit: `of ${freshSeeds.count}`, note: `seeds ${freshSeeds.from} to ${freshSeeds.from + freshSeeds.count - 1}, one run each` },
          [real.resolved], { name: 'needed', value: bar.resolved }, { is: 'at least', ratio: 1 }),
        within({ bench: 'starter', figure: 'resolved by random calls', unit: `of ${freshSeeds.count}`, note: 'the same loop, tools and schema; arguments drawn from what stands in the conversation' },
          [chance.resolved], { name: 'at most', value: bar.byChance - 1 }, { is: 'at most', ratio: 1 }),
        recorded({ bench: 'starter', figure: 'steps of a run', unit: 'steps', note: 'the model' }, real.steps),
        recorded({ bench: 'starter', figure: 'time of a run', unit: 's', note: 'the model; the first one loads it' }, real.seconds),
      ]
      return rows
    } finally {
      await engine.close()
      await sandbox.close()
      rmSync(home, { recursive: true, force: true })
    }
  },
}

const told = (events: readonly JobEventBody[]): string => events.flatMap((event) => (event.type === 'turn' ? [event.text] : event.type === 'tool_result' ? [`-> ${event.observation.slice(0, 80)}`] : [])).join(' | ')

/**
 * Chooses a call uniformly among those of the request's schema. A string is drawn from the strings of the conversation: file names,
 * arguments of the examples' calls, and sentences; a far better guesser than random letters.
 */
export function randomCalls(like: Model): Model {
  return {
    info: like.info,
    async *generate(request) {
      await Promise.resolve()
      const draw = randomFrom((request.sampling.seed ?? 0) + request.messages.length)
      const schema = request.responseFormat.type === 'json_schema' ? request.responseFormat.schema : {}
      const choices = schema['oneOf'] as { properties: Record<string, { const?: string }> }[]
      const pool = stringsOf(request.messages)
      const chosen = choices[draw(choices.length)]
      const call = Object.fromEntries(Object.entries(chosen?.properties ?? {}).map(([key, value]) => [key, value.const ?? pool[draw(pool.length)]]))
      yield { type: 'text', text: JSON.stringify(call) }
      yield { type: 'done', stop: 'end', usage: { promptTokens: 1, reusedTokens: 0, completionTokens: 1 }, timings: { queuedMs: 0, prefillMs: 0, decodeMs: 0, ttftMs: 0, totalMs: 0 } }
    },
  }
}

function stringsOf(messages: readonly Message[]): string[] {
  const found = new Set<string>()
  for (const { text } of messages) {
    for (const name of text.match(/\w+\.\w+/g) ?? []) found.add(name)
    for (const argument of text.matchAll(/"(?:command|path|content|answer)":"([^"]*)"/g)) found.add(argument[1] ?? '')
    for (const sentence of text.matchAll(/: ([A-Z][^\n:]+)(?:\n|$)/g)) found.add(sentence[1] ?? '')
  }
  return [...found]
}

/** A linear congruential generator (Numerical Recipes' constants): the same seeds give the same baseline. */
function randomFrom(seed: number): (below: number) => number {
  let state = (Math.imul(seed, 2_654_435_761) + 1) >>> 0
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}
