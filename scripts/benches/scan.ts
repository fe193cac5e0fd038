// How fast a text is looked at before it leaves: all of ours against the kept rules alone in their own program, over the same sources and over hostile text.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { lintSource } from '@secretlint/core'
import { creator } from '@secretlint/secretlint-rule-preset-recommend'
import { secretLintProfiler } from '@secretlint/profiler'
import { KnownTexts } from '../../packages/daemon/src/egress/scan-known.ts'
import { scan } from '../../packages/daemon/src/egress/scan.ts'
import { against, recorded, takeTurns, type Benchmark, type Row } from './frame.ts'

const packetBytes = 32_000
const largeBytes = 10_000_000

export const scanning: Benchmark = {
  name: 'scan',
  title: 'Looking at what leaves',
  async run({ root, rounds, say }) {
    // Its marks would be kept for ever, and make it slower with each round.
    secretLintProfiler.setEnabled(false)
    const source = readFileSync(join(root, 'node_modules/typescript/lib/typescript.js'), 'utf8')
    const known = new KnownTexts(Array.from({ length: 50 }, (_, n) => ({ kind: 'held', value: `held-${(n * 7919).toString(36)}-0123456789abcdef` })))
    const ms = async (work: () => Promise<unknown>): Promise<number> => {
      const start = performance.now()
      await work()
      return performance.now() - start
    }
    const theirs = (text: string): Promise<unknown> => lintSource({
      source: { filePath: 'packet.txt', content: text, ext: '.txt', contentType: 'text' }, options: { config: { rules: [{ id: creator.meta.id, rule: creator }] }, noPhysicFilePath: true },
    })
    let at = 0
    // Another part of the source each time.
    const next = (): string => source.slice(at = (at + packetBytes) % (source.length - packetBytes), at + packetBytes)
    const rows: Row[] = []
    say('packets of 32 kB')
    const packets = await takeTurns(rounds, { ours: () => ms(() => scan(next(), known)), theirs: () => ms(() => theirs(next())) })
    rows.push(against({ bench: 'scan', figure: 'a packet of 32 kB', unit: 'ms', note: '50 known secrets; three readings, base64 and hex looked into' }, packets.ours, { name: "secretlint's rules alone", samples: packets.theirs }, null))
    const large = source.repeat(2).slice(0, largeBytes)
    // The slowest of 1,820 repeated words that were tried against every rule.
    const hostile = `${'A'.repeat(21)}\n`.repeat(largeBytes / 22)
    for (const [name, text] of [['10 MB of a program', large], ['10 MB of the slowest text found', hostile]] as const) {
      say(name)
      const seconds: number[] = []
      for (let round = 0; round < Math.min(rounds, 3); round += 1) seconds.push(await ms(() => scan(text, known)) / 1000)
      rows.push(recorded({ bench: 'scan', figure: name, unit: 's', note: '' }, seconds))
    }
    return rows
  },
}
