// Measuring this very machine through the real daemon: real worker, real file, real socket; and what a load then gets.
import assert from 'node:assert/strict'
import { linkSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { BoxProfile, ProfileReply, type Fault, type MeasuredPoint, type ModelList, type ModelProfile, type StatusReply, type TuneEvent, type TuneRequestInput } from '@hearth/protocol'
import { threadCounts } from '../../packages/engine/src/profile/plan.ts'
import { cores } from '../../packages/engine/src/profile/identity.ts'
import { starterPath } from '../fixtures/starter.ts'
import { daemonsOfThisFile, real, type DaemonProcess, type Place } from './process.ts'

const { place, start } = daemonsOfThisFile()

function configure(here: Place, engine: object): void {
  writeFileSync(join(here.home, 'config.json'), JSON.stringify({ engine: { backend: 'cpu', contextTokens: 512, sequences: 2, goldenCheck: 'off', ...engine } }))
}

/** A daemon with the starter model installed. */
async function withStarter(here: Place): Promise<DaemonProcess> {
  const daemon = await start(here, real)
  const path = join(here.root, 'starter.gguf')
  linkSync(starterPath(), path)
  await daemon.client.call('POST', '/api/models/import', { path, id: 'starter' })
  return daemon
}

const tuning = (daemon: DaemonProcess, request: TuneRequestInput, signal?: AbortSignal): AsyncGenerator<TuneEvent> => daemon.client.stream<TuneEvent>('POST', '/api/tune', request, signal)
const stored = async (daemon: DaemonProcess): Promise<ProfileReply> => ProfileReply.parse(await daemon.client.call('GET', '/api/tune'))
const faultOf = (error: unknown): Fault => (error as { fault: Fault }).fault

/** Loads the model by asking it one token, and tells with how many threads it then runs. */
async function threadsOfNextLoad(daemon: DaemonProcess): Promise<number | null | undefined> {
  await daemon.client.call('POST', '/v1/chat/completions', { model: 'starter', messages: [{ role: 'user', content: 'Say hello.' }], max_tokens: 1 })
  const { workers } = await daemon.client.call<StatusReply>('GET', '/api/status')
  assert.deepEqual(workers.map((worker) => worker.state), ['ready'])
  return workers[0]?.threads
}

/** The rule by other words than the program's: the smallest count, unless a larger one is faster by more than the noise of both. */
function expectedThreads(points: readonly MeasuredPoint[]): number | undefined {
  const rows = points.map((point) => {
    const [read, write] = [point.prefillTokensPerSecond ?? assert.fail(), point.decodeTokensPerSecond ?? assert.fail()]
    const range = Math.max(...[read, write].map(({ min, median, max }) => (max - min) / median / 2))
    return { threads: point.threads, seconds: 512 / read.median + 128 / write.median, noise: Math.max(0.03, range, point.samples === 1 ? 0.15 : point.samples === 2 ? 0.08 : 0) }
  }).toSorted((a, b) => a.threads - b.threads)
  return rows.slice(1).reduce((best, row) => (best !== undefined && best.seconds / row.seconds > 1 + Math.max(best.noise, row.noise) ? row : best), rows[0])?.threads
}

test('this machine is measured with each number of threads, and the next load gets the one that won', async () => {
  const here = place()
  configure(here, {})
  const daemon = await withStarter(here)
  // A model that is loaded must leave: nothing else may be computed meanwhile.
  const before = await threadsOfNextLoad(daemon)
  assert.ok(before !== null && before !== undefined)
  const events = await Array.fromAsync(tuning(daemon, { effort: 'quick', minutes: 0.35 }))
  const end = events.at(-1)
  assert.deepEqual(end, { type: 'done', models: ['starter'] }, JSON.stringify(end))
  const measured = events.find((event) => event.type === 'measured')
  assert.ok(measured !== undefined)
  const { points, choices, library, machine } = measured.profile
  const threads = points.filter((point) => point.run === 'threads')
  const { physical, logical } = cores()
  // On a busy machine the time may be over before each count had its turn; then the profile says so.
  const leftOut = measured.profile.skipped.flatMap(({ what, why }) => (/^\d+ threads?,/.test(what) && why.includes(' are left') ? [Number.parseInt(what, 10)] : []))
  assert.deepEqual([...threads.map((point) => point.threads), ...leftOut].toSorted((a, b) => a - b), threadCounts(physical, logical))
  assert.ok(choices.threads !== null)
  assert.equal(choices.threads.value, expectedThreads(threads), JSON.stringify(threads))
  assert.match(library, /^node-llama-cpp \d+\.\d+\.\d+, llama\.cpp v\S+, (prebuilt|built here: .+)$/)
  assert.ok(machine.endsWith(`, ${availableParallelism()} threads`), machine)
  assert.ok(events.some((event) => event.type === 'step') && events.some((event) => event.type === 'sample'))
  assert.ok(measured.forecasts.length > 0 && measured.forecasts.every((one) => one.ms > 0))

  const kept = await stored(daemon)
  assert.deepEqual(kept.models.map(({ profile, current }) => [profile, current]), [[measured.profile, true]])
  assert.equal(await threadsOfNextLoad(daemon), choices.threads.value)
  const { models } = await daemon.client.call<ModelList>('GET', '/api/models')
  assert.deepEqual([models.find((model) => model.id === 'starter')?.speed?.estimated, models.filter((model) => !model.installed && model.speed !== undefined).length], [false, 0])

  // The other count, written by hand: what is stored is what is used, whatever was right. Then the configuration, which wins over it.
  const file = join(here.home, 'state/profile.json')
  const other = choices.threads.value === 1 ? 2 : 1
  assert.equal(await daemon.kill('SIGTERM'), 0)
  const box = BoxProfile.parse(JSON.parse(readFileSync(file, 'utf8')))
  const changed: BoxProfile = { ...box, models: box.models.map((one): ModelProfile => ({ ...one, choices: { ...one.choices, threads: { value: other, why: 'by hand' } } })) }
  writeFileSync(file, JSON.stringify(changed))
  const second = await start(here, real)
  assert.equal(await threadsOfNextLoad(second), other)
  await second.kill('SIGTERM')
  configure(here, { threads: 1 })
  const third = await start(here, real)
  assert.equal(await threadsOfNextLoad(third), 1)

  // Leaving half-way keeps what was stored, and lets everybody in again.
  const leaving = new AbortController()
  for await (const event of tuning(third, { effort: 'quick', minutes: 5 }, leaving.signal)) {
    if (event.type === 'step') leaving.abort()
  }
  assert.equal(await threadsOfNextLoad(third), 1)
  assert.deepEqual((await stored(third)).models.map(({ profile }) => profile), changed.models)
  await third.kill('SIGTERM')

  // A profile of another machine, and one that is damaged: neither is used, both are said.
  writeFileSync(file, JSON.stringify({ ...changed, models: changed.models.map((one) => ({ ...one, machine: 'another CPU, 64 threads' })) }))
  configure(here, {})
  const fourth = await start(here, real)
  assert.equal(await threadsOfNextLoad(fourth), before)
  assert.deepEqual((await stored(fourth)).models.map(({ current }) => current), [false])
  assert.ok(fourth.stderr.includes(`the profile of 'starter' is not used: it was measured on another CPU, 64 threads, this is ${machine}; 'hearth tune starter' measures it again`), fourth.stderr)
  await fourth.kill('SIGTERM')
  writeFileSync(file, '{"version": 1, "mod')
  const fifth = await start(here, real)
  assert.deepEqual((await stored(fifth)).models, [])
  assert.equal(await threadsOfNextLoad(fifth), before)
  assert.match(fifth.stderr, /the box profile \S+\/state\/profile\.json is damaged \(.+\): nothing of it is used; 'hearth tune' writes a new one/)
})

test('nothing is measured beside a job; whoever waits for it is told, and begins when it is over', async () => {
  const here = place()
  configure(here, {})
  const daemon = await withStarter(here)
  writeFileSync(join(here.root, 'slow.json'), JSON.stringify({ version: 1, turns: [{ calls: [{ name: 'bash', arguments: { command: 'sleep 60' } }] }] }))
  const { job } = await daemon.submit({ prompt: 'wait', cwd: here.work(), model: `scripted:${here.root}/slow.json` })
  await daemon.until(job.id, 'tool_started')
  const refused = await Array.fromAsync(tuning(daemon, {})).then(() => null, faultOf)
  assert.deepEqual([refused?.code, refused?.message, refused?.remedy], [
    'cannot_tune', 'This box cannot be measured now: a job runs or waits.', "Try again when it is done, or let 'hearth tune --wait' wait for it."])
  const leaving = new AbortController()
  const seen: TuneEvent[] = []
  for await (const event of tuning(daemon, { wait: true }, leaving.signal)) {
    seen.push(event)
    if (event.type === 'waiting') await daemon.client.call('POST', `/api/jobs/${job.id}/cancel`)
    if (event.type === 'model') leaving.abort()
  }
  assert.deepEqual(seen.slice(0, 2), [{ type: 'waiting', text: 'a job runs or waits' }, { type: 'model', model: 'starter', seconds: 600 }])
  assert.deepEqual((await stored(daemon)).models, [])
})

test('a model that is not here, one measuring at a time, and requests that make no sense', async () => {
  const here = place()
  configure(here, {})
  const daemon = await withStarter(here)
  const [unknown] = await Array.fromAsync(tuning(daemon, { models: ['starter', 'nothing'] }))
  assert.ok(unknown?.type === 'failed' && unknown.fault.code === 'unknown_model')
  for (const request of [{ minutes: 0 }, { effort: 'some' }, { models: 'starter' }, { threads: 2 }]) {
    assert.equal((await daemon.client.call('POST', '/api/tune', request).then(() => null, faultOf))?.code, 'bad_request', JSON.stringify(request))
  }
  const leaving = new AbortController()
  for await (const event of tuning(daemon, {}, leaving.signal)) {
    if (event.type !== 'model') continue
    const second = await Array.fromAsync(tuning(daemon, {}))
    assert.deepEqual(second.map((one) => (one.type === 'failed' ? one.fault.message : one.type)), ['This box cannot be measured now: it is being measured already.'])
    leaving.abort()
  }
})
