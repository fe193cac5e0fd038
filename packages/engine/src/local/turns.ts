// Owns whose turn it is to compute on the CPU: models whose threads do not fit on the cores together answer one after the other.
// Threads of llama.cpp spin at every barrier, so two models on the same cores do not share them, they stop each other. Knows no memory and no process.
import { inTurn } from './admission.ts'
import type { Hold, Wish } from './residency.ts'

type Computing = { name: string; threads: number; requests: number }
type Waiter = Pick<Wish, 'class' | 'waits'> & { key: string; name: string; threads: number; arrivedMs: number; number: number; told: string; answer(held: Hold | 'aborted'): void }

export class Turns {
  readonly #cpus: number
  readonly #now: () => number
  readonly #computing = new Map<string, Computing>()
  #waiting: Waiter[] = []
  #arrivals = 0

  constructor(cpus: number, now: () => number = Date.now) {
    this.#cpus = cpus
    this.#now = now
  }

  /** Resolves when a request of this model may compute, until `release`. A model that computes takes more of its own requests while nobody else waits. */
  take(model: { key: string; name: string; threads: number }, { class: jobClass, signal, waits }: Wish): Promise<Hold | 'aborted'> {
    if (signal.aborted) return Promise.resolve('aborted')
    return new Promise((resolve) => {
      const leave = (): void => {
        waiter.answer('aborted')
        this.#serve()
      }
      const waiter: Waiter = {
        ...model, class: jobClass, waits, arrivedMs: this.#now(), number: ++this.#arrivals, told: '',
        answer: (held) => {
          this.#waiting = this.#waiting.filter((one) => one !== waiter)
          signal.removeEventListener('abort', leave)
          resolve(held)
        },
      }
      signal.addEventListener('abort', leave, { once: true })
      this.#waiting.push(waiter)
      this.#serve()
    })
  }

  #serve(): void {
    const order = inTurn(this.#waiting, this.#now())
    // Strictly in order: a model that computes would otherwise take its own new requests for ever, and the others would never find the cores free.
    for (const waiter of order) {
      if (!this.#fits(waiter)) break
      this.#grant(waiter)
    }
    const others = [...this.#computing.values()]
    for (const [index, waiter] of inTurn(this.#waiting, this.#now()).entries()) {
      const reason = `waiting for the CPU: ${others.map(({ name, requests }) => `'${name}' answers ${requests} request${requests === 1 ? '' : 's'}`).join(', ')}`
      const told = `${index + 1} ${reason}`
      if (waiter.told === told) continue
      waiter.told = told
      waiter.waits?.(index + 1, reason)
    }
  }

  #fits({ key, threads }: Waiter): boolean {
    if (this.#computing.size === 0 || this.#computing.has(key)) return true
    return [...this.#computing.values()].reduce((sum, one) => sum + one.threads, threads) <= this.#cpus
  }

  #grant({ key, name, threads, answer }: Waiter): void {
    const computing = this.#computing.get(key) ?? { name, threads, requests: 0 }
    computing.requests++
    this.#computing.set(key, computing)
    let held = true
    answer({
      release: () => {
        if (!held) return
        held = false
        computing.requests--
        if (computing.requests === 0) this.#computing.delete(key)
        this.#serve()
      },
    })
  }
}
