// Writes one GGUF file of a real shape with random weights, to measure speed and memory without a download:
// node scripts/random-model.ts FILE --shape dense|moe|hybrid|sliding [--size 1GiB] [--quant Q4_0|Q8_0|F16] [--seed 1] [--dims '{"layers":32}'] [--tokenizer OTHER.gguf]
// A daemon loads it only with engine.goldenCheck "off": it continues no known text.
import { parseArgs } from 'node:util'
import { quants, shapes, writeRandomModel, type Dims } from '../test/fixtures/random-model.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    shape: { type: 'string', default: 'dense' }, size: { type: 'string' }, quant: { type: 'string', default: 'Q4_0' }, seed: { type: 'string', default: '1' },
    dims: { type: 'string' }, tokenizer: { type: 'string' },
  },
})
const path = positionals[0]
const shape = shapes.find((one) => one === values.shape)
const quant = quants.find((one) => one === values.quant)
if (path === undefined || positionals.length > 1) throw new Error('name one file to write')
if (shape === undefined) throw new Error(`--shape is one of ${shapes.join(', ')}`)
if (quant === undefined) throw new Error(`--quant is one of ${quants.join(', ')}`)
const startedMs = performance.now()
const written = await writeRandomModel(path, {
  shape, quant, seed: Number(values.seed),
  ...(values.size === undefined ? {} : { sizeBytes: bytesOf(values.size) }),
  ...(values.dims === undefined ? {} : { dims: JSON.parse(values.dims) as Partial<Dims> }),
  ...(values.tokenizer === undefined ? {} : { tokenizerFrom: values.tokenizer }),
})
console.log(JSON.stringify({ ...written, ms: Math.round(performance.now() - startedMs), peakResidentBytes: process.resourceUsage().maxRSS * 1024 }, null, 2))

function bytesOf(text: string): number {
  const parts = /^(\d+(?:\.\d+)?)\s*(MiB|GiB)$/.exec(text)
  if (parts === null) throw new Error('--size is a number with MiB or GiB, for example 1GiB')
  return Math.round(Number(parts[1]) * 2 ** (parts[2] === 'GiB' ? 30 : 20))
}
