// docs/scripted-model.md and the schema say the same, and the documented examples work.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Script } from '@hearth/engine'
import { fieldTable } from '../../scripts/rules/schema-text.ts'

const text = readFileSync(join(import.meta.dirname, '../../docs/scripted-model.md'), 'utf8')

test('every key of the schema stands in the table, and no other', () => {
  const wanted = fieldTable(Script, true).split('\n').filter((line) => !line.startsWith('| `turns[].first[].')).join('\n')
  assert.equal(/<!-- table: script -->\n([\s\S]*?)\n<!-- \/table -->/.exec(text)?.[1], wanted)
})

test('the keys of `first` are those of a turn but for `first`', () => {
  const keys = (prefix: string): string[] => fieldTable(Script, true).split('\n').flatMap((line) => {
    const key = /^\| `([^`]+)`/.exec(line)?.[1] ?? ''
    return key.startsWith(prefix) ? [key.slice(prefix.length)] : []
  })
  assert.deepEqual(keys('turns[].first[].'), keys('turns[].').filter((key) => !key.startsWith('first')))
})

test('the documented script is valid', () => {
  const example = /```json\n([\s\S]*?)```/.exec(text)?.[1] ?? ''
  assert.equal(Script.safeParse(JSON.parse(example)).success, true)
})
