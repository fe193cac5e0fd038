// Owns `hearth version`. Looks whether a daemon runs, never starts one.
import { existsSync } from 'node:fs'
import type { StatusReply } from '@hearth/protocol'
import { version as ours, wireVersion } from '@hearth/protocol/version'
import { ask } from '../ask.ts'
import type { Command } from '../command.ts'
import { fields } from '../print.ts'
import { jsonLine, visible } from '../text.ts'

/** A daemon that does not answer in time is left out. */
const patienceMs = 2000

export const version: Command = {
  spec: {
    name: 'version', operands: '', arity: [0, 0],
    about: 'Prints the version of this command, of the wire it speaks, of its Node, and of the daemon when one runs.',
    flags: {},
    examples: [['hearth version --json', '{"cli":"0.1.0","wire":1,"node":"v24.21.0","daemon":null}']],
  },
  async run(ctx, args) {
    // The client is loaded only when there is somebody to ask: this command sets the bar for start-up.
    let daemon: { version: string; wire: number; pid: number } | null = null
    if (existsSync(ctx.paths.socket)) {
      const { Client } = await import('@hearth/protocol/client')
      const reply = await ask<StatusReply>(new Client(ctx.paths.socket), '/api/status', patienceMs).catch(() => null)
      if (reply !== null) daemon = { version: reply.version, wire: reply.wire, pid: reply.pid }
    }
    if (args.flag('json')) {
      ctx.out.line(jsonLine({ cli: ours, wire: wireVersion, node: process.version, daemon }))
      return 0
    }
    for (const line of fields([
      ['hearth', `${ours} (wire ${wireVersion})`],
      ['node', process.version],
      ['daemon', daemon === null ? 'not running' : visible(`${daemon.version} (wire ${daemon.wire}), pid ${daemon.pid}`)],
    ], ctx.out.ink)) ctx.out.line(line)
    return 0
  },
}
