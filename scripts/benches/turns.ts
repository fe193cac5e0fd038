// Two models asked at the same moment on a CPU: what their threads do to each other when both may use every core, and what taking turns saves.
import { availableParallelism } from 'node:os'
import { benchHome, openEngine, timed, type EngineParts } from './engine-parts.ts'
import { against, takeTurns, type Benchmark, type Context, type Row } from './frame.ts'
import type { Model } from '@hearth/protocol'

const tokens = Number(process.env['HEARTH_BENCH_TOKENS'] ?? 48)

export const turns: Benchmark = {
  name: 'turns',
  title: 'Two models asked at the same moment on a CPU',
  async run(context) {
    const cpus = availableParallelism()
    const open: (EngineParts & { remove(): void })[] = []
    const engine = async (threads: number): Promise<EngineParts> => {
      const { home, remove } = benchHome()
      const parts = await openEngine(context, home, { threads, contextTokens: 512, sequences: 1 })
      open.push({ ...parts, remove })
      return parts
    }
    try {
      const together = await engine(cpus)
      // Two daemons' engines know nothing of each other: this is what one would do without turns.
      const [alone, other] = [await engine(cpus), await engine(cpus)]
      const halves = await engine(Math.max(1, Math.floor(cpus / 2)))
      const samples = await takeTurns(context.rounds, {
        turns: () => both(context, 'in turns', together.model, together.other),
        side: () => both(context, 'side by side', alone.model, other.other),
        halves: () => both(context, 'half the cores each', halves.model, halves.other),
      })
      const names = { bench: 'turns', unit: 'ms' }
      const note = `two answers of ${tokens} tokens, until both are there; ${cpus} CPUs`
      const side = { name: 'side by side', samples: samples.side }
      const rows: Row[] = [
        against({ ...names, figure: `in turns, ${cpus} threads each`, note }, samples.turns, side, { is: 'at most', ratio: 1 }),
        against({ ...names, figure: `side by side, ${Math.max(1, Math.floor(cpus / 2))} each`, note }, samples.halves, side, null),
      ]
      return rows
    } finally {
      for (const parts of open) {
        await parts.close()
        parts.remove()
      }
    }
  },
}

/** Milliseconds until two models, asked together, have both answered. */
async function both(context: Context, how: string, first: Model, second: Model): Promise<number> {
  const request = { messages: [{ role: 'user' as const, text: 'Tell me a long story about a fox.' }], sampling: { temperature: 0 }, maxTokens: tokens, purpose: 'bench' as const }
  const start = performance.now()
  await Promise.all([timed(first, request), timed(second, request)])
  const ms = performance.now() - start
  context.say(`${how}: ${ms.toFixed(0)} ms`)
  return ms
}
