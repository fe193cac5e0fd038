// Owns how a finished job of the owner's becomes a task: its words, the first state that was kept of its folder, and its checks as the judge. Changes nothing of the job.
import { fault, FaultError, isEnded, type EvalRequest, type Job, type Outcome } from '@hearth/protocol'
import type { Store } from '../store/store.ts'
import type { Workspaces } from '../workspace/workspaces.ts'
import { exitOf, saysAround, type Playable, type Runs, type Skipped } from './tasks.ts'

export type JobsFrom = Runs & { store: Store; workspaces: Workspaces }

/** Ends that say nothing about the model. */
const noCourse: ReadonlySet<Outcome> = new Set<Outcome>(['cancelled', 'engine_down', 'bad_input', 'failed'])
const scanned = 10_000

/** Ids of the jobs that fit the query, newest first: over, with checks, and no job of an evaluation. */
export function chosenJobs({ store }: Pick<JobsFrom, 'store'>, query: NonNullable<EvalRequest['jobs']>): string[] {
  const { since, limit, state, folder, tags } = query
  return store.read.jobs(state, scanned).filter((job) => {
    const { request } = job
    return isEnded(job.state) && !noCourse.has(job.state) && request.kind !== 'chat' && request.checks.length > 0 && request.tags['eval'] === undefined
      && (since === null || job.createdAt >= since) && (folder === null || request.cwd === folder || request.cwd.startsWith(`${folder}/`))
      && Object.entries(tags).every(([name, value]) => request.tags[name] === value)
  }).slice(0, limit).map(({ id }) => id)
}

export async function tasksOfJobs(ids: readonly string[], from: JobsFrom): Promise<{ tasks: Playable[]; skipped: Skipped[] }> {
  const found = await Promise.all(ids.map((id) => taskOf(id, from)))
  return { tasks: found.filter((one) => 'lay' in one), skipped: found.filter((one) => 'why' in one) }
}

async function taskOf(id: string, from: JobsFrom): Promise<Playable | Skipped> {
  const { store, workspaces, projects } = from
  const job = store.read.job(id)
  if (job === null) return { task: id, why: 'it is gone' }
  const { request } = job
  if ((request.network ?? []).length > 0) return { task: id, why: 'it used the network, and what it did there must not be done again' }
  const began = store.read.journal(id).find((event) => event.type === 'workspace')
  if (began?.base == null) return { task: id, why: 'no state of its folder was kept' }
  const states = await workspaces.keeper.statesOf(job, began)
  if (states === null) return { task: id, why: 'the states of its folder were removed (workspace.keepDays, workspace.keepBytes)' }
  const { base } = began
  return {
    name: id, prompt: request.prompt, checks: request.checks, maxSteps: request.maxSteps,
    says: [...saysAround(request.cwd, projects), ...saysJob(job)],
    async lay(to, signal) {
      const written = await states.run({ script: writeOut, args: [base], mounts: [{ from: to, to: '/copy', writable: true }] }, signal)
      if (!written.ok) throw new FaultError(fault('nothing_kept', { id, why: written.why }))
    },
    async judge(work, _answer, signal) {
      for (const check of request.checks) if (await exitOf(from, { argv: ['sh', '-c', check], workspace: work }, signal) !== 0) return false
      return true
    },
  }
}

/** What the job itself forbade. */
function saysJob({ request: { escalation } }: Job): Playable['says'] {
  return escalation === undefined ? [] : [{ consent: escalation.consent, modes: escalation.modes, dataClass: escalation.dataClass }]
}

/** Writes a state into the empty folder /copy; the index beside the kept states stays as it is. */
const writeOut = `
export GIT_WORK_TREE=/copy GIT_INDEX_FILE=/tmp/index
git read-tree "$1"
cd /copy
exec git checkout-index -a -f
`
