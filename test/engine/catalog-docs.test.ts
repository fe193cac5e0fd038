// docs/models-json.md, the schema and the shipped models.json say the same.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Catalog } from '@hearth/protocol'
import { fieldTable } from '../../scripts/rules/schema-text.ts'

const root = join(import.meta.dirname, '../..')
const text = readFileSync(join(root, 'docs/models-json.md'), 'utf8')

test('every key of the schema stands in the table with its meaning, and no other', () => {
  const wanted = fieldTable(Catalog, true)
  assert.equal(/<!-- generated: models-json -->\n([\s\S]*?)\n<!-- \/generated -->/.exec(text)?.[1], wanted)
  assert.deepEqual(wanted.split('\n').filter((line) => line.endsWith('|  |')), [])
})

test('the documented example and the shipped catalogue are valid', () => {
  const example = /\n## Example: [\s\S]*?```json\n([\s\S]*?)```/.exec(text)?.[1] ?? ''
  assert.equal(Catalog.safeParse(JSON.parse(example)).success, true)
  assert.equal(Catalog.safeParse(JSON.parse(readFileSync(join(root, 'models.json'), 'utf8'))).success, true)
})
