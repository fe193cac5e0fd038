// The loop through its one door, runAgent: what is called, what the model is told, how a job ends.
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { call, finish, ofType, Workbench } from './workbench.ts'

describe('a job', () => {
  let bench: Workbench
  before(async () => { bench = await Workbench.open({ 'a.txt': 'hello\n' }) })
  after(() => bench.close())

  for (const toolMode of ['native', 'json'] as const) {
    it(`is resolved by a check that passes (${toolMode})`, async () => {
      const { end, events } = await bench.run({
        script: { toolMode, turns: [call('bash', { command: 'cp a.txt b.txt' }), finish('copied')] }, checks: ['cmp a.txt b.txt'],
      })
      assert.deepEqual(end, { type: 'ended', outcome: 'resolved', verified: true, summary: 'copied', fault: null })
      assert.deepEqual(events.filter((event) => event.type !== 'text').map((event) => event.type),
        ['opened', 'step', 'turn', 'tool_planned', 'tool_started', 'tool_result', 'step', 'turn', 'check'])
      assert.equal(await readFile(join(bench.workspace, 'b.txt'), 'utf8'), 'hello\n')
    })
  }

  it('without a check is done, unverified', async () => {
    const { end } = await bench.run({ script: { turns: [finish('nothing to do')] } })
    assert.deepEqual(end, { type: 'ended', outcome: 'done_unverified', verified: null, summary: 'nothing to do', fault: null })
  })

  it('tells the model why the check failed, and ends as check_failed after three times', async () => {
    const { end, requests } = await bench.run({ script: { turns: [finish(), finish(), finish()] }, checks: ['echo no such luck; false'] })
    assert.equal(end.type === 'ended' && end.outcome, 'check_failed')
    assert.equal(requests.length, 3)
    assert.equal(requests[1]?.messages.at(-1)?.text, 'Not done: the check failed (exit 1).\necho no such luck; false\nno such luck')
  })

  it('keeps the verdict of the check when the model then fails', async () => {
    const { end } = await bench.run({ script: { turns: [finish()] }, checks: ['false'] })
    assert.equal(end.type === 'ended' && end.outcome, 'check_failed')
  })

  it('stops at the first check that fails', async () => {
    const { events } = await bench.run({ script: { turns: [finish()] }, checks: ['true', 'false', 'echo never'] })
    assert.deepEqual(ofType(events, 'check').map((check) => [check.command, check.passed]), [['true', true], ['false', false]])
  })

  it('is not done while the last command failed', async () => {
    const { end, requests } = await bench.run({ script: { turns: [call('bash', { command: 'exit 3' }), finish(), finish(), finish()] } })
    assert.equal(requests[2]?.messages.at(-1)?.text, 'Not done: the last command failed (exit 3). Mend it, or run it again with success.')
    assert.deepEqual(end, { type: 'ended', outcome: 'stuck', verified: false, summary: 'Stopped (done): "done" although the last command failed (exit 3).', fault: null })
  })

  it('refuses a check that cannot start before any work', async () => {
    const cases: [string, string][] = [
      ['no-such-program --all', "The check 'no-such-program --all' cannot start: there is no program no-such-program in the sandbox."],
      ['/no/such/program', "The check '/no/such/program' cannot start: there is no /no/such/program in the sandbox."],
    ]
    for (const [check, message] of cases) {
      const { end, events } = await bench.run({ script: { turns: [finish()] }, checks: [check] })
      assert.equal(end.type === 'ended' && end.outcome, 'bad_input')
      assert.equal(end.type === 'ended' && end.fault?.message, message)
      assert.equal(ofType(events, 'step').length, 0)
    }
    const { end } = await bench.run({ script: { turns: [finish()] }, checks: ['if true; then'] })
    assert.equal(end.type === 'ended' && end.fault?.code, 'check_cannot_start')
  })

  it('accepts a check whose program the job itself will make', async () => {
    const { end } = await bench.run({
      script: { turns: [call('write', { path: 'ok.sh', content: '#!/bin/sh\nexit 0\n' }), call('bash', { command: 'chmod +x ok.sh' }), finish()] }, checks: ['./ok.sh'],
    })
    assert.equal(end.type === 'ended' && end.outcome, 'resolved')
  })

  it('takes words without a call as done only when asked twice', async () => {
    const { end, requests } = await bench.run({ script: { turns: [{ text: 'I think it is fine.' }, { text: 'Yes, it is.' }] } })
    assert.equal(requests[1]?.messages.at(-1)?.text, 'If the task is done, call finish with a summary. If not, call a tool.')
    assert.deepEqual(end, { type: 'ended', outcome: 'done_unverified', verified: null, summary: 'Yes, it is.', fault: null })
  })

  it('runs several calls of one turn in their order', async () => {
    const { events } = await bench.run({
      script: { turns: [{ calls: [{ name: 'bash', arguments: { command: 'echo 1 >> order' } }, { name: 'bash', arguments: { command: 'echo 2 >> order' } }] }, finish()] },
    })
    assert.equal(await readFile(join(bench.workspace, 'order'), 'utf8'), '1\n2\n')
    const ids = ofType(events, 'tool_result').map((result) => result.callId)
    assert.equal(new Set(ids).size, 2)
  })
})

describe('a call that cannot be run', () => {
  let bench: Workbench
  before(async () => { bench = await Workbench.open() })
  after(() => bench.close())

  it('is answered with one clear error, and nothing runs', async () => {
    const { requests, events } = await bench.run({
      script: { turns: [call('teleport', { command: 'touch x' }), call('bash', { line: 'touch x' }), call('bash', { command: 'true' }), call('read', { path: 'a', limit: 'ten' }), finish()] },
    })
    assert.deepEqual(requests.slice(1).map((request) => request.messages.at(-1)?.text), [
      'there is no tool teleport; use one of ask_expert, bash, edit, explore, finish, glob, grep, plan, process, read, write',
      'bash was not run: command: it is missing. It takes {"command": string, "timeout"?: integer, "background"?: boolean}', '',
      'read was not run: limit: Invalid input: expected number, received string. It takes {"path": string, "offset"?: integer, "limit"?: integer}',
    ])
    assert.equal(ofType(events, 'tool_started').length, 1)
  })

  it('that is no call at all is told so; the third in a row begins the history anew, the sixth stops the job', async () => {
    const malformed = { malformed: '{"tool": "bash", "comm' }
    const good = await bench.run({ script: { turns: [malformed, malformed, finish()] } })
    assert.equal(good.end.type === 'ended' && good.end.outcome, 'done_unverified')
    assert.equal(ofType(good.events, 'call_rejected').length, 2)
    const bad = await bench.run({ script: { loop: true, turns: [malformed] } })
    assert.equal(bad.requests.length, 6)
    assert.deepEqual(ofType(bad.events, 'guard').map(({ guard, action }) => [guard, action]), [['malformed', 'replan'], ['malformed', 'stop']])
    assert.deepEqual(bad.requests[3]?.messages.map(({ role }) => role), ['system', 'user', 'user'])
    assert.deepEqual(bad.end, { type: 'ended', outcome: 'stuck', verified: false, summary: 'Stopped (malformed): 3 answers in a row were no tool call.', fault: null })
  })

  it('cannot name a file outside the folder of outputs by its id', async () => {
    const { events } = await bench.run({
      script: { turns: [finish()] },
      model: {
        info: { id: 'm', place: 'local', contextTokens: 32_768, profile: { toolMode: 'native', tools: null, fewShot: null, sampling: {}, maxCallTokens: 100 } },
        async *generate(request) {
          const timings = { queuedMs: 0, prefillMs: 0, decodeMs: 0, ttftMs: 0, totalMs: 0 }
          const first = request.messages.length === 2
          await Promise.resolve()
          yield { type: 'tool_call', call: first ? { id: '../../evil', name: 'bash', arguments: { command: 'echo x' } } : { id: 'f', name: 'finish', arguments: { answer: '' } } }
          yield { type: 'done', stop: 'tool_calls', usage: { promptTokens: 1, reusedTokens: 0, completionTokens: 1 }, timings }
        },
      },
    })
    assert.equal(ofType(events, 'tool_result')[0]?.outputFile, join(bench.outputs, 's1_1.txt'))
  })
})

describe('guards and limits', () => {
  let bench: Workbench
  before(async () => { bench = await Workbench.open() })
  after(() => bench.close())
  const same = call('bash', { command: 'true' })

  it('the same call three times is nudged; then the history begins anew; then it is over', async () => {
    const { end, events, requests } = await bench.run({ script: { loop: true, turns: [same] } })
    assert.equal(requests.length, 8)
    assert.deepEqual(ofType(events, 'guard').map((guard) => [guard.guard, guard.action, guard.evidence]), [
      ['repeat', 'nudge', 'the same bash call 3 times in the last 3'], ['repeat', 'replan', 'the same bash call 4 times in the last 4'],
      ['repeat', 'nudge', 'the same bash call 3 times in the last 3'], ['repeat', 'stop', 'the same bash call 4 times in the last 4'],
    ])
    assert.equal(requests[4]?.messages.at(-1)?.text, [
      'You were stuck: the same bash call 4 times in the last 4.', 'The files are as you left them.', 'Files changed: none with write or edit',
      'Calls:', ...Array.from({ length: 4 }, () => '- bash true: ok'), 'Do not do again: bash true', 'Begin again and take another way than before. Look at the files first.',
    ].join('\n'))
    assert.equal(end.type === 'ended' && end.outcome, 'stuck')
  })

  it('a nudge helps a model that listens', async () => {
    const { end } = await bench.run({ script: { turns: [same, same, same, finish()] } })
    assert.equal(end.type === 'ended' && end.outcome, 'done_unverified')
  })

  it('steps run out: stuck, but work that a check accepts is resolved', async () => {
    const turns = Array.from({ length: 9 }, (_, index) => call('bash', { command: `touch f${index}` }))
    const stuck = await bench.run({ script: { turns }, maxSteps: 4, checks: ['test -f f7'] })
    assert.deepEqual(stuck.end, { type: 'ended', outcome: 'stuck', verified: false, summary: 'Stopped (steps): all 4 steps are used.', fault: null })
    const done = await bench.run({ script: { turns }, maxSteps: 4, checks: ['test -f f3'] })
    assert.equal(done.end.type === 'ended' && done.end.outcome, 'resolved')
  })

  it('tokens run out: over budget', async () => {
    const { end } = await bench.run({ script: { turns: [{ ...same, usage: { promptTokens: 900, reusedTokens: 0, completionTokens: 100 } }, finish()] }, maxTokens: 1000 })
    assert.deepEqual(end, { type: 'ended', outcome: 'over_budget', verified: false, summary: 'Stopped (tokens): 1000 tokens of 1000 are spent.', fault: null })
  })

  it('cancel and timeout end a running command', async () => {
    const slow = { script: { turns: [call('bash', { command: 'sleep 60' }), finish()] } }
    const cancelled = await bench.run({ ...slow, abortAt: { when: (event) => event.type === 'tool_started', cause: { kind: 'cancel', by: 'the owner' } } })
    assert.equal(cancelled.end.type === 'ended' && cancelled.end.outcome, 'cancelled')
    assert.equal(cancelled.end.type === 'ended' && cancelled.end.fault?.message, 'Cancelled by the owner.')
    const late = await bench.run({ ...slow, abortAt: { when: (event) => event.type === 'tool_started', cause: { kind: 'timeout', seconds: 5 } } })
    assert.equal(late.end.type === 'ended' && late.end.outcome, 'timed_out')
    assert.equal(late.end.type === 'ended' && late.end.fault?.message, 'The job passed its limit of 5 s.')
  })

  it('a model that hangs is left at once', async () => {
    const { end } = await bench.run({ script: { turns: [{ hang: true }] }, abortAt: { when: (event) => event.type === 'step', cause: { kind: 'cancel', by: 'the owner' } } })
    assert.equal(end.type === 'ended' && end.outcome, 'cancelled')
  })
})

describe('an engine that fails', () => {
  let bench: Workbench
  before(async () => { bench = await Workbench.open() })
  after(() => bench.close())
  const died = { fault: { code: 'worker_exited', detail: { model: 'm', how: 'SIGKILL' } } } as const

  it('is tried again for the same step, and the job goes on', async () => {
    const { end, events } = await bench.run({ script: { turns: [{ ...finish(), first: [died, died] }] } })
    assert.equal(end.type === 'ended' && end.outcome, 'done_unverified')
    assert.deepEqual(ofType(events, 'turn_failed').map((event) => [event.step, event.retry]), [[1, true], [1, true]])
  })

  it('ends the job with its named cause when it fails for good', async () => {
    const { end, events } = await bench.run({ script: { turns: [died] } })
    assert.equal(end.type === 'ended' && end.outcome, 'engine_down')
    assert.equal(end.type === 'ended' && end.fault?.code, 'worker_exited')
    assert.deepEqual(ofType(events, 'turn_failed').map((event) => event.retry), [true, true, true, false])
  })
})

describe('a job that was interrupted', () => {
  let bench: Workbench
  before(async () => { bench = await Workbench.open() })
  after(() => bench.close())
  const suspend = { kind: 'suspend', reason: 'the daemon stops' } as const

  it('goes on where its events end', async () => {
    const script = { turns: [call('bash', { command: 'echo 1 >> log' }), call('bash', { command: 'echo 2 >> log' }), finish('both')] }
    const first = await bench.run({ script, abortAt: { when: (event) => event.type === 'tool_result', cause: suspend } })
    assert.deepEqual(first.end, { type: 'suspended', reason: 'the daemon stops' })
    const second = await bench.run({ script, past: first.events })
    assert.deepEqual(second.end, { type: 'ended', outcome: 'done_unverified', verified: null, summary: 'both', fault: null })
    assert.equal(await readFile(join(bench.workspace, 'log'), 'utf8'), '1\n2\n')
    assert.deepEqual(second.requests[0]?.messages.slice(0, first.requests[0]?.messages.length), first.requests[0]?.messages)
  })

  it('never runs a shell command twice: the model is told that its outcome is unknown', async () => {
    const script = { turns: [call('bash', { command: 'echo ran >> once' }), finish()] }
    const first = await bench.run({ script })
    const cut = first.events.findIndex((event) => event.type === 'tool_started') + 1
    const second = await bench.run({ script, past: first.events.slice(0, cut) })
    assert.equal(await readFile(join(bench.workspace, 'once'), 'utf8'), 'ran\n')
    assert.match(second.requests[0]?.messages.at(-1)?.text ?? '', /^The machine was interrupted while this ran; its outcome is unknown/)
    assert.equal(ofType(second.events, 'tool_unknown').length, 1)
  })

  it('runs a planned command that was never started', async () => {
    const script = { turns: [call('bash', { command: 'echo ran >> planned' }), finish()] }
    const first = await bench.run({ script, abortAt: { when: (event) => event.type === 'turn', cause: suspend } })
    await bench.run({ script, past: first.events })
    assert.equal(await readFile(join(bench.workspace, 'planned'), 'utf8'), 'ran\n')
  })

  it('writes a file again only when it is as before or as wanted', async () => {
    const script = { turns: [call('write', { path: 'w', content: 'new' }), finish()] }
    const past = (await bench.run({ script })).events
    const cut = past.slice(0, past.findIndex((event) => event.type === 'tool_started') + 1)
    const asWanted = await bench.run({ script, past: cut })
    assert.equal(ofType(asWanted.events, 'tool_result')[0]?.ok, true)
    await writeFile(join(bench.workspace, 'w'), 'somebody else was here')
    const changed = await bench.run({ script, past: cut })
    assert.equal(ofType(changed.events, 'tool_unknown').length, 1)
    assert.equal(await readFile(join(bench.workspace, 'w'), 'utf8'), 'somebody else was here')
  })
})
