// `hearth why`: the story of a job's decisions for a person and for a program; and the lines of an escalation while it happens.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JobEventBody } from '@hearth/protocol'
import { inkOf } from '../../packages/cli/src/print.ts'
import { eventLines } from '../../packages/cli/src/render.ts'
import { receipt } from '../fixtures/fake-daemon.ts'
import { withDaemon } from './cli.ts'

const signals = [{ kind: 'hard' as const, name: 'same_error', evidence: 'the same error 3 times: E: x' }]
const offer = { model: 'big', place: 'remote' as const, host: 'api.example.org', consent: 'ask' as const, preview: 'p', sha256: 'aa', bytes: 2048, redactions: [{ kind: 'key', count: 2 }], worstUsdMicros: 20_000 }
const story: JobEventBody[] = [
  { type: 'started', attempt: 1, seed: 1, sandbox: 's' },
  { type: 'step', step: 4 },
  { type: 'turn', step: 4, model: 'm', text: '', toolCalls: [], stop: 'end', usage: { promptTokens: 1, reusedTokens: 0, completionTokens: 1 }, timings: { queuedMs: 0, prefillMs: 1, decodeMs: 1, ttftMs: 1, totalMs: 1 } },
  { type: 'signals', step: 4, signals: [{ kind: 'soft', name: 'slow', evidence: '9 s' }, { kind: 'logged', name: 'call_likelihood', evidence: '1 %' }], acts: false },
  { type: 'signals', step: 4, signals: [{ kind: 'logged', name: 'call_likelihood', evidence: '1 %' }], acts: false },
  { type: 'guard', step: 5, guard: 'same_error', action: 'nudge', evidence: 'the same error 3 times: E: x' },
  { type: 'guard', step: 9, guard: 'same_error', action: 'escalate', evidence: 'the same error 3 times: E: x' },
  { type: 'signals', step: 9, signals, acts: true },
  { type: 'escalation_offered', step: 9, id: 'e1', mode: 'advise', signals, packet: { prefix: '', body: 'p', files: ['a'] }, maxTokens: 700, maxTurns: 1, offer },
  { type: 'approval_asked', step: 9, callId: 'escalation:e1', question: 'May it go?', sha256: 'aa' },
  { type: 'suspended', reason: 'waiting for an approval', state: 'waiting_approval' },
  { type: 'approval_given', callId: 'escalation:e1', approved: true, by: 'me', note: '', sha256: 'aa' },
  { type: 'remote', step: 9, id: 'e1', event: { type: 'turn', toolCalls: [] } },
  { type: 'handed_back', step: 9, id: 'e1', mode: 'advise', how: 'answered', text: 'Advice of a stronger model (big):\nLook at \u001b[31mline 3.', turns: 1, usdMicros: 1500, model: 'big' },
  { type: 'effect', step: 12, id: 'e1', effect: 'same', evidence: 'the same failure as before' },
  { type: 'escalation_denied', step: 14, id: 'e2', mode: 'step', signals, denial: { rule: 'budget', why: 'Today is used up.', remedy: 'Raise it.' } },
  { type: 'ended', outcome: 'stuck', verified: false, summary: 'Stopped (same_error).', fault: null, receipt, exitCode: 11 },
]

test('hearth why tells each decision with its evidence, price and effect', async (t) => {
  const { home, daemon } = await withDaemon(t, { events: [] })
  daemon.add('abc', {}, story)
  const { stdout, code } = await home.hearth('why', 'abc')
  assert.equal(code, 0)
  assert.equal(stdout, [
    'job abc  stuck: a guard stopped it, or it ran out of steps',
    'step 5    same_error: the same error 3 times: E: x -> the model is told so',
    'step 9    same_error: the same error 3 times: E: x -> help is asked for',
    '          signals: same_error (the same error 3 times: E: x) -> help is asked for',
    '          e1: big at api.example.org for advice: 2.0 KiB, 2 secrets replaced (key), $0.02 at worst',
    '          it waits for an approval of exactly that text',
    '          it waits: waiting for an approval',
    '          me approved it',
    '          e1: big answered (1 turn, $0.001500)',
    '          Advice of a stronger model (big):',
    '          Look at line 3.',
    'step 12   effect of e1: same (the same failure as before)',
    'step 14   e2 (step) denied by budget: Today is used up. Raise it.',
    '          stuck: Stopped (same_error).',
    '1 local turn; 1 escalation for $0.001500: 0 cleared, 1 the same, 0 worse; 1 denied',
    '',
  ].join('\n'))
  const json = JSON.parse((await home.hearth('why', '--json')).stdout) as { sums: { usdMicros: number; effects: unknown }; decisions: { what: string; step: number | null; event: { seq: number } }[] }
  assert.deepEqual([json.sums.usdMicros, json.sums.effects], [1500, { cleared: 0, same: 1, worse: 0 }])
  assert.deepEqual(json.decisions.map(({ what }) => what), ['guard', 'guard', 'signals', 'escalation_offered', 'approval_asked', 'suspended', 'approval_given', 'handed_back', 'effect', 'escalation_denied', 'ended'])
})

test('hearth why tells the seconds of a model that was loaded for it, and who was not asked', async (t) => {
  const { home, daemon } = await withDaemon(t, { events: [] })
  const swap = { leaves: ['small'], roomMs: 0, loadMs: 41_000, loadFrom: null, checkMs: 0, answerMs: 12_000, backMs: 9000 }
  const offered: JobEventBody = {
    type: 'escalation_offered', step: 9, id: 'e1', mode: 'advise', signals, packet: { prefix: '', body: 'p', files: [] }, maxTokens: 700, maxTurns: 1,
    offer: { ...offer, model: 'qwen', place: 'local', host: 'this box', consent: 'auto', redactions: [], worstUsdMicros: 0, because: 'it is on this box, and loading it pays: 41 s to load', swap, insteadUsdMicros: 310_000 },
  }
  daemon.add('abc', {}, [
    offered,
    { type: 'escalation_denied', step: 14, id: 'e2', mode: 'step', signals, denial: { rule: 'provider', why: 'Nobody can be asked now.', remedy: 'Raise it.', passedOver: [{ model: 'qwen', why: '190 s is more than the 120 s allowed', swap }, { model: 'desk', why: '192.0.2.7: nobody listens there' }] } },
  ])
  assert.deepEqual((await home.hearth('why', 'abc')).stdout.split('\n').slice(1, -2), [
    'step 9    e1: qwen on this box for advice: 2.0 KiB, nothing leaves',
    '          chosen: it is on this box, and loading it pays: 41 s to load; a bought answer would have cost at most $0.31',
    'step 14   e2 (step) denied by provider: Nobody can be asked now. Raise it.',
    '          not asked: qwen, 190 s is more than the 120 s allowed',
    '          not asked: desk, 192.0.2.7: nobody listens there',
  ])
})

test('a job that bought nothing says so', async (t) => {
  const { home, daemon } = await withDaemon(t, { events: [] })
  daemon.add('abc', {}, [{ type: 'ended', outcome: 'done_unverified', verified: null, summary: null, fault: null, receipt, exitCode: 0 }])
  assert.equal((await home.hearth('why')).stdout, 'job abc  done, unverified: the model says so and no check was asked for\n          done_unverified\n0 local turns; nobody outside was asked\n')
})

test('an escalation reads so while it happens', () => {
  const look = { ink: inkOf(false), width: 100, cardLines: 5, summary: true }
  const lines = story.flatMap((body, index) => (['signals', 'escalation_offered', 'escalation_denied', 'remote', 'handed_back', 'effect'].includes(body.type) ? eventLines({ ...body, seq: index + 1, jobId: 'j', at: 0 }, look) : []))
  assert.deepEqual(lines, [
    '  noticed: slow (9 s) (noted)',
    '  noticed: same_error (the same error 3 times: E: x)',
    '⇧ e1: big at api.example.org for advice: 2.0 KiB, 2 secrets replaced (key), $0.02 at worst',
    '  ⇧ it answered',
    '⇩ e1: big answered (1 turn, $0.001500)', '  Advice of a stronger model (big):', '  Look at line 3.',
    '= what came of e1: same. the same failure as before',
    '! no help is bought (budget): Today is used up. Raise it.',
  ])
})
