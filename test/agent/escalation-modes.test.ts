// What an expert may be bought for: a step, the rest, a plan, a review; how a person approves, edits or refuses what would leave; and a kill at each point.
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, beforeEach, describe, it } from 'node:test'
import { receipt } from '@hearth/agent/context/receipt'
import type { EscalationSettings, JobEventBody } from '@hearth/protocol'
import { bash, Experts, finish, isAdvised, local, look, obeying, pricePerTurn, sha256, write } from './experts.ts'
import { call, ofType, Workbench, type Ran } from './workbench.ts'

let bench: Workbench
before(async () => { bench = await Workbench.open({ f: 'old\n' }) })
beforeEach(() => writeFile(join(bench.workspace, 'f'), 'old\n'))
after(() => bench.close())

const checks = ['grep -q right f']
/** Stuck, until an expert has spoken or worked; then it says that it is done. */
const stuck = () => local((request) => (isAdvised(request) ? finish() : bash('true')))
const stored = (events: readonly JobEventBody[]): JobEventBody[] => JSON.parse(JSON.stringify(events)) as JobEventBody[]

type More = { past?: JobEventBody[]; modes?: EscalationSettings['modes']; model?: ReturnType<typeof local>; checks?: string[]; approve?: 'writes'; escalation?: Partial<EscalationSettings> }
const run = (expert: Experts, { modes = ['advise'], past, model, escalation, ...more }: More = {}): Promise<Ran> =>
  bench.run({ model: model ?? stuck(), script: { turns: [] }, checks, maxSteps: 30, expert, escalation: { modes, ...escalation }, ...(past === undefined ? {} : { past: stored(past) }), ...more })

const takesOver = [call('read', { path: 'f' }), call('bash', { command: 'echo looking' }), call('write', { path: 'f', content: 'right\n' }), call('finish', { answer: 'never said' })]

describe('a step that is taken over', () => {
  it('runs our tools with the expert\'s turns, ends when the check passes, and leaves a receipt', async () => {
    const expert = new Experts({ turns: takesOver })
    const { end, events, requests } = await run(expert, { modes: ['step'] })
    assert.equal(end.type === 'ended' && end.outcome, 'resolved')
    assert.equal(await readFile(join(bench.workspace, 'f'), 'utf8'), 'right\n')
    assert.equal(expert.sent.length, 3)
    assert.ok(expert.sent.every(({ request }) => request.purpose === 'step' && request.tools.map(({ name }) => name).join() === 'bash,edit,finish,glob,grep,read,write'))
    const [offered] = ofType(events, 'escalation_offered')
    assert.ok(expert.sent.every(({ request }) => request.messages.find(({ role }) => role === 'user')?.text === offered?.offer.preview), 'what leaves begins with exactly what was offered')
    const [back] = ofType(events, 'handed_back')
    assert.deepEqual([back?.mode, back?.how, back?.turns, back?.usdMicros], ['step', 'passed', 3, 3 * pricePerTurn])
    assert.equal(back?.text, [
      'A stronger model took over for 3 turns and made the check pass. If the whole task is done, call finish.', 'Files changed: f', 'Calls:', '- read f: ok, 4 bytes', '- bash echo looking: ok, 8 bytes', 'The files are as it left them.',
    ].join('\n'))
    assert.deepEqual(ofType(events, 'remote').map(({ event }) => event.type).filter((type) => type === 'turn').length, 3)
    // The local prompt is the one before, and the receipt.
    const at = requests.findIndex(isAdvised)
    const [before, now] = [requests[at - 1]?.messages ?? [], requests[at]?.messages ?? []]
    assert.deepEqual(now.slice(0, before.length), before)
    assert.equal(now.at(-1)?.text, back?.text)
    assert.deepEqual(ofType(events, 'effect').map(({ effect }) => effect), ['cleared'])
  })

  it('that cannot begin, because the gate forbids its first turn, is a denial', async () => {
    const expert = new Experts({ turns: [{ fault: { code: 'over_budget', detail: { why: 'Nothing is left.', remedy: 'Raise it.' } } }] })
    const { end, events } = await run(expert, { modes: ['step'] })
    assert.deepEqual(ofType(events, 'escalation_denied').map(({ mode, denial }) => [mode, denial.rule]), [['step', 'budget']])
    assert.deepEqual(end, { type: 'suspended', reason: 'Nothing is left. Raise it.', state: 'paused', lacks: 'money' })
  })

  it('ends when its turns are used, and the local model goes on', async () => {
    const expert = new Experts({ turns: Array.from({ length: 9 }, (_, n) => call('bash', { command: `echo ${n}` })) })
    const { events } = await run(expert, { modes: ['step'], escalation: { stepTurns: 2 }, model: local(obeying(() => bash('true'))) })
    assert.equal(expert.sent.filter(({ id }) => id === 'e1').length, 2)
    assert.deepEqual(ofType(events, 'handed_back').map(({ how, turns }) => [how, turns])[0], ['turns', 2])
  })

  it('is gone on with after a kill at any point, and no turn that was answered is sent again', async () => {
    const whole = await run(new Experts({ turns: takesOver }), { modes: ['step'] })
    const from = whole.events.findIndex(({ type }) => type === 'escalation_offered')
    const to = whole.events.findIndex(({ type }) => type === 'handed_back')
    for (let cut = from; cut <= to; cut += 1) {
      const past = whole.events.slice(0, cut + 1)
      const expert = new Experts({ turns: takesOver })
      const answered = past.filter((event) => event.type === 'remote' && event.event.type === 'turn').length
      const written = past.some((event) => event.type === 'remote' && event.event.type === 'tool_result' && event.event['name'] === 'write')
      await writeFile(join(bench.workspace, 'f'), written ? 'right\n' : 'old\n')
      const { end } = await run(expert, { modes: ['step'], past })
      assert.equal(expert.asked.length, 0, `cut after ${cut}: nothing is offered again`)
      assert.equal(end.type === 'ended' && end.outcome, 'resolved')
      // Cut between its write and the check, it needs one turn more to say that it is done.
      const unchecked = written && !past.some((event) => event.type === 'remote' && event.event.type === 'check')
      assert.equal(expert.sent.length, 3 - answered + (unchecked ? 1 : 0), `cut after ${cut}: ${whole.events[cut]?.type ?? ''}`)
    }
  })
})

describe('advice', () => {
  it('is gone on with after a kill at any point, with the same prompt, and is never bought twice', async () => {
    const turns = [{ text: 'Write right into f.\nGO ON' }]
    const whole = await run(new Experts({ turns }), { model: local(obeying(() => bash('true'))) })
    const from = whole.events.findIndex((event) => event.type === 'guard' && event.action === 'escalate')
    const to = whole.events.findIndex(({ type }) => type === 'handed_back')
    const advised = whole.requests.find(isAdvised)?.messages
    for (let cut = from; cut <= to; cut += 1) {
      await writeFile(join(bench.workspace, 'f'), 'old\n')
      const past = whole.events.slice(0, cut + 1)
      const expert = new Experts({ turns })
      const { end, requests } = await run(expert, { past, model: local(obeying(() => bash('true'))) })
      assert.equal(expert.sent.length, past.some(({ type }) => type === 'remote') ? 0 : 1, `cut after ${whole.events[cut]?.type ?? ''}`)
      assert.deepEqual(requests[0]?.messages, advised)
      assert.equal(end.type === 'ended' && end.outcome, 'resolved')
    }
  })
})

describe('a call of an expert that takes over', () => {
  it('waits for a yes where the job asks for one, and that yes is for no call of the local model', async () => {
    const expert = new Experts({ turns: [call('write', { path: 'f', content: 'right\n' })] })
    const looking = local((request) => (isAdvised(request) ? finish() : look('*')))
    const asked = await run(expert, { modes: ['step'], model: looking, approve: 'writes' })
    assert.equal(asked.end.type === 'suspended' && asked.end.state, 'waiting_approval')
    const [question] = ofType(asked.events, 'approval_asked').slice(-1)
    assert.match(question?.callId ?? '', /^e1\//)
    const yes = { type: 'approval_given', callId: question?.callId ?? '', approved: true, by: 'me', note: '' } as const
    const after = await run(expert, { modes: ['step'], model: looking, approve: 'writes', past: [...asked.events, yes] })
    assert.equal(after.end.type === 'ended' && after.end.outcome, 'resolved')
    assert.equal(expert.sent.length, 1)
  })
})

describe('a prompt that does not fit any more', () => {
  it('is begun anew first, then a step is taken over: advice would not fit either', async () => {
    const expert = new Experts({ turns: takesOver })
    const { end, events } = await run(expert, { modes: ['advise', 'step'], model: local((request) => (isAdvised(request) ? finish() : { fault: 'context_overflow' })) })
    assert.equal(end.type === 'ended' && end.outcome, 'resolved')
    assert.deepEqual(ofType(events, 'guard').map(({ guard, action }) => [guard, action]), [['overflow', 'replan'], ['overflow', 'escalate']])
    assert.deepEqual(expert.asked.map(({ mode, signals }) => [mode, signals.map(({ name }) => name)]), [['step', ['overflow']]])
  })

  it('ends the job as before where only advice may be bought', async () => {
    const expert = new Experts({ turns: [] })
    const { end } = await run(expert, { modes: ['advise'], model: local(() => ({ fault: 'context_overflow' })) })
    assert.equal(end.type === 'ended' && end.fault?.code, 'context_overflow')
    assert.equal(expert.asked.length, 0)
  })
})

describe('what was paid for', () => {
  it('is kept when the history is shortened', () => {
    const text = receipt([{ type: 'handed_back', step: 1, id: 'e1', mode: 'advise', how: 'answered', text: 'Advice of a stronger model (big):\nLook at line 3.', turns: 1, usdMicros: 1, model: 'big' }], 400)
    assert.match(text, /Advice of a stronger model \(big\):\nLook at line 3\.$/)
  })
})

describe('the rest', () => {
  it('is taken over to the end, and the check decides', async () => {
    const { end, events } = await run(new Experts({ turns: takesOver }), { modes: ['rest'] })
    assert.equal(end.type === 'ended' && end.outcome, 'resolved')
    assert.deepEqual(ofType(events, 'handed_back').map(({ mode, how }) => [mode, how]), [['rest', 'passed']])
    assert.ok(events.findLastIndex(({ type }) => type === 'turn') < events.findIndex(({ type }) => type === 'escalation_offered'), 'the local model is not asked again')
  })

  it('that does not get there ends the job as stuck', async () => {
    const { end } = await run(new Experts({ turns: [call('finish', { answer: 'no' }), call('finish', { answer: 'no' }), call('finish', { answer: 'no' })] }), { modes: ['rest'] })
    assert.deepEqual(end, { type: 'ended', outcome: 'stuck', verified: false, summary: 'Stopped (expert): big took over and did not get there.', fault: null })
  })
})

describe('a plan', () => {
  const plan = ['1. Write the word right into f.', '2. Run the check.', 'CHECK: grep -q right f', 'CHECK: `test -f f`', 'CHECK: no-such-program --all', 'CHECK: if true; then'].join('\n')

  it('is bought before the first step; its checks decide once they were seen to start', async () => {
    const expert = new Experts({ turns: [{ text: plan }] })
    const { end, events, requests } = await run(expert, { modes: ['plan'], checks: [], escalation: { planFirst: true }, model: local((_, turn) => [write('f', 'right\n'), finish()][turn] ?? finish()) })
    assert.deepEqual(end, { type: 'ended', outcome: 'resolved', verified: true, summary: 'done', fault: null })
    const [back] = ofType(events, 'handed_back')
    assert.deepEqual(back?.checks, ['grep -q right f', 'test -f f'])
    assert.match(back?.text ?? '', /Not used as checks: The check 'no-such-program --all' cannot start: there is no program no-such-program in the sandbox; The check 'if true; then' cannot start/)
    assert.deepEqual(ofType(events, 'check').filter(({ step }) => step === 0).map(({ command, passed }) => [command, passed]), [['grep -q right f', false], ['test -f f', true]])
    assert.equal(requests[0]?.messages.at(-1)?.text, back?.text)
    const asked = expert.sent[0]?.request.messages[1]?.text ?? ''
    assert.match(asked, /^## Goal\nDo it\.\n\n## Acceptance\nNo command decides it; the goal does\./)
    assert.match(asked, /## Files of the folder\nf\n/)
    assert.equal(expert.sent[0]?.request.purpose, 'plan')
  })

  it('whose checks pass before any work decides nothing', async () => {
    const { end, events } = await run(new Experts({ turns: [{ text: '1. Do it.\nCHECK: test -f f' }] }), { modes: ['plan'], checks: [], escalation: { planFirst: true }, model: local(() => finish()) })
    assert.deepEqual(ofType(events, 'handed_back')[0]?.checks, [])
    assert.equal(end.type === 'ended' && end.outcome, 'done_unverified')
  })

  it('is gone on with after a kill at any point, and is never bought twice', async () => {
    const more = { modes: ['plan'] as const, checks: [], escalation: { planFirst: true }, model: local((request) => (request.messages.at(-1)?.role === 'user' && !request.messages.some(({ role }) => role === 'assistant') ? write('f', 'right\n') : finish())) }
    const whole = await run(new Experts({ turns: [{ text: plan }] }), more)
    const to = whole.events.findIndex(({ type }) => type === 'handed_back')
    for (let cut = 0; cut <= to; cut += 1) {
      await writeFile(join(bench.workspace, 'f'), 'old\n')
      const past = whole.events.slice(0, cut + 1)
      const expert = new Experts({ turns: [{ text: plan }] })
      const { end, requests } = await run(expert, { ...more, past })
      assert.equal(expert.sent.length, past.some(({ type }) => type === 'remote') ? 0 : 1)
      assert.deepEqual(requests[0]?.messages, whole.requests[0]?.messages)
      assert.equal(end.type === 'ended' && end.outcome, 'resolved')
    }
  })

  it('that is denied is done without', async () => {
    const expert = new Experts({ turns: [], deny: () => ({ rule: 'consent', why: 'No.', remedy: '' }) })
    const { end } = await run(expert, { modes: ['plan'], checks: [], escalation: { planFirst: true }, model: local(() => finish()) })
    assert.equal(end.type === 'ended' && end.outcome, 'done_unverified')
    assert.equal(expert.asked.length, 1)
  })
})

describe('a review', () => {
  const done = (): ReturnType<typeof local> => local((_, turn) => [write('f', 'wrong\n'), finish('written'), write('f', 'right\n'), finish('written again')][turn] ?? finish('again'))

  it('of work without a check sends it back once, and the second one approves', async () => {
    const expert = new Experts({ turns: [{ text: 'APPROVE' }] })
    const redo = new Experts({ turns: [{ text: 'REDO\nf must hold the word right.' }] })
    // Each review is a conversation of its own: the first one is refused, the second approved.
    expert.model = (asked, offer, approved) => (asked.id === 'e1' ? Experts.prototype.model.call(redo, asked, offer, approved) : Experts.prototype.model.call(expert, asked, offer, approved))
    const { end, events, requests } = await run(expert, { modes: ['review'], checks: [], model: done() })
    assert.deepEqual(end, { type: 'ended', outcome: 'done_unverified', verified: null, summary: 'written again', fault: null })
    assert.deepEqual(ofType(events, 'handed_back').map(({ id, mode }) => [id, mode]), [['e1', 'review'], ['e2', 'review']])
    assert.equal(requests[2]?.messages.at(-1)?.text, 'Not done: a stronger model looked at the work.\nREDO\nf must hold the word right.')
    assert.match(redo.sent[0]?.request.messages[1]?.text ?? '', /The model says: written\nIs the goal reached\?$/)
  })

  it('is gone on with after a kill at any point, and is never bought twice for one "done"', async () => {
    const more = { modes: ['review'] as const, checks: [], model: local((request) => (request.messages.some(({ role }) => role === 'assistant') ? finish('written') : write('f', 'right\n'))) }
    const whole = await run(new Experts({ turns: [{ text: 'APPROVE' }] }), more)
    const from = whole.events.findIndex(({ type }) => type === 'escalation_offered')
    for (let cut = from; cut < whole.events.length; cut += 1) {
      const past = whole.events.slice(0, cut + 1)
      const expert = new Experts({ turns: [{ text: 'APPROVE' }] })
      const { end } = await run(expert, { ...more, past })
      assert.equal(expert.sent.length, past.some(({ type }) => type === 'remote') ? 0 : 1)
      assert.deepEqual(end, whole.end)
    }
  })

  it('is bought twice at most, and not where a real check decides', async () => {
    const expert = new Experts({ turns: [{ text: 'REDO\nAgain.' }] })
    const { end } = await run(expert, { modes: ['review'], checks: ['true'], model: local(() => finish()) })
    assert.equal(end.type === 'ended' && end.outcome, 'resolved')
    assert.equal(expert.sent.length, 2)
    const none = new Experts({ turns: [{ text: 'REDO' }] })
    await run(none, { modes: ['review'], model: local((_, turn) => (turn === 0 ? write('f', 'right\n') : finish())) })
    assert.equal(none.asked.length, 0)
  })
})

describe('what would leave', () => {
  const turns = [{ text: 'Write right into f.\nGO ON' }]
  const obedient = (): ReturnType<typeof local> => local(obeying(() => bash('echo the key is hunter2')))
  const given = (answer: Partial<Extract<JobEventBody, { type: 'approval_given' }>>): JobEventBody => ({ type: 'approval_given', callId: 'escalation:e1', approved: true, by: 'me', note: '', ...answer })

  it('waits for a person, who approves exactly that text', async () => {
    const expert = new Experts({ turns, consent: 'ask', secret: 'hunter2' })
    const asked = await run(expert, { model: obedient() })
    assert.deepEqual(asked.end, { type: 'suspended', reason: 'waiting for an approval of what would be sent to big', state: 'waiting_approval' })
    assert.equal(expert.sent.length, 0)
    const [offer] = ofType(asked.events, 'escalation_offered')
    assert.deepEqual(offer?.offer.redactions.map(({ kind }) => kind), ['key'])
    assert.ok(!offer.offer.preview.includes('hunter2'))
    const [question] = ofType(asked.events, 'approval_asked')
    assert.equal(question?.callId, 'escalation:e1')
    assert.equal(question.sha256, sha256(offer.offer.preview))
    // A yes to another text, or to none that is named, is no yes.
    for (const wrong of [given({}), given({ sha256: sha256('another') })]) {
      const still = await run(expert, { past: [...asked.events, wrong], model: obedient() })
      assert.equal(still.end.type === 'suspended' && still.end.state, 'waiting_approval')
    }
    assert.equal(expert.sent.length, 0)
    const { end } = await run(expert, { past: [...asked.events, given({ sha256: offer.offer.sha256 })], model: obedient() })
    assert.equal(end.type === 'ended' && end.outcome, 'resolved')
    assert.deepEqual(expert.sent.map(({ approved }) => approved), [offer.offer.sha256])
  })

  it('goes as a person edited it, without another question when nothing is found in it', async () => {
    const expert = new Experts({ turns, consent: 'ask', secret: 'hunter2' })
    const asked = await run(expert, { model: obedient() })
    const { end, events } = await run(expert, { past: [...asked.events, given({ text: 'Only this.' })], model: obedient() })
    assert.equal(end.type === 'ended' && end.outcome, 'resolved')
    assert.deepEqual(expert.sent.map(({ request, approved }) => [request.messages[1]?.text, approved]), [['Only this.', sha256('Only this.')]])
    assert.deepEqual(events.filter(({ type }) => type === 'escalation_offered' || type.startsWith('approval')).map(({ type }) => type), ['escalation_offered', 'approval_given'])
    const [yes] = ofType(events, 'approval_given')
    assert.deepEqual(yes, { type: 'approval_given', callId: 'escalation:e1', approved: true, by: 'me', note: 'as edited', sha256: sha256('Only this.') })
  })

  it('is asked about once more when something is found in what a person wrote, or when it may cost more', async () => {
    const expert = new Experts({ turns, consent: 'ask', secret: 'hunter2' })
    const asked = await run(expert, { model: obedient() })
    const edited = await run(expert, { past: [...asked.events, given({ text: 'It is hunter2.' })], model: obedient() })
    assert.equal(edited.end.type === 'suspended' && edited.end.state, 'waiting_approval')
    const [offer] = ofType(edited.events, 'escalation_offered')
    assert.deepEqual([offer?.offer.preview, offer?.again], ['It is <SECRET-1>.', 'in what me wrote was found: 1 key.'])
    assert.match(ofType(edited.events, 'approval_asked')[0]?.question ?? '', /^Asked again: in what me wrote was found: 1 key\. May 17 bytes go to big /)
    const { end } = await run(expert, { past: [...asked.events, given({ text: 'It is hunter2.' }), ...edited.events, given({ sha256: offer?.offer.sha256 ?? '' })], model: obedient() })
    assert.equal(end.type === 'ended' && end.outcome, 'resolved')
    const dear = asked.events.map((event) => (event.type === 'escalation_offered' ? { ...event, offer: { ...event.offer, worstUsdMicros: 1 } } : event))
    const more = await run(expert, { past: [...dear, given({ text: 'Only this.' })], model: obedient() })
    assert.equal(ofType(more.events, 'escalation_offered')[0]?.again, 'it may cost more than was shown.')
    assert.equal(more.end.type === 'suspended' && more.end.state, 'waiting_approval')
  })

  it('is asked about once more when the yes holds no longer, and never after an answer', async () => {
    let lapsed: string | null = 'It was sent once.'
    const expert = new Experts({ turns, consent: 'ask', lapsed: () => lapsed })
    const asked = await run(expert, { model: obedient() })
    const yes = given({ sha256: ofType(asked.events, 'escalation_offered')[0]?.offer.sha256 ?? '' })
    const again = await run(expert, { past: [...asked.events, yes], model: obedient() })
    assert.equal(again.end.type === 'suspended' && again.end.state, 'waiting_approval')
    assert.match(ofType(again.events, 'approval_asked')[0]?.question ?? '', /^Asked again: It was sent once\. May /)
    assert.equal(expert.sent.length, 0)
    lapsed = null
    const done = await run(expert, { past: [...asked.events, yes, ...again.events, yes], model: obedient() })
    assert.equal(done.end.type === 'ended' && done.end.outcome, 'resolved')
    lapsed = 'It was sent once.'
    const answer = done.events.findIndex(({ type }) => type === 'remote')
    const cut = await run(expert, { past: [...asked.events, yes, ...again.events, yes, ...done.events.slice(0, answer + 1)], model: obedient() })
    assert.equal(cut.end.type === 'ended' && cut.end.outcome, 'resolved')
    assert.equal(expert.sent.length, 1)
  })

  it('stays when nobody can be asked any more, and the job ends as without an expert', async () => {
    const asked = await run(new Experts({ turns, consent: 'ask' }), { model: obedient() })
    const { end } = await bench.run({ model: obedient(), script: { turns: [] }, checks, maxSteps: 30, past: stored(asked.events) })
    assert.equal(end.type === 'ended' && end.outcome, 'stuck')
  })

  it('stays when a person refuses, and the job ends by policy', async () => {
    const expert = new Experts({ turns, consent: 'ask' })
    const asked = await run(expert, { model: obedient() })
    const { end } = await run(expert, { past: [...asked.events, given({ approved: false, note: 'not this file' })], model: obedient() })
    assert.equal(end.type === 'ended' && end.outcome, 'blocked_by_policy')
    assert.match(end.type === 'ended' ? end.summary ?? '' : '', /No help was bought: me refused it: not this file\.$/)
    assert.equal(expert.sent.length, 0)
  })

  it('cannot be approved by the id of a tool call', async () => {
    const expert = new Experts({ turns, consent: 'ask' })
    const asked = await run(expert, { model: obedient() })
    const { end } = await run(expert, { past: [...asked.events, given({ callId: 'e1', sha256: ofType(asked.events, 'escalation_offered')[0]?.offer.sha256 ?? '' })], model: obedient() })
    assert.equal(end.type === 'suspended' && end.state, 'waiting_approval')
    assert.equal(expert.sent.length, 0)
  })
})
