// Owns one chat as its client sees it: what was sent, what has happened, whose turn it is. Draws nothing itself.
import type { Client } from '@hearth/protocol/client'
import type { Job, JobEvent, JobRequestInput, SubmitReply } from '@hearth/protocol'
import { answer, openQuestion, type Answer, type Question } from '../approval.ts'
import { follow, stored } from '../follow.ts'

/** What a chat waits for after a turn. */
export type Turn =
  | { type: 'words'; reason: string }
  | { type: 'approval' }
  | { type: 'ended'; exitCode: number }

export class Session {
  readonly #client: Client
  readonly #left = new AbortController()
  #job: Job | null = null
  #events: AsyncGenerator<JobEvent | { type: 'lost'; seq: number }> | null = null
  /** Words of ours that are on their way through the journal. */
  #unheard: string[] = []
  #turn: Turn | null = null
  #step = 0
  /** Step after which the last turn began. */
  #before = 0

  constructor(client: Client) {
    this.#client = client
  }

  get job(): Job | null {
    return this.#job
  }

  /** The step that an undo of the last turn goes back to. */
  get beforeTurn(): number {
    return this.#before
  }

  /** What it waits for now; null while it works, or before the first words. */
  get waits(): Turn | null {
    return this.#turn
  }

  async begin(request: JobRequestInput): Promise<void> {
    const { job } = await this.#client.call<SubmitReply>('POST', '/api/jobs', request)
    this.#take(job, 0)
  }

  /** Goes on with a chat. Gives the events so far, which are learned but not shown. */
  async resume(job: Job): Promise<JobEvent[]> {
    const past: JobEvent[] = []
    for await (const event of stored(this.#client, job.id, 0)) {
      past.push(event)
      this.#learn(event)
    }
    this.#take(job, past.length)
    return past
  }

  async say(text: string): Promise<void> {
    this.#unheard.push(text)
    try {
      await this.#post('say', { text })
    } catch (error) {
      this.#unheard = this.#unheard.filter((words) => words !== text)
      throw error
    }
  }

  /** What it waits with; null = somebody else has answered, and it goes on. */
  async question(): Promise<Question | null> {
    const question = await openQuestion(this.#client, this.#job?.id ?? '')
    if (question === null) this.#turn = null
    return question
  }

  async approve(question: Question, given: Answer): Promise<void> {
    await answer(this.#client, this.#job?.id ?? '', question, given)
    this.#turn = null
  }

  interrupt(): Promise<unknown> {
    return this.#post('interrupt', {})
  }

  async compact(): Promise<void> {
    await this.#post('compact', {})
    this.#turn = null
  }

  undo(toStep: number): Promise<{ count: number; files: string[] }> {
    return this.#post('undo', { toStep, force: false })
  }

  async fork(options: { step?: number; model?: string; approve?: 'none' | 'writes' }): Promise<Job> {
    return (await this.#post<SubmitReply>('fork', options)).job
  }

  /** Events until the model waits for somebody. A word said meanwhile makes the turn longer. `lost`: the connection broke and is being mended. */
  async *turn(): AsyncGenerator<JobEvent | { type: 'lost' }> {
    while (this.#turn === null || this.#unheard.length > 0) {
      const next = await this.#events?.next()
      if (next === undefined || next.done === true) return
      const event = next.value
      if (event.type !== 'lost') this.#learn(event)
      yield event
      if (event.type === 'ended') return
    }
  }

  leave(): void {
    this.#left.abort()
  }

  #take(job: Job, after: number): void {
    this.#job = job
    this.#events = follow(this.#client, job.id, after, this.#left.signal)
  }

  #learn(event: JobEvent): void {
    switch (event.type) {
      case 'step':
        this.#step = event.step
        this.#turn = null
        break
      case 'said':
        this.#unheard = without(this.#unheard, event.text)
        this.#before = this.#step
        this.#turn = null
        break
      case 'started': this.#turn = null; break
      case 'suspended':
        if (event.state === 'paused') this.#turn = { type: 'words', reason: event.reason }
        if (event.state === 'waiting_approval') this.#turn = { type: 'approval' }
        break
      case 'ended': this.#turn = { type: 'ended', exitCode: event.exitCode }; break
      default:
    }
  }

  #post<T = unknown>(verb: string, body: unknown): Promise<T> {
    return this.#client.call<T>('POST', `/api/jobs/${encodeURIComponent(this.#job?.id ?? '')}/${verb}`, body)
  }
}

function without(words: readonly string[], one: string): string[] {
  const at = words.indexOf(one)
  return words.filter((_, index) => index !== at)
}
