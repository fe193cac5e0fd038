// What a job has touched stays with it, however it touched it: files that never leave, and words of strangers.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JobEventBody, ToolCall } from '@hearth/protocol'
import { globInside, keptByProject, neverLeaves, type PathLists } from '../../packages/daemon/src/egress/paths.ts'
import { forkedPast } from '../../packages/daemon/src/queue/fork.ts'
import { strangerIn, TaintReader, type Facts, type Taint } from '../../packages/daemon/src/egress/taint.ts'

const lists: PathLists = { owner: [], localOnly: ['private/**'] }
const facts: Facts = { network: false, remoteServers: new Set(['web']) }
const taintOf = (events: readonly JobEventBody[], more: Partial<PathLists & Facts> = {}): Taint => new TaintReader({ ...lists, ...more }, { ...facts, ...more }).read(events)

let calls = 0
/** A call and what came of it. */
function done(name: string, args: Record<string, unknown>, result: Partial<Extract<JobEventBody, { type: 'tool_result' }>> = {}): JobEventBody[] {
  const call: ToolCall = { id: `c${calls += 1}`, name, arguments: args }
  return [
    { type: 'tool_planned', step: 1, call, argsHash: '', idempotency: 'pure', wasHash: null } as unknown as JobEventBody,
    { type: 'tool_result', step: 1, callId: call.id, name, ok: true, exitCode: null, cause: 'exited', observation: '', totalBytes: 0, outputFile: null, durationMs: 1, wrote: false, ...result },
  ]
}
const remote = (events: readonly JobEventBody[]): JobEventBody[] => events.map((event) => ({ type: 'remote', step: 1, id: 'e1', event }))
const file = { file: { path: 'private/a.csv', sha256: '' } }

test('a local-only file is remembered whatever tool saw it, in the job, by a helper and by an expert', () => {
  for (const [what, events] of Object.entries({
    read: done('read', { path: 'private/a.csv' }, file),
    'a search': done('grep', { pattern: 'x' }, { files: ['src/a.ts', 'private/a.csv'] }),
    'a helper': [{ type: 'sub_step', step: 1, callId: 'c', n: 1, call: 'grep x', usage: { promptTokens: 1, reusedTokens: 0, completionTokens: 0 }, timings: { queuedMs: 0, prefillMs: 0, decodeMs: 0, ttftMs: null, totalMs: 0 }, files: ['private/a.csv'] } satisfies JobEventBody],
    'a command': done('bash', { command: 'head -3 "private/a.csv" | wc' }), 'a command on the folder': done('bash', { command: 'tar c private' }), 'an absolute name': done('bash', { command: 'cat /work/private/a.csv' }),
    'a command in the folder': [...done('bash', { command: 'cd private' }, { cwd: 'private' }), ...done('bash', { command: 'cat *' })],
    instructions: [{ type: 'opened', instructions: [{ path: 'private/AGENTS.md', sha256: '', text: '' }], skills: [], servers: [], guessedCheck: null } satisfies JobEventBody],
  })) {
    assert.notEqual(taintOf(events).localFile, null, what)
    assert.notEqual(taintOf(remote(events)).localFile, null, `${what}, by an expert`)
    assert.equal(taintOf(events, { localOnly: ['other/**'] }).localFile, null, what)
  }
  assert.equal(taintOf([...done('grep', { pattern: 'x' }, { files: ['src/a.ts'] }), ...done('bash', { command: 'npm test -- --private' })]).localFile, null)
})

test('words of strangers: an address, a command with a network, a server outside, by the name that the call gives', () => {
  const stranger = (events: readonly JobEventBody[], more: Partial<Facts> = {}): string | null => strangerIn(taintOf(events, more))
  assert.equal(stranger(done('fetch', { url: 'https://example.org' })), 'it read an address outside')
  assert.equal(stranger(done('bash', { command: 'ls' })), null)
  assert.equal(stranger(done('bash', { command: 'ls' }), { network: true }), 'its commands have a network')
  assert.equal(stranger(done('mcp', { name: 'web__search', arguments: { q: 'x' } })), "it asked the server 'web'")
  assert.equal(stranger(remote(done('mcp', { name: 'web__search' }))), "it asked the server 'web'")
  assert.equal(stranger(done('mcp', { name: 'files__list', arguments: {} })), null, 'a program in the sandbox is no stranger')
  assert.equal(stranger(done('fetch', { url: 'x' }, { cause: 'refused' })), null)
})

test('what a call or a check names is remembered before it runs, and what a server of the sandbox is asked', () => {
  const planned = (name: string, args: Record<string, unknown>): JobEventBody[] => done(name, args).slice(0, 1)
  for (const events of [
    planned('bash', { command: 'cat private/a.csv' }), planned('read', { path: '/work/private/a.csv' }), planned('grep', { pattern: 'x', path: 'private' }), planned('mcp', { name: 'files__read', arguments: { files: [{ name: 'private/a.csv' }] } }),
    [...done('bash', { command: 'cd private' }, { cwd: 'private' }).slice(1), ...planned('bash', { command: 'cat *' })],
    [{ type: 'check', step: 1, command: 'wc private/a.csv', when: 'final', passed: true, exitCode: 0, cause: 'exited', output: '', durationMs: 1 } satisfies JobEventBody],
    [{ type: 'accepted', request: { checks: ['sh check.sh', 'wc private/a.csv'] } } as unknown as JobEventBody],
  ]) {
    assert.notEqual(taintOf(events).localFile, null)
    assert.notEqual(taintOf(remote(events)).localFile, null)
  }
  assert.equal(taintOf(planned('write', { path: 'notes.md', content: 'see private/a.csv' })).localFile, null, 'words that are written are no files')
  assert.deepEqual([taintOf(done('read', { path: 'conf/prod.ini' }), { owner: ['conf/**'] }).ownerFile, taintOf(done('read', { path: 'conf/prod.ini' })).ownerFile], ['conf/prod.ini', null])
})

test('a server is no stranger to itself, and every other one is', () => {
  const taint = taintOf([...done('mcp', { name: 'web__x' }), ...done('mcp', { name: 'web__y' })])
  assert.deepEqual([strangerIn(taint), strangerIn(taint, 'web'), strangerIn(taint, 'other')], ["it asked the server 'web'", null, "it asked the server 'web'"])
  assert.equal(strangerIn(taintOf([...done('mcp', { name: 'web__x' }), ...done('fetch', { url: 'x' })]), 'web'), 'it read an address outside')
})

test('it stays, and what is read piece by piece is what is read at once', () => {
  const events = [...done('bash', { command: 'cd private' }, { cwd: 'private' }), ...done('mcp', { name: 'web__x' }), ...done('bash', { command: 'cat a' }), ...done('read', { path: 'b' }, { file: { path: 'src/b', sha256: '' } })]
  const reader = new TaintReader(lists, facts)
  for (const event of events) reader.read([event])
  assert.deepEqual(reader.taint, taintOf(events))
  assert.deepEqual(reader.taint, { localFile: 'private', ownerFile: null, strangers: new Map([['server web', "it asked the server 'web'"]]) })
})

test("the globs of a project hold for a job in a folder inside it, and for one in a folder around it", () => {
  assert.ok(keptByProject('a.csv', { ...lists, within: 'private' }) && neverLeaves(['a.csv'], { ...lists, within: 'private' })?.rule === 'project')
  assert.ok(!keptByProject('a.csv', { ...lists, within: 'src' }))
  const around = { owner: [], localOnly: [globInside('shop [old]', 'private/**'), globInside('shop [old]', '*.sql'), globInside('shop [old]', 'data/')] }
  for (const path of ['shop [old]/private/a.csv', 'shop [old]/x/y/dump.sql', 'shop [old]/data/b']) assert.ok(keptByProject(path, around), path)
  for (const path of ['private/a.csv', 'dump.sql', 'other/data/b']) assert.ok(!keptByProject(path, around), path)
})

test('a fork has touched what its past has', () => {
  const helper = { type: 'sub_step', step: 1, callId: 'c', n: 1, call: 'grep x', usage: { promptTokens: 1, reusedTokens: 0, completionTokens: 0 }, timings: { queuedMs: 0, prefillMs: 0, decodeMs: 0, ttftMs: null, totalMs: 0 }, files: ['private/a.csv'] } as const
  for (const seen of [[{ ...helper, files: [...helper.files] }], done('read', { path: 'x' }, file), done('mcp', { name: 'web__x' })]) {
    const past = [{ type: 'step', step: 1 } as unknown as JobEventBody, { type: 'turn', step: 1, toolCalls: [] } as unknown as JobEventBody, ...seen]
    const stored = past.map((body, index) => ({ ...body, seq: index + 1, jobId: 'j', at: 1 }))
    assert.deepEqual(taintOf(forkedPast(stored, null)), taintOf(past))
    assert.notDeepEqual(taintOf(past), { localFile: null, ownerFile: null, strangers: new Map() })
  }
})
