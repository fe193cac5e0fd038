// The Vulkan backend for real, without a GPU: the daemon loads the starter in the sandbox onto Mesa's software device (llvmpipe) and says what the CPU says.
// Slow by nature (a token takes seconds); needs the driver that scripts/setup --full installs.
import assert from 'node:assert/strict'
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { ModelRow, StatusReply, WorkerStatus } from '@hearth/protocol'
import { DaemonProcess, makePlace, real, type Place } from '../daemon/process.ts'
import { starterPath } from '../fixtures/starter.ts'

const manifest = globSync('/usr/share/vulkan/icd.d/lvp_icd*.json')[0]
const places: Place[] = []
const daemons: DaemonProcess[] = []
after(async () => {
  for (const daemon of daemons) await daemon.kill('SIGTERM')
  for (const place of places) place.clear()
})

type Completion = { choices: { message: { content: string }; finish_reason: string }[]; usage: { prompt_tokens: number; completion_tokens: number } }

// Each token of the answer is at least four times as likely as the next one: the two backends round differently and may part at a near-tie.
const conversation = [
  { role: 'user', content: 'Say one two three' }, { role: 'assistant', content: 'one two three' }, { role: 'user', content: 'Say red green blue' },
  { role: 'assistant', content: 'red green blue' }, { role: 'user', content: 'Say tea milk bread' },
]

async function answerOn(backend: 'cpu' | 'vulkan', env: Record<string, string>): Promise<{ completion: Completion; worker: WorkerStatus; home: string; seconds: number; daemon: DaemonProcess }> {
  const place = makePlace()
  places.push(place)
  writeFileSync(join(place.home, 'config.json'), JSON.stringify({ engine: { backend, threads: 1, contextTokens: 512, sequences: 2, batchTokens: 64 }, jobs: { model: 'tiny' } }))
  const daemon = await DaemonProcess.start(place, real, ['serve'], env)
  daemons.push(daemon)
  await daemon.client.call<ModelRow>('POST', '/api/models/import', { path: starterPath(), id: 'tiny' })
  const startedAt = performance.now()
  const completion = await daemon.client.call<Completion>('POST', '/v1/chat/completions', {
    model: 'tiny', temperature: 0, max_tokens: 8, messages: conversation,
  })
  const seconds = (performance.now() - startedAt) / 1000
  const { workers: [worker] } = await daemon.client.call<StatusReply>('GET', '/api/status')
  return { completion, worker: worker ?? assert.fail('no worker'), home: place.home, seconds, daemon }
}

test('the same greedy answer from the Vulkan backend on llvmpipe as from the CPU, through the daemon, in the sandbox', { timeout: 1_800_000 }, async (t) => {
  assert.ok(manifest !== undefined, "Mesa's software Vulkan driver is missing: run scripts/setup --full, or as root: apt-get install -y mesa-vulkan-drivers")
  const cpu = await answerOn('cpu', {})
  assert.equal(cpu.worker.backend, 'cpu')
  // Without this llama.cpp passes over a device that is a CPU.
  const vulkan = await answerOn('vulkan', { GGML_VK_VISIBLE_DEVICES: '0' })
  t.diagnostic(`cpu ${cpu.seconds.toFixed(1)} s, vulkan ${vulkan.seconds.toFixed(1)} s: '${vulkan.completion.choices[0]?.message.content}'`)
  assert.equal(vulkan.worker.backend, 'vulkan', vulkan.worker.lastFault ?? vulkan.daemon.stderr)
  assert.equal(vulkan.worker.state, 'ready')
  assert.equal(vulkan.worker.distrusted, undefined)
  assert.equal(vulkan.worker.lastFault, null)
  assert.equal(cpu.completion.choices[0]?.message.content, 'tea milk bread')
  assert.equal(vulkan.completion.choices[0]?.message.content, cpu.completion.choices[0]?.message.content)
  assert.equal(vulkan.completion.usage.completion_tokens, cpu.completion.usage.completion_tokens)
  const { passes } = JSON.parse(readFileSync(join(vulkan.home, 'cache/golden.json'), 'utf8')) as { passes: Record<string, { engine: string; driver: string; tookMs: number; leftOut: string[] }> }
  const [pass] = Object.values(passes)
  t.diagnostic(`known texts: ${JSON.stringify(pass)}`)
  assert.match(pass?.engine ?? '', /, vulkan$/)
  assert.match(pass?.driver ?? '', /vulkan lvp_icd/)
})
