// Owns `hearth models ...`: list, fetch, import, remove, verify, reset.
import { resolve } from 'node:path'
import type { Client } from '@hearth/protocol/client'
import type { ImportRequest, ModelList, ModelRow } from '@hearth/protocol'
import { ask } from '../ask.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { serve } from '../daemon.ts'
import { bytes, count, table } from '../print.ts'
import { jsonLine, oneLine, visible } from '../text.ts'
import { showTransfer } from '../transfer.ts'

/** Models need the daemon for a moment only: one that was started for this ends soon. */
const idleExitSeconds = 60
const daemon = async (ctx: Context): Promise<Client> => (await serve(ctx, idleExitSeconds)).client

const pathOf = (id: string, verb: string): string => `/api/models/${encodeURIComponent(id)}${verb}`

function say(ctx: Context, json: boolean, value: unknown, text: string): void {
  ctx.out.line(json ? jsonLine(value) : text)
}

export const ls: Command = {
  spec: {
    name: 'models ls', operands: '', arity: [0, 0],
    about: 'Lists the models of the catalogue and those that were imported. The default has a star; a model that cannot be used says why. Without a daemon one is started for a minute.',
    flags: { installed: { type: 'boolean', help: 'only those on this disk' } },
    examples: [['hearth models ls', 'id, state, size, context window in tokens, tool mode, what it can do']],
  },
  async run(ctx, args) {
    const list = await ask<ModelList>(await daemon(ctx), '/api/models')
    const models = args.flag('installed') ? list.models.filter((model) => model.installed) : list.models
    if (args.flag('json')) {
      ctx.out.line(jsonLine({ ...list, models }))
      return 0
    }
    const { ink, width } = ctx.out
    const rows = models.map((model) => [
      model.id === list.default ? { text: `${oneLine(model.id)} *`, ink: ink.bold } : oneLine(model.id),
      model.problem !== null ? { text: 'unusable', ink: ink.red } : model.installed ? { text: model.origin === 'imported' ? 'imported' : 'installed', ink: ink.green } : '-',
      model.bytes === null ? '?' : bytes(model.bytes), model.contextTokens === null ? '?' : count(model.contextTokens),
      oneLine(model.toolMode), oneLine(model.problem ?? model.summary),
    ])
    const head = [{ title: 'MODEL' }, { title: 'STATE' }, { title: 'SIZE', side: 'right' as const }, { title: 'CONTEXT', side: 'right' as const }, { title: 'MODE' }, { title: 'SUMMARY' }]
    for (const line of table(head, rows, width, ink)) ctx.out.line(line)
    return 0
  },
}

export const pull: Command = {
  spec: {
    name: 'models pull', operands: 'ID', arity: [1, 1],
    about: 'Fetches a model of the catalogue and checks its sha256. A broken download goes on where it stopped. Without a daemon one is started for a minute.',
    flags: {},
    examples: [['hearth models pull smollm2-135m', 'fetches the starter']],
  },
  async run(ctx, args) {
    const json = args.flag('json')
    await daemon(ctx)
    const { model, downloadedBytes } = await showTransfer(ctx, pathOf(args.operands[0] ?? '', '/pull'), ctx.err, json)
    if (!json) ctx.out.line(`${visible(model.id)} is installed${downloadedBytes === 0 ? ' already' : ''}: ${visible(model.path ?? '')}`)
    return 0
  },
}

export const importFile: Command = {
  spec: {
    name: 'models import', operands: 'FILE', arity: [1, 1],
    about: 'Makes a GGUF file of this disk usable as a model. The file is linked and stays where it is; with --copy its bytes are copied to the models folder.',
    flags: {
      id: { type: 'string', value: 'ID', help: 'name of the model (default: from the name of the file)' },
      copy: { type: 'boolean', help: 'copy the file' },
    },
    examples: [['hearth models import ~/Downloads/qwen3-30b-a3b-q4_k_m.gguf --id qwen3-30b', 'then: hearth run --model qwen3-30b ...']],
  },
  async run(ctx, args) {
    const request: ImportRequest = { path: resolve(ctx.cwd, args.operands[0] ?? ''), id: args.text('id'), copy: args.flag('copy') }
    const model = await (await daemon(ctx)).call<ModelRow>('POST', '/api/models/import', request)
    say(ctx, args.flag('json'), model, `${visible(model.id)} is imported: ${oneLine(model.summary)}`)
    return 0
  },
}

export const rm: Command = {
  spec: {
    name: 'models rm', operands: 'ID', arity: [1, 1],
    about: 'Removes an installed model from this disk. An imported file is only forgotten; it stays where it is.',
    flags: {},
    examples: [['hearth models rm smollm2-135m', 'frees the space of the starter']],
  },
  async run(ctx, args) {
    const id = args.operands[0] ?? ''
    const reply = await (await daemon(ctx)).call<unknown>('DELETE', pathOf(id, ''))
    say(ctx, args.flag('json'), reply, `${visible(id)} is removed`)
    return 0
  },
}

export const verify: Command = {
  spec: {
    name: 'models verify', operands: 'ID', arity: [1, 1],
    about: 'Reads an installed model and compares it with the sha256 of the catalogue (or the one noted at import).',
    flags: {},
    examples: [['hearth models verify smollm2-135m', 'exit 0 when every byte is as it should be']],
  },
  async run(ctx, args) {
    const json = args.flag('json')
    await daemon(ctx)
    const { model } = await showTransfer(ctx, pathOf(args.operands[0] ?? '', '/verify'), ctx.err, json)
    if (!json) ctx.out.line(`${visible(model.id)} is intact${model.sha256 === null ? '' : `: sha256 ${visible(model.sha256)}`}`)
    return 0
  },
}

export const reset: Command = {
  spec: {
    name: 'models reset', operands: 'ID', arity: [1, 1],
    about: 'Lets the engine of a model start again after it failed so often that the daemon stopped trying.',
    flags: {},
    examples: [['hearth models reset smollm2-135m', 'after the cause was mended; hearth doctor names it']],
  },
  async run(ctx, args) {
    const id = args.operands[0] ?? ''
    const reply = await (await daemon(ctx)).call<unknown>('POST', pathOf(id, '/reset'))
    say(ctx, args.flag('json'), reply, `${visible(id)} may start again`)
    return 0
  },
}
