// Owns time for all scripted models of the process: one timer, whatever the number of streams. Knows no tokens.

// A waiting stream is served at most this much late; 100 times a second is enough for 50 stream events a second.
const tickMs = 10

type Waiter = { dueMs: number; wake: () => void }
const waiters = new Set<Waiter>()
let timer: NodeJS.Timeout | null = null

function tick(): void {
  const now = performance.now()
  for (const waiter of waiters) {
    if (waiter.dueMs > now) continue
    waiters.delete(waiter)
    waiter.wake()
  }
  if (waiters.size === 0 && timer !== null) {
    clearInterval(timer)
    timer = null
  }
}

/** Resolves at the first tick after `dueMs` (of performance.now(); Infinity: never), or at once when the signal is aborted. */
export function waitUntil(dueMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const waiter: Waiter = {
      dueMs,
      wake: () => {
        signal.removeEventListener('abort', abort)
        resolve()
      },
    }
    const abort = (): void => {
      waiters.delete(waiter)
      resolve()
    }
    signal.addEventListener('abort', abort, { once: true })
    if (dueMs === Infinity) return
    waiters.add(waiter)
    timer ??= setInterval(tick, tickMs)
  })
}
