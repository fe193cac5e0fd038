// The disk of the state folder is full while jobs work: the real daemon, agent and sandbox on a little file system of their own.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { exitOf, FaultError, httpOf, isEnded, type Fault, type DoctorReport, type Job, type JobEvent } from '@hearth/protocol'
import { makePlace, numbers, upTo, type Place } from './process.ts'
import { startOnSmallDisk, until, type SmallDisk } from './small-disk.ts'

const config = JSON.stringify({ sandbox: { limits: 'weak' }, storage: { refuseBelowBytes: 0 } })
const calls = 4

/** A model that calls a noisy program again and again; the first call waits for the file `go`. */
function noisy(place: Place): string {
  const script = join(place.root, 'noisy.json')
  const call = (command: string): object => ({ calls: [{ name: 'bash', arguments: { command } }] })
  writeFileSync(script, JSON.stringify({
    version: 1,
    turns: [
      call('echo 0 >> log; while ! test -f go; do sleep 0.05; done'),
      ...Array.from({ length: calls }, (_, index) => call(`echo ${index + 1} >> log; head -c 200000 /dev/urandom | base64`)),
      { calls: [{ name: 'finish', arguments: { answer: 'done' } }] },
    ],
  }))
  return `scripted:${script}`
}

const jobOf = ({ client }: SmallDisk, id: string): Promise<Job> => client.call<Job>('GET', `/api/jobs/${id}`)
const eventsOf = ({ client }: SmallDisk, id: string): Promise<JobEvent[]> => Array.fromAsync(client.stream<JobEvent>('GET', `/api/jobs/${id}/events`))
const give = async ({ client }: SmallDisk, place: Place, name: string): Promise<{ id: string; cwd: string }> => {
  const cwd = place.work(name)
  return { id: (await client.call<{ job: Job }>('POST', '/api/jobs', { prompt: 'make noise', cwd, model: noisy(place), checks: ['test -f go'] })).job.id, cwd }
}
const refusal = async (work: Promise<unknown>): Promise<Fault> => work.then(() => assert.fail('it was taken'), (error: unknown) => (error instanceof FaultError ? error.fault : assert.fail(String(error))))
const sentence = (place: Place): RegExp => new RegExp(`^The disk of the state folder ${place.home}/state is full\\. Free 8\\.0 MiB there; suspended jobs go on by themselves\\.$`)

test('a job is suspended, says what to do, and goes on by itself; all else answers; nothing that was seen is taken back', async (t) => {
  const place = makePlace()
  t.after(() => place.clear())
  writeFileSync(join(place.root, 'config.json'), config)
  const disk = await startOnSmallDisk(place, 32)
  t.after(() => disk.daemon.kill('SIGKILL'))
  const { client } = disk
  await until('the reserve is there', () => Promise.resolve(disk.inside(`stat -c %s ${place.home}/state/hearth.reserve`).trim() === String(4 * 2 ** 20)))
  const [works, other] = [await give(disk, place, 'works'), await give(disk, place, 'other')]
  const seen: JobEvent[] = []
  const watching = (async () => {
    for await (const event of client.stream<JobEvent>('GET', `/api/jobs/${works.id}/events?follow=1`)) seen.push(event)
  })()
  for (const { id } of [works, other]) await until('its first call runs', async () => (await eventsOf(disk, id)).some(({ type }) => type === 'tool_started'))
  disk.fill()
  for (const { cwd } of [works, other]) writeFileSync(join(cwd, 'go'), '')
  for (const { id } of [works, other]) await until('it is suspended', async () => (await jobOf(disk, id)).state === 'suspended')
  const suspended = (await eventsOf(disk, works.id)).at(-1)
  assert.match(suspended?.type === 'suspended' ? suspended.reason : '', sentence(place))

  const refused = await refusal(give(disk, place, 'late'))
  assert.deepEqual([refused.code, exitOf(refused), httpOf(refused)], ['disk_full', 75, 507])
  assert.match(`${refused.message} ${refused.remedy}`, sentence(place))
  const { checks } = await client.call<DoctorReport>('GET', '/api/doctor')
  assert.equal(checks.find(({ name }) => name === 'database')?.detail, 'integrity_check: ok')
  await client.call('POST', `/api/jobs/${other.id}/cancel`)
  assert.equal((await jobOf(disk, other.id)).state, 'cancelled')
  assert.equal((await jobOf(disk, works.id)).state, 'suspended')

  disk.empty()
  const { state } = await until('it ends', async () => { const job = await jobOf(disk, works.id); return isEnded(job.state) && job })
  assert.equal(state, 'resolved')
  await watching
  const events = await eventsOf(disk, works.id)
  assert.deepEqual(seen, events)
  assert.deepEqual(numbers(events), upTo(events.length))
  assert.deepEqual(events.filter(({ type }) => type === 'tool_unknown' || type === 'turn_failed'), [])
  // Each call ran once.
  assert.deepEqual(readFileSync(join(works.cwd, 'log'), 'utf8').trim().split('\n').map(Number), Array.from({ length: calls + 1 }, (_, index) => index))
  assert.equal(disk.inside(`stat -c %s ${place.home}/state/hearth.reserve`).trim(), String(4 * 2 ** 20))
})

test('with the reserve used up too, what could not be written was never said, and the job still goes on', async (t) => {
  const place = makePlace()
  t.after(() => place.clear())
  writeFileSync(join(place.root, 'config.json'), config)
  const disk = await startOnSmallDisk(place, 32)
  t.after(() => disk.daemon.kill('SIGKILL'))
  await until('the reserve is there', () => Promise.resolve(disk.inside(`stat -c %s ${place.home}/state/hearth.reserve`).trim() === String(4 * 2 ** 20)))
  const { id, cwd } = await give(disk, place, 'works')
  await until('its first call runs', async () => (await eventsOf(disk, id)).some(({ type }) => type === 'tool_started'))
  disk.inside(`rm ${place.home}/state/hearth.reserve`)
  disk.fill()
  writeFileSync(join(cwd, 'go'), '')
  await until('the daemon has met it', () => Promise.resolve(disk.daemon.stderr.includes('the disk of the state folder is full')))
  assert.equal((await refusal(give(disk, place, 'late'))).code, 'disk_full')
  const before = await eventsOf(disk, id)
  assert.ok(!isEnded((await jobOf(disk, id)).state))
  disk.empty()
  assert.equal((await until('it ends', async () => { const job = await jobOf(disk, id); return isEnded(job.state) && job })).state, 'resolved')
  const events = await eventsOf(disk, id)
  assert.deepEqual(events.slice(0, before.length), before)
  assert.deepEqual(numbers(events), upTo(events.length))
  // What ran and could not be written down is not run again.
  const ran = readFileSync(join(cwd, 'log'), 'utf8').trim().split('\n').map(Number)
  assert.deepEqual(ran, [...new Set(ran)])
  const { checks } = await disk.client.call<DoctorReport>('GET', '/api/doctor')
  assert.equal(checks.find(({ name }) => name === 'database')?.detail, 'integrity_check: ok')
})

test('a full disk of the folder is told to the model, leaves the old file whole and harms nothing else', async (t) => {
  const place = makePlace()
  t.after(() => place.clear())
  writeFileSync(join(place.root, 'config.json'), config)
  const folder = place.work('little')
  const disk = await startOnSmallDisk(place, 32, { [folder]: 1 })
  t.after(() => disk.daemon.kill('SIGKILL'))
  const script = join(place.root, 'writes.json')
  const call = (name: string, args: object): object => ({ calls: [{ name, arguments: args }] })
  writeFileSync(script, JSON.stringify({
    version: 1,
    turns: [call('write', { path: 'f', content: 'old\n' }), call('bash', { command: 'head -c 2000000 /dev/zero > g' }), call('write', { path: 'f', content: 'new\n' }), call('bash', { command: 'rm g; cat f' }), call('finish', { answer: 'done' })],
  }))
  const { job: { id } } = await disk.client.call<{ job: Job }>('POST', '/api/jobs', { prompt: 'write', cwd: folder, model: `scripted:${script}`, checks: ['grep -qx old f'] })
  const { state } = await until('it ends', async () => { const job = await jobOf(disk, id); return isEnded(job.state) && job })
  const events = await eventsOf(disk, id)
  const said = events.flatMap((event) => (event.type === 'tool_result' && event.name !== 'finish' ? [event.observation] : []))
  assert.equal(state, 'resolved', said.join('\n'))
  assert.match(said[1] ?? '', /No space left on device/)
  assert.equal(said[2], 'f was not written: No space left on device')
  assert.equal(said[3], 'old\n')
  assert.equal(disk.inside(`ls -A ${folder}`), 'f\n')
  const { checks } = await disk.client.call<DoctorReport>('GET', '/api/doctor')
  assert.equal(checks.find(({ name }) => name === 'database')?.detail, 'integrity_check: ok')
})
