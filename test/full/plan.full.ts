// The memory plan against measured memory: six models of 1 GiB and more, resident memory of the worker before and after load and a full batch of a prompt.
// Speaks with the worker itself, because only there the moment between start and load can be seen. Needs about 8 GiB of memory and 2 GiB of disk.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { modelFacts } from '../../packages/engine/src/catalog/model-facts.ts'
import { partsOf } from '../../packages/engine/src/catalog/plan.ts'
import { launcher } from '../../packages/engine/src/local/process.ts'
import { checkpointsPerSequence, type FromWorker, type Load } from '../../packages/engine/src/local/wire.ts'
import { writeRandomModel, type RandomModel } from '../fixtures/random-model.ts'
import { nodeBinary, root } from '../fixtures/starter.ts'

const GiB = 2 ** 30
const folder = mkdtempSync(join(tmpdir(), 'hearth-plan-'))
after(() => { rmSync(folder, { recursive: true }) })

const cases: readonly [name: string, model: RandomModel, contextTokens: number, sequences: number][] = [
  ['dense Q8_0, long window', { shape: 'dense', quant: 'Q8_0', seed: 1, sizeBytes: 1.1 * GiB }, 8192, 4],
  ['dense F16, one sequence', { shape: 'dense', quant: 'F16', seed: 2, sizeBytes: 1.1 * GiB }, 4096, 1],
  ['dense Q4_0, copied for the CPU', { shape: 'dense', quant: 'Q4_0', seed: 3, sizeBytes: 1.1 * GiB }, 4096, 4],
  ['mixture of experts', { shape: 'moe', quant: 'Q8_0', seed: 4, sizeBytes: 1.1 * GiB }, 8192, 4],
  ['hybrid, recurrent', { shape: 'hybrid', quant: 'Q8_0', seed: 5, sizeBytes: 1.1 * GiB }, 8192, 8],
  ['sliding window', { shape: 'sliding', quant: 'Q8_0', seed: 6, sizeBytes: 1.1 * GiB }, 8192, 8],
]

for (const [name, model, contextTokens, sequences] of cases) {
  test(`${name}: predicted within 10 % of what is resident`, async (context) => {
    const path = join(folder, 'model.gguf')
    await writeRandomModel(path, model)
    const facts = await modelFacts('random', path)
    assert.ok(facts?.shape)
    const measured = await residentDifference({
      type: 'load', modelPath: path, backend: 'cpu', contextTokens, sequences, batchTokens: 512, prefillTokens: 512 - sequences, threads: 1,
    })
    // One prompt was evaluated, so one checkpoint was taken of those that are planned.
    const parts = partsOf({ ...facts, shape: facts.shape }, { contextTokens, sequences }, { batchTokens: 512, savedStateBytes: 0 })
      .map((part) => (part.name === 'checkpoints' ? { ...part, bytes: part.bytes / checkpointsPerSequence / sequences } : part))
    const predicted = parts.reduce((sum, part) => sum + part.bytes, 0) + facts.repackedBytes
    const error = (predicted - measured) / measured
    context.diagnostic(`${name}: predicted ${mib(predicted)}, measured ${mib(measured)}, ${(error * 100).toFixed(1)} % (${parts.map((part) => `${part.name} ${mib(part.bytes)}`).join(', ')}, mapped beside it ${mib(facts.repackedBytes)})`)
    assert.ok(Math.abs(error) < 0.1, `predicted ${mib(predicted)}, measured ${mib(measured)}`)
  })
}

const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`

/** Bytes that load and one full batch add to the resident memory of the worker, mapped pages of the file included. */
async function residentDifference(load: Load): Promise<number> {
  const heard: ((message: FromWorker) => void)[] = []
  const next = (wanted: FromWorker['type']): Promise<void> => new Promise((resolve, reject) => {
    heard.push((message) => {
      if (message.type === wanted) resolve()
      else if (message.type === 'load_failed' || message.type === 'refused' || message.type === 'broke') reject(new Error(JSON.stringify(message)))
    })
  })
  const booted = next('booted')
  const launched = launcher(null, {
    argv: [realpathSync(nodeBinary), '--disable-warning=ExperimentalWarning', join(root, 'packages/engine/src/local/worker.ts')],
    readOnly: [], readWrite: [], gpu: false, env: { HOME: '/tmp', PATH: '/usr/bin:/bin' },
  })({ message: (message) => { for (const hear of [...heard]) hear(message) }, exit: () => undefined, log: () => undefined })
  assert.ok(!('fault' in launched))
  try {
    await booted
    const before = resident(launched.pid)
    const ready = next('ready')
    launched.send(load)
    await ready
    const ended = next('end')
    launched.send({
      type: 'generate', id: 'one', sequence: 0, segments: [{ text: 'a b '.repeat(300), special: false }], maxTokens: 2, stop: [], grammar: null,
      sampling: { temperature: 0, topK: 0, topP: 1, minP: 0, repeatPenalty: 1, seed: 0 }, stopAtJson: false, probabilities: 0, visible: [], priority: 5,
    })
    await ended
    return resident(launched.pid) - before
  } finally {
    launched.kill()
  }
}

function resident(pid: number | null): number {
  const found = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid ?? 0}/status`, 'utf8'))?.[1]
  assert.ok(found !== undefined)
  return Number(found) * 1024
}
