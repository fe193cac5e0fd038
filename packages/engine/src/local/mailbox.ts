// Owns a queue between somebody who pushes and one reader who waits. Nothing is dropped; nothing is said about who pushes.

export class Mailbox<T> {
  readonly #messages: T[] = []
  #waiting: ((message: T) => void) | null = null

  push(message: T): void {
    const waiting = this.#waiting
    if (waiting === null) this.#messages.push(message)
    else {
      this.#waiting = null
      waiting(message)
    }
  }

  /** What nobody has read. */
  drain(): T[] {
    return this.#messages.splice(0)
  }

  /** The next message; one reader at a time. */
  next(): Promise<T> {
    const first = this.#messages.shift()
    if (first !== undefined) return Promise.resolve(first)
    return new Promise((resolve) => {
      this.#waiting = resolve
    })
  }
}
