// The plan in front of a real load: a box that can give less gets a smaller load, one that can give nothing is refused before a worker starts.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Config, ModelRequest, type ModelEvent } from '@hearth/protocol'
import { Engine } from '@hearth/engine'
import { createConfine } from '@hearth/sandbox'
import { nodeBinary, root, starter } from '../fixtures/starter.ts'

const scratch = mkdtempSync(join(tmpdir(), 'plan-load-'))
after(() => { rmSync(scratch, { recursive: true }) })

/** A box of 8 GiB of which `availableMiB` are available; its reserve is 1 GiB. */
function box(availableMiB: number): string {
  const at = join(scratch, String(availableMiB))
  mkdirSync(join(at, 'proc'), { recursive: true })
  writeFileSync(join(at, 'proc/meminfo'), `MemTotal:       ${8 * 2 ** 20} kB\nMemAvailable:   ${availableMiB * 1024} kB\n`)
  return at
}

function engineOn(availableMiB: number, lines: string[] = []): Engine {
  const config = Config.parse({ engine: { contextTokens: 8192, sequences: 2, threads: 1, backend: 'cpu', goldenCheck: 'off', savedStateBytes: 0 } }).engine
  return new Engine({ config, confine: createConfine(), node: nodeBinary, root, log: (line) => lines.push(line), hardwareRoot: box(availableMiB) })
}

const request = ModelRequest.parse({ messages: [{ role: 'user', text: 'Say hello.' }], maxTokens: 2, sampling: { temperature: 0 } })

async function lastOf(engine: Engine): Promise<ModelEvent | undefined> {
  const events: ModelEvent[] = []
  for await (const event of engine.model(starter()).generate(request, new AbortController().signal)) events.push(event)
  return events.at(-1)
}

test('a load that cannot fit is refused with its numbers, and no worker was started', async () => {
  const engine = engineOn(1200)
  try {
    const last = await lastOf(engine)
    assert.equal(last?.type, 'failed')
    assert.deepEqual(last.type === 'failed' ? [last.fault.code, last.fault.message] : null, [
      'does_not_fit', 'starter needs at least 0.3 GiB (1 x 4096 tokens), and memory can give 0.2 GiB of 8.0 GiB.',
    ])
    assert.match(last.type === 'failed' ? last.fault.remedy : '', /^You can use 7\.0 GiB of 8\.0 GiB; .*, or end what uses 6\.8 GiB of it now\.$/)
    assert.deepEqual(engine.workers().map((worker) => [worker.state, worker.pid]), [['stopped', null]])
  } finally {
    await engine.close()
  }
})

test('a load that fits smaller is made smaller, says so in the log, and is what the worker then has', async () => {
  const lines: string[] = []
  const engine = engineOn(1460, lines)
  try {
    assert.equal((await lastOf(engine))?.type, 'done')
    const [worker] = engine.workers()
    assert.equal(worker?.sequences, 2)
    assert.ok((worker.contextTokens ?? 0) >= 4096 && (worker.contextTokens ?? 0) < 8192, `${worker.contextTokens ?? 0} tokens`)
    assert.ok(lines.some((line) => line.includes(`with 2 x ${worker.contextTokens ?? 0} tokens`)), lines.join('\n'))
  } finally {
    await engine.close()
  }
})

test('the plan of a model can be asked without loading it', async () => {
  const engine = engineOn(6000)
  try {
    const plan = await engine.plan(starter())
    assert.deepEqual([plan?.verdict, plan?.contextTokens, plan?.sequences], ['fits', 8192, 2])
    assert.equal(await engine.plan(starter('none', join(scratch, 'absent.gguf'))), null)
  } finally {
    await engine.close()
  }
})
