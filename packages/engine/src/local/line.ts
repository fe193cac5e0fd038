// Owns a line of requests that wait for the same thing: their order, how one leaves it, and what each was told of its place. Decides nothing about who is served.
import type { JobClass } from '@hearth/protocol'
import { inTurn } from './admission.ts'

/** `position` among all who wait, 1 = next. */
export type Waits = (position: number, reason: string) => void
export type Wish = { class: JobClass; signal: AbortSignal; waits?: Waits | undefined }

export type Waiting<What, Answer> = What & {
  class: JobClass
  arrivedMs: number
  number: number
  /** What it waits for; empty = not decided yet. */
  reason: string
  /** What it was told last. */
  told: string
  waits: Waits | undefined
  /** Ends the waiting; the second time it does nothing. */
  answer(answer: Answer | 'aborted'): void
}

export class Line<What extends object, Answer> {
  readonly #now: () => number
  #waiting: Waiting<What, Answer>[] = []
  #arrivals = 0

  constructor(now: () => number) {
    this.#now = now
  }

  /** In the order in which they came. */
  get all(): readonly Waiting<What, Answer>[] {
    return this.#waiting
  }

  /** In the order in which they are served. */
  inTurn(): Waiting<What, Answer>[] {
    return inTurn(this.#waiting, this.#now())
  }

  /** Resolves with its answer, or when `signal` aborts. `changed` is called when it stands in the line, and when it left it by itself. */
  join(what: What, { class: jobClass, signal, waits }: Wish, changed: () => void): Promise<Answer | 'aborted'> {
    if (signal.aborted) return Promise.resolve('aborted')
    return new Promise((resolve) => {
      const leave = (): void => {
        waiting.answer('aborted')
        changed()
      }
      const waiting: Waiting<What, Answer> = {
        ...what, class: jobClass, arrivedMs: this.#now(), number: ++this.#arrivals, reason: '', told: '', waits,
        answer: (answer) => {
          this.#waiting = this.#waiting.filter((one) => one !== waiting)
          signal.removeEventListener('abort', leave)
          resolve(answer)
        },
      }
      signal.addEventListener('abort', leave, { once: true })
      this.#waiting.push(waiting)
      changed()
    })
  }

  /** Tells each its place and its reason, when they are not what it was told last. */
  tell(): void {
    for (const [index, waiting] of this.inTurn().entries()) {
      const told = `${index + 1} ${waiting.reason}`
      if (waiting.reason === '' || waiting.told === told) continue
      waiting.told = told
      waiting.waits?.(index + 1, waiting.reason)
    }
  }
}
