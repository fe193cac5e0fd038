// How a measured profile reads and looks: whole text in 80 columns, and a picture that is well-formed whatever was measured.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MeasuredPoint, ModelProfile } from '@hearth/protocol'
import { drawProfiles } from '../../packages/cli/src/tune-plot.ts'
import { inkOf } from '../../packages/cli/src/print.ts'
import { profileLines } from '../../packages/cli/src/tune-text.ts'

const point = (part: Partial<MeasuredPoint>): MeasuredPoint => ({
  run: 'threads', adapter: 'built-in', threads: 1, batchTokens: 512, pieceTokens: 128, speculation: 'off', text: 'story', streams: 1, depthTokens: 512, promptTokens: 521, samples: 3,
  prefillTokensPerSecond: { min: 190, median: 200, max: 210 }, decodeTokensPerSecond: { min: 100, median: 100, max: 100 }, ...part,
})

const profile: ModelProfile = {
  model: 'small <&> model', file: 'f', library: 'node-llama-cpp 1.2.3, llama.cpp v0.5.0, prebuilt', backend: 'cpu', machine: 'some CPU, 2 threads', measuredAt: Date.UTC(2026, 0, 2), seconds: 95,
  effort: 'quick', cpu: 'some CPU', kernel: '6.8', activeBytes: 1e8,
  points: [
    point({}), point({ threads: 2, prefillTokensPerSecond: { min: 60, median: 66, max: 72 }, decodeTokensPerSecond: { min: 3, median: 9.5, max: 15 }, samples: 2 }),
    point({ run: 'streams', streams: 1, prefillTokensPerSecond: null }), point({ run: 'streams', streams: 4, prefillTokensPerSecond: null, decodeTokensPerSecond: { min: 98, median: 101, max: 104 } }),
    point({ run: 'streams', streams: 4, adapter: 'llama-server', prefillTokensPerSecond: null, decodeTokensPerSecond: { min: 130, median: 131, max: 132 } }),
    point({ run: 'depth', promptTokens: 4101, depthTokens: 4096, samples: 1, prefillTokensPerSecond: { min: 120, median: 120, max: 120 } }),
  ],
  skipped: [{ what: 'prompts of 16384, 65536 tokens', why: 'a conversation has a window of 8192 tokens (engine.contextTokens)' }],
  choices: {
    threads: { value: 1, why: 'A step takes 3.84 s with 1 thread and 21.2 s with 2 threads; the noise is 63 %.' }, batch: null, activeDecodes: { value: 1, why: 'More gain less than 5 %.' },
    speculation: null, adapter: { aboveStreams: 1, why: 'It writes 1.30x at 4 streams.' },
  },
}

test('a profile fits into 80 columns and names figures, choices, expectations and gaps', () => {
  const lines = profileLines(profile, [{ promptTokens: 2048, ms: 12_400 }, { promptTokens: 8192, ms: 71_000 }], true, 80, inkOf(false))
  assert.deepEqual(lines.filter((line) => line.length > 80), [])
  assert.equal(lines.join('\n'), `small <&> model  measured 2026-01-02 in 1 m 35 s (quick)
on some CPU, 2 threads; node-llama-cpp 1.2.3, llama.cpp v0.5.0, prebuilt;
backend cpu

COMPARED         SETTING          PROMPT  READ tok/s  WRITE tok/s  RUNS
threads          1 thread            521    200 ±5 %          100  3
                 2 threads           521   66.0 ±9 %   9.50 ±63 %  2
streams at once  1                   521           -          100  3
                 4                   521           -     101 ±3 %  3
                 4, llama-server     521           -     131 ±1 %  3
depth            1 stream          4,101         120          100  1

Chosen (a key of the configuration wins over it):
  threads       1
                A step takes 3.84 s with 1 thread and 21.2 s with 2 threads; the
                noise is 63 %.
  at once       1
                More gain less than 5 %.
  llama-server  above 1 stream
                It writes 1.30x at 4 streams.

Expected time to the first token, nothing reused:
  a prompt of 2,048 tokens       12.4 s
  a prompt of 8,192 tokens       1 m 11 s

Not measured:
  - prompts of 16384, 65536 tokens: a conversation has a window of 8192 tokens
    (engine.contextTokens)`)
})

test('a profile that is not used says so', () => {
  const lines = profileLines(profile, [], false, 80, inkOf(false))
  assert.deepEqual(lines.slice(3, 5), ['It is not used: the model file, the library or the machine is another one now.', "Run 'hearth tune small <&> model'."])
})

test('the picture is well-formed, names what it shows, and holds no figure that is none', () => {
  for (const profiles of [[profile], [profile, { ...profile, points: profile.points.slice(0, 1) }], [{ ...profile, points: [] }], []]) {
    const svg = drawProfiles(profiles)
    assert.doesNotMatch(svg, /NaN|Infinity|undefined/)
    const open: string[] = []
    for (const [, closing, name, rest] of svg.matchAll(/<(\/?)([a-z]+)([^>]*)>/g)) {
      if (closing === '/') assert.equal(open.pop(), name)
      else if (rest?.endsWith('/') !== true) open.push(name ?? '')
    }
    assert.deepEqual(open, [])
    assert.doesNotMatch(svg.replace(/&(amp|lt|gt);/g, ''), /&/)
  }
  const svg = drawProfiles([profile])
  for (const words of ['small &lt;&amp;&gt; model', 'Writing, all streams together', 'streams at once', 'tokens/s', 'prompt, tokens', 'llama-server', '4,101']) assert.ok(svg.includes(words), words)
})
