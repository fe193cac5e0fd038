// Owns `hearth models ...`: list, fetch, import, prune, remove, verify, reset.
import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Client } from '@hearth/protocol/client'
import type { FolderImportReply, FolderImportRequest, ImportRequest, ModelList, ModelRow, PruneReply } from '@hearth/protocol'
import { usageFault, type Args } from '../args.ts'
import { ask } from '../ask.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { serve } from '../daemon.ts'
import { endpointLines, remoteLines } from '../model-text.ts'
import { bytes, count, duration, table } from '../print.ts'
import { jsonLine, oneLine, visible } from '../text.ts'
import { showTransfer } from '../transfer.ts'

/** Models need the daemon for a moment only: one that was started for this ends soon. */
const daemon = async (ctx: Context): Promise<Client> => (await serve(ctx)).client

const pathOf = (id: string, verb: string): string => `/api/models/${encodeURIComponent(id)}${verb}`

function say(ctx: Context, json: boolean, value: unknown, text: string): void {
  ctx.out.line(json ? jsonLine(value) : text)
}

export const ls: Command = {
  spec: {
    name: 'models ls', operands: '', arity: [0, 0],
    about: 'Lists the models of the catalogue and those that were imported. The default has a star; a model that cannot be used says why. TOK/S and TTFT 2K are what hearth tune measured here (~ = scaled from another model). Without a daemon one is started for a minute.',
    flags: {
      installed: { type: 'boolean', help: 'only those on this disk' },
      check: { type: 'boolean', help: 'ask each endpoint of the local network whether it answers' },
    },
    examples: [['hearth models ls', 'FITS: the window this box has room for']],
  },
  async run(ctx, args) {
    const list = await ask<ModelList>(await daemon(ctx), args.flag('check') ? '/api/models?check=1' : '/api/models')
    const models = args.flag('installed') ? list.models.filter((model) => model.installed) : list.models
    if (args.flag('json')) {
      ctx.out.line(jsonLine({ ...list, models }))
      return 0
    }
    const { ink, width } = ctx.out
    const speeds = models.some((model) => model.speed !== undefined)
    const rows = models.map((model) => [
      model.id === list.default ? { text: `${oneLine(model.id)} *`, ink: ink.bold } : oneLine(model.id),
      model.problem !== null ? { text: 'unusable', ink: ink.red } : model.installed ? { text: model.origin === 'imported' ? 'imported' : 'installed', ink: ink.green } : '-',
      model.bytes === null ? '?' : bytes(model.bytes), model.contextTokens === null ? '?' : count(model.contextTokens), fitText(model, ink.red),
      ...(speeds ? speedCells(model) : []), oneLine(model.toolMode), oneLine(model.problem ?? model.summary),
    ])
    const head = [{ title: 'MODEL' }, { title: 'STATE' }, { title: 'SIZE', side: 'right' as const }, { title: 'CONTEXT', side: 'right' as const }, { title: 'FITS', side: 'right' as const }, ...(speeds ? [{ title: 'TOK/S', side: 'right' as const }, { title: 'TTFT 2K', side: 'right' as const }] : []), { title: 'MODE' }, { title: 'SUMMARY' }]
    for (const line of table(head, rows, width, ink)) ctx.out.line(line)
    for (const line of [...endpointLines(list.endpoints ?? [], width, ink), ...remoteLines(list.remotes ?? [], width, ink)]) ctx.out.line(line)
    const advice = list.models.find((model) => model.id === list.recommended)
    if (advice?.installed === false) ctx.out.line(`Recommended for this box: hearth models pull ${oneLine(advice.id)}${advice.bytes === null ? '' : ` (${bytes(advice.bytes)})`}`)
    return 0
  },
}

/** The window of one conversation that fits this box; 'no' when not even the weights do. */
function fitText(model: ModelRow, refused: (text: string) => string): string | { text: string; ink: (text: string) => string } {
  if (model.fit === undefined) return '?'
  if (model.fit.contextTokens === null) return 'yes'
  return model.fit.contextTokens < 512 ? { text: 'no', ink: refused } : count(model.fit.contextTokens)
}

/** Tokens a second of an answer and the time to the first token of a prompt of 2,048; '~' stands before what was scaled from another model. */
function speedCells({ speed }: ModelRow): [string, string] {
  if (speed === undefined) return ['', '']
  const mark = speed.estimated ? '~' : ''
  return [`${mark}${speed.decodeTokensPerSecond.toFixed(speed.decodeTokensPerSecond >= 10 ? 0 : 1)}`, speed.ttftMs === null ? '' : `${mark}${duration(speed.ttftMs)}`]
}

export const pull: Command = {
  spec: {
    name: 'models pull', operands: 'ID', arity: [1, 1],
    about: 'Fetches a model of the catalogue, or hf:ORG/REPO:QUANT from the model hub, and checks its sha256. A broken download goes on where it stopped. Without a daemon one is started for a minute.',
    flags: { 'trust-first-use': { type: 'boolean', help: 'fetch a file whose sha256 nobody states; the bytes that come are pinned' } },
    examples: [
      ['hearth models pull smollm2-135m', 'fetches the starter'],
      ['hearth models pull hf:unsloth/Qwen3-8B-GGUF:Q4_K_M', 'any public GGUF, all its parts; @COMMIT at the end pins a revision'],
    ],
  },
  async run(ctx, args) {
    const json = args.flag('json')
    await daemon(ctx)
    const { model, downloadedBytes } = await showTransfer(ctx, pathOf(args.operands[0] ?? '', args.flag('trust-first-use') ? '/pull?trust=1' : '/pull'), ctx.err, json)
    if (!json) ctx.out.line(`${visible(model.id)} is installed${downloadedBytes === 0 ? ' already' : ''}: ${visible(model.path ?? '')}`)
    return 0
  },
}

export const importFile: Command = {
  spec: {
    name: 'models import', operands: 'PATH', arity: [1, 1],
    about: 'Makes a GGUF file of this disk usable as a model, or all models of a folder that Ollama, LM Studio, llama.cpp or a hub client filled. Files are linked and stay where they are; with --copy the bytes of one file are copied to the models folder.',
    flags: {
      id: { type: 'string', value: 'ID', help: 'name of the model (default: from the name of the file)' },
      copy: { type: 'boolean', help: 'copy the file' },
      'dry-run': { type: 'boolean', help: 'of a folder: only list what is in it' },
    },
    examples: [
      ['hearth models import ~/Downloads/qwen3-30b-a3b-q4_k_m.gguf --id qwen3-30b', 'then: hearth run --model qwen3-30b ...'],
      ['hearth models import ~/.ollama --dry-run', 'what Ollama has, and what would be refused'],
    ],
  },
  async run(ctx, args) {
    const path = resolve(ctx.cwd, args.operands[0] ?? '')
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return await importFolder(ctx, args, path)
    if (args.flag('dry-run')) throw usageFault('--dry-run is for folders.')
    const request: ImportRequest = { path, id: args.text('id'), copy: args.flag('copy') }
    const model = await (await daemon(ctx)).call<ModelRow>('POST', '/api/models/import', request)
    say(ctx, args.flag('json'), model, `${visible(model.id)} is imported: ${oneLine(model.summary)}`)
    return 0
  },
}

async function importFolder(ctx: Context, args: Args, path: string): Promise<number> {
  if (args.text('id') !== null || args.flag('copy')) throw usageFault('--id and --copy are for one file.')
  const dryRun = args.flag('dry-run')
  const reply = await (await daemon(ctx)).call<FolderImportReply>('POST', '/api/models/import-folder', { path, dryRun } satisfies FolderImportRequest)
  if (args.flag('json')) {
    ctx.out.line(jsonLine(reply))
    return 0
  }
  const { ink, width } = ctx.out
  const words = { new: 'can be imported', imported: 'imported', known: 'is here already', refused: 'refused' }
  const rows = reply.found.map((each) => [
    oneLine(each.name), each.state === 'refused' ? { text: words[each.state], ink: ink.red } : { text: words[each.state], ink: ink.green },
    bytes(each.bytes), oneLine(each.problem ?? (each.id === null ? '' : `as ${each.id}`)),
  ])
  if (rows.length === 0) ctx.out.line('There are no GGUF models in it.')
  else for (const line of table([{ title: 'FOUND' }, { title: 'STATE' }, { title: 'SIZE', side: 'right' as const }, { title: '' }], rows, width, ink)) ctx.out.line(line)
  return 0
}

export const prune: Command = {
  spec: {
    name: 'models prune', operands: '', arity: [0, 0],
    about: 'Lists what lies in the models folder for nothing and how much it frees: pulls that were never finished, models that left the catalogue, files that lie there twice. Removes it only with --apply.',
    flags: { apply: { type: 'boolean', help: 'remove it' } },
    examples: [['hearth models prune', 'only lists'], ['hearth models prune --apply', 'frees the space']],
  },
  async run(ctx, args) {
    const reply = await (await daemon(ctx)).call<PruneReply>('POST', `/api/models/prune${args.flag('apply') ? '?apply=1' : ''}`)
    if (args.flag('json')) {
      ctx.out.line(jsonLine(reply))
      return 0
    }
    const { ink, width } = ctx.out
    const rows = reply.items.map((item) => [item.kind, oneLine(item.model), bytes(item.bytes), oneLine(item.why)])
    if (rows.length > 0) for (const line of table([{ title: 'KIND' }, { title: 'MODEL' }, { title: 'FREES', side: 'right' as const }, { title: 'WHY' }], rows, width, ink)) ctx.out.line(line)
    ctx.out.line(rows.length === 0 ? 'Nothing lies here for nothing.' : reply.done ? `${bytes(reply.bytes)} were freed` : `${bytes(reply.bytes)} can be freed; run it with --apply`)
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
