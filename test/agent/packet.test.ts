// The packet: its golden text, its bounds, its stable beginning, its files; what is read of the folder for it; what an effect is told from.
import assert from 'node:assert/strict'
import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { blockerOf } from '@hearth/agent/escalate/blockers'
import { effectDue } from '@hearth/agent/escalate/effect'
import { bytesPerPacketToken, packetOf, type PacketInput } from '@hearth/agent/escalate/packet'
import { placesIn } from '@hearth/agent/escalate/places'
import { areActing, signalsNow } from '@hearth/agent/escalate/signals'
import { readSlices } from '@hearth/agent/escalate/slices'
import { checksIn, saysStop, verdictIn } from '@hearth/agent/escalate/words'
import { Config, packetText, type JobEventBody } from '@hearth/protocol'
import { createSandbox } from '@hearth/sandbox'
import { limits, Workbench } from './workbench.ts'

const usage = { promptTokens: 10, reusedTokens: 0, completionTokens: 5 }
const timings = { queuedMs: 0, prefillMs: 1, decodeMs: 1, ttftMs: 1, totalMs: 2 }
let ids = 0

function turn(name: string, args: Record<string, unknown>, ok: boolean, text: string): JobEventBody[] {
  const id = `c${ids++}`
  const call = { id, name, arguments: args }
  return [
    { type: 'turn', step: 1, model: 'm', text: '', toolCalls: [call], stop: 'tool_calls', usage, timings },
    { type: 'tool_planned', step: 1, call, argsHash: JSON.stringify(args), idempotency: 'unsafe', before: null },
    { type: 'tool_result', step: 1, callId: id, name, ok, exitCode: ok ? 0 : 1, cause: 'exited', observation: text, totalBytes: text.length, outputFile: null, durationMs: 1, wrote: name !== 'read' },
  ]
}
const check = (passed: boolean, output = '', when: 'final' | 'after_edit' = 'after_edit'): JobEventBody =>
  ({ type: 'check', step: 1, command: 'npm test', when, passed, exitCode: passed ? 0 : 1, cause: 'exited', output, durationMs: 1 })

const failing = 'FAIL src/sum.test.js\nAssertionError: expected 3, got 4\n    at add (src/sum.js:3:10)\n    at /work/test/run.js:7:1\n# pass 4\n# fail 1'
const events: JobEventBody[] = [
  ...turn('read', { path: 'src/sum.js' }, true, 'export const add'),
  ...turn('edit', { path: 'src/sum.js', old: 'a', new: 'b' }, true, ''), check(false, failing),
  ...turn('edit', { path: 'src/sum.js', old: 'b', new: 'c' }, true, ''), check(false, failing),
]
const input: PacketInput = {
  form: 'packet', mode: 'advise', request: { prompt: 'Make add work.', checks: ['npm test'] }, addedChecks: [], events,
  diff: [{ path: 'src/sum.js', patch: 'diff --git a/src/sum.js b/src/sum.js\n--- a/src/sum.js\n+++ b/src/sum.js\n@@ -1 +1 @@\n-return a\n+return c\n' }],
  slices: [{ path: 'src/sum.js', fromLine: 1, text: 'export function add(a, b) {\n  // sum\n  return a + b + 1\n}' }], tree: [], messages: [], question: 'What is wrong, and what are the next three actions?', limitTokens: 8192,
}

const golden = `## Goal
Make add work.

## Acceptance
These commands must succeed:
npm test

## Constraints
The work is done by a smaller local model, in the folder /work, in a sandbox without a network. It can read, write and edit files and run commands there. Its tests and checks run in the same sandbox.

## Failing now
check (exit 1): npm test
FAIL src/sum.test.js
AssertionError: expected 3, got 4
    at add (src/sum.js:3:10)
    at /work/test/run.js:7:1
# pass 4
# fail 1

## Errors seen
FINGERPRINT 2 times: # fail 1

## Tried so far
read src/sum.js: ok, 16 bytes
edit src/sum.js: ok
check: failed
edit src/sum.js: ok
check: failed

## Changed since the start
diff --git a/src/sum.js b/src/sum.js
--- a/src/sum.js
+++ b/src/sum.js
@@ -1 +1 @@
-return a
+return c

## Files
--- src/sum.js, from line 1
export function add(a, b) {
  // sum
  return a + b + 1
}

## Question
What is wrong, and what are the next three actions?`

describe('a packet', () => {
  it('reads so', () => {
    const packet = packetOf(input)
    assert.equal(packetText(packet).replace(/\b[0-9a-f]{8} 2 times/, 'FINGERPRINT 2 times'), golden)
    assert.deepEqual(packet.files, ['src/sum.js', 'src/sum.test.js', 'test/run.js'])
  })

  it('says which hosts the job may reach', () => {
    assert.match(packetOf({ ...input, request: { ...input.request, network: ['pypi.example:443'] } }).prefix, /in a sandbox whose network reaches pypi\.example:443 only\./)
  })

  it('is the same for the same events, and begins the same in every packet of a job', () => {
    assert.deepEqual(packetOf(input), packetOf(structuredClone(input)))
    const later = packetOf({ ...input, mode: 'step', events: [...events, ...turn('bash', { command: 'ls' }, true, 'x')], diff: null, slices: [], question: 'Take over.' })
    assert.equal(later.prefix, packetOf(input).prefix)
  })

  it('keeps within its limit, however long the parts are, and loses the goal last', () => {
    const long = 'x'.repeat(200) + '\n'
    for (const limitTokens of [512, 2000, 8192]) {
      for (const form of ['packet', 'digest', 'full'] as const) {
        const packet = packetOf({
          ...input, form, limitTokens, request: { prompt: `Make add work. ${long.repeat(500)}`, checks: Array.from({ length: 16 }, () => `sh ${'c'.repeat(4000)}`) },
          events: [...events, ...Array.from({ length: 300 }, (_, n) => turn('bash', { command: `try ${n}` }, false, long.repeat(30))).flat(), check(false, long.repeat(100))],
          diff: Array.from({ length: 50 }, (_, n) => ({ path: `f${n}`, patch: `diff --git a/f${n} b/f${n}\n+${long.repeat(20)}` })), slices: Array.from({ length: 6 }, (_, n) => ({ path: `s${n}`, fromLine: 1, text: long.repeat(18) })),
          messages: [{ role: 'user', text: long.repeat(1000) }], question: long.repeat(100),
        })
        const bytes = Buffer.byteLength(packetText(packet))
        assert.ok(bytes <= limitTokens * bytesPerPacketToken, `${form}: ${bytes} bytes of ${limitTokens * bytesPerPacketToken}`)
        assert.match(packet.prefix, /^## Goal\nMake add work\./)
      }
    }
  })

  it('as a digest has figures in place of patches and files', () => {
    const text = packetText(packetOf({ ...input, form: 'digest' }))
    assert.match(text, /## Changed since the start\nsrc\/sum\.js: \+1 -1 lines \(not shown\)\n/)
    assert.ok(!text.includes('## Files') && !text.includes('return a + b'))
  })

  it('in full is the conversation, and names every file that was read', () => {
    const packet = packetOf({ ...input, form: 'full', messages: [{ role: 'system', text: 'secret words' }, { role: 'user', text: 'Make add work.' }, { role: 'tool', callId: 'c', name: 'read', text: 'from lib/deep.js' }] })
    assert.ok(!packet.body.includes('secret words'))
    assert.match(packet.body, /\[user\] Make add work\.\n\[tool\] from lib\/deep\.js/)
    assert.ok(packet.files.includes('lib/deep.js'))
  })

  it('shows the lines around what the failure names, and nothing binary, huge, or from outside of the folder', async () => {
    const bench = await Workbench.open({ 'a.js': Array.from({ length: 60 }, (_, n) => `line ${n + 1}`).join('\n'), 'b.bin': 'a\0b', 'big.txt': 'y\n'.repeat(600_000), "o'dd $(touch x).js": 'odd\n' })
    symlinkSync('/etc/passwd', join(bench.workspace, 'link'))
    // What its own name does not say: the file that was really read is asked for.
    writeFileSync(join(bench.workspace, 'held'), 'not to be shown\n')
    symlinkSync('held', join(bench.workspace, 'to-held'))
    symlinkSync('/work/to-held', join(bench.workspace, 'to-link'))
    symlinkSync('a.js', join(bench.workspace, 'to-a'))
    const sandbox = createSandbox({ config: Config.parse({ sandbox: { limits: 'weak' } }).sandbox, stateDir: bench.outputs, log: () => undefined })
    const places = [{ path: 'a.js', line: 30 }, { path: 'b.bin', line: 1 }, { path: 'big.txt', line: 3 }, { path: 'link', line: 1 }, { path: 'none', line: 1 }, { path: "o'dd $(touch x).js", line: null }, { path: 'to-link', line: null }, { path: 'to-a', line: 1 }]
    const slices = await readSlices(places, { sandbox, workspace: bench.workspace, limits, signal: new AbortController().signal }, (path) => path !== 'held')
    await sandbox.close()
    await bench.close()
    assert.deepEqual(slices.map(({ path, fromLine, text }) => [path, fromLine, text.split('\n').length]), [['a.js', 16, 29], ["o'dd $(touch x).js", 1, 1], ['to-a', 1, 15]])
  })
})

describe('places that an output names', () => {
  const cases: [string, [string, number | null][]][] = [
    ['  File "/work/a/b.py", line 12, in f\nValueError', [['a/b.py', 12]]],
    ['src/x.ts(3,14): error TS1', [['src/x.ts', 3]]],
    ['    at add (/work/src/sum.js:3:10)\n    at node:internal/x:1:2\n    at /usr/lib/y.js:1:1', [['src/sum.js', 3]]],
    ['a.c:10: one\na.c:12: the same place\nb.c:1: another', [['b.c', 1], ['a.c', 12]]],
    ['../../etc/passwd:1: no\n/work/../etc/shadow:2: no\n12:30:45 a clock\n-x.js:1', []],
  ]
  for (const [text, expected] of cases) it(JSON.stringify(text.slice(0, 40)), () => { assert.deepEqual(placesIn(text).map(({ path, line }) => [path, line]), expected) })
})

describe('signals', () => {
  const names = (all: readonly JobEventBody[], medianSeconds: number | null = null): string[] => signalsNow(all, { medianSeconds }).map(({ kind, name }) => `${kind} ${name}`)
  const tally = (n: number): JobEventBody => check(false, `# pass 9\n# fail ${n}`)
  const edit = (n: number): JobEventBody[] => turn('edit', { path: 'f', n }, true, '')
  const cases: [string, JobEventBody[], number | null, string[]][] = [
    ['eight turns that only look', Array.from({ length: 8 }, (_, n) => turn('read', { path: `f${n}` }, true, 'x')).flat().map((event) => (event.type === 'tool_result' ? { ...event, wrote: false } : event)), null, ['soft standing_still']],
    ['as many failing tests after three edits', [tally(3), ...edit(1), tally(3), ...edit(2), tally(4), ...edit(3), tally(3)], null, ['soft failing_tests_flat']],
    ['one failing test less after three edits', [tally(3), ...edit(1), tally(3), ...edit(2), tally(3), ...edit(3), tally(2)], null, []],
    ['twice the usual time', edit(1), 0.001, ['soft slow']],
    ['what was bought without effect', [...edit(1), { type: 'effect', step: 1, id: 'e1', effect: 'same', evidence: '' }], null, ['soft advice_without_effect']],
  ]
  for (const [name, all, median, expected] of cases) it(`of ${name}`, () => { assert.deepEqual(names(all, median), expected) })

  it('act alone when they are hard or declared, in pairs when they are soft, and never when they are only logged', () => {
    const [hard, soft, declared, logged] = (['hard', 'soft', 'declared', 'logged'] as const).map((kind) => ({ kind, name: kind, evidence: '' }))
    assert.ok(hard !== undefined && soft !== undefined && declared !== undefined && logged !== undefined)
    assert.deepEqual([[hard], [soft], [soft, soft], [declared], [logged, logged, logged], [soft, logged], []].map((all) => areActing(all)), [true, false, true, true, false, false, false])
  })

  it('are none where the cause lies outside: a check that misses a file of the folder is no such cause, a command that misses one is', () => {
    assert.equal(blockerOf([check(false, 'cat: result.txt: No such file or directory')]), null)
    assert.equal(blockerOf([check(false, "cat: /opt/data/result.txt: No such file or directory")]), 'missing file')
    assert.equal(blockerOf(turn('bash', { command: 'cat x' }, false, 'cat: x: No such file or directory')), 'missing file')
    assert.equal(blockerOf(turn('bash', { command: 'x' }, false, 'npm error code EAI_AGAIN')), 'network')
    assert.equal(blockerOf([check(true, 'Permission denied')]), null)
  })
})

describe('the effect of what was bought', () => {
  const bought = (signal: string): JobEventBody[] => [
    { type: 'escalation_offered', step: 1, id: 'e1', mode: 'advise', signals: [{ kind: 'hard', name: signal, evidence: '' }], packet: { prefix: '', body: '', files: [] }, maxTokens: 1, maxTurns: 1, offer: { model: 'b', place: 'remote', host: 'h', consent: 'auto', preview: '', sha256: '', bytes: 0, redactions: [], worstUsdMicros: 0 } },
    { type: 'handed_back', step: 1, id: 'e1', mode: 'advise', how: 'answered', text: 't', turns: 1, usdMicros: 1, model: 'b' },
  ]
  const three = (name: string, same: boolean): JobEventBody[] => Array.from({ length: 3 }, (_, n) => turn(name, { path: same ? 'f' : `f${n}` }, true, 'x')).flat().map((event) => (event.type === 'tool_result' && name === 'read' ? { ...event, wrote: false } : event))
  const tally = (n: number): JobEventBody => check(false, `# pass 9\n# fail ${n}`)
  const cases: [string, JobEventBody[], string | null][] = [
    ['not told after two turns', [tally(3), ...bought('same_error'), ...three('edit', false).slice(0, 6)], null],
    ['cleared when the check passes', [tally(3), ...bought('same_error'), ...three('edit', false), check(true)], 'cleared'],
    ['cleared when fewer tests fail', [tally(3), ...bought('same_error'), ...three('edit', false), tally(2)], 'cleared'],
    ['worse when more tests fail', [tally(3), ...bought('same_error'), ...three('edit', false), tally(4)], 'worse'],
    ['worse when something fails that did not', [check(true), ...bought('repeat'), ...three('edit', false), check(false, 'E: x')], 'worse'],
    ['the same when it fails as before', [check(false, 'E: x'), ...bought('same_error'), ...three('edit', false), check(false, 'E: x')], 'same'],
    ['cleared when it does something new', [...bought('repeat'), ...three('read', false)], 'cleared'],
    ['the same when it does the same', [...bought('repeat'), ...three('read', true)], 'same'],
    ['the same when an explorer explores on', [...bought('no_progress'), ...three('read', false)], 'same'],
    ['cleared when an explorer writes', [...bought('no_progress'), ...three('edit', false)], 'cleared'],
  ]
  for (const [name, all, expected] of cases) it(`is ${name}`, () => { assert.equal(effectDue(all, false)?.effect ?? null, expected) })
})

describe('an answer', () => {
  it('is understood by its few words', () => {
    assert.deepEqual(['...\nSTOP', '**STOP**', 'Do not STOP now.\nGO ON', 'x\nVerdict: STOP.'].map((text) => saysStop(text)), [true, true, false, true])
    assert.deepEqual(['APPROVE', '**REDO**\nx', 'REDOING', 'I would APPROVE'].map((text) => verdictIn(text)), ['approve', 'redo', null, null])
    assert.deepEqual(checksIn('CHECK: npm test\n- CHECK: `make x`\nCHECK:\nCHECK: npm test\nno CHECK: y'), ['npm test', 'make x'])
  })
})
