// Owns what a job cost, as sums over its rows. Pure.
import type { JobEvent, Receipt } from '@hearth/protocol'
import type { JobSums } from '../store/reads.ts'

/**
 * Milliseconds the job has run, over all its attempts: each from its `started` to its `suspended` or `ended`, or to the last event
 * before a crash. Time between attempts does not count.
 */
export function ranMs(events: readonly Pick<JobEvent, 'type' | 'at'>[]): number {
  let total = 0
  let since: number | null = null
  let last = 0
  for (const event of events) {
    if (since !== null && (event.type === 'started' || event.type === 'queued')) {
      total += last - since
      since = null
    }
    if (event.type === 'started') since = event.at
    if (since !== null && (event.type === 'suspended' || event.type === 'ended')) {
      total += event.at - since
      since = null
    }
    last = event.at
  }
  return since === null ? total : total + (last - since)
}

export function receiptOf(sums: JobSums, runMs: number): Receipt {
  return {
    steps: sums.steps, toolCalls: sums.toolCalls, modelCalls: sums.modelCalls,
    promptTokens: sums.promptTokens, reusedTokens: sums.reusedTokens, completionTokens: sums.completionTokens,
    seconds: round(runMs / 1000), modelSeconds: round(sums.modelMs / 1000),
    tokensPerSecond: sums.completionTokens > 0 && sums.decodeMs > 0 ? round(sums.completionTokens / (sums.decodeMs / 1000)) : null,
    joules: sums.joules, usdMicros: sums.usdMicros, bytesLeftBox: sums.bytesLeftBox,
    ...(sums.network.length === 0 ? {} : { network: sums.network }),
  }
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000
}
