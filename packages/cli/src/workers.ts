// Owns how models in memory read: who uses them and how long they stay. Pure.
import type { Job, WorkerStatus } from '@hearth/protocol'
import { age, bytes, duration, table, type Ink } from './print.ts'
import { oneLine } from './text.ts'

const inMemory = new Set<WorkerStatus['state']>(['starting', 'ready', 'draining'])

/** A model in memory with the jobs that run on it. */
export type LoadedModel = WorkerStatus & { jobs: string[] }

export function loadedModels(workers: readonly WorkerStatus[], running: readonly Job[]): LoadedModel[] {
  return workers.filter(({ state }) => inMemory.has(state)).map((worker) => ({ ...worker, jobs: running.filter(({ model }) => model === worker.model).map(({ id }) => id) }))
}

export function loadedTable(models: readonly LoadedModel[], now: number, width: number, ink: Ink): string[] {
  const right = { side: 'right' as const }
  const head = [{ title: 'MODEL' }, { title: 'STATE' }, { title: 'MEMORY', ...right }, { title: 'LOADED' }, { title: 'BUSY', ...right }, { title: 'WAITING', ...right }, { title: 'KEPT' }, { title: 'USED BY' }]
  return table(head, models.map((one) => [
    oneLine(one.model), { text: one.state, ink: one.state === 'ready' ? ink.green : ink.yellow }, memoryText(one), one.loadedAt == null ? '-' : age(now - one.loadedAt),
    `${one.busy} of ${one.sequences ?? '?'}`, String(one.waiting), keptText(one, now), one.jobs.length === 0 ? '-' : oneLine(`${one.jobs.length === 1 ? 'job' : 'jobs'} ${one.jobs.join(', ')}`),
  ]), width, ink)
}

export function memoryText({ memoryBytes }: WorkerStatus): string {
  return memoryBytes == null ? '-' : bytes(memoryBytes)
}

/** How long it stays in memory. */
export function keptText({ memoryBytes, pinned, busy, idleSince, unloadsAt }: WorkerStatus, now: number): string {
  if (memoryBytes == null) return pinned === true ? 'pinned' : '-'
  const whole = (ms: number): string => duration(ms).replace(/\.\d s/, ' s')
  const idle = idleSince == null || busy > 0 ? '' : `idle ${whole(now - idleSince)}`
  const until = pinned === true ? 'pinned' : unloadsAt == null ? '' : `${whole(Math.max(0, unloadsAt - now))} left`
  return [idle, until].filter((text) => text !== '').join(', ') || '-'
}
