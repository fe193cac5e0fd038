// Owns the course of one escalation: packet, offer, approval, the expert's answer, the hand-back. Each stage is an event before the next begins, and the next is read
// off the events: a job that was cut off anywhere goes on there, and nothing that was answered is sent again.
import {
  exitOf, ModelRequest, outcomeTable, packetText, type AgentEnd, type Consultation, type Denial, type EscalationMode, type EventOf, type Expert, type Fault, type JobEventBody, type Model, type Signal,
} from '@hearth/protocol'
import { aborted } from '../ends.ts'
import { put, type Run } from '../run.ts'
import { planChecks } from './plan.ts'
import { gather, settingsOf } from './gather.ts'
import { nextId, openOffer, remoteEvents } from './state.ts'
import { takeOver } from './takeover.ts'
import { adviceText, answerTokens, clean, planText, saysStop, systemOf } from './words.ts'

/** How an approval names an escalation. No id of a tool call has a colon. */
export function approvalOf(id: string): string {
  return `escalation:${id}`
}

/**
 * Asks for help in the first of these modes that is not forbidden. Null = it came to its end (handed back, or denied); an end = the job waits for an approval, or
 * was stopped. `answer`: the words of a model that says it is done.
 */
export async function askFor(run: Run, expert: Expert, modes: readonly EscalationMode[], signals: readonly Signal[], answer: string | null = null): Promise<AgentEnd | null> {
  const { history } = run
  const id = nextId(history.events)
  // The settings may have changed since it was decided to ask.
  let denied: { mode: EscalationMode; denial: Denial } = { mode: 'advise', denial: { rule: 'mode', why: 'No mode of help is allowed.', remedy: 'Name some in escalation.modes.' } }
  for (const mode of modes) {
    const asked: Consultation = {
      id, mode, step: history.step, signals, packet: await gather(run, mode, signals, answer), maxTokens: answerTokens[mode], maxTurns: turnsOf(run, mode),
    }
    if (run.signal.aborted) return aborted(run.signal)
    const found = await expert.offer(asked)
    if (found.ok) {
      await put(run, offerEvent(asked, found.offer))
      return goOn(run, expert)
    }
    denied = { mode, denial: found.denial }
    // Only the mode is not allowed: another one may be.
    if (found.denial.rule !== 'mode') break
  }
  await deny(run, { id, mode: denied.mode, signals }, denied.denial)
  return null
}

function turnsOf(run: Run, mode: EscalationMode): number {
  if (mode === 'step') return settingsOf(run).stepTurns
  return mode === 'rest' ? Math.max(1, run.input.maxSteps - run.history.step) : 1
}

/** Goes on with the open offer, from wherever its events end. */
export async function goOn(run: Run, expert: Expert): Promise<AgentEnd | null> {
  for (;;) {
    const open = openOffer(run.history.events)
    if (open === null) return null
    const { offered, since } = open
    const said = verdictOn(offered, since)
    switch (said.type) {
      case 'wait':
        if (!said.asked) await put(run, { type: 'approval_asked', step: offered.step, callId: approvalOf(offered.id), question: approvalQuestion(offered), sha256: offered.offer.sha256 })
        return { type: 'suspended', reason: `waiting for an approval of what would be sent to ${offered.offer.model}`, state: 'waiting_approval' }
      case 'refused':
        await deny(run, offered, { rule: 'consent', why: said.why, remedy: 'The job goes on without help where it can.' })
        return null
      case 'edited': {
        await offerEdited(run, expert, offered, said)
        break
      }
      case 'go': {
        const why = said.approved === null || answered(run, offered) ? null : await expert.lapsed?.(consultationOf(offered), offered.offer) ?? null
        if (why === null) return converse(run, expert, offered, said.approved)
        await offerAgain(run, expert, offered, why)
        break
      }
      default: return said satisfies never
    }
  }
}

/** The open offer of a job that was taken up where nobody can be asked any more. */
export async function abandon(run: Run): Promise<null> {
  const open = openOffer(run.history.events)
  if (open !== null) await deny(run, open.offered, { rule: 'provider', why: 'Nobody can be asked any more.', remedy: 'Look at escalation.providers.' })
  return null
}

type Verdict = { type: 'go'; approved: string | null } | { type: 'wait'; asked: boolean } | { type: 'refused'; why: string } | { type: 'edited'; text: string; given: EventOf<'approval_given'> }

/** What a person said to exactly this text. An approval of another text, or of none that is named, is none. */
function verdictOn({ id, offer }: EventOf<'escalation_offered'>, since: readonly JobEventBody[]): Verdict {
  if (offer.consent === 'auto') return { type: 'go', approved: null }
  const given = since.findLast((event) => event.type === 'approval_given' && event.callId === approvalOf(id))
  if (given?.type === 'approval_given') {
    const text = given.text?.trim() ?? null
    if (!given.approved || text === '') return { type: 'refused', why: `${given.by} refused it${given.note.trim() === '' ? '' : `: ${given.note.trim()}`}` }
    if (text !== null && given.text !== offer.preview) return { type: 'edited', text: given.text ?? '', given }
    if (given.sha256 === offer.sha256) return { type: 'go', approved: offer.sha256 }
  }
  const [askedAt, givenAt] = [since.findLastIndex((event) => event.type === 'approval_asked' && event.callId === approvalOf(id)), given === undefined ? -1 : since.lastIndexOf(given)]
  return { type: 'wait', asked: askedAt > givenAt }
}

/**
 * What a person wrote is looked at as every text is. When nothing is found in it, and it goes to the same receiver at no higher price, writing it was the yes to it; else it is
 * asked about once more, with what was found.
 */
async function offerEdited(run: Run, expert: Expert, offered: EventOf<'escalation_offered'>, { text, given }: Extract<Verdict, { type: 'edited' }>): Promise<void> {
  const asked = { ...consultationOf(offered), packet: { prefix: '', body: text, files: offered.packet.files } }
  const found = await expert.offer(asked)
  if (!found.ok) return deny(run, offered, found.denial)
  const { offer } = found
  const { model, host, worstUsdMicros } = offered.offer
  const news = [
    ...(offer.preview === text ? [] : [`in what ${given.by} wrote was found: ${offer.redactions.map(({ kind, count }) => `${count} ${kind}`).join(', ')}`]),
    ...(offer.model === model && offer.host === host ? [] : ['it would go to another model now']),
    ...(offer.worstUsdMicros <= worstUsdMicros ? [] : ['it may cost more than was shown']),
  ]
  const { note: _note, text: _text, ...yes } = given
  await Promise.all([
    put(run, offerEvent(asked, offer, news.length === 0 ? undefined : `${news.join('; ')}.`)),
    ...(news.length === 0 && offer.consent === 'ask' ? [put(run, { ...yes, note: 'as edited', sha256: offer.sha256 })] : []),
  ])
}

async function offerAgain(run: Run, expert: Expert, offered: EventOf<'escalation_offered'>, why: string): Promise<void> {
  const asked = consultationOf(offered)
  const found = await expert.offer(asked)
  if (found.ok) await put(run, offerEvent(asked, found.offer, why))
  else await deny(run, offered, found.denial)
}

/** The expert has answered at least once: what it said is not asked for again. */
function answered(run: Run, { id }: EventOf<'escalation_offered'>): boolean {
  return remoteEvents(openOffer(run.history.events)?.since ?? [], id).some(({ type }) => type === 'turn')
}

function approvalQuestion({ mode, offer, packet, again }: EventOf<'escalation_offered'>): string {
  const replaced = offer.redactions.reduce((sum, { count }) => sum + count, 0)
  return `${again === undefined ? '' : `Asked again: ${again} `}May ${offer.bytes} bytes go to ${offer.model} at ${offer.host} (${mode})? At worst ${(offer.worstUsdMicros / 1e6).toFixed(4)} USD; ${replaced} secrets replaced; something of ${packet.files.length} files is in it.`
}

function consultationOf({ id, mode, step, signals, packet, maxTokens, maxTurns }: EventOf<'escalation_offered'>): Consultation {
  return { id, mode, step, signals, packet, maxTokens, maxTurns }
}

function offerEvent(asked: Consultation, offer: EventOf<'escalation_offered'>['offer'], again?: string): EventOf<'escalation_offered'> {
  const { packet, signals } = asked
  return { type: 'escalation_offered', ...asked, signals: [...signals], packet: { ...packet, files: [...packet.files] }, offer, ...(again === undefined ? {} : { again }) }
}

/** A question of the model's own is answered in any case. */
async function deny(run: Run, { id, mode, signals }: { id: string; mode: EscalationMode; signals: readonly Signal[] }, denial: Denial, usdMicros = 0): Promise<void> {
  const { step } = run.history
  const asked = signals.some(({ kind }) => kind === 'declared')
  await Promise.all([
    put(run, { type: 'escalation_denied', step, id, mode, signals: [...signals], denial, ...(usdMicros === 0 ? {} : { usdMicros }) }),
    ...(asked ? [put(run, { type: 'nudge', step, text: 'Nobody can be asked now. Go on by yourself: try another way, or call finish and say what is missing.' })] : []),
  ])
}

/** The expert's work and its hand-back. */
async function converse(run: Run, expert: Expert, offered: EventOf<'escalation_offered'>, approved: string | null): Promise<AgentEnd | null> {
  const { mode, id, step, offer } = offered
  const model = await expert.model(consultationOf(offered), offer, approved)
  const handBack = (back: Pick<EventOf<'handed_back'>, 'how' | 'text' | 'turns' | 'checks'>): EventOf<'handed_back'> =>
    ({ type: 'handed_back', step, id, mode, usdMicros: expert.spent(id), model: offer.model, ...back })
  if (mode === 'step' || mode === 'rest') {
    const done = await takeOver(run, offered, model)
    if (done.type === 'end') return done.end
    const { check, how, text, turns, fault } = done
    if (fault !== null && turns === 0) {
      await deny(run, offered, denialOf(fault), expert.spent(id))
      return null
    }
    await Promise.all([...(check === null ? [] : [put(run, { ...check, step })]), put(run, handBack({ how, text, turns }))])
    return null
  }
  const said = await answerOf(run, offered, systemOf[mode], model)
  if (said.type === 'end') return said.end
  const text = said.type === 'said' ? clean(said.text) : ''
  if (said.type === 'failed' || text === '') {
    const silent: Denial = { rule: 'provider', why: `${offer.model} answered nothing.`, remedy: 'Look at its provider, or choose another model.' }
    await deny(run, offered, said.type === 'failed' ? denialOf(said.fault) : silent, expert.spent(id))
    return null
  }
  switch (mode) {
    case 'advise':
      await put(run, handBack({ how: saysStop(text) ? 'stop' : 'answered', text: adviceText(offer.model, text), turns: 1 }))
      return null
    case 'review':
      await put(run, handBack({ how: 'answered', text, turns: 1 }))
      return null
    case 'plan': {
      const checks = await planChecks(run, text)
      if ('end' in checks) return checks.end
      await put(run, handBack({ how: 'answered', text: planText(offer.model, text, checks.taken, checks.refused), turns: 1, checks: checks.taken }))
      return null
    }
    default: return mode satisfies never
  }
}

type Said = { type: 'said'; text: string } | { type: 'failed'; fault: Fault } | { type: 'end'; end: AgentEnd }

/** The stored answer, or a new one, which is on disk when this resolves. */
async function answerOf(run: Run, offered: EventOf<'escalation_offered'>, system: string, model: Model): Promise<Said> {
  const { id, step, mode, packet, maxTokens, offer } = offered
  const stored = remoteEvents(run.history.events, id).find((event) => event.type === 'turn')
  if (stored?.type === 'turn') return { type: 'said', text: stored.text }
  const tell = (event: JobEventBody): Promise<void> => put(run, { type: 'remote', step, id, event })
  let text = ''
  const request = ModelRequest.parse({
    messages: [{ role: 'system', text: system }, { role: 'user', text: packetText(packet) }], maxTokens, sessionKey: `${run.input.jobId}.${id}`, class: 'job', purpose: mode,
  })
  for await (const event of model.generate(request, run.signal)) {
    if (event.type === 'text') text += event.text
    if (event.type !== 'done' && event.type !== 'failed') continue
    const end = aborted(run.signal)
    // What was answered whole in the same moment is paid for, so it is kept.
    if (end !== null && (event.type === 'failed' || event.stop === 'cancelled')) return { type: 'end', end }
    if (event.type === 'failed') {
      await tell({ type: 'turn_failed', step: 1, model: offer.model, fault: event.fault, usage: event.usage, timings: event.timings, retry: false })
      return { type: 'failed', fault: event.fault }
    }
    await tell({ type: 'turn', step: 1, model: offer.model, text, toolCalls: [], stop: event.stop, usage: event.usage, timings: event.timings })
    return { type: 'said', text }
  }
  return { type: 'said', text: '' }
}

/** Whose refusal a fault of the gate is. */
function denialOf(fault: Fault): Denial {
  return { rule: ruleOfFault[fault.code] ?? (exitOf(fault) === exitOfPolicy ? 'consent' : 'provider'), why: fault.message, remedy: fault.remedy }
}

const ruleOfFault: Partial<Record<Fault['code'], Denial['rule']>> = { over_budget: 'budget', unpriced: 'price', packet_held_back: 'secret' }

const exitOfPolicy = outcomeTable.blocked_by_policy.exit
