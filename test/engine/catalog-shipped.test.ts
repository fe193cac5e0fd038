// The shipped models.json: what it states fits together, and what it does not state has a reason.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fitOf, recommend } from '../../packages/engine/src/catalog/fit.ts'
import { readCatalog } from '../../packages/engine/src/catalog/models-json.ts'
import type { Budget } from '../../packages/engine/src/hardware/budget.ts'
import { root } from '../fixtures/starter.ts'

// As written: reading fills in Hearth's own defaults.
const raw = JSON.parse(readFileSync(join(root, 'models.json'), 'utf8')) as { models: { id: string; profile: { sampling: object } }[] }
const written = new Map(raw.models.map((model) => [model.id, model.profile.sampling]))
const { models } = await readCatalog(join(root, 'models.json'))

test('every value that is null says why, and no reason stands for a value that is known', () => {
  for (const model of models) {
    const empty = [
      ...model.files.flatMap((file, i) => [
        ...(file.bytes === null ? [`files[${i}].bytes`] : []), ...(file.sha256 === null ? [`files[${i}].sha256`] : []),
        ...file.sources.flatMap((source, s) => (source.type === 'hf' && source.revision === null ? [`files[${i}].sources[${s}].revision`] : [])),
      ]),
      ...(model.contextTokens === null ? ['contextTokens'] : []), ...(model.kvBytesPerToken === null ? ['kvBytesPerToken'] : []), ...(model.license === null ? ['license'] : []),
    ]
    const optional = ['profile.sampling', 'reported']
    assert.deepEqual(Object.keys(model.unknown).filter((key) => !optional.includes(key)).sort(), empty.sort(), model.id)
    if (model.unknown['reported'] !== undefined) assert.equal(model.reported.length, 0, model.id)
    if (model.unknown['profile.sampling'] !== undefined) assert.deepEqual(written.get(model.id), {}, model.id)
  }
})

test('a pinned sha256 has its commit; parts of a split model are all there, in order, from one commit', () => {
  for (const model of models) {
    for (const file of model.files) {
      for (const source of file.sources) {
        if (source.type !== 'hf') continue
        assert.equal(source.path.split('/').at(-1), file.name)
        assert.equal(file.sha256 === null, source.revision === null, `${model.id}: bytes without a commit, or a commit without bytes`)
      }
    }
    const total = Number(/-of-(\d{5})\.gguf$/.exec(model.files[0]?.name ?? '')?.[1] ?? 1)
    assert.equal(model.files.length, total, model.id)
    for (const [i, file] of model.files.entries()) if (total > 1) assert.ok(file.name.includes(`-${String(i + 1).padStart(5, '0')}-of-`), file.name)
    assert.ok(new Set(model.files.flatMap((file) => file.sources.map((source) => (source.type === 'hf' ? source.revision : '')))).size <= 1, model.id)
  }
})

test('native tools only in a format that Hearth reads; every speed names who published it', () => {
  for (const model of models) {
    assert.equal(model.profile.toolMode === 'native', model.toolFormat !== 'none', model.id)
    for (const one of model.reported) assert.match(one.source, /20\d\d/, model.id)
  }
  assert.deepEqual(models.filter((model) => model.reported.length > 0 && model.id === 'smollm2-135m'), [])
})

test('what fits, and what is recommended, on a box of 128 GiB, on one of 32 GiB, and on a small one', () => {
  const GiB = 2 ** 30
  const box = (place: Budget['place'], gib: number): Budget => ({ place, limitBytes: gib * GiB, freeBytes: gib * GiB, totalBytes: gib * GiB, reserveBytes: 0 })
  const windows = (budget: Budget) => Object.fromEntries(models.map((model) => [model.id, fitOf(model, budget)?.contextTokens ?? null]))
  const large = windows(box('gtt', 110))
  assert.deepEqual([large['gpt-oss-120b'], large['qwen3.6-35b-a3b'], large['qwen3.5-122b-a10b']], [131072, 262144, 262144])
  // (110 - 1) GiB - 72,975,748,384 bytes, 188,416 bytes a token, whole blocks of 256.
  assert.equal(large['glm-4.5-air'], 131072)
  assert.deepEqual([large['llama-3.3-70b'], large['gemma-4-26b-a4b']], [null, null], 'a size or a cache that nobody states')
  const middle = windows(box('gtt', 24))
  assert.deepEqual([middle['gpt-oss-120b'], middle['qwen3-coder-30b-a3b'], middle['gpt-oss-20b']], [0, Math.floor((23 * GiB - 18_556_689_568) / 98_304 / 256) * 256, 131072])
  assert.equal(recommend(models, box('gtt', 110), 'smollm2-135m'), 'qwen3.6-35b-a3b')
  assert.equal(recommend(models, box('gtt', 24), 'smollm2-135m'), 'qwen3.6-35b-a3b')
  assert.equal(recommend(models, box('vram', 16), 'smollm2-135m'), 'gpt-oss-20b')
  assert.equal(recommend(models, box('ram', 24), 'smollm2-135m'), 'qwen3-8b', 'on a CPU nothing that takes minutes to answer')
  assert.equal(recommend(models, box('ram', 2), 'smollm2-135m'), 'smollm2-135m')
  assert.equal(recommend(models, null, 'smollm2-135m'), null)
})
