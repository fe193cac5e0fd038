// What an evaluation keeps of itself: rows that were paid for stay, whatever cut them off.
import assert from 'node:assert/strict'
import { appendFileSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { after, it } from 'node:test'
import { EvalRequest, FaultError, type EvalRow } from '@hearth/protocol'
import { Kept } from '../../packages/daemon/src/eval/kept.ts'
import { makePlace } from './process.ts'

const place = makePlace()
after(() => place.clear())

const row: EvalRow = { task: 'ä', repeat: 0, arm: 'local', solved: true, outcome: 'resolved', usdMicros: 5, seconds: 1, joules: null, escalations: 0, jobId: null }

it('goes on with whole rows, of which none is written anew', async () => {
  const kept = await Kept.make(place.root, { request: EvalRequest.parse({ folder: '/t', arms: ['local'] }), jobs: null })
  await kept.add(row)
  const file = join(place.root, 'evals', kept.id, 'rows.ndjson')
  const [text, { ino, mtimeNs }] = [readFileSync(file, 'utf8'), statSync(file, { bigint: true })]
  assert.deepEqual((await Kept.open(place.root, kept.id)).rows, [row])
  assert.deepEqual([statSync(file, { bigint: true }).ino, statSync(file, { bigint: true }).mtimeNs], [ino, mtimeNs])
  appendFileSync(file, '{"task":"ä","rep')
  assert.deepEqual((await Kept.open(place.root, kept.id)).rows, [row])
  assert.equal(readFileSync(file, 'utf8'), text)
  rmSync(file)
  assert.deepEqual((await Kept.open(place.root, kept.id)).rows, [])
  mkdirSync(file)
  await assert.rejects(Kept.open(place.root, kept.id), (error: unknown) => error instanceof FaultError && error.fault.message === `${file} cannot be used: it is a folder.`)
})
