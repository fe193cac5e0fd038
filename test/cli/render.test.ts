// Text on its way to a terminal, and events as lines: pure functions.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { JobEvent, JobEventBody } from '@hearth/protocol'
import { fault } from '@hearth/protocol/fault'
import { outcomes } from '@hearth/protocol/outcome'
import { questionLines } from '../../packages/cli/src/approval.ts'
import { age, bytes, count, duration, inkOf, table } from '../../packages/cli/src/print.ts'
import type { Out } from '../../packages/cli/src/context.ts'
import { eventLines, outcomeWords, type Look } from '../../packages/cli/src/render.ts'
import { columns, cut, jsonLine, oneLine, visible, wrap } from '../../packages/cli/src/text.ts'
import { bar, progressText } from '../../packages/cli/src/transfer.ts'
import { played, receipt } from '../fixtures/fake-daemon.ts'

const look: Look = { ink: inkOf(false), width: 64, cardLines: 5, summary: true }
const event = (body: JobEventBody): JobEvent => ({ ...body, seq: 1, jobId: 'j', at: 0 })
// C0 but newline, DEL, C1, bidirectional and invisible characters.
const harmful = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e007f}]/u

test('nothing that steers a terminal passes', () => {
  assert.equal(visible('a\u001b[31mred\u001b[0m\u001b[2J\u001b[Hb'), 'aredb')
  assert.equal(visible('\u001b]52;c;AAAA\u0007'), '␛]52;c;AAAA␇')
  assert.equal(visible('\u001b\u001b[m[31m'), '␛[31m', 'taking a sequence out must not make a new one')
  assert.equal(visible('a\rb\r\nc\td\be\u007f\u009b2J'), 'a␍b\nc  d␈e␡\\u009b2J')
  assert.equal(visible('\u202etxt.exe\u2066\u{e0041}\ufeff'), '\\u202etxt.exe\\u2066\\u{e0041}\\ufeff')
  assert.equal(visible('\ud800x'), '\ufffdx')
  assert.equal(visible('naïve 漢字 👩‍💻 é'), 'naïve 漢字 👩‍💻 é')
  assert.equal(oneLine(' a\n\n b\u2028c '), 'a b\\u2028c')
  for (let code = 0; code < 0x3000; code++) assert.doesNotMatch(visible(`x${String.fromCodePoint(code)}y`), harmful, code.toString(16))
})

test('a call that is asked about shows what hides in control sequences', async () => {
  const out = { ink: inkOf(false), width: 80 } as Out
  const whole = async (name: string, args: Record<string, unknown>, folder: string | null = null): Promise<string> =>
    (await questionLines({ seq: 1, askedAt: 0, step: 1, folder, callId: 'a', call: { id: 'a', name, arguments: args }, offered: null, question: '' }, out)).join('\n')
  // A shell takes what stands behind the first semicolon for a command.
  const hidden = 'ls\u001b[;. ./x'
  assert.equal(visible(hidden), 'ls', 'elsewhere it is noise')
  assert.equal(await whole('bash', { command: hidden }), '$ ls␛[;. ./x')
  assert.equal(await whole('write', { path: 'a', content: hidden }), 'write a 12 bytes\n  │ + ls␛[;. ./x')
  assert.match(await whole('edit', { path: 'a', edits: [{ old: 'x', new: hidden }] }), /\+ ls␛\[;\. \.\/x$/)
  assert.match(await whole('mcp', { name: 's__t', arguments: { deep: [hidden] } }), /ls␛\[;\. \.\/x/)
  const folder = mkdtempSync(join(tmpdir(), 'hearth-approval-'))
  try {
    writeFileSync(join(folder, 'a'), 'same\nold\u001b[m\n')
    assert.equal((await whole('write', { path: 'a', content: `same\n${hidden}\n` }, folder)).split('\n').slice(1).join('\n'), '  │ - old␛[m\n  │ + ls␛[;. ./x')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('JSON keeps every character and none of them steers a terminal', () => {
  const all = Array.from({ length: 0x3000 }, (_, code) => String.fromCodePoint(code)).join('') + '\u{e0041}\ud800'
  const line = jsonLine({ all })
  assert.deepEqual(JSON.parse(line), { all })
  assert.doesNotMatch(line, harmful)
  assert.ok(!line.includes('\n'))
})

test('an edit shows each of its places', () => {
  const call = { id: 'a', name: 'edit', arguments: { path: 'a.txt', old: 'one', new: 'two', edits: [{ old: 'three\nfour', new: '' }, 'nonsense', { old: 5, new: 'six' }] } }
  assert.deepEqual(eventLines(event({ type: 'tool_planned', step: 1, call, argsHash: 'x', idempotency: 'compare', before: null }), look),
    ['edit a.txt', '  │ - one', '  │ + two', '  │ - three', '  │ - four', '  │ + six'])
})

test('a request that waits says where it stands, for what, and how long if that is known', () => {
  const waits = (etaMs: number | null): string[] => eventLines(event({ type: 'waiting', model: 'm', position: 2, reason: "loading 'm'", etaMs }), look)
  assert.deepEqual([waits(null), waits(3000)], [["waiting for m, number 2 in line: loading 'm'"], ["waiting for m, number 2 in line: loading 'm' (about 3.0 s)"]])
})

test('columns, cutting and wrapping know wide and combining characters', () => {
  assert.equal(columns('漢字'), 4)
  assert.equal(columns('e\u0301'), 1)
  assert.equal(columns('✓ ok'), 4)
  assert.equal(cut('abcdef', 4), 'abc…')
  assert.equal(cut('漢字漢字', 5), '漢字…')
  assert.deepEqual(wrap('one two three four', 9), ['one two', 'three', 'four'])
  assert.deepEqual(wrap('abcdefghij kl', 4), ['abcd', 'efgh', 'ij', 'kl'])
  for (const line of wrap(`a${' '.repeat(100)}b\n${' '.repeat(100)}c`, 17)) assert.ok(columns(line) <= 17, line)
  assert.deepEqual(wrap('    far in\n  in', 9), ['    far', 'in', '  in'])
  assert.equal(wrap(`a${' '.repeat(1_000_000)}b`, 80).at(-1)?.trim(), 'b')
  for (const line of wrap('漢字'.repeat(30) + ' word '.repeat(20), 17)) assert.ok(columns(line) <= 17, line)
})

test('figures read as a person writes them', () => {
  assert.deepEqual([0, 1, 1023, 1024, 98_362_432, 2 ** 40].map(bytes), ['0 bytes', '1 byte', '1023 bytes', '1.0 KiB', '93.8 MiB', '1.0 TiB'])
  assert.deepEqual([0, 12.4, 999.6, 8140, 59_949, 59_960, 3_599_900, 3_780_000, 187_200_000].map(duration),
    ['0 ms', '12 ms', '1.0 s', '8.1 s', '59.9 s', '1 m 00 s', '1 h 00 m', '1 h 03 m', '2 d 4 h'])
  assert.deepEqual([999, 1000, 1_234_567].map(count), ['999', '1,000', '1,234,567'])
  assert.deepEqual([0, 61_000, 7_200_000, 400_000_000].map(age), ['0 s ago', '1 m ago', '2 h ago', '4 d ago'])
})

test('a table cuts its last column only', () => {
  const lines = table([{ title: 'A' }, { title: 'N', side: 'right' }, { title: 'TEXT' }], [['alpha', '1', 'x'.repeat(50)], ['b', '100', 'y']], 30, inkOf(false))
  assert.deepEqual(lines, ['A        N  TEXT', `alpha    1  ${'x'.repeat(17)}…`, 'b      100  y'])
})

test('the events of a job read as a story', () => {
  const body = played('check_failed', 10)
  const lines = body.flatMap((one) => eventLines(event(one), look))
  assert.deepEqual(lines, [
    'waiting, position 1: one job is running',
    '', 'step 1',
    '  620 prompt (465 reused) + 43 tokens in 1.5 s, 30.7 tokens/s',
    '$ cp a.txt b.txt',
    '  │ copied',
    '  ✓ 12 ms',
    '✗ check  test -f b.txt  exit 1, 5 ms',
    '', 'copied', '',
    '✗ check failed: it ran and did not pass',
    '  work          2 steps, 2 tool calls, 3 model calls',
    '  tokens        1,240 prompt (930 reused), 86 generated, 31.3 tokens/s',
    '  time          8.1 s, 7.5 s of it in the model',
    '  left the box  0 bytes',
  ])
})

test('long output keeps its first and last lines; every line fits', () => {
  const text = Array.from({ length: 40 }, (_, i) => `line ${i} ${'z'.repeat(90)}`).join('\n')
  const lines = eventLines(event({
    type: 'tool_result', step: 1, callId: 'c', name: 'bash', ok: false, exitCode: 2, cause: 'exited', observation: text, totalBytes: 9_000_000,
    outputFile: '/state/out/c', durationMs: 3200, wrote: false,
  }), look)
  assert.equal(lines.length, 6)
  assert.match(lines[0] ?? '', /^ {2}│ line 0 z+…$/)
  assert.equal(lines[2], '  │ … 36 lines more')
  assert.match(lines[4] ?? '', /^ {2}│ line 39 /)
  assert.equal(lines[5], '  ✗ exit 2, 3.2 s, 8.6 MiB in /state/out/c')
  for (const line of lines) assert.ok(columns(line) <= 64, line)
})

test('thoughts are shown before the words, bounded; a warning stands out', () => {
  const turn: Extract<JobEventBody, { type: 'turn' }> = { type: 'turn', step: 1, model: 'm', text: 'I look.', toolCalls: [], stop: 'end', usage: { promptTokens: 10, reusedTokens: 0, completionTokens: 3 }, timings: { queuedMs: 0, prefillMs: 0, decodeMs: 0, ttftMs: null, totalMs: 5 } }
  assert.deepEqual(eventLines(event({ ...turn, reasoning: 'Is it there?\n\u001b[2JPerhaps.\n' }), look), ['  │ ~ Is it there?', '  │ ~ Perhaps.', '  I look.', '  10 prompt + 3 tokens in 5 ms'])
  const long = eventLines(event({ ...turn, reasoning: 'thinking and thinking '.repeat(500) }), look)
  assert.equal(long.length, look.cardLines + 2)
  assert.match(long[2] ?? '', /^ {2}│ … \d+ lines more$/)
  for (const line of long) assert.ok(columns(line) <= 64, line)
  assert.deepEqual(eventLines(event({ type: 'thought', step: 1, text: 'Is' }), look), [])
  assert.deepEqual(eventLines(event({ type: 'warned', text: 'The window is small.' }), look), ['! The window is small.'])
})

test('tool calls show what they do', () => {
  const card = (name: string, args: Record<string, unknown>): string[] => eventLines(event({
    type: 'tool_planned', step: 1, call: { id: 'c', name, arguments: args }, argsHash: '', idempotency: 'pure', before: null,
  }), look)
  assert.deepEqual(card('bash', { command: 'a\nb' }), ['$ a', '  b'])
  assert.deepEqual(card('read', { path: 'a.txt', offset: 5 }), ['read a.txt from line 5'])
  assert.deepEqual(card('write', { path: 'b.txt', content: 'hello\n' }), ['write b.txt 6 bytes', '  │ + hello'])
  assert.deepEqual(card('edit', { path: 'b.txt', old: 'x', new: 'y\nz' }), ['edit b.txt', '  │ - x', '  │ + y', '  │ + z'])
  assert.deepEqual(card('grep', { pattern: 'TODO', path: 'src' }), ['grep TODO  src'])
  assert.deepEqual(card('glob', { pattern: '**/*.ts' }), ['glob **/*.ts'])
  assert.deepEqual(card('server__tool', { n: 1 }), ['server__tool {"n":1}'])
  assert.deepEqual(card('bash', { command: 7 }), ['$ '], 'wrong types are the daemon\'s to refuse, not ours to fall over')
})

test('every outcome has its words; a fault stands with its remedy', () => {
  for (const outcome of outcomes) {
    const lines = eventLines(event({ type: 'ended', outcome, verified: false, summary: null, fault: null, receipt, exitCode: 1 }), look)
    assert.ok(lines[1]?.includes(outcomeWords(outcome)), outcome)
  }
  const lines = eventLines(event({
    type: 'ended', outcome: 'timed_out', verified: false, summary: null, fault: fault('timed_out', { what: 'The job', seconds: 5 }), receipt, exitCode: 124,
  }), look)
  assert.deepEqual(lines.slice(0, 4), ['', '✗ timed out', '  The job passed its limit of 5 s.', '  Raise --timeout, or make the job smaller.'])
})

test('events that carry foreign text carry no escape codes', () => {
  const evil = '\u001b]0;title\u0007\u202e\u009b2J'
  const bodies: JobEventBody[] = [
    ...played('resolved', 0, evil),
    { type: 'queued', position: 1, reason: evil }, { type: 'suspended', reason: evil }, { type: 'loading', model: evil, detail: evil },
    { type: 'call_rejected', step: 1, text: evil, problem: evil }, { type: 'nudge', step: 1, text: evil },
    { type: 'guard', step: 1, guard: evil, action: 'stop', evidence: evil },
    { type: 'tool_unknown', step: 1, callId: 'c', name: evil, observation: evil },
    { type: 'tool_planned', step: 1, call: { id: 'c', name: evil, arguments: { [evil]: evil } }, argsHash: '', idempotency: 'pure', before: null },
    { type: 'tool_planned', step: 1, call: { id: 'c', name: 'write', arguments: { path: evil, content: evil } }, argsHash: '', idempotency: 'pure', before: null },
    { type: 'check', step: 1, command: evil, when: 'final', passed: false, exitCode: 1, cause: 'exited', output: evil, durationMs: 1 },
    { type: 'turn_failed', step: 1, model: evil, fault: fault('internal', { problem: evil }), usage: { promptTokens: 0, reusedTokens: 0, completionTokens: 0 }, timings: { queuedMs: 0, prefillMs: 0, decodeMs: 0, ttftMs: null, totalMs: 0 }, retry: false },
  ]
  for (const body of bodies) for (const line of eventLines(event(body), { ...look, width: Infinity })) assert.doesNotMatch(line, harmful, `${body.type}: ${JSON.stringify(line)}`)
})

test('a transfer says how far it is', () => {
  assert.equal(progressText({ type: 'progress', file: 'f', doneBytes: 41_311_000, totalBytes: 98_362_432, bytesPerSecond: 12_582_912 }), ' 41%  39.4 MiB of 93.8 MiB  12.0 MiB/s  4.5 s left')
  assert.equal(progressText({ type: 'progress', file: 'f', doneBytes: 2048, totalBytes: null, bytesPerSecond: 0 }), '2.0 KiB')
  assert.equal(bar(0.5, 4), '██░░')
  assert.equal(bar(0.53125, 4), '██▏░')
  assert.equal(bar(1, 4), '████')
})
