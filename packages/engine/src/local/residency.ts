// Owns which model file is loaded: one at a time for now. A model is unloaded only when nobody holds it; whoever asks first is served first.
import type { Hold } from './local-model.ts'

export interface Resident {
  unload(): Promise<void>
}

type Waiter = { resident: Resident; grant: () => void }

export class Residency {
  #current: Resident | null = null
  #holds = 0
  #changing = false
  readonly #waiting: Waiter[] = []

  /** Resolves when `resident` may be loaded and used, until `release`. A request for the loaded model waits behind an older one for another model. */
  hold(resident: Resident, signal: AbortSignal): Promise<Hold | 'aborted'> {
    if (signal.aborted) return Promise.resolve('aborted')
    return new Promise((resolve) => {
      const leave = (): void => {
        const at = this.#waiting.indexOf(waiter)
        if (at < 0) return
        this.#waiting.splice(at, 1)
        resolve('aborted')
        this.#serve()
      }
      const waiter: Waiter = {
        resident,
        grant: () => {
          signal.removeEventListener('abort', leave)
          let held = true
          resolve({
            release: () => {
              if (!held) return
              held = false
              this.#holds--
              this.#serve()
            },
          })
        },
      }
      signal.addEventListener('abort', leave, { once: true })
      this.#waiting.push(waiter)
      this.#serve()
    })
  }

  #serve(): void {
    for (let first = this.#waiting[0]; first !== undefined && !this.#changing; first = this.#waiting[0]) {
      if (this.#current === first.resident || this.#current === null) {
        this.#current = first.resident
        this.#holds++
        this.#waiting.shift()
        first.grant()
      } else if (this.#holds > 0) return
      else void this.#change(this.#current)
    }
  }

  async #change(from: Resident): Promise<void> {
    this.#changing = true
    try {
      await from.unload()
    } finally {
      this.#changing = false
      this.#current = null
      this.#serve()
    }
  }
}
