// Owns whose turn it is to compute on the CPU: models whose threads do not fit on the cores together answer one after the other.
// Threads of llama.cpp spin at every barrier, so two models on the same cores do not share them, they stop each other. Knows no memory and no process.
import { Line, type Wish } from './line.ts'
import type { Hold } from './residency.ts'

type Computing = { name: string; threads: number; requests: number }
type Model = { key: string; name: string; threads: number }

export class Turns {
  readonly #cpus: number
  readonly #computing = new Map<string, Computing>()
  readonly #line: Line<Model, Hold>

  constructor(cpus: number, now: () => number = Date.now) {
    this.#cpus = cpus
    this.#line = new Line(now)
  }

  /** Resolves when a request of this model may compute, until `release`. A model that computes takes more of its own requests while nobody else waits. */
  take(model: Model, wish: Wish): Promise<Hold | 'aborted'> {
    return this.#line.join(model, wish, () => this.#serve())
  }

  #serve(): void {
    // Strictly in order: a model that computes would otherwise take its own new requests for ever, and the others would never find the cores free.
    for (const waiter of this.#line.inTurn()) {
      if (!this.#fits(waiter)) break
      waiter.answer(this.#grant(waiter))
    }
    const others = [...this.#computing.values()].map(({ name, requests }) => `'${name}' answers ${requests} request${requests === 1 ? '' : 's'}`)
    for (const waiter of this.#line.all) waiter.reason = `waiting for the CPU: ${others.join(', ')}`
    this.#line.tell()
  }

  #fits({ key, threads }: Model): boolean {
    if (this.#computing.size === 0 || this.#computing.has(key)) return true
    return [...this.#computing.values()].reduce((sum, one) => sum + one.threads, threads) <= this.#cpus
  }

  #grant({ key, name, threads }: Model): Hold {
    const computing = this.#computing.get(key) ?? { name, threads, requests: 0 }
    computing.requests++
    this.#computing.set(key, computing)
    let held = true
    return {
      release: () => {
        if (!held) return
        held = false
        computing.requests--
        if (computing.requests === 0) this.#computing.delete(key)
        this.#serve()
      },
    }
  }
}
