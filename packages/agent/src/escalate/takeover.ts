// Owns a step that an expert takes over: the same loop, tools, sandbox and folder with the expert's model, in a conversation of its own. What it does is stored as
// `remote` events, so that a job that was cut off goes on in the middle of it; the local history gets a receipt.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { packetText, type AbortCause, type AgentEnd, type EventOf, type Fault, type HandBack, type JobEventBody, type Message, type Model } from '@hearth/protocol'
import { checksOf } from '../checks.ts'
import { receipt } from '../context/receipt.ts'
import { put, type Run } from '../run.ts'
import { openOffer, remoteEvents } from './state.ts'

/** What an expert may use of what there is: what works on the folder, and nothing that asks or starts others. */
const itsTools = ['bash', 'edit', 'glob', 'grep', 'read', 'write']
const receiptBytes = 1600
/** Ends its run from within: the check has passed, and a turn that only says so would be paid for. */
const passed = 'the check passed'

export type TakenOver = { type: 'end'; end: AgentEnd } | { type: 'back'; how: HandBack; text: string; turns: number; check: EventOf<'check'> | null; /** Why its model could not go on. */ fault: Fault | null }

// Of the expert's course these are the job's own: its folder, and what a person has to answer.
const shared = new Set<JobEventBody['type']>(['committed', 'reverted', 'approval_asked', 'approval_given'])
// Pieces of what follows whole.
const pieces = new Set<JobEventBody['type']>(['text', 'thought', 'tool_output', 'opened'])

/** Runs the expert until the check passes, its turns are used, its model fails, or somebody stops the job. */
export async function takeOver(run: Run, offered: EventOf<'escalation_offered'>, model: Model): Promise<TakenOver> {
  const { input, ports, history } = run
  const { id, step, maxTurns, maxTokens, mode } = offered
  const outputDir = join(input.outputDir, id)
  await mkdir(outputDir, { recursive: true, mode: 0o700 })
  const own = new AbortController()
  const emit = async (event: JobEventBody): Promise<void> => {
    if (pieces.has(event.type)) return
    await put(run, shared.has(event.type) ? outside(event, id) : { type: 'remote', step, id, event })
    if (event.type === 'check' && event.passed && event.when === 'after_edit') own.abort({ kind: 'suspend', reason: passed } satisfies AbortCause)
  }
  const { info } = model
  const course = remoteEvents(history.events, id)
  const last = course.findLast((event) => event.type === 'check' || event.type === 'turn')
  if (last?.type === 'check' && last.passed) return cameBack(course, { type: 'suspended', reason: passed }, false)
  const end = await run.runLoop({
    ...input, jobId: `${input.jobId}.${id}`, past: pastOf(history.events, id), outputDir, mcpServers: {}, mcpProblems: [], skillFolders: [], maxSteps: maxTurns, maxTokens: Infinity,
    request: { ...input.request, prompt: packetText(offered.packet), checks: [...checksOf(input.request, history.events)], kind: 'task' },
  }, {
    sandbox: ports.sandbox, now: ports.now, emit, expert: null,
    workspace: ports.workspace == null ? null : { base: ports.workspace.base, keep: (_own, what) => ports.workspace?.keep(step, what) ?? Promise.resolve(null), restore: (commit) => ports.workspace?.restore(commit) ?? Promise.resolve(null) },
    model: {
      info: { ...info, profile: { ...info.profile, tools: itsTools.filter((name) => info.profile.tools?.includes(name) ?? true), fewShot: null } },
      generate: (request, signal) => model.generate({ ...request, messages: asOffered(request.messages, packetText(offered.packet)), purpose: mode, maxTokens: Math.min(request.maxTokens, maxTokens) }, signal),
    },
  }, AbortSignal.any([run.signal, own.signal]))
  return cameBack(remoteEvents(history.events, id), end, run.signal.aborted)
}

/** What a person approved are the first words of the conversation, word for word; a tool mode may have put something around them. */
function asOffered(messages: readonly Message[], text: string): Message[] {
  const first = messages.findIndex(({ role }) => role === 'user')
  return messages.map((message, index) => (index === first && message.role === 'user' ? { role: 'user', text } : message))
}

/** Its course so far, as a job of its own: it reads nothing of the folder's instructions, which were not in what was approved. */
function pastOf(events: readonly JobEventBody[], id: string): JobEventBody[] {
  const since = openOffer(events)?.since ?? []
  return [
    { type: 'opened', instructions: [], skills: [], servers: [], guessedCheck: null },
    ...events.filter((event) => event.type === 'workspace'),
    ...since.flatMap((event) => (event.type === 'remote' ? remoteEvents([event], id) : inside(event, id))),
  ]
}

/** A yes to a call of the expert is none to a call of the local model that has the same id. No id of a call has a slash. */
function outside(event: JobEventBody, id: string): JobEventBody {
  return event.type === 'approval_asked' || event.type === 'approval_given' ? { ...event, callId: `${id}/${event.callId}` } : event
}

function inside(event: JobEventBody, id: string): JobEventBody[] {
  if (event.type !== 'approval_asked' && event.type !== 'approval_given') return shared.has(event.type) ? [event] : []
  return event.callId.startsWith(`${id}/`) ? [{ ...event, callId: event.callId.slice(id.length + 1) }] : []
}

function cameBack(course: readonly JobEventBody[], end: AgentEnd, stopped: boolean): TakenOver {
  const check = course.findLast((event) => event.type === 'check') ?? null
  const turns = course.filter(({ type }) => type === 'turn').length
  const back = (how: HandBack, say: string): TakenOver => {
    const done = receipt(course.filter(({ type }) => type !== 'turn'), receiptBytes)
    return { type: 'back', how, turns, fault: end.type === 'ended' ? end.fault : null, check: check?.type === 'check' ? { ...check, when: 'final' } : null, text: `A stronger model took over for ${turns} ${turns === 1 ? 'turn' : 'turns'} and ${say}\n${done}\nThe files are as it left them.` }
  }
  if (end.type === 'suspended') return end.reason === passed && !stopped ? back('passed', 'made the check pass. If the whole task is done, call finish.') : { type: 'end', end }
  switch (end.outcome) {
    case 'resolved': return back('passed', 'made the check pass. If the whole task is done, call finish.')
    case 'done_unverified': return back('done', `says: ${end.summary ?? ''}`.trim())
    case 'stuck': case 'check_failed': case 'over_budget':
      return end.fault === null ? back('turns', 'did not get there. Go on from what it did.') : back('failed', `could not go on (${end.fault.message}) Go on from what it did.`)
    case 'cancelled': case 'timed_out':
      return stopped ? { type: 'end', end } : back('failed', 'could not go on. Go on from what it did.')
    case 'failed': case 'blocked_by_policy': case 'denied': case 'bad_input': case 'engine_down':
      return back('failed', `could not go on${end.fault === null ? '' : ` (${end.fault.message})`}. Go on from what it did.`)
    default: return end.outcome satisfies never
  }
}
