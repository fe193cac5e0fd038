// Owns pulls, verifications and builds that are under way: one a model, however many ask. A reader gets the latest progress, never a backlog of it.
import { faultFrom, type BuildEvent, type TransferEvent } from '@hearth/protocol'

type Event = TransferEvent | BuildEvent

type Transfer = {
  abort: AbortController
  readers: Set<Reader>
  /** What a late reader is told first: the lines that are not progress, and the last progress. */
  story: Event[]
  progress: Event | null
  over: Promise<void>
}

type Reader = { waiting: Event[]; wake: () => void }

const storyLimit = 200

export class Transfers {
  readonly #underWay = new Map<string, Transfer>()

  get count(): number {
    return this.#underWay.size
  }

  has(model: string): boolean {
    return [...this.#underWay.keys()].some((key) => key.endsWith(` ${model}`))
  }

  /** Joins the transfer of this kind and model, or begins it. When the last reader leaves, it is aborted; what it fetched stays for the next. */
  join(kind: 'pull' | 'verify', model: string, begin: (signal: AbortSignal) => AsyncIterable<TransferEvent>, signal: AbortSignal): AsyncGenerator<readonly TransferEvent[]>
  join(kind: 'build', name: string, begin: (signal: AbortSignal) => AsyncIterable<BuildEvent>, signal: AbortSignal): AsyncGenerator<readonly BuildEvent[]>
  async *join(kind: string, model: string, begin: (signal: AbortSignal) => AsyncIterable<Event>, signal: AbortSignal): AsyncGenerator<readonly Event[]> {
    const key = `${kind} ${model}`
    // One that is being given up is waited for: two at once would write the same file.
    for (let known = this.#underWay.get(key); known?.abort.signal.aborted === true; known = this.#underWay.get(key)) await known.over
    const transfer = this.#underWay.get(key) ?? this.#begin(key, begin)
    const reader: Reader = { waiting: [...transfer.story, ...(transfer.progress === null ? [] : [transfer.progress])], wake: () => undefined }
    transfer.readers.add(reader)
    const leave = (): void => reader.wake()
    signal.addEventListener('abort', leave, { once: true })
    try {
      while (!signal.aborted) {
        const page = reader.waiting.splice(0)
        if (page.length > 0) {
          yield page
          if (page.some(isLast)) return
          continue
        }
        await new Promise<void>((resolve) => { reader.wake = resolve })
      }
    } finally {
      signal.removeEventListener('abort', leave)
      transfer.readers.delete(reader)
      if (transfer.readers.size === 0) transfer.abort.abort()
    }
  }

  /** Aborts all and waits until each has let go of its files. */
  async close(): Promise<void> {
    for (const transfer of this.#underWay.values()) transfer.abort.abort()
    await Promise.all([...this.#underWay.values()].map((transfer) => transfer.over))
  }

  #begin(key: string, begin: (signal: AbortSignal) => AsyncIterable<Event>): Transfer {
    const transfer: Transfer = { abort: new AbortController(), readers: new Set(), story: [], progress: null, over: Promise.resolve() }
    this.#underWay.set(key, transfer)
    transfer.over = this.#run(transfer, begin).finally(() => this.#underWay.delete(key))
    return transfer
  }

  async #run(transfer: Transfer, begin: (signal: AbortSignal) => AsyncIterable<Event>): Promise<void> {
    let ended = false
    try {
      for await (const event of begin(transfer.abort.signal)) {
        ended = isLast(event)
        tell(transfer, event)
      }
      if (!ended) throw new Error('the transfer ended without saying how')
    } catch (error) {
      if (!ended) tell(transfer, { type: 'failed', fault: faultFrom(error) })
    }
  }
}

function tell(transfer: Transfer, event: Event): void {
  if (event.type === 'progress') transfer.progress = event
  else transfer.story = [...transfer.story, event].slice(-storyLimit)
  for (const reader of transfer.readers) {
    const last = reader.waiting.at(-1)
    if (event.type === 'progress' && last?.type === 'progress' && fileOf(last) === fileOf(event)) reader.waiting[reader.waiting.length - 1] = event
    else reader.waiting.push(event)
    reader.wake()
  }
}

function fileOf(event: Event): string | null {
  return 'file' in event ? event.file : null
}

function isLast(event: Event): boolean {
  return event.type === 'done' || event.type === 'failed'
}
