// Jobs of one folder at the same time, over a real daemon with the real loop and sandbox: who works in a copy runs beside the others, who works in the folder itself has it alone.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { JobResult } from '@hearth/protocol'
import { daemonsOfThisFile, real } from './process.ts'

const { place, start } = daemonsOfThisFile()
const hangs = [{ text: 'thinking', hang: true }]
const writes = (text: string): unknown[] => [
  { calls: [{ name: 'write', arguments: { path: 'a.txt', content: text } }] }, { calls: [{ name: 'finish', arguments: { answer: text } }] },
]

test('two in copies of one folder overlap, one in place runs beside them, a second in place waits for the first', async () => {
  const here = place()
  writeFileSync(join(here.home, 'config.json'), JSON.stringify({ sandbox: { limits: 'weak' }, jobs: { running: 4 } }))
  const cwd = here.work()
  writeFileSync(join(cwd, 'a.txt'), 'first')
  const daemon = await start(here, real)
  let scripts = 0
  const submit = async (turns: unknown[], result: JobResult): Promise<string> => {
    scripts += 1
    const file = join(here.root, `${scripts}.json`)
    writeFileSync(file, JSON.stringify({ version: 1, turns }))
    return (await daemon.submit({ prompt: 'p', cwd, model: `scripted:${file}`, result })).job.id
  }
  const states = (...ids: string[]): Promise<string[]> => Promise.all(ids.map(async (id) => (await daemon.job(id)).state))

  const slow = await submit(hangs, 'diff')
  await daemon.until(slow, 'step')
  const other = await submit(writes('second'), 'diff')
  assert.equal((await daemon.all(other)).find((event) => event.type === 'queued'), undefined)
  assert.deepEqual(await states(slow, other), ['running', 'done_unverified'])

  const inPlace = await submit(hangs, 'in_place')
  await daemon.until(inPlace, 'step')
  const second = await submit(writes('third'), 'in_place')
  const queued = await daemon.until(second, 'queued')
  assert.ok(queued.type === 'queued')
  assert.deepEqual([queued.position, queued.reason], [1, `job ${inPlace} works in the same folder`])
  const copyBehind = await submit(writes('fourth'), 'diff')
  assert.equal((await daemon.until(copyBehind, 'queued')).type, 'queued')
  assert.deepEqual(await states(slow, inPlace, second, copyBehind), ['running', 'running', 'queued', 'queued'])

  await daemon.client.call('POST', `/api/jobs/${inPlace}/cancel`)
  await daemon.all(second)
  await daemon.all(copyBehind)
  assert.deepEqual(await states(slow, inPlace, second, copyBehind), ['running', 'cancelled', 'done_unverified', 'done_unverified'])
  // Its copy was made of what the job before it left.
  const patch = Buffer.concat(await Array.fromAsync(daemon.client.bytes('GET', `/api/jobs/${copyBehind}/diff`))).toString()
  assert.match(patch, /\n-third\n/)

  // A job that has its copy needs the folder no more, also after a restart.
  const again = await submit(hangs, 'in_place')
  await daemon.until(again, 'step')
  const before = await Promise.all([slow, again].map(async (id) => ({ id, seq: (await daemon.job(id)).lastSeq })))
  await daemon.kill('SIGKILL')
  const next = await start(here, real)
  for (const { id, seq } of before) await next.until(id, 'started', seq)
  assert.deepEqual(await Promise.all([slow, again].map(async (id) => (await next.job(id)).state)), ['running', 'running'])
  for (const id of [slow, again]) await next.client.call('POST', `/api/jobs/${id}/cancel`)
})
