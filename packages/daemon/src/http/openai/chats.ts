// Owns how many chat requests are answered at the same time.
import { fault, FaultError } from '@hearth/protocol'

/** How many chat requests are being answered; more than the limit are told to come back, so that a flood costs nobody his stream. */
export class Chats {
  readonly #limit: number
  #inFlight = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  /** The way out for one that was let in; throws FaultError `overloaded`. */
  enter(): () => void {
    if (this.#inFlight >= this.#limit) throw new FaultError(fault('overloaded', { inFlight: this.#inFlight, limit: this.#limit }))
    this.#inFlight += 1
    return () => { this.#inFlight -= 1 }
  }
}
