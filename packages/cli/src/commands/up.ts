// Owns `hearth up`.
import type { Command } from '../command.ts'
import { reach, start } from '../daemon.ts'
import { duration } from '../print.ts'
import { jsonLine, visible } from '../text.ts'

export const up: Command = {
  spec: {
    name: 'up', operands: '', arity: [0, 0],
    about: 'Starts the daemon in the background and comes back when it answers. When one is running already it says so; that is no error. Its words go to daemon.log in the state folder.',
    flags: {},
    examples: [['hearth up', 'hearth is up: pid 4711, socket /run/user/1000/hearth/hearth.sock']],
  },
  async run(ctx, args) {
    const before = await reach(ctx)
    const status = before ?? await start(ctx, [])
    if (args.flag('json')) ctx.out.line(jsonLine({ started: before === null, pid: status.pid, socket: status.socket, stateDir: status.stateDir }))
    else ctx.out.line(`hearth is up${before === null ? '' : ' already'}: pid ${status.pid}, socket ${visible(status.socket)}`)
    if (!args.flag('json') && status.idleExitSeconds !== null) {
      ctx.out.line(`It was started for one command and ends after ${duration(status.idleExitSeconds * 1000)} without work; 'hearth down', then 'hearth up' starts one that stays.`)
    }
    return 0
  },
}
