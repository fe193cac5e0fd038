// Owns a job's history as the model sees it, rebuilt from events alone: append-only, so every prompt begins with the bytes of the one before. Only a
// `rewritten` event, which tells its price, takes anything out of it.
// The one place that turns events into messages; it never looks at a clock, a counter or the folder.
import type { EventOf, JobEventBody, Message, ToolCall } from '@hearth/protocol'
import { afterEditText } from './checks.ts'
import type { Mode } from './modes/mode.ts'

/** What the model reads where a person stopped it; also what marks that turn as over. */
export const interruptedText = 'You were interrupted by the person here. What they say next comes first.'

type Planned = EventOf<'tool_planned'> & { started: boolean }

export class History {
  readonly events: JobEventBody[] = []
  readonly #mode: Mode
  readonly #task: string
  readonly #checks: readonly string[]
  #opening: readonly Message[]
  #messages: Message[]
  #pending: ToolCall[] = []
  #planned: Planned | null = null
  #unanswered: string | null = null
  readonly #callIds = new Set<string>()
  /** The last run of each check. */
  readonly #checked = new Map<string, EventOf<'check'>>()
  #step = 0
  #stepOpen = false
  #heard: string[] = []
  #closed = false

  constructor(mode: Mode, task: string, checks: readonly string[]) {
    this.#mode = mode
    this.#task = task
    this.#checks = checks
    this.#opening = mode.opening(task, checks, null)
    this.#messages = [...this.#opening]
  }

  /** Messages that every request begins with: the system prompt, examples, the task. */
  get opening(): readonly Message[] {
    return this.#opening
  }

  /** Messages of the next request. The array only ever grows at its end, but for a `rewritten` event. */
  get messages(): readonly Message[] {
    return this.#messages
  }

  /** Last step that was begun. */
  get step(): number {
    return this.#step
  }

  /** The last step was begun and has no turn yet: a stop or a crash came in between. */
  get stepOpen(): boolean {
    return this.#stepOpen
  }

  /** The words of a last turn without calls, while nothing was said to them. */
  get unanswered(): string | null {
    return this.#unanswered
  }

  /** Somebody spoke, and no turn of the model has begun since. */
  get heard(): boolean {
    return this.#heard.length > 0
  }

  /** The turn came to its end: finished, interrupted, failed or stopped. Only a chat asks: it goes on with the next words. */
  get closed(): boolean {
    return this.#closed
  }

  /** Ids of all calls so far. */
  get callIds(): ReadonlySet<string> {
    return this.#callIds
  }

  /** The next call of the last turn that has no result yet. */
  get pending(): ToolCall | null {
    return this.#pending[0] ?? null
  }

  /** The plan of the pending call when an earlier run of this job wrote it down; the outcome is then unknown. */
  get interrupted(): Planned | null {
    return this.#planned
  }

  apply(event: JobEventBody): void {
    this.events.push(event)
    switch (event.type) {
      case 'step':
        this.#step = event.step
        this.#stepOpen = true
        this.#closed = false
        // Not where they were said: that may have been between a call and its result, or while an answer was being made.
        for (const words of this.#heard.splice(0)) this.#push(this.#mode.heard(words))
        return
      case 'turn':
        this.#push(this.#mode.said(event.text, event.toolCalls, event.reasoning ?? null))
        this.#pending = [...event.toolCalls]
        for (const call of event.toolCalls) this.#callIds.add(call.id)
        this.#unanswered = event.toolCalls.length === 0 ? event.text : null
        this.#stepOpen = false
        return
      case 'call_rejected':
        this.#push(this.#mode.told(event.problem))
        this.#unanswered = null
        return
      case 'tool_planned':
        this.#planned = { ...event, started: false }
        return
      case 'tool_started':
        if (this.#planned !== null) this.#planned.started = true
        return
      case 'tool_result':
      case 'tool_unknown':
        this.#closed = event.type === 'tool_result' && event.name === 'finish' && event.ok
        if (!this.#closed || this.#mode.answersFinish) this.#push(this.#mode.observed(event.callId, event.name, event.observation))
        this.#pending.shift()
        this.#planned = null
        return
      case 'check':
        if (event.when === 'after_edit') this.#checkedAfterEdit(event)
        this.#checked.set(event.command, event)
        return
      case 'opened':
        this.#opening = this.#mode.opening(this.#task, this.#checks, event)
        this.#messages = [...this.#opening]
        return
      case 'rewritten':
        this.#messages = [...this.#opening, this.#mode.told(event.text), ...this.#messages.slice(this.#messages.length - event.keptMessages)]
        return
      case 'said':
        this.#heard.push(event.text)
        this.#unanswered = null
        return
      case 'nudge':
        this.#push(this.#mode.told(event.text))
        this.#unanswered = null
        this.#stepOpen = false
        if (event.text === interruptedText) this.#closed = true
        return
      case 'turn_failed':
        if (event.retry) return
        this.#stepOpen = false
        this.#closed = true
        return
      case 'guard':
        if (event.action === 'stop') this.#closed = true
        return
      case 'handed_back':
        // A review's words are the answer to the call that claimed to be done.
        if (event.mode !== 'review' && event.text !== '') this.#push(this.#mode.told(event.text))
        return
      case 'signals': case 'escalation_offered': case 'escalation_denied': case 'remote': case 'effect':
      case 'accepted': case 'queued': case 'started': case 'suspended': case 'resumed': case 'loading': case 'waiting': case 'text': case 'thought': case 'warned':
      case 'tool_output': case 'ended':
      case 'workspace': case 'call_repaired': case 'committed': case 'reverted': case 'delivered': case 'sub_step': case 'sampled': case 'approval_asked': case 'approval_given': case 'network_refused':
        return
      default:
        event satisfies never
    }
  }

  #checkedAfterEdit(event: EventOf<'check'>): void {
    const text = afterEditText(event, this.#checked.get(event.command) ?? null)
    if (text !== null) this.#push(this.#mode.told(text))
  }

  #push(message: Message): void {
    this.#messages.push(message)
  }
}
