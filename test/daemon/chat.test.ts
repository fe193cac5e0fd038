// A chat over a real daemon with the real loop and sandbox: turns, words in between, interruptions, approvals, forks, undo, kills.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import type { ScriptInput } from '@hearth/engine'
import { FaultError } from '@hearth/protocol'
import type { Job, JobEvent, JobRequestInput, SubmitReply } from '@hearth/protocol'
import { DaemonProcess, makePlace, real, type Place } from './process.ts'

const call = (name: string, args: Record<string, unknown>): { calls: { name: string; arguments: Record<string, unknown> }[] } => ({ calls: [{ name, arguments: args }] })
const finish = (answer: string): ReturnType<typeof call> => call('finish', { answer })

let place: Place
let daemon: DaemonProcess
beforeEach(async () => {
  place = makePlace()
  mkdirSync(place.home, { recursive: true })
  writeFileSync(join(place.home, 'config.json'), JSON.stringify({ sandbox: { limits: 'weak' } }))
  daemon = await DaemonProcess.start(place, real)
})
afterEach(async () => {
  daemon.child.kill('SIGKILL')
  await daemon.exited
  place.clear()
})

async function restart(): Promise<void> {
  daemon.child.kill('SIGKILL')
  await daemon.exited
  daemon = await DaemonProcess.start(place, real)
}

function script(turns: ScriptInput['turns'], more: Partial<ScriptInput> = {}): string {
  const file = join(place.root, `script-${Math.random().toString(36).slice(2)}.json`)
  writeFileSync(file, JSON.stringify({ version: 1, turns, ...more }))
  return `scripted:${file}`
}

async function chat(model: string, request: Partial<JobRequestInput> = {}): Promise<string> {
  return (await daemon.submit({ prompt: 'first words', cwd: place.work(), kind: 'chat', model, ...request })).job.id
}

/** Reads the stream until an event that fits, and gives back all up to it. */
async function until(id: string, fits: (event: JobEvent) => boolean, after = 0): Promise<JobEvent[]> {
  const events: JobEvent[] = []
  for await (const event of daemon.events(id, after)) {
    events.push(event)
    if (fits(event)) return events
  }
  throw new Error(`the stream of ${id} ended without it: ${events.map(({ type }) => type).join(' ')}`)
}

const waits = (event: JobEvent): boolean => event.type === 'suspended' && event.state !== undefined
const post = (id: string, verb: string, body: unknown = {}): Promise<Job> => daemon.client.call<Job>('POST', `/api/jobs/${id}/${verb}`, body)
const lastSeq = async (id: string): Promise<number> => (await daemon.job(id)).lastSeq

async function say(id: string, text: string): Promise<JobEvent[]> {
  const after = await lastSeq(id)
  await post(id, 'say', { text })
  return until(id, waits, after)
}

async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work
  } catch (error) {
    if (error instanceof FaultError) return error.fault.message
    throw error
  }
  throw new Error('it was not refused')
}

async function gapless(id: string): Promise<JobEvent[]> {
  const events: JobEvent[] = []
  for await (const event of daemon.events(id, 0, false)) events.push(event)
  assert.deepEqual(events.map(({ seq }) => seq), events.map((_, index) => index + 1))
  return events
}

describe('a chat', () => {
  it('waits after each turn, for words and for finish, and goes on with what is said', async () => {
    const id = await chat(script([
      { text: 'Hello. What shall I do?', expect: { contains: 'first words', lastRole: 'user' } },
      { ...call('write', { path: 'a.txt', content: 'one' }), expect: { contains: 'write one', lastRole: 'user' } },
      finish('a.txt says one'),
      { text: 'You are welcome.', expect: { contains: 'thanks', lastRole: 'user' } },
    ]))
    await until(id, waits)
    const paused = await daemon.job(id)
    assert.equal(paused.state, 'paused')
    assert.equal(paused.endedAt, null)
    const second = await say(id, 'write one')
    assert.equal(readFileSync(join(place.work(), 'a.txt'), 'utf8'), 'one')
    assert.ok(second.some((event) => event.type === 'tool_result' && event.name === 'finish' && event.ok))
    const third = await say(id, 'thanks')
    assert.ok(third.some((event) => event.type === 'turn' && event.text === 'You are welcome.'))
    await post(id, 'cancel')
    assert.equal((await daemon.job(id)).state, 'cancelled')
    const events = await gapless(id)
    assert.equal(events.filter(({ type }) => type === 'ended').length, 1)
    assert.match(await refusal(post(id, 'say', { text: 'more' })), /^Chat \w+ is over; 'hearth chat --fork \w+' goes on from it\.$/)
  })

  it('does not count as running, and a start after a kill leaves it waiting', async () => {
    const id = await chat(script([{ text: 'one' }, { text: 'two', expect: { contains: 'and then' } }]))
    await until(id, waits)
    await restart()
    assert.equal((await daemon.job(id)).state, 'paused')
    const status = await daemon.client.call<{ jobs: { running: number; queued: number } }>('GET', '/api/status')
    assert.deepEqual([status.jobs.running, status.jobs.queued], [0, 0])
    const events = await say(id, 'and then')
    assert.ok(events.some((event) => event.type === 'turn' && event.text === 'two'))
    await gapless(id)
  })

  it('hears at the next step what is said while it works, and answers words that came too late for that', async () => {
    const id = await chat(script([
      call('bash', { command: 'while [ ! -e go ]; do sleep 0.05; done' }),
      { text: 'I heard you.', expect: { contains: 'by the way', lastRole: 'user' } },
      { text: 'And this.', expect: { contains: 'one more', lastRole: 'user' }, delayMs: 1 },
    ]))
    await until(id, (event) => event.type === 'tool_started')
    await post(id, 'say', { text: 'by the way' })
    writeFileSync(join(place.work(), 'go'), '')
    await until(id, waits)
    assert.ok((await gapless(id)).some((event) => event.type === 'turn' && event.text === 'I heard you.'))
    assert.ok((await say(id, 'one more')).some((event) => event.type === 'turn' && event.text === 'And this.'))
  })

  it('words said at the same moment are all stored and all heard', async () => {
    const id = await chat(script([{ text: 'go on' }], { loop: true }))
    await until(id, waits)
    const words = Array.from({ length: 8 }, (_, index) => `words ${index}`)
    await Promise.all(words.map((text) => post(id, 'say', { text })))
    let events = await gapless(id)
    while (!waits(events.at(-1) as JobEvent)) events = [...events, ...await until(id, waits, events.length)]
    const said = events.flatMap((event) => (event.type === 'said' ? [event.text] : []))
    assert.deepEqual(said.toSorted(), words)
    // After the last words there is an answer.
    const last = events.findLastIndex(({ type }) => type === 'said')
    assert.ok(events.slice(last).some(({ type }) => type === 'turn'), events.slice(last).map(({ type }) => type).join(' '))
    assert.equal((await daemon.job(id)).state, 'paused')
  })

  it('an interruption keeps what was said, tells the model, and waits', async () => {
    const id = await chat(script([
      { text: 'A long story begins', hang: true },
      { text: 'I stopped.', expect: { contains: 'something else' } },
    ]))
    await until(id, (event) => event.type === 'text')
    await post(id, 'interrupt')
    const events = await until(id, waits)
    const turn = events.find((event) => event.type === 'turn')
    assert.deepEqual([turn?.text, turn?.stop], ['A long story begins', 'cancelled'])
    assert.equal(events.find((event) => event.type === 'nudge')?.text, 'You were interrupted by the person here. What they say next comes first.')
    assert.equal((await daemon.job(id)).state, 'paused')
    assert.ok((await say(id, 'something else')).some((event) => event.type === 'turn' && event.text === 'I stopped.'))
    await post(id, 'interrupt')
    assert.equal((await daemon.job(id)).state, 'paused')
  })

  it('an interruption of a command kills it and answers the calls behind it', async () => {
    const id = await chat(script([
      { calls: [{ name: 'bash', arguments: { command: 'touch begun; sleep 60' } }, { name: 'bash', arguments: { command: 'touch never' } }] },
      { text: 'Yes?', expect: { contains: 'hello' } },
    ]))
    await until(id, (event) => event.type === 'tool_started')
    while (!existsSync(join(place.work(), 'begun'))) await new Promise((resolve) => setTimeout(resolve, 20))
    await post(id, 'interrupt')
    const events = await until(id, waits)
    assert.deepEqual(events.flatMap((event) => (event.type === 'tool_result' ? [event.cause] : [])), ['cancelled', 'cancelled'])
    assert.equal(existsSync(join(place.work(), 'never')), false)
    assert.ok((await say(id, 'hello')).some((event) => event.type === 'turn' && event.text === 'Yes?'))
  })

  it('a model that fails ends the turn, not the chat', async () => {
    const model = script([{ text: 'half', fault: { code: 'disk_low', detail: { path: '/x', freeBytes: 1, neededBytes: 2 } } }])
    const id = await chat(model)
    const events = await until(id, waits)
    const failed = events.find((event) => event.type === 'turn_failed')
    assert.equal(failed?.fault.code, 'disk_low')
    assert.match(events.find((event) => event.type === 'suspended')?.reason ?? '', /free/)
    writeFileSync(model.slice('scripted:'.length), JSON.stringify({ version: 1, turns: [{ text: 'There.', expect: { contains: 'again' } }] }))
    assert.ok((await say(id, 'again')).some((event) => event.type === 'turn' && event.text === 'There.'))
  })

  it('a killed daemon goes on with a turn that was under way', async () => {
    const id = await chat(script([call('bash', { command: 'echo x >> log; sleep 0.5' }), call('bash', { command: 'echo y >> log' }), { text: 'Both done.' }]))
    await until(id, (event) => event.type === 'tool_result' && event.name === 'bash')
    await restart()
    await until(id, waits)
    assert.equal((await daemon.job(id)).state, 'paused')
    assert.ok((await gapless(id)).some((event) => event.type === 'turn' && event.text === 'Both done.'))
    assert.equal(readFileSync(join(place.work(), 'log'), 'utf8').split('x').length, 2)
  })

  it('killed at any moment, it has every word that was acknowledged, once, and answers it', async () => {
    const id = await chat(script([{ text: 'yes' }], { loop: true }))
    await until(id, waits)
    const acknowledged: string[] = []
    for (let round = 0; round < 5; round += 1) {
      const words = `words ${round}`
      const answered = post(id, 'say', { text: words }).then(() => acknowledged.push(words), () => undefined)
      await Promise.race([answered, new Promise((resolve) => setTimeout(resolve, Math.random() * 30))])
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 60))
      await restart()
      await answered
      while ((await daemon.job(id)).state !== 'paused') await new Promise((resolve) => setTimeout(resolve, 20))
    }
    const events = await gapless(id)
    const said = events.flatMap((event) => (event.type === 'said' ? [event.text] : []))
    assert.equal(new Set(said).size, said.length)
    for (const words of acknowledged) {
      assert.ok(said.includes(words), `${words} is gone`)
      const at = events.findIndex((event) => event.type === 'said' && event.text === words)
      assert.ok(events.slice(at).some(({ type }) => type === 'turn'), `${words} has no answer`)
    }
  })

  it('has no checks and works in the folder itself', async () => {
    const model = script([{ text: 'x' }])
    assert.match(await refusal(chat(model, { checks: ['true'] })), /checks.*a chat has none/)
    assert.match(await refusal(chat(model, { result: 'branch' })), /result.*a chat works in the folder itself/)
    const { job } = await daemon.submit({ prompt: 'p', cwd: place.work(), model: script([{ text: 'x', hang: true }]) })
    assert.match(await refusal(post(job.id, 'say', { text: 'hello' })), /is no chat/)
  })

  it('is shortened when somebody asks for it, and waits again', async () => {
    const long = 'x'.repeat(3000)
    const id = await chat(script([...Array.from({ length: 5 }, (_, index) => call('write', { path: `f${index}.txt`, content: `${index}${long}` })), { text: 'written' }]))
    await until(id, waits)
    const after = await lastSeq(id)
    await post(id, 'compact')
    const events = await until(id, waits, after)
    const rewritten = events.find((event) => event.type === 'rewritten')
    assert.deepEqual([rewritten?.reason, rewritten?.evidence], ['compaction', 'a person asked for it'])
    assert.equal(events.some(({ type }) => type === 'step'), false)
    assert.match(await refusal(Promise.all([post(id, 'compact'), post(id, 'compact')])), /is not over yet/)
  })

  it('an undo is told the model, and later work can be undone too', async () => {
    const id = await chat(script([
      call('write', { path: 'a.txt', content: 'one' }), { text: 'written' },
      { ...call('write', { path: 'b.txt', content: 'two' }), expect: { contains: 'now b' } }, { text: 'again' },
    ]))
    await until(id, waits)
    await post(id, 'undo', { toStep: 0, force: false })
    assert.equal(existsSync(join(place.work(), 'a.txt')), false)
    const events = await say(id, 'now b')
    assert.equal(events.some((event) => event.type === 'committed' && event.files === 1), true)
    assert.equal(readFileSync(join(place.work(), 'b.txt'), 'utf8'), 'two')
    await post(id, 'undo', { toStep: 0, force: false })
    assert.equal(existsSync(join(place.work(), 'b.txt')), false)
    const all = await gapless(id)
    assert.equal(all.filter((event) => event.type === 'nudge' && event.text.startsWith('The person put the folder back')).length, 2)
  })
})

describe('approvals', () => {
  const turns: ScriptInput['turns'] = [
    { calls: [{ name: 'read', arguments: { path: 'a.txt' } }, { name: 'bash', arguments: { command: 'echo hi > b.txt' } }] },
    { text: 'over' },
  ]
  const asked = (events: readonly JobEvent[]): Extract<JobEvent, { type: 'approval_asked' }> => {
    const event = events.find((one) => one.type === 'approval_asked')
    assert.ok(event !== undefined)
    return event
  }

  it('a call that writes waits for a yes, also over a kill; a call that reads does not', async () => {
    writeFileSync(join(place.work(), 'a.txt'), 'hello')
    const id = await chat(script(turns), { approve: 'writes' })
    const events = await until(id, waits)
    assert.ok(events.some((event) => event.type === 'tool_result' && event.name === 'read' && event.ok))
    assert.equal((await daemon.job(id)).state, 'waiting_approval')
    assert.match(asked(events).question, /^May bash be called\? \{"command":"echo hi > b.txt"\}$/)
    await restart()
    assert.equal((await daemon.job(id)).state, 'waiting_approval')
    assert.match(await refusal(post(id, 'say', { text: 'well' })), /waits for an approval/)
    assert.match(await refusal(post(id, 'approve', { callId: 'other', approved: true })), /does not wait with the call other/)
    const { callId } = asked(events)
    const after = await lastSeq(id)
    const both = await Promise.allSettled([post(id, 'approve', { callId, approved: true }), post(id, 'approve', { callId, approved: false })])
    assert.deepEqual(both.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
    const rest = await until(id, waits, after)
    assert.equal(rest.filter(({ type }) => type === 'approval_given').length, 1)
    assert.equal(existsSync(join(place.work(), 'b.txt')), true)
    assert.match(await refusal(post(id, 'approve', { callId, approved: true })), /does not wait for an approval/)
    await gapless(id)
  })

  it('a no is a result with the note', async () => {
    writeFileSync(join(place.work(), 'a.txt'), 'hello')
    const id = await chat(script([turns[0] as never, { text: 'fine', expect: { contains: 'not in this folder' } }]), { approve: 'writes' })
    const { callId } = asked(await until(id, waits))
    const after = await lastSeq(id)
    await post(id, 'approve', { callId, approved: false, note: 'not in this folder' })
    const rest = await until(id, waits, after)
    const denied = rest.find((event) => event.type === 'tool_result')
    assert.deepEqual([denied?.cause, denied?.ok, denied?.observation], ['denied', false, 'The person did not allow this call: not in this folder. It was not run. Do not try the same in another way.'])
    assert.equal(existsSync(join(place.work(), 'b.txt')), false)
    await post(id, 'cancel')
    assert.equal((await daemon.job(id)).state, 'cancelled')
  })
})

describe('a fork', () => {
  it('of a task that is over goes on as a chat with the same past', async () => {
    const model = script([call('write', { path: 'a.txt', content: 'one' }), finish('written'), { text: 'It says one.', expect: { contains: 'what does it say', lastRole: 'user' } }])
    const { job } = await daemon.submit({ prompt: 'write it', cwd: place.work(), model })
    await daemon.all(job.id)
    const { job: fork } = await daemon.client.call<SubmitReply>('POST', `/api/jobs/${job.id}/fork`, {})
    assert.equal(fork.state, 'paused')
    assert.ok((await say(fork.id, 'what does it say')).some((event) => event.type === 'turn' && event.text === 'It says one.'))
    await gapless(fork.id)
    assert.equal((await daemon.job(job.id)).state, 'done_unverified')
  })

  it('up to a step leaves the rest out, and begins with a turn that is whole', async () => {
    const model = script([
      call('write', { path: 'a.txt', content: 'one' }),
      { text: 'written' },
      { text: 'second', expect: { lacks: 'never mind' } },
    ])
    const id = await chat(model)
    await until(id, waits)
    await say(id, 'never mind')
    const { job: fork } = await daemon.client.call<SubmitReply>('POST', `/api/jobs/${id}/fork`, { step: 1 })
    const past = await gapless(fork.id)
    assert.deepEqual(past.filter(({ type }) => type === 'step').length, 1)
    assert.ok((await say(fork.id, 'another way')).some((event) => event.type === 'turn' && event.text === 'written'))
  })
})
