// Owns whether the disk of the state folder has room: hears of a full one, looks at a calm interval whether there is room again, keeps the reserve. Stops nothing itself.
import type { Fault } from '@hearth/protocol'
import type { Log } from '../log.ts'
import { diskFull, isDiskFull, keepReserve } from '../store/reserve-file.ts'
import type { Store } from '../store/store.ts'

const lookEveryMs = 5000

export type RoomOptions = {
  store: Pick<Store, 'path' | 'onFull'>
  log: Log
  /** Called when the disk is full, and with null when there is room again; never twice with the same. */
  tell(full: Fault | null): void
  everyMs?: number
}

export class Room {
  readonly #o: RoomOptions
  #looking: NodeJS.Timeout | null = null
  #closed = false

  constructor(options: RoomOptions) {
    this.#o = options
    options.store.onFull = () => this.#full()
    if (isDiskFull(options.store.path)) this.#full()
    // Not awaited: nobody is kept from working by it.
    else void keepReserve(options.store.path).then((kept) => { if (!kept) this.#full() })
  }

  close(): void {
    this.#closed = true
    this.#o.store.onFull = null
    if (this.#looking !== null) clearInterval(this.#looking)
  }

  #full(): void {
    if (this.#looking !== null || this.#closed) return
    const full = diskFull(this.#o.store.path)
    this.#o.log('error', 'the disk of the state folder is full; jobs are suspended until there is room', { problem: `${full.message} ${full.remedy}` })
    this.#looking = setInterval(() => void this.#look(), this.#o.everyMs ?? lookEveryMs).unref()
    this.#o.tell(full)
  }

  async #look(): Promise<void> {
    const { store, log, tell } = this.#o
    if (isDiskFull(store.path) || !await keepReserve(store.path) || this.#looking === null || this.#closed) return
    clearInterval(this.#looking)
    this.#looking = null
    log('info', 'the disk of the state folder has room again; jobs go on', {})
    tell(null)
  }
}
