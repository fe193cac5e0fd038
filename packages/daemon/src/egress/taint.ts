// Owns what a job has touched that makes its rules stricter, for as long as it lives: files that never leave, and words of strangers. Pure.
import type { JobEvent, JobEventBody } from '@hearth/protocol'
import { neverLeaves, type PathLists } from './paths.ts'

export type Taint = {
  /** A file of the project's local-only list that the job read or wrote; null = none that its tools named. A command may read a file without naming it. */
  localFile: string | null
  /** What brought words of strangers into the job; null = nothing. */
  stranger: string | null
}

// Tools whose answers were written outside of the house.
const strangers: ReadonlySet<string> = new Set(['fetch'])

/** `remoteServers`: MCP servers that are reached over a network. A command counts when the job has a network: what it fetched is not seen. */
export function taintOf(events: readonly (JobEvent | JobEventBody)[], lists: PathLists, { network, remoteServers }: { network: boolean; remoteServers: ReadonlySet<string> }): Taint {
  const taint: Taint = { localFile: null, stranger: null }
  for (const event of events) {
    const one = event.type === 'remote' ? event.event as JobEventBody : event
    if (one.type !== 'tool_result') continue
    const path = one.file?.path
    if (taint.localFile === null && path !== undefined && neverLeaves([path], { owner: [], localOnly: lists.localOnly })?.rule === 'project') taint.localFile = path
    if (taint.stranger === null && one.cause !== 'refused') {
      const server = /^([a-z0-9-]+)__/.exec(one.name)?.[1]
      if (strangers.has(one.name)) taint.stranger = 'it read an address outside'
      else if (network && one.name === 'bash') taint.stranger = 'its commands have a network'
      else if (server !== undefined && remoteServers.has(server)) taint.stranger = `it asked the server '${server}'`
    }
  }
  return taint
}
