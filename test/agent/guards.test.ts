// The guards over made-up events, the ladder that follows them, and both in real jobs: nudge, a fresh start from the last good state, several tries.
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fingerprint, watch } from '@hearth/agent/guards'
import { rungFor } from '@hearth/agent/ladder'
import type { EventOf, Fault, JobEventBody, Model, ModelRequest, Workspace } from '@hearth/protocol'
import { ofType, Workbench } from './workbench.ts'

const usage = { promptTokens: 10, reusedTokens: 0, completionTokens: 5 }
const timings = { queuedMs: 0, prefillMs: 1, decodeMs: 1, ttftMs: 1, totalMs: 2 }
let ids = 0

type Did = { name?: string; args?: string; ok?: boolean; cause?: string; text?: string; wrote?: boolean }

/** The events of one turn with one call. */
function turn({ name = 'bash', args = `${ids}`, ok = true, cause = 'exited', text = '', wrote = name !== 'read' }: Did = {}): JobEventBody[] {
  const callId = `c${ids++}`
  const call = { id: callId, name, arguments: { command: args } }
  return [
    { type: 'turn', step: 1, model: 'm', text: '', toolCalls: [call], stop: 'tool_calls', usage, timings },
    ...(cause === 'refused' ? [] : [{ type: 'tool_planned', step: 1, call, argsHash: args, idempotency: 'unsafe', before: null } as const]),
    { type: 'tool_result', step: 1, callId, name, ok, exitCode: ok ? 0 : 1, cause, observation: text, totalBytes: text.length, outputFile: null, durationMs: 1, wrote },
  ]
}
const turns = (...all: Did[]): JobEventBody[] => all.flatMap(turn)
const check = (passed: boolean, output = '', when: 'final' | 'after_edit' = 'after_edit'): JobEventBody =>
  ({ type: 'check', step: 1, command: 'make', when, passed, exitCode: passed ? 0 : 1, cause: 'exited', output, durationMs: 1 })
const kept: JobEventBody = { type: 'workspace', kind: 'in_place', path: '/w', base: 'b0', detail: '' }
const commit = (name: string): EventOf<'committed'> => ({ type: 'committed', step: 1, commit: name, files: 1, added: 1, removed: 0 })
const guard = (name: string, action: 'nudge' | 'replan' | 'sample'): JobEventBody => ({ type: 'guard', step: 1, guard: name, action, evidence: '' })

describe('a guard', () => {
  const boom = 'Traceback\n  File "/work/a.py", line 12, in f\nValueError: bad 0x7f01 after 1.25 s'
  const cases: [string, JobEventBody[], string | null][] = [
    ['nothing', turns({}, {}, {}), null],
    ['the same call three times', turns({ args: 'x' }, { args: 'y' }, { args: 'x' }, { args: 'x' }), 'repeat'],
    ['the same call twice', turns({ args: 'x' }, { args: 'x' }), null],
    ['a poller that asks again', turns(...Array.from({ length: 8 }, () => ({ name: 'process', args: 'x' }))), null],
    ['eight turns of waiting for a process, where states are kept', [kept, ...turns({ args: 'begin' }, ...Array.from({ length: 12 }, () => ({ name: 'process', args: 'x' })))], null],
    ['the same tests after each edit', turns(...Array.from({ length: 8 }, (_, i) => (i % 2 === 0 ? { name: 'edit', args: `e${i}` } : { args: 'npm test' }))), null],
    ['the same tests after each edit, where states are kept', [kept, ...Array.from({ length: 4 }, (_, i) => [...turns({ name: 'edit', args: `e${i}` }), commit(`c${i}`), ...turns({ args: 'npm test' })]).flat()], null],
    ['the same tests after edits that changed nothing', [kept, ...Array.from({ length: 3 }, (_, i) => turns({ name: 'edit', args: `e${i}` }, { args: 'npm test' })).flat()], 'repeat'],
    ['the same change three times', turns({ name: 'write', args: 'w' }, { name: 'write', args: 'w' }, { name: 'write', args: 'w' }), 'repeat'],
    ['three searches that found nothing', turns(...['grep a', 'grep b', 'grep c'].map((args) => ({ args, ok: false, text: '(exit 1)' }))), null],
    ['one failing test less after each edit', turns(...[3, 2, 1].flatMap((fail) => [{ name: 'edit' }, { ok: false, text: `# tests 9\n# suites 0\n# pass ${9 - fail}\n# fail ${fail}\n# cancelled 0\n# skipped 0\n# duration_ms 5${fail}.1\n(exit 1)` }])), null],
    ['two calls in turn, three times', turns(...Array.from({ length: 6 }, (_, i) => ({ name: 'read', args: i % 2 === 0 ? 'a' : 'b' }))), 'ping_pong'],
    ['two calls in turn, not yet three times', turns(...Array.from({ length: 5 }, (_, i) => ({ name: 'read', args: i % 2 === 0 ? 'a' : 'b' }))), null],
    ['the same error after three different commands', turns({ ok: false, text: boom }, { name: 'edit' }, { ok: false, text: boom.replace('12', '14') }, { name: 'edit' }, { ok: false, text: boom.replace('1.25', '3.5').replace('7f01', '8a') }), 'same_error'],
    ['the same error, and then a success', turns({ ok: false, text: boom }, { ok: false, text: boom }, { ok: false, text: boom }, { text: 'ok' }), null],
    ['three different errors', turns({ ok: false, text: 'a is missing' }, { ok: false, text: 'b is missing' }, { ok: false, text: 'c is missing' }), null],
    ['a check that fails in the same way three times', [check(false, 'E: x'), ...turns({ name: 'edit' }), check(false, 'E: x'), ...turns({ name: 'edit' }), check(false, 'E: x')], 'same_error'],
    ['three refused calls', turns({ cause: 'refused', ok: false, text: 'no' }, { cause: 'refused', ok: false }, { cause: 'refused', ok: false, text: 'there is no tool x' }), 'refused'],
    ['fifteen turns that change nothing', [kept, ...turns(...Array.from({ length: 15 }, () => ({ name: 'read' })))], 'no_progress'],
    ['fourteen turns that change nothing', [kept, ...turns(...Array.from({ length: 14 }, () => ({ name: 'read' })))], null],
    ['forty different looks, of which the fifteenth was remarked upon', [kept, ...turns(...Array.from({ length: 15 }, () => ({ name: 'read' }))), guard('no_progress', 'nudge'), ...turns(...Array.from({ length: 25 }, () => ({ name: 'read' })))], null],
    ['thirty looks more after that', [kept, ...turns({ name: 'read' }), guard('no_progress', 'nudge'), ...turns(...Array.from({ length: 30 }, () => ({ name: 'read' })))], 'no_progress'],
    ['fifteen commands, one of which changed a file', [kept, ...turns(...Array.from({ length: 8 }, () => ({}))), commit('c1'), ...turns(...Array.from({ length: 7 }, () => ({})))], null],
    ['what came before a fresh start', [...turns({ args: 'x' }, { args: 'x' }), rewritten('replan'), ...turns({ args: 'x' })], null],
  ]
  for (const [name, events, expected] of cases) it(`on ${name}: ${expected ?? 'nothing'}`, () => { assert.equal(watch(events)?.guard ?? null, expected) })

  it('sees eight turns that look at the same three things again', () => {
    const looks = Array.from({ length: 11 }, (_, i) => ({ name: 'read', args: `file ${(i * i + i) % 5 % 3}` }))
    const events = [kept, ...turns(...looks)]
    assert.ok(['no_progress', 'repeat', 'ping_pong'].includes(watch(events)?.guard ?? ''))
  })

  it('tells failures apart by words, not by numbers, addresses, times and paths', () => {
    const print = (text: string): string | null => fingerprint(turn({ ok: false, text })[2] as JobEventBody)
    assert.equal(print('/a/b.py:12: error 0xff in 1.2 s\n(exit 1)'), print('/c/d.py:99: error 0x1 in 7 s\n(exit 2)'))
    assert.notEqual(print('name x is not defined'), print('name y is not defined'))
  })
})

function rewritten(reason: 'replan' | 'compaction'): JobEventBody {
  return { type: 'rewritten', step: 1, reason, text: '', keptMessages: 0, droppedMessages: 1, beforeTokens: 10, afterTokens: 5, refillTokens: 1, refillMs: null, evidence: '' }
}

describe('the ladder', () => {
  const seen = { guard: 'repeat', evidence: 'e', nudge: 'n' } as const
  const all = { canSample: true, idle: true, stepsLeft: 30 }
  const anew = [guard('repeat', 'nudge'), guard('repeat', 'replan'), rewritten('replan'), guard('repeat', 'nudge')]
  const cases: [string, JobEventBody[], Parameters<typeof rungFor>[2], string][] = [
    ['begins with a nudge', [], all, 'nudge'],
    ['nudges for each guard once', [guard('same_error', 'nudge')], all, 'nudge'],
    ['begins anew after the nudge', [guard('repeat', 'nudge')], all, 'replan'],
    ['nudges again in the new history', [guard('repeat', 'nudge'), guard('repeat', 'replan'), rewritten('replan')], all, 'nudge'],
    ['tries several ways when the fresh start did not help', anew, all, 'sample'],
    ['but not when something waits for the model', anew, { ...all, idle: false }, 'stop'],
    ['nor when no check can tell them apart', anew, { ...all, canSample: false }, 'stop'],
    ['tries three at most', [...anew, guard('repeat', 'sample'), guard('repeat', 'sample'), guard('repeat', 'sample')], all, 'stop'],
    ['begins nothing with too few steps left', [guard('repeat', 'nudge')], { ...all, stepsLeft: 2 }, 'stop'],
  ]
  for (const [name, events, chances, action] of cases) it(name, () => { assert.equal(rungFor(events, seen, chances).action, action) })
  it('does not nudge where there is nothing to say', () => { assert.equal(rungFor([], { ...seen, nudge: '' }, all).action, 'replan') })
})

/** States in memory; what a daemon does with git. */
class Copies implements Workspace {
  readonly base = 'b0'
  readonly restored: string[] = []
  readonly #file: string
  readonly #states = new Map<string, string>()
  #count = 0

  constructor(file: string, first: string) {
    this.#file = file
    this.#states.set(this.base, first)
  }

  async keep(step: number): Promise<EventOf<'committed'> | null> {
    const text = await readFile(this.#file, 'utf8')
    if ([...this.#states.values()].at(-1) === text) return null
    const name = `c${++this.#count}`
    this.#states.set(name, text)
    return { type: 'committed', step, commit: name, files: 1, added: 1, removed: 1 }
  }

  async restore(commit: string): Promise<Fault | null> {
    this.restored.push(commit)
    await writeFile(this.#file, this.#states.get(commit) ?? '')
    return null
  }
}

type Act = { name: string; arguments: Record<string, unknown> }

/** A model whose answer depends on what it reads; `turn` counts all its answers. */
function thinking(answer: (request: ModelRequest, turn: number) => Act): Model {
  let count = 0
  return {
    info: { id: 'm', place: 'local', contextTokens: 32_768, profile: { toolMode: 'native', tools: null, fewShot: null, sampling: {}, maxCallTokens: 1000 } },
    async *generate(request) {
      await Promise.resolve()
      const act = answer(request, count)
      yield { type: 'tool_call', call: { id: `t${count++}`, ...act } }
      yield { type: 'done', stop: 'tool_calls', usage, timings }
    },
  }
}

const bash = (command: string): Act => ({ name: 'bash', arguments: { command } })
const edit = (content: string): Act => ({ name: 'write', arguments: { path: 'f', content } })
const anewIn = (request: ModelRequest): boolean => request.messages.some(({ text }) => text.startsWith('You were stuck'))

describe('a job that is stuck', () => {
  it('begins anew from the last state in which the check passed, is told why, and gets there', async () => {
    const bench = await Workbench.open({ f: 'old\n' })
    const states = new Copies(join(bench.workspace, 'f'), 'old\n')
    // Passes at first (good), is broken, and stays broken in the same way until the history begins anew.
    const script: Act[] = [edit('good\n'), edit('bad 1\n'), ...Array.from({ length: 8 }, (_, i) => edit(`bad ${i + 2}\n`))]
    const { end, events, requests } = await bench.run({
      model: thinking((request, count) => (anewIn(request) ? edit('good and new\n') : script[count] ?? bash('true'))), script: { turns: [] }, workspace: states,
      checks: ['grep -q good f'], maxSteps: 20,
    })
    await bench.close()
    assert.deepEqual(ofType(events, 'guard').map(({ guard: name, action }) => [name, action]), [['same_error', 'nudge'], ['same_error', 'replan'], ['repeat', 'nudge'], ['repeat', 'stop']])
    assert.deepEqual(states.restored, ['c1'])
    assert.equal(ofType(events, 'reverted')[0]?.commit, 'c1')
    const told = requests.find(anewIn)?.messages.at(-1)?.text ?? ''
    assert.match(told, /^You were stuck: the same error 3 times: .*\.\nThe files were put back to an earlier state; what you changed since then is gone\.\nFiles changed: f \(\d times\)/)
    // Work that a check accepts resolves the job, however it was stopped.
    assert.equal(end.type === 'ended' && end.outcome, 'resolved')
  })

  it('tells the price of beginning anew by the bytes that a token has in this conversation', async () => {
    const bench = await Workbench.open()
    const model = thinking((request) => (anewIn(request) ? { name: 'finish', arguments: { answer: 'x' } } : bash('seq 20000')))
    // Three bytes a token. The last result is long and stands in no prompt yet: it says nothing of that.
    const counting: Model = {
      info: model.info,
      async *generate(request, signal) {
        const bytes = request.messages.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0)
        for await (const event of model.generate(request, signal)) yield event.type === 'done' ? { ...event, usage: { ...usage, promptTokens: Math.ceil(bytes / 3) } } : event
      },
    }
    const { events } = await bench.run({ model: counting, script: { turns: [] }, maxSteps: 20 })
    await bench.close()
    const [anew] = ofType(events, 'rewritten')
    const bytesPerToken = Buffer.byteLength(anew?.text ?? '') / (anew?.refillTokens ?? NaN)
    assert.ok(Math.abs(bytesPerToken - 3) < 0.3, `${bytesPerToken} bytes a token`)
  })

  it('tries several ways from one state when nothing else waits, and the check picks', async () => {
    const bench = await Workbench.open({ f: 'start\n' })
    const states = new Copies(join(bench.workspace, 'f'), 'start\n')
    let starts = 0
    const { end, events } = await bench.run({
      model: thinking((request) => {
        const fresh = request.messages.at(-1)?.text.startsWith('You were stuck') === true
        if (fresh) starts += 1
        // The fresh start, the first try, and then the second one, which gets there.
        if (starts < 3) return bash('true')
        return fresh ? edit('right\n') : { name: 'finish', arguments: { answer: 'ok' } }
      }),
      script: { turns: [] }, workspace: states, idle: () => true, checks: ['grep -q right f'], maxSteps: 60,
    })
    await bench.close()
    const sampled = ofType(events, 'sampled')
    assert.equal(end.type === 'ended' && end.outcome, 'resolved')
    assert.equal(sampled.length, 1)
    assert.equal(sampled[0]?.chosen, 1)
    assert.deepEqual(sampled[0]?.candidates.map(({ passed }) => passed), [false, true])
    assert.ok(states.restored.every((name) => name === 'b0'), 'each try begins from the state before the job')
    assert.equal(new Set(sampled[0]?.candidates.map(({ seed }) => seed)).size, sampled[0]?.candidates.length)
  })

  it('ends after three tries when none passes, and says what came of them', async () => {
    const bench = await Workbench.open({ f: 'start\n' })
    const { end, events } = await bench.run({
      model: thinking(() => bash('true')), script: { turns: [] }, workspace: new Copies(join(bench.workspace, 'f'), 'start\n'), idle: () => true, checks: ['false'], maxSteps: 60,
    })
    await bench.close()
    assert.deepEqual(ofType(events, 'guard').map(({ action }) => action), ['nudge', 'replan', 'nudge', 'sample', 'sample', 'sample', 'stop'])
    assert.equal(ofType(events, 'sampled')[0]?.chosen, null)
    assert.equal(end.type === 'ended' && end.outcome, 'stuck')
  })

  it('is the same when it is cut off after any event and resumed', async () => {
    const options = { model: thinking(() => bash('true')), script: { turns: [] }, maxSteps: 30 }
    const bench = await Workbench.open({ f: 'start\n' })
    const whole = await bench.run(options)
    for (const [index, event] of whole.events.entries()) {
      // A nudge and its reason are stored together or not at all.
      if (event.type === 'guard' && event.action === 'nudge') continue
      const rest = await bench.run({ ...options, past: JSON.parse(JSON.stringify(whole.events.slice(0, index + 1))) as JobEventBody[] })
      assert.deepEqual(rest.end, whole.end, `cut after ${index + 1}: ${whole.events[index]?.type ?? ''}`)
    }
    await bench.close()
  })
})

describe('checks after an edit', () => {
  it('are told: the failure once, then that it is as before, then that it passes', async () => {
    const bench = await Workbench.open({ f: '' })
    const acts: Act[] = [edit('a\n'), edit('b\n'), edit('right\n'), { name: 'finish', arguments: { answer: 'ok' } }]
    const { requests, events } = await bench.run({ model: thinking((_, count) => acts[count] ?? bash('true')), script: { turns: [] }, checks: ['grep right f || echo "no right in f" && grep -q right f'] })
    await bench.close()
    assert.deepEqual(requests.slice(1).map(({ messages }) => messages.at(-1)?.text), [
      'After this change the check fails (exit 1).\ngrep right f || echo "no right in f" && grep -q right f\nno right in f', 'The check fails as before (exit 1).', 'The check passes now. If the whole task is done, call finish.',
    ])
    assert.deepEqual(ofType(events, 'check').map(({ when, passed }) => [when, passed]), [['after_edit', false], ['after_edit', false], ['after_edit', true], ['final', true]])
  })

  it('are not run again once they were slow, and not after a command', async () => {
    const bench = await Workbench.open({ f: '' })
    const slow: JobEventBody = { type: 'check', step: 1, command: 'true', when: 'after_edit', passed: false, exitCode: null, cause: 'timeout', output: '', durationMs: 10_000 }
    const acts: Act[] = [edit('a\n'), bash('echo b > f'), { name: 'finish', arguments: { answer: 'ok' } }]
    const { events } = await bench.run({ model: thinking((_, count) => acts[count] ?? bash('true')), script: { turns: [] }, checks: ['true'], past: [slow] })
    await bench.close()
    assert.deepEqual(ofType(events, 'check').map(({ when }) => when), ['final'])
  })
})
