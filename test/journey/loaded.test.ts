// Models in memory as their owner sees them: load, pin, status, plan, unload, and what is there after a start.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { WorkerStatus } from '@hearth/protocol'
import { writeRandomModel } from '../fixtures/random-model.ts'
import { Box, starterFile } from './box.ts'

const engine = { backend: 'cpu', threads: 1, contextTokens: 512, sequences: 2, goldenCheck: 'off' }

describe('models in memory', () => {
  let box: Box
  before(async () => {
    box = new Box({ sandbox: { limits: 'weak' }, engine })
    await box.up()
    await box.installStarter()
    const path = join(box.home, 'small.gguf')
    await writeRandomModel(path, { shape: 'dense', quant: 'Q8_0', seed: 5, tokenizerFrom: starterFile })
    assert.equal((await box.hearth(['models', 'import', path, '--id', 'small'])).code, 0)
  })
  after(() => box.close())
  const worker = async (id: string): Promise<WorkerStatus | undefined> => (await box.status()).workers.find((one) => one.model === id)

  it('two are loaded side by side, one pinned; the status says what they hold and how long they stay', async () => {
    const loaded = await box.hearth(['models', 'load', 'smollm2-135m', '--pin'])
    assert.match(loaded.stdout, /^smollm2-135m is loaded: \d+\.\d MiB, 2 x 512 tokens, and stays until the daemon ends\n$/)
    assert.equal(loaded.stderr, "loading 'smollm2-135m'\n")
    const other = await box.hearth(['models', 'load', 'small', '--json'])
    assert.equal((JSON.parse(other.stdout.trim().split('\n').at(-1) ?? '') as { type: string }).type, 'done')
    const shown = (await box.hearth(['status'])).stdout
    assert.match(shown, /\nsmollm2-135m +ready .* \d+\.\d MiB +0 of 2 +0 +idle \d+ (ms|s), pinned +0/)
    assert.match(shown, /\nsmall +ready .* \d+\.\d MiB +0 of 2 +0 +idle \d+ (ms|s), (29|30) m \d\d s left +0/)
    assert.match((await box.hearth(['ps'])).stdout, /^nothing runs .*\n\nMODEL .*\n(.*\n)?small +ready +\d+\.\d MiB +\d+ [sm] ago +0 of 2 +0 +idle .* left +-\n/)
  })

  it('unloading gives the memory back and ends no pin; unknown models and a second unload are told', async () => {
    const unloaded = await box.hearth(['models', 'unload', 'smollm2-135m'])
    assert.equal(unloaded.stdout, 'smollm2-135m is not in memory; it is still pinned, from its next load on\n')
    assert.deepEqual([(await worker('smollm2-135m'))?.state, (await worker('smollm2-135m'))?.memoryBytes], ['stopped', null])
    assert.equal((await box.hearth(['models', 'unpin', 'smollm2-135m'])).stdout, 'smollm2-135m may be unloaded again\n')
    assert.equal((await box.hearth(['models', 'pin', 'small'])).stdout, 'small is pinned until the daemon ends; for good: "engine": {"models": {"small": {"pinned": true}}}\n')
    assert.equal((await box.hearth(['models', 'unload', 'smollm2-135m'])).stdout, 'smollm2-135m is not in memory\n')
    for (const verb of ['load', 'unload', 'pin']) assert.equal((await box.hearth(['models', verb, 'absent'])).code, 65, verb)
  })

  it('after a start what the configuration names is loaded by itself, and what was pinned by hand is not pinned any more', async () => {
    await box.hearth(['down'])
    box.configure({ sandbox: { limits: 'weak' }, engine: { ...engine, models: { small: { preload: true, idleUnloadSeconds: 60 }, absent: { preload: true } } } })
    await box.up()
    const there = await box.until('small is loaded', async () => {
      const found = await worker('small')
      return found?.state === 'ready' && found.idleSince !== null ? found : null
    })
    assert.deepEqual([there.pinned, (there.unloadsAt ?? 0) - (there.idleSince ?? 0)], [false, 60_000])
  })
})
