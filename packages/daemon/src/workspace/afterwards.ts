// Owns what is asked of a job's kept states beside and after its run: its diff, and the undo of its work in the owner's folder.
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { fault, FaultError, type EventOf, type Job, type JobEvent, type UndoReply } from '@hearth/protocol'
import type { Keeper } from './keeper.ts'
import { linesOf, shown } from './records.ts'
import type { Failed, States } from './states.ts'
import { planUndo } from './undo.ts'

export type DiffStat = { files: { path: string; added: number | null; removed: number | null }[]; added: number; removed: number }

const namedFiles = 8
const listedFiles = 1000

export class Afterwards {
  readonly #keeper: Keeper

  constructor(keeper: Keeper) {
    this.#keeper = keeper
  }

  /** The lines changed by the job, or by one step. Throws FaultError. */
  async stat(job: Job, events: readonly JobEvent[], step: number | null): Promise<DiffStat> {
    const { states, from, to } = await this.#range(job, events, step)
    const counts = await states.counts(from, to, new AbortController().signal)
    if ('why' in counts) throw new FaultError(fault('nothing_kept', { id: job.id, why: counts.why }))
    return { files: counts.map((count) => ({ ...count, path: shown(count.path) })), ...linesOf(counts) }
  }

  /** The patch of the job, or of one step, as a file that has no name any more. Throws FaultError. */
  async patch(job: Job, events: readonly JobEvent[], step: number | null): Promise<ReadableStream<Uint8Array>> {
    const kept = this.#keeper.patchFile(job.id)
    if (step === null && !existsSync(this.#keeper.keptDir(job.id)) && existsSync(kept)) return fileStream(kept)
    const { states, from, to } = await this.#range(job, events, step)
    const file = `${this.#keeper.keptDir(job.id)}.${randomUUID()}.patch`
    try {
      const failed = await states.patch(from, to, file, new AbortController().signal)
      if (failed !== null) throw new FaultError(fault('nothing_kept', { id: job.id, why: failed.why }))
      return await fileStream(file)
    } finally {
      await rm(file, { force: true })
    }
  }

  async #range(job: Job, events: readonly JobEvent[], step: number | null): Promise<{ states: States; from: string; to: string }> {
    const { event, base } = keptOf(job, events)
    const states = await this.#keeper.statesOf(job, event)
    if (states === null) throw new FaultError(fault('nothing_kept', { id: job.id, why: 'they were removed (workspace.keepDays, workspace.keepBytes)' }))
    if (step !== null) {
      checkStep(job, events, step, 1)
      return { states, from: stateAfter(events, base, step - 1), to: stateAfter(events, base, step) }
    }
    const current = keptSince(events) ?? (await this.#keeper.memo(job.id)).current ?? stateAfter(events, base, Infinity)
    return { states, from: base, to: current }
  }

  /**
   * Puts the owner's folder back to the state after a step (0 = before the job). The present state is kept first, so an undo can be undone
   * by going to a later step. `append` stores the event. Throws FaultError.
   */
  undo(job: Job, events: readonly JobEvent[], options: { toStep: number; force: boolean; by: string }, append: (event: EventOf<'reverted'>) => Promise<void>): Promise<UndoReply> {
    return this.#keeper.inFolder(job.request.cwd, async () => {
      const { event, base } = keptOf(job, events)
      if (event.kind !== 'in_place') throw new FaultError(fault('conflict', { problem: `Job ${job.id} worked in a copy, so there is nothing to undo in the folder.` }))
      checkStep(job, events, options.toStep, 0)
      const states = await this.#keeper.statesOf(job, event)
      if (states === null) throw new FaultError(fault('nothing_kept', { id: job.id, why: 'they were removed (workspace.keepDays, workspace.keepBytes)' }))
      const signal = new AbortController().signal
      const must = <T>(value: T | Failed): T => {
        if (typeof value === 'object' && value !== null && 'why' in value) throw new FaultError(fault('not_put_back', { path: job.request.cwd, why: value.why }))
        return value
      }
      const memo = await this.#keeper.memo(job.id)
      const left = keptSince(events) ?? memo.current ?? must(await states.newest(signal)).commit
      const target = stateAfter(events, base, options.toStep)
      const here = must(await states.take(`before an undo to step ${options.toStep}`, signal)).commit
      const [ofJob, ofOwner, back] = [must(await states.differences(left, target, signal)), must(await states.differences(left, here, signal)), must(await states.differences(here, target, signal))]
      const plan = planUndo(ofJob, ofOwner, back)
      if (plan.changedSince.length > 0 && !options.force) {
        throw new FaultError(fault('changed_since', { files: plan.changedSince.slice(0, namedFiles).map(shown), count: plan.changedSince.length }))
      }
      const { commit } = plan.changes.length === 0 ? { commit: here } : must(await states.change(plan.changes, `undo to step ${options.toStep}`, signal))
      await this.#keeper.remember(job.id, { ...memo, current: target })
      await append({ type: 'reverted', step: events.findLast((one) => one.type === 'step')?.step ?? 0, toStep: options.toStep, commit, by: options.by })
      return { toStep: options.toStep, commit, files: plan.changes.slice(0, listedFiles).map(({ path }) => shown(path)), count: plan.changes.length }
    })
  }
}

function keptOf(job: Job, events: readonly JobEvent[]): { event: EventOf<'workspace'>; base: string } {
  const event = events.find((one) => one.type === 'workspace')
  if (event === undefined) throw new FaultError(fault('nothing_kept', { id: job.id, why: 'it did not begin to work' }))
  if (event.base === null) throw new FaultError(fault('nothing_kept', { id: job.id, why: event.detail.replace(/^no diff and no undo: /, '') }))
  return { event, base: event.base }
}

function checkStep(job: Job, events: readonly JobEvent[], step: number, least: number): void {
  const last = events.findLast((one) => one.type === 'step')?.step ?? 0
  if (step < least || step > last) throw new FaultError(fault('bad_request', { where: 'the step', problem: `job ${job.id} has the steps ${least} to ${last}` }))
}

/** The newest state up to the end of a step: kept by it, or gone back to by the loop itself, which names a state that was kept. What a person undid is no step. */
function stateAfter(events: readonly JobEvent[], base: string, step: number): string {
  const kept = new Set([base])
  let commit = base
  for (const event of events) {
    if (event.type === 'ended') break
    if (event.type === 'committed') kept.add(event.commit)
    const counts = event.type === 'committed' || (event.type === 'reverted' && kept.has(event.commit))
    if (counts && event.step <= step) ({ commit } = event)
  }
  return commit
}

/** The newest state that a step kept after the last going back; null when there is none, and then the note beside the states knows. */
function keptSince(events: readonly JobEvent[]): string | null {
  let commit: string | null = null
  for (const event of events) {
    if (event.type === 'reverted') commit = null
    if (event.type === 'committed') ({ commit } = event)
  }
  return commit
}

async function fileStream(path: string): Promise<ReadableStream<Uint8Array>> {
  const handle = await open(path, 'r')
  return handle.readableWebStream({ autoClose: true }) as ReadableStream<Uint8Array>
}
