// How the work of a job grows with its steps: prompt tokens that were really evaluated, against the same transcript read whole at each step.
// The real loop, sandbox and starter model; only the course of the job is written down, so that every length is the same job.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runAgent } from '@hearth/agent'
import { Config, JobRequest, type JobEventBody, type Usage } from '@hearth/protocol'
import { createSandbox } from '@hearth/sandbox'
import { puppet } from '../../test/fixtures/puppet.ts'
import { benchHome, openEngine } from './engine-parts.ts'
import { against, within, type Benchmark, type Context, type Row } from './frame.ts'

const lengths = [10, 20, 40, 80]
// Twice, and what one shortening more costs in the half that has it (500 of 4,400 tokens): where the line between the halves falls is chance.
const linear = 2.25
// Small, so that the history is shortened several times in each half of the job.
const contextTokens = 2048

export const growth: Benchmark = {
  name: 'growth',
  title: `Prompt tokens evaluated over ${lengths.at(-1) ?? 0} steps`,
  async run(context) {
    const { turns, rewrites } = await job(context, lengths.at(-1) ?? 0)
    const processed = lengths.map((steps) => sum(turns.slice(0, steps), ({ promptTokens, reusedTokens }) => promptTokens - reusedTokens))
    // A client that shortens nothing and keeps no prefix evaluates what it sends: all earlier steps again in each step.
    const plain = lengths.map((steps) => plainTokens(turns, rewrites, steps))
    const names = { bench: 'growth', unit: 'tokens' }
    const note = `${contextTokens} tokens of context, ${rewrites.length} times shortened`
    const rows: Row[] = lengths.map((steps, index) => against({ ...names, figure: `${steps} steps`, note }, [processed[index] ?? 0], { name: 'plain transcript', samples: [plain[index] ?? 0] }, null))
    const [half = 0, whole = 0] = [processed.at(-2), processed.at(-1)]
    return [...rows, within({ ...names, figure: '80 steps against 40', unit: 'times', note: 'linear growth would be 2, and one shortening more in the second half adds a tenth; a plain transcript has about 4' }, [whole / half], { name: 'at most', value: linear }, { is: 'at most', ratio: 1 })]
  },
}

type Rewrite = { step: number; dropped: number }

async function job(context: Context, steps: number): Promise<{ turns: Usage[]; rewrites: Rewrite[] }> {
  const { home, remove } = benchHome()
  const folder = mkdtempSync(join(tmpdir(), 'hearth-growth-'))
  const parts = await openEngine(context, home, { threads: 1, contextTokens, sequences: 1 })
  const sandbox = createSandbox({ config: Config.parse({ sandbox: { limits: 'weak' } }).sandbox, stateDir: join(folder, 'state'), log: () => undefined })
  const turns: Usage[] = []
  const rewrites: Rewrite[] = []
  try {
    const [workspace, outputDir] = [join(folder, 'work'), join(folder, 'out')]
    mkdirSync(workspace)
    mkdirSync(outputDir)
    const model = puppet(parts.model, { toolMode: 'json', fewShot: null, tools: ['bash', 'finish'], maxCallTokens: 256, minContextTokens: contextTokens },
      (turn) => (turn === steps - 1 ? { name: 'finish', arguments: { answer: 'done' } } : { name: 'bash', arguments: { command: `seq ${turn * 10} ${turn * 10 + 12} | tr '\\n' ' '` } }),
      ({ usage }) => turns.push(usage))
    const end = await runAgent({
      jobId: 'growth', request: JobRequest.parse({ prompt: 'Count on.', cwd: workspace }), maxSteps: steps, maxTokens: 10_000_000, timeoutSeconds: 3600, attempt: 1, seed: 1,
      limits: { memoryBytes: 512 * 2 ** 20, pids: 64, wallMs: 20_000, outputBytes: 2 ** 20, tmpBytes: 2 ** 20, fileBytes: 2 ** 20 }, past: [], outputDir,
    }, {
      model, sandbox, now: Date.now,
      emit: (event: JobEventBody) => {
        if (event.type === 'rewritten') rewrites.push({ step: event.step, dropped: event.beforeTokens - event.afterTokens })
        if (event.type === 'step' && event.step % 10 === 0) context.say(`step ${event.step}`)
        return Promise.resolve()
      },
    }, new AbortController().signal)
    if (end.type !== 'ended' || end.outcome !== 'done_unverified') throw new Error(`the job did not go through its steps: ${JSON.stringify(end)}`)
    return { turns, rewrites }
  } finally {
    await sandbox.close()
    await parts.close()
    rmSync(folder, { recursive: true, force: true })
    remove()
  }
}

/** What the same job sends when nothing is ever taken out of its transcript: each prompt, and what was dropped before it. */
function plainTokens(turns: readonly Usage[], rewrites: readonly Rewrite[], steps: number): number {
  return sum(turns.slice(0, steps).map(({ promptTokens }, index) => promptTokens + sum(rewrites.filter(({ step }) => step <= index), ({ dropped }) => dropped)), (tokens) => tokens)
}

function sum<T>(all: readonly T[], of: (one: T) => number): number {
  return all.reduce((total, one) => total + of(one), 0)
}
