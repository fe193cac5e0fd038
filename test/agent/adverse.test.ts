// What a careless model, a strange file or a crash at a bad moment may not do to a job.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { JobEventBody, Model, ModelEvent, ModelRequest, ToolCall } from '@hearth/protocol'
import { call, finish, ofType, Workbench } from './workbench.ts'

let bench: Workbench
before(async () => { bench = await Workbench.open() })
after(() => bench.close())

const suspend = { kind: 'suspend', reason: 'the daemon stops' } as const
const timings = { queuedMs: 0, prefillMs: 0, decodeMs: 0, ttftMs: 0, totalMs: 0 }
const usage = { promptTokens: 1, reusedTokens: 0, completionTokens: 1 }

/** A native model whose turn n makes the calls of entry n, under the very ids it is given. */
function caller(turns: readonly (readonly ToolCall[])[]): Model {
  let turn = 0
  return {
    info: { id: 'm', place: 'local', contextTokens: 32_768, profile: { toolMode: 'native', tools: null, fewShot: null, sampling: {}, maxCallTokens: 100 } },
    async *generate(): AsyncGenerator<ModelEvent> {
      await Promise.resolve()
      for (const made of turns[turn++] ?? []) yield { type: 'tool_call', call: made }
      yield { type: 'done', stop: 'tool_calls', usage, timings }
    },
  }
}
const bash = (id: string, command: string): ToolCall => ({ id, name: 'bash', arguments: { command } })
const end = (id = 'f'): ToolCall => ({ id, name: 'finish', arguments: { answer: 'done' } })
const roles = (request: ModelRequest | undefined): string[] => (request?.messages ?? []).slice(2).map((message) => message.role)
const none = { script: { turns: [] } }

describe('ids of calls', () => {
  it('that come again in a later turn keep each output in a file of its own', async () => {
    const { events } = await bench.run({ ...none, model: caller([[bash('call_1', 'echo first')], [bash('call_1', 'echo second')], [end('call_1')]]) })
    const files = ofType(events, 'tool_result').map((result) => result.outputFile ?? '')
    assert.deepEqual(await Promise.all(files.map((file) => readFile(file, 'utf8'))), ['first\n', 'second\n'])
  })

  it('that look like ours are not given twice', async () => {
    const { events } = await bench.run({ ...none, model: caller([[bash('s1_2', 'echo first'), bash('not/an/id', 'echo second')], [end()]]) })
    const results = ofType(events, 'tool_result')
    assert.deepEqual(await Promise.all(results.map((result) => readFile(result.outputFile ?? '', 'utf8'))), ['first\n', 'second\n'])
    assert.equal(new Set(results.map((result) => result.callId)).size, 2)
  })
})

describe('twelve calls in one turn', () => {
  it('are all answered before the model is told anything else', async () => {
    const same = Array.from({ length: 12 }, (_, index) => bash(`c${index}`, 'echo x >> twelve'))
    const { requests } = await bench.run({ ...none, model: caller([same, [end()]]) })
    assert.deepEqual(roles(requests[1]), ['assistant', ...Array.from({ length: 12 }, () => 'tool'), 'user'])
    assert.equal(await readFile(join(bench.workspace, 'twelve'), 'utf8'), 'x\n'.repeat(12))
  })
})

describe('output', () => {
  it('of two million characters on one line is cut to its beginning', async () => {
    const { events } = await bench.run({ script: { turns: [call('bash', { command: "head -c 2000000 /dev/zero | tr '\\0' x; echo; echo end" }), finish()] } })
    const [result] = ofType(events, 'tool_result')
    assert.equal(result?.totalBytes, 2_000_005)
    assert.equal(result?.observation, `${'x'.repeat(40)}[... 1999960 more characters]\nend\n`)
  })

  it('that overprints its lines shows the last state of each', async () => {
    const { events } = await bench.run({ script: { turns: [call('bash', { command: String.raw`printf '10%%\r20%%\r\nx\r\r\n\r\nlast 1\rlast 2\r'` }), finish()] } })
    assert.equal(ofType(events, 'tool_result')[0]?.observation, '20%\nx\n\nlast 2')
  })

  it('is sent on as it comes up to a bound; the whole is in the file', async () => {
    const { events } = await bench.run({ script: { turns: [call('bash', { command: 'seq 1 1000000' }), finish()] } })
    const [result] = ofType(events, 'tool_result')
    assert.equal(result?.totalBytes, 6_888_896)
    assert.equal((await readFile(result.outputFile ?? '')).length, 6_888_896)
    const sent = ofType(events, 'tool_output').map((event) => event.text).join('')
    assert.match(sent.slice(0, 100), /^1\n2\n3\n/)
    assert.match(sent.slice(-200), /\n\[\.\.\. more output; all of it is kept with the result \.\.\.\]\n$/)
    assert.ok(sent.length < 300_000, `${sent.length} characters`)
  })

  it('of one endless line is read back in a bounded piece', async () => {
    const { events } = await bench.run({
      ...none, model: caller([[bash('big', "head -c 9000000 /dev/zero | tr '\\0' x")], [{ id: 'r', name: 'read', arguments: { path: 'output:big' } }], [end()]]),
    })
    const result = ofType(events, 'tool_result')[1]
    assert.ok((result?.totalBytes ?? Infinity) <= 2 * 2 ** 20, `${result?.totalBytes} bytes`)
  })
})

describe('arguments that no program can be given', () => {
  it('are told to the model, and the job goes on', async () => {
    const { end: how, requests } = await bench.run({
      profile: { maxCallTokens: 1_000_000 },
      script: { contextTokens: 1_000_000, turns: [call('bash', { command: 'echo a\0b' }), call('bash', { command: `: ${'x'.repeat(140_000)}` }), call('bash', { command: 'true' }), call('read', { path: 'a\0b' }), call('grep', { pattern: '\0' }), finish()] },
    })
    const said = requests.slice(1).map((request) => request.messages.at(-1)?.text)
    assert.deepEqual(said, [
      'bash was not run: command: it holds a NUL character',
      'bash was not run: command: it is longer than 100000 bytes; write a file and run that', '',
      'read was not run: path: it holds a NUL character',
      'grep was not run: pattern: it holds a NUL character',
    ])
    assert.equal(how.type === 'ended' && how.outcome, 'done_unverified')
  })
})

describe('edit', () => {
  it('keeps every other byte of a file whose encoding it does not know, and changes only ASCII in it', async () => {
    const latin = Buffer.from('caf\u00e9 one\n', 'latin1')
    await writeFile(join(bench.workspace, 'latin.txt'), latin)
    const { events } = await bench.run({ script: { turns: [call('edit', { path: 'latin.txt', old: 'one', new: '\u00e9' }), call('edit', { path: 'latin.txt', old: 'one', new: 'two' }), finish(), finish(), finish()] } })
    const [refusal, done] = ofType(events, 'tool_result').map((result) => result.observation)
    assert.equal(refusal, 'latin.txt is not UTF-8: only text in plain ASCII can be replaced in it; use bash for the rest')
    assert.equal(done, 'edited latin.txt at line 1')
    assert.deepEqual(await readFile(join(bench.workspace, 'latin.txt')), Buffer.from('caf\u00e9 two\n', 'latin1'))
  })
})

describe('a check', () => {
  it('may begin with an assignment or define a function', async () => {
    for (const check of ['CI=1 test "$CI" = 1 || true', 'A=1 B=2 true', 'ok() { true; }; ok', 'true;true', 'true&&true', '/work/later.sh || true', 'if true; then true; fi']) {
      const { end: how } = await bench.run({ script: { turns: [finish()] }, checks: [check] })
      assert.equal(how.type === 'ended' && (how.fault?.message ?? how.outcome), 'resolved', check)
    }
  })
})

describe('words instead of a call', () => {
  it('are no "done" while the last command failed', async () => {
    const words = { text: 'It is done.' }
    const { end: how, requests } = await bench.run({ script: { turns: [call('bash', { command: 'exit 3' }), words, words, words, words, words] } })
    assert.deepEqual(how, { type: 'ended', outcome: 'stuck', verified: false, summary: 'Stopped (done): "done" although the last command failed (exit 3).', fault: null })
    assert.equal(requests[3]?.messages.at(-1)?.text, 'Not done: the last command failed (exit 3). Mend it, or run it again with success.')
  })

  it('are told why the check failed, and may be mended', async () => {
    const words = { text: 'It is done.' }
    const { end: how, requests } = await bench.run({ script: { turns: [words, words, call('bash', { command: 'touch mended' }), finish()] }, checks: ['test -f mended'] })
    assert.equal(requests[2]?.messages.at(-1)?.text, 'Not done: the check failed (exit 1).\ntest -f mended')
    assert.equal(how.type === 'ended' && how.outcome, 'resolved')
  })
})

describe('a crash', () => {
  it('between the intent and the start of a shell command, twice, still runs it at most once', async () => {
    const script = { turns: [call('bash', { command: 'echo ran >> twice' }), finish()] }
    const whole = await bench.run({ script, abortAt: { when: (event) => event.type === 'turn', cause: suspend } })
    const planned: JobEventBody = {
      type: 'tool_planned', step: 1, call: ofType(whole.events, 'turn')[0]?.toolCalls[0] ?? end(), argsHash: 'x', idempotency: 'unsafe', before: null,
    }
    const past = [...whole.events, planned]
    const second = await bench.run({ script, past })
    assert.equal(await readFile(join(bench.workspace, 'twice'), 'utf8'), 'ran\n')
    const ran = second.events.findIndex((event) => event.type === 'tool_result')
    const third = await bench.run({ script, past: [...past, ...second.events.slice(0, ran)] })
    assert.equal(ofType(third.events, 'tool_unknown').length, 1)
    assert.equal(await readFile(join(bench.workspace, 'twice'), 'utf8'), 'ran\n')
  })

  it('or a stop in the middle of a turn does not use up the step', async () => {
    const script = { turns: [finish('the only step')] }
    const first = await bench.run({ script: { turns: [{ hang: true }] }, maxSteps: 1, abortAt: { when: (event) => event.type === 'step', cause: suspend } })
    assert.equal(first.end.type, 'suspended')
    const second = await bench.run({ script, maxSteps: 1, past: first.events })
    assert.deepEqual(second.end, { type: 'ended', outcome: 'done_unverified', verified: null, summary: 'the only step', fault: null })
    assert.deepEqual(ofType([...first.events, ...second.events], 'step').map((event) => event.step), [1])
  })

  it('after any event of a job leaves one that ends as it would have, with each call answered once', async () => {
    const words = { text: 'It is done.' }
    const script = { turns: [{ malformed: 'oops {' }, call('write', { path: 'any', content: 'x' }), call('read', { path: 'any' }), finish('early'), words, words] }
    const job = { script, checks: ['test -f any; false'], maxSteps: 6 }
    const whole = await bench.run(job)
    assert.equal(whole.end.type === 'ended' && whole.end.outcome, 'stuck')
    for (const [index, event] of whole.events.entries()) {
      const rest = await bench.run({ ...job, past: JSON.parse(JSON.stringify(whole.events.slice(0, index + 1))) as JobEventBody[] })
      const where = `cut after ${index + 1}: ${event.type}`
      assert.deepEqual(rest.end, whole.end, where)
      const all = [...whole.events.slice(0, index + 1), ...rest.events]
      const answers = all.flatMap((one) => one.type === 'tool_result' || one.type === 'tool_unknown' ? [one.callId] : [])
      assert.equal(new Set(answers).size, answers.length, where)
      for (const request of rest.requests) assert.notEqual(request.messages.at(-1)?.role, 'assistant', where)
    }
  })
})

it('a model that says "cancelled" although nobody cancelled it is a fault, not a new step', async () => {
  const model = caller([])
  const { end: how } = await bench.run({
    ...none,
    model: { ...model, async *generate(): AsyncGenerator<ModelEvent> { await Promise.resolve(); yield { type: 'done', stop: 'cancelled', usage, timings } } },
  })
  assert.equal(how.type === 'ended' && how.outcome, 'failed')
})

it('a folder that is gone ends the job as bad input', async () => {
  const lost = await Workbench.open()
  const script = { turns: [call('bash', { command: 'rm -rf /work/* ; echo 1' }), call('bash', { command: 'echo 2' }), finish()] }
  const first = await lost.run({ script, abortAt: { when: (event) => event.type === 'tool_result', cause: suspend } })
  await lost.close()
  assert.equal(existsSync(lost.workspace), false)
  const next = await Workbench.open()
  const { end: how } = await next.run({ script, past: first.events, cwd: lost.workspace })
  await next.close()
  assert.equal(how.type === 'ended' && how.outcome, 'bad_input')
  assert.equal(how.type === 'ended' && how.fault?.message, `The working directory ${lost.workspace} cannot be used: it does not exist.`)
})
