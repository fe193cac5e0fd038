// What trust after a load costs: processor seconds of the worker until its first token, with the check, with a stored pass, and without either.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Engine } from '@hearth/engine'
import { Config } from '@hearth/protocol'
import { createConfine } from '@hearth/sandbox'
import { timed } from './engine-parts.ts'
import { against, takeTurns, type Benchmark, type Context } from './frame.ts'

// Of /proc/PID/stat; Linux has counted in hundredths of a second on these architectures for ever.
const ticksPerSecond = 100

export const trust: Benchmark = {
  name: 'trust',
  title: 'Known texts after a load: what they cost',
  async run(context) {
    const stored = mkdtempSync(join(tmpdir(), 'hearth-bench-'))
    try {
      const samples = await takeTurns(context.rounds, {
        checked: async () => {
          const fresh = mkdtempSync(join(tmpdir(), 'hearth-bench-'))
          try {
            return await load(context, 'on', fresh)
          } finally {
            rmSync(fresh, { recursive: true, force: true })
          }
        },
        // The round that warms up stores the pass.
        believed: () => load(context, 'on', stored),
        off: () => load(context, 'off', stored),
      })
      const plain = { name: 'check off', samples: samples.off }
      const unit = 's of one core'
      return [
        against({ bench: 'trust', figure: 'load to first token, known texts asked', unit, note: 'the worker alone, CPU, one thread, four sequences' }, samples.checked, plain, null),
        against({ bench: 'trust', figure: 'load to first token, pass stored', unit, note: 'the same' }, samples.believed, plain, { is: 'at most', ratio: 1.05 }),
      ]
    } finally {
      rmSync(stored, { recursive: true, force: true })
    }
  },
}

async function load({ root, model: path }: Context, goldenCheck: 'on' | 'off', cacheDir: string): Promise<number> {
  const engine = new Engine({
    config: Config.parse({ engine: { backend: 'cpu', threads: 1, contextTokens: 1024, savedStateBytes: 0, savedStateDiskBytes: 0, goldenCheck } }).engine,
    confine: createConfine({}), node: join(root, 'node_modules/.bin/node'), root, log: () => undefined, cacheDir,
  })
  try {
    const profile = { toolMode: 'json' as const, tools: null, fewShot: null, sampling: {}, maxCallTokens: 160 }
    await timed(engine.model({ id: 'bench', path, contextTokens: 8192, toolFormat: 'none', profile }), { messages: [{ role: 'user', text: 'Say hello.' }], maxTokens: 1 })
    const pid = engine.workers()[0]?.pid
    if (pid === undefined || pid === null) throw new Error('the worker has ended')
    // The name of the program stands in brackets and may hold blanks; user and system time are the 14th and 15th field.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
  } finally {
    await engine.close()
  }
}
