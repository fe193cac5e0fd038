// Owns how a job is named on the command line: a whole id, a unique prefix, or nothing for the newest. Changes nothing.
import type { Client } from '@hearth/protocol/client'
import { fault, FaultError } from '@hearth/protocol/fault'
import type { Job, JobList } from '@hearth/protocol'
import { ask } from './ask.ts'

/** How many of the newest jobs a prefix is looked up in. */
const searched = 1000

/** The job with this id or unique prefix; without one the newest. Throws FaultError `unknown_job`, or `bad_request` naming the candidates. */
export async function findJob(client: Client, word: string | undefined): Promise<Job> {
  // In a path an empty word or '..' would name something else than a job.
  if (word !== undefined && !/^[0-9A-Za-z]+$/.test(word)) throw new FaultError(fault('unknown_job', { id: word }))
  if (word !== undefined) {
    try {
      return await ask<Job>(client, `/api/jobs/${encodeURIComponent(word)}`)
    } catch (error) {
      if (!(error instanceof FaultError) || error.fault.code !== 'unknown_job') throw error
    }
  }
  const { jobs } = await ask<JobList>(client, `/api/jobs?limit=${word === undefined ? 1 : searched}`)
  if (word === undefined) {
    const newest = jobs[0]
    if (newest === undefined) throw new FaultError(fault('not_found', { what: 'job yet' }))
    return newest
  }
  const fitting = jobs.filter((job) => job.id.startsWith(word))
  const only = fitting[0]
  if (only === undefined) throw new FaultError(fault('unknown_job', { id: word }))
  if (fitting.length > 1) {
    const some = fitting.slice(0, 4).map((job) => job.id).join(', ')
    throw new FaultError(fault('bad_request', { where: 'JOB', problem: `'${word}' fits ${fitting.length} jobs: ${some}${fitting.length > 4 ? ', …' : ''}` }))
  }
  return only
}
