// Owns `hearth down`.
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from '@hearth/protocol/client'
import { fault, FaultError } from '@hearth/protocol/fault'
import type { StatusReply } from '@hearth/protocol'
import { ask } from '../ask.ts'
import type { Command } from '../command.ts'
import { counted } from '../print.ts'
import { jsonLine } from '../text.ts'

/** The daemon waits 20 s for a running step; then it has to write. */
const patienceSeconds = 40
const pollMs = 25

export const down: Command = {
  spec: {
    name: 'down', operands: '', arity: [0, 0],
    about: 'Stops the daemon and comes back when its process is gone. Running jobs stop at the edge of a step and go on at the next start. When none is running it says so; that is no error.',
    flags: {},
    examples: [['hearth down', 'hearth is down (pid 4711 is gone); 1 job goes on at the next start']],
  },
  async run(ctx, args) {
    const json = args.flag('json')
    const client = new Client(ctx.paths.socket)
    let status: StatusReply
    try {
      status = await ask<StatusReply>(client, '/api/status')
    } catch (error) {
      if (!(error instanceof FaultError) || error.fault.code !== 'daemon_unreachable') throw error
      ctx.out.line(json ? jsonLine({ stopped: false, pid: null }) : 'hearth is not running')
      return 0
    }
    // The reply may be cut off by the very end it asks for.
    await client.call('POST', '/api/shutdown').catch((error: unknown) => {
      if (!(error instanceof FaultError) || !['daemon_unreachable', 'shutting_down'].includes(error.fault.code)) throw error
    })
    for (const until = Date.now() + patienceSeconds * 1000; isAlive(status.pid); await sleep(pollMs)) {
      if (Date.now() > until) throw new FaultError(fault('timed_out', { what: `The stop of the daemon (pid ${status.pid})`, seconds: patienceSeconds }))
    }
    const kept = status.jobs.running + status.jobs.queued + status.jobs.suspended
    if (json) ctx.out.line(jsonLine({ stopped: true, pid: status.pid }))
    else ctx.out.line(`hearth is down (pid ${status.pid} is gone)${kept === 0 ? '' : `; ${counted(kept, 'job')} ${kept === 1 ? 'goes' : 'go'} on at the next start`}`)
    return 0
  },
}

/** A zombie is gone: only its parent (init, in a container often a slow one) has not noticed. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  try {
    // "pid (name) state ...": the name may hold anything, the last ')' ends it.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return !stat.slice(stat.lastIndexOf(')') + 1).trimStart().startsWith('Z')
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT'
  }
}
