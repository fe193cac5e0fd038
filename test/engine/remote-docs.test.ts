// The entries that docs/providers.md shows are valid, and each kind has one.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { Config, faultTable, priceAt, providerKinds } from '@hearth/protocol'

const page = readFileSync(new URL('../../docs/providers.md', import.meta.url), 'utf8')

test('each kind of provider has an entry that can be used as it is', () => {
  const shown = [...page.matchAll(/```json\n([\s\S]*?)```/g)].flatMap(([, text]) => Config.parse(JSON.parse(text ?? '')).escalation.providers)
  assert.deepEqual(shown.map(({ kind }) => kind), providerKinds)
  for (const { models } of shown) assert.ok(models.every(({ prices }) => priceAt(prices, Date.UTC(2026, 10, 23)) !== null))
})

test('the table names every fault of providers and no other', () => {
  const named = [...page.matchAll(/^\| `(provider_\w+)`/gm)].map(([, code]) => code)
  assert.deepEqual(named.toSorted(), Object.keys(faultTable).filter((code) => code.startsWith('provider_')).toSorted())
})
