// Owns `hearth models load|unload|pin|unpin`: what is in memory and stays there. Decides nothing: the daemon does.
import { Client } from '@hearth/protocol/client'
import type { LoadEvent, WorkerStatus } from '@hearth/protocol'
import type { Args } from '../args.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { operate } from '../operation.ts'
import { bytes, count } from '../print.ts'
import { jsonLine, oneLine, visible } from '../text.ts'

const pathOf = (id: string, verb: string): string => `/api/models/${encodeURIComponent(id)}/${verb}`
const forGood = (id: string): string => `; for good: "engine": {"models": {"${visible(id)}": {"pinned": true}}}`

export const load: Command = {
  spec: {
    name: 'models load', operands: 'ID', arity: [1, 1],
    about: 'Loads an installed model into the memory of the running daemon, so that its first request need not wait. Says what it waits for; idle models may be unloaded for it. Ctrl-C stops the waiting.',
    flags: { pin: { type: 'boolean', help: 'never unload it by itself, until the daemon ends' } },
    examples: [['hearth models load qwen3-30b --pin', 'loaded, and it stays']],
  },
  async run(ctx, args) {
    const id = args.operands[0] ?? ''
    const worker = await follow(ctx, args, pathOf(id, args.flag('pin') ? 'load?pin=1' : 'load'))
    if (args.flag('json') || worker === null) return 0
    const size = worker.memoryBytes === undefined || worker.memoryBytes === null ? '' : `: ${bytes(worker.memoryBytes)}`
    const window = worker.contextTokens === null || worker.sequences === null ? '' : `, ${worker.sequences} x ${count(worker.contextTokens)} tokens`
    ctx.out.line(`${visible(worker.model)} is loaded${size}${window}${worker.pinned === true ? ', and stays until the daemon ends' : ''}`)
    return 0
  },
}

export const unload: Command = {
  spec: {
    name: 'models unload', operands: 'ID', arity: [1, 1],
    about: 'Gives the memory of a model back; its conversations are kept, and the next request loads it again. Refused while it answers, never in the middle of an answer. A pin stays for its next load.',
    flags: { wait: { type: 'boolean', help: 'wait until it has answered; newer requests for it wait behind' } },
    examples: [['hearth models unload qwen3-30b --wait', 'as soon as nobody uses it']],
  },
  async run(ctx, args) {
    const id = args.operands[0] ?? ''
    const worker = await follow(ctx, args, pathOf(id, args.flag('wait') ? 'unload?wait=1' : 'unload'))
    if (!args.flag('json')) ctx.out.line(`${visible(id)} is not in memory${worker?.pinned === true ? '; it is still pinned, from its next load on' : ''}`)
    return 0
  },
}

export const pin: Command = {
  spec: {
    name: 'models pin', operands: 'ID', arity: [1, 1],
    about: 'From now on the daemon does not unload this model by itself, neither for another one nor because nobody asks. Holds until the daemon ends; engine.models in the configuration holds for good. Loads nothing.',
    flags: {},
    examples: [['hearth models pin qwen3-30b', 'whoever loads it, it stays']],
  },
  run: (ctx, args) => pinned(ctx, args, true),
}

export const unpin: Command = {
  spec: {
    name: 'models unpin', operands: 'ID', arity: [1, 1],
    about: 'The daemon may unload this model again, also one that the configuration pins. Holds until the daemon ends. Unloads nothing.',
    flags: {},
    examples: [['hearth models unpin qwen3-30b', 'it may make room again']],
  },
  run: (ctx, args) => pinned(ctx, args, false),
}

async function pinned(ctx: Context, args: Args, wanted: boolean): Promise<number> {
  const id = args.operands[0] ?? ''
  const reply = await new Client(ctx.paths.socket).call<{ pinned: boolean; worker: WorkerStatus | null }>('POST', pathOf(id, wanted ? 'pin' : 'unpin'))
  if (args.flag('json')) ctx.out.line(jsonLine(reply))
  else ctx.out.line(wanted ? `${visible(id)} is pinned until the daemon ends${forGood(id)}` : `${visible(id)} may be unloaded again`)
  return 0
}

/** Says what is waited for on stderr, or each event on stdout with --json. Throws its fault, or `cancelled` on Ctrl-C. */
async function follow(ctx: Context, args: Args, path: string): Promise<WorkerStatus | null> {
  const { worker } = await operate<LoadEvent>(ctx, {
    client: new Client(ctx.paths.socket), path, json: args.flag('json'), left: 'the terminal', noResult: 'the daemon ended the stream without a result',
    tell: ({ position, reason }) => ctx.err.line(ctx.err.ink.dim(oneLine(position > 1 ? `${reason} (number ${position} in line)` : reason))),
  })
  return worker
}
