// Proves the moments of help that an evaluation draws: as many as were bought, never after a course is over, the same for the same rows and seed; and rules that only get stricter.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { EvalArm, EvalRow, JobEvent, JobEventBody } from '@hearth/protocol'
import { pastToTrigger } from '../../packages/daemon/src/queue/fork.ts'
import { pairOf } from '../../packages/daemon/src/eval/statistics.ts'
import { armsProblem, courseRules, forkProblem, oracleMoments, pastOf, randomMoments, rulesOf, seedOf } from '../../packages/daemon/src/eval/arms.ts'

const row = (arm: EvalArm, task: string, repeat: number, more: Partial<EvalRow> = {}): EvalRow =>
  ({ task, repeat, arm, solved: false, outcome: '', usdMicros: 0, seconds: 1, joules: null, escalations: 0, jobId: null, steps: 6, askedAt: [], ...more })
const tasks = Array.from({ length: 40 }, (_, n) => `t${n}`)

describe('moments', () => {
  const local = tasks.map((task, n) => row('local', task, 0, { solved: n % 2 === 0, steps: 1 + (n % 7) }))
  const advised = tasks.map((task, n) => row('advise', task, 0, n % 2 === 1 ? { escalations: 1, askedAt: [4] } : {}))
  const drawn = randomMoments(local, advised, 7)

  it('at random are as many as were bought, each of a step that the course has, none twice', () => {
    const all = [...drawn].flatMap(([pair, steps]) => steps.map((step) => ({ pair, step })))
    assert.equal(all.length, 20)
    assert.equal(new Set(all.map(({ pair, step }) => `${pair} ${step}`)).size, 20)
    for (const { pair, step } of all) assert.ok(step >= 1 && step <= Math.max(1, (local.find((one) => pairOf(one) === pair)?.steps ?? 0) - 1))
  })

  it('at random fall on courses that need no help as often as on others', () => {
    const hits = { needed: 0, not: 0 }
    const even = local.map((one) => ({ ...one, steps: 5 }))
    for (let seed = 0; seed < 200; seed += 1) for (const [pair, steps] of randomMoments(even, advised, seed)) hits[even.find((one) => pairOf(one) === pair)?.solved === true ? 'not' : 'needed'] += steps.length
    // 4,000 fair draws stay within four standard deviations.
    assert.ok(Math.abs(hits.needed - 2000) < 130, JSON.stringify(hits))
  })

  it('are the same for the same rows and seed, and others for another one', () => {
    assert.deepEqual(randomMoments(local, advised, 7), drawn)
    assert.notDeepEqual(randomMoments(local, advised, 8), drawn)
    assert.equal(randomMoments(local, advised.map((one) => ({ ...one, escalations: 0 })), 7).size, 0)
  })

  it('with hindsight are where the local model fails, as the signals had them or in the middle', () => {
    const found = oracleMoments([row('local', 'a', 0), row('local', 'b', 0), row('local', 'c', 0, { solved: true })], [row('advise', 'a', 0, { askedAt: [3, 5] })])
    assert.deepEqual([...found], [[pairOf({ task: 'a', repeat: 0 }), [3, 5]], [pairOf({ task: 'b', repeat: 0 }), [3]]])
  })
})

describe('a job of an arm', () => {
  it('may use no mode but its own, and never more than its place allows', () => {
    assert.deepEqual(rulesOf('local', [], []), { consent: 'auto', dataClass: 'open', modes: [], askAt: [] })
    assert.deepEqual(rulesOf('random', [], [2, 4]), { consent: 'auto', dataClass: 'open', modes: ['advise'], askAt: [2, 4] })
    assert.deepEqual(rulesOf('plan', [], []), { consent: 'auto', dataClass: 'open', modes: ['plan'], planFirst: true })
    const place = [{ consent: 'ask', modes: ['plan'] }, { dataClass: 'local-only' }] as const
    assert.deepEqual(rulesOf('advise', place, []), { consent: 'ask', dataClass: 'local-only', modes: [] })
    assert.deepEqual(rulesOf('frontier', place, []), { consent: 'ask', dataClass: 'local-only', modes: [], askAt: [] })
  })

  it('of the course that is forked stops where one of the arms would ask, and buys nothing', () => {
    assert.deepEqual(courseRules(['local', 'advise', 'step', 'frontier'], []), { consent: 'auto', dataClass: 'open', modes: ['advise', 'step'], untilTrigger: true })
    assert.deepEqual(courseRules(['local', 'stronger'], []).modes, ['advise'])
    assert.deepEqual(courseRules(['review'], [{ dataClass: 'local-only' }]), { consent: 'auto', dataClass: 'local-only', modes: ['advise', 'review'], untilTrigger: true })
    assert.deepEqual([forkProblem(['local', 'random']), forkProblem(['plan', 'oracle'])?.startsWith('none of these arms goes on')], [null, true])
  })

  it('goes on from a course as its arm does', () => {
    const events: JobEvent[] = ([
      { type: 'workspace', kind: 'in_place', path: '/old', base: 'c0', detail: '' }, { type: 'started', attempt: 1, seed: 1, sandbox: '' }, { type: 'step', step: 1 },
      { type: 'guard', step: 1, guard: 'same_call', action: 'nudge', evidence: 'x' }, { type: 'nudge', step: 1, text: 'Take another way.' },
      { type: 'guard', step: 2, guard: 'same_call', action: 'escalate', evidence: 'x' }, { type: 'signals', step: 2, signals: [{ kind: 'hard', name: 'same_call', evidence: 'x' }], acts: true },
      {
        type: 'escalation_offered', step: 2, id: 'e1', mode: 'advise', signals: [{ kind: 'hard', name: 'same_call', evidence: 'x' }], packet: { prefix: '', body: '', files: [] }, maxTokens: 1, maxTurns: 1,
        offer: { model: 'nobody', place: 'local', host: '', consent: 'ask', preview: '', sha256: '', bytes: 0, redactions: [], worstUsdMicros: 0 },
      },
      { type: 'suspended', reason: '', state: 'waiting_approval' },
    ] as const satisfies JobEventBody[]).map((body, index) => ({ ...body, seq: index + 1, jobId: 'j', at: 0 }))
    assert.equal(pastToTrigger(events.slice(0, -2), '/new'), null)
    const { past, trigger } = pastToTrigger(events, '/new') ?? assert.fail('it has a trigger')
    assert.deepEqual(trigger, { step: 2, mode: 'advise', signals: [{ kind: 'hard', name: 'same_call', evidence: 'x' }] })
    assert.deepEqual(past.map(({ type }) => type), ['workspace', 'step', 'guard', 'nudge', 'guard', 'signals'])
    assert.deepEqual(past[0], { type: 'workspace', kind: 'in_place', path: '/new', base: 'c0', detail: '' })
    const shape = (arm: EvalArm, of = trigger): string => pastOf(arm, past, of).map((event) => `${event.type}${event.type === 'guard' ? `:${event.action}` : event.type === 'signals' ? `:${event.acts}` : ''}`).join(' ')
    for (const arm of ['advise', 'step', 'rest'] as const) assert.equal(shape(arm), 'workspace step guard:nudge nudge guard:escalate signals:true')
    for (const arm of ['local', 'review'] as const) assert.equal(shape(arm), 'workspace step guard:nudge nudge guard:stop signals:false')
    assert.equal(shape('stronger'), 'workspace step nudge signals:false')
    // Advice cannot mend a window that is full: the arm would not have asked.
    assert.equal(shape('advise', { ...trigger, signals: [{ kind: 'hard', name: 'overflow', evidence: 'x' }] }), shape('local'))
    assert.equal(shape('local', { ...trigger, mode: 'review', signals: [] }), shape('advise'))
    assert.equal(shape('local', { ...trigger, signals: [{ kind: 'declared', name: 'ask_expert', evidence: 'x' }] }), `${shape('local')} nudge`)
  })

  it('has its own seed for each task, repeat and try, and the same in every arm', () => {
    const seeds = ['a', 'b'].flatMap((task) => [0, 1].flatMap((repeat) => [0, 1].map((attempt) => seedOf(1, task, repeat, attempt))))
    assert.equal(new Set(seeds).size, 8)
    assert.equal(seedOf(1, 'a', 0), seedOf(1, 'a', 0, 0))
  })

  it('needs what it is measured by', () => {
    assert.equal(armsProblem(['local', 'advise', 'random', 'local_again', 'oracle']), null)
    assert.equal(armsProblem(['local', 'random']), "'random' is made of what 'advise' did, so it needs that arm too")
    assert.equal(armsProblem(['oracle']), "'oracle' is made of what 'local' did, so it needs that arm too")
  })
})
