// Owns how often a transfer speaks: at most four times a second, with the speed of the last seconds. Knows no source.
import type { TransferEvent } from '@hearth/protocol'

const betweenMs = 250
const windowMs = 5000

export class Progress {
  readonly #file: string
  readonly #totalBytes: number | null
  readonly #samples: { atMs: number; bytes: number }[]
  #lastMs: number

  /** `startBytes`: what is there already; it does not count as speed. */
  constructor(file: string, startBytes: number, totalBytes: number | null) {
    this.#file = file
    this.#totalBytes = totalBytes
    this.#lastMs = performance.now()
    this.#samples = [{ atMs: this.#lastMs, bytes: startBytes }]
  }

  /** The next event, when it is time for one. */
  due(doneBytes: number): TransferEvent[] {
    return performance.now() - this.#lastMs < betweenMs ? [] : [this.now(doneBytes)]
  }

  now(doneBytes: number): TransferEvent {
    const atMs = performance.now()
    this.#lastMs = atMs
    const oldest = this.#samples[0] ?? { atMs, bytes: doneBytes }
    this.#samples.push({ atMs, bytes: doneBytes })
    while ((this.#samples[1]?.atMs ?? Infinity) < atMs - windowMs) this.#samples.shift()
    const bytesPerSecond = atMs > oldest.atMs ? Math.round((doneBytes - oldest.bytes) * 1000 / (atMs - oldest.atMs)) : 0
    return { type: 'progress', file: this.#file, doneBytes, totalBytes: this.#totalBytes, bytesPerSecond }
  }
}
