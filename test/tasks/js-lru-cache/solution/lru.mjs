/** A map of at most limit entries; what was not used for the longest time goes first. */
export class Lru {
  #entries = new Map()
  #limit

  constructor(limit) {
    if (!Number.isInteger(limit) || limit < 1) throw new RangeError('the limit is a whole number from 1')
    this.#limit = limit
  }

  get size() {
    return this.#entries.size
  }

  has(key) {
    return this.#entries.has(key)
  }

  get(key) {
    if (!this.#entries.has(key)) return undefined
    const value = this.#entries.get(key)
    this.set(key, value)
    return value
  }

  set(key, value) {
    this.#entries.delete(key)
    this.#entries.set(key, value)
    if (this.#entries.size > this.#limit) this.#entries.delete(this.#entries.keys().next().value)
  }
}
