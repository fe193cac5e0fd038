// Owns `hearth keys ...`: make, list, revoke. A secret is printed once, by `add`, and never kept.
import type { Client } from '@hearth/protocol/client'
import type { ApiKey, BudgetReply, BudgetRow, KeyList, KeyReply, KeyRequestInput, StatusReply } from '@hearth/protocol'
import { ask } from '../ask.ts'
import { oneOf } from '../args.ts'
import { budgetFrom, budgetText } from '../budget-words.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { serve } from '../daemon.ts'
import { age, table } from '../print.ts'
import { jsonLine, oneLine, visible } from '../text.ts'

const daemon = async (ctx: Context): Promise<Client> => (await serve(ctx)).client

const scopes = ['infer', 'jobs:read', 'jobs:write', 'approve', 'escalate', 'admin', 'metrics'] as const
const classes = ['interactive', 'job', 'batch'] as const

export const add: Command = {
  spec: {
    name: 'keys add', operands: 'NAME', arity: [1, 1],
    about: 'Makes a key and prints it once; nothing can show it again. With a key, programs on this box reach the daemon at http://127.0.0.1:8484 (http.port in the configuration), for example as an OpenAI server at /v1.',
    flags: {
      scope: { type: 'string', multiple: true, value: 'SCOPE[,...]', help: `what it may do: ${scopes.join(', ')} (default: infer)` },
      expires: { type: 'string', value: 'TIME', help: 'ends after this time, e.g. 30d (default: never)' },
      model: { type: 'string', multiple: true, value: 'ID', help: 'the only model it may use; may be given more than once (default: all but scripts)' },
      class: { type: 'string', value: 'CLASS', help: `the highest priority it may ask for: ${classes.join(', ')} (default: interactive)` },
      budget: { type: 'string', multiple: true, value: 'LIMIT[,...]', help: 'what it may spend: 5/day, 20/month, 0.50/job, 0.10/escalation in dollars, 3x/job or 50x/day in escalations (default: as the box allows)' },
      human: { type: 'boolean', help: 'a person uses it, not a program; the ledger tells them apart' },
    },
    examples: [
      ['hearth keys add editor', 'may ask models, nothing else'],
      ['hearth keys add ci --scope jobs:write,jobs:read,escalate --budget 2/day,0.25/job', 'may give jobs that buy, for two dollars a day'],
      ['hearth keys add nightly --scope jobs:write,jobs:read --class batch --expires 30d', 'may give jobs for a month, behind everybody else'],
    ],
  },
  async run(ctx, args) {
    const wanted = args.list('scope').flatMap((text) => text.split(',')).map((text) => text.trim()).filter((text) => text !== '')
    const request: KeyRequestInput = {
      name: args.operands[0] ?? '', ...(wanted.length === 0 ? {} : { scopes: [...new Set(wanted.map((text) => oneOf('scope', text, scopes)))] }),
      class: oneOf('class', args.text('class') ?? 'interactive', classes), origin: args.flag('human') ? 'human' : 'automation',
      models: args.list('model').length === 0 ? null : args.list('model'), budget: budgetFrom(args.list('budget')), expiresInSeconds: args.seconds('expires'),
    }
    const reply = await (await daemon(ctx)).call<KeyReply>('POST', '/api/keys', request)
    if (args.flag('json')) {
      ctx.out.line(jsonLine(reply))
      return 0
    }
    ctx.out.line(visible(reply.secret))
    const until = reply.key.expiresAt === null ? '' : `, until ${new Date(reply.key.expiresAt).toISOString().slice(0, 16).replace('T', ' ')} UTC`
    ctx.err.line(`This is the only time it is shown. It may: ${reply.key.scopes.join(', ')}${until}.`)
    ctx.err.line(reply.url === null ? `The daemon does not listen for it: ${await whyNot(ctx)}` : `OpenAI clients: base URL ${visible(reply.url)}/v1`)
    return 0
  },
}

async function whyNot(ctx: Context): Promise<string> {
  const { http } = await ask<StatusReply>(await daemon(ctx), '/api/status')
  return visible(http?.problem ?? 'http.port is null in the configuration.')
}

export const ls: Command = {
  spec: {
    name: 'keys ls', operands: '', arity: [0, 0],
    about: 'Lists the keys that can be used, newest first, with the limits of their budget and what of a day or month is used (UTC); with --all also those that ended. Secrets are not kept and cannot be shown.',
    flags: { all: { type: 'boolean', help: 'also revoked and expired keys' } },
    examples: [['hearth keys ls', 'id, name, what it may do and spend, last use, end']],
  },
  async run(ctx, args) {
    const client = await daemon(ctx)
    const [{ keys }, { rows: limits }] = await Promise.all([ask<KeyList>(client, '/api/keys'), ask<BudgetReply>(client, '/api/budget')])
    const limitsOf = (key: ApiKey): BudgetRow[] => limits.filter(({ scope, id }) => scope === 'principal' && id === `key:${key.id}`)
    const now = Date.now()
    const shown = args.flag('all') ? keys : keys.filter((key) => stateOf(key, now) === 'live')
    if (args.flag('json')) {
      ctx.out.line(jsonLine({ keys: shown.map((key) => ({ ...key, limits: limitsOf(key) })) }))
      return 0
    }
    if (shown.length === 0) {
      ctx.err.line(args.flag('all') || keys.length === 0 ? "There is no key; 'hearth keys add NAME' makes one." : "No key can be used; 'hearth keys ls --all' shows those that ended.")
      return 0
    }
    const { ink, width } = ctx.out
    const rows = shown.map((key) => [
      oneLine(key.id), oneLine(key.name), oneLine(key.scopes.join(',')), key.class, key.lastUsedAt === null ? 'never' : age(now - key.lastUsedAt), endOf(key, now),
      budgetText(key.budget ?? null, limitsOf(key)), oneLine(key.models?.join(', ') ?? 'all'),
    ])
    for (const line of table([{ title: 'ID' }, { title: 'NAME' }, { title: 'SCOPES' }, { title: 'CLASS' }, { title: 'LAST USED' }, { title: 'ENDS' }, { title: 'BUDGET' }, { title: 'MODELS' }], rows, width, ink)) ctx.out.line(line)
    return 0
  },
}

export const revoke: Command = {
  spec: {
    name: 'keys revoke', operands: 'ID', arity: [1, 1],
    about: 'Ends a key for good. What it has open is closed within a second. The id is the part before the dot; the row stays, because the ledger names it.',
    flags: {},
    examples: [['hearth keys revoke 7k2m9x4tq8wz', 'the id is in hearth keys ls']],
  },
  async run(ctx, args) {
    const given = args.operands[0] ?? ''
    // A whole key was pasted: its secret is not sent anywhere.
    const id = given.split('.')[0] ?? ''
    const key = await (await daemon(ctx)).call<ApiKey>('DELETE', `/api/keys/${encodeURIComponent(id)}`)
    ctx.out.line(args.flag('json') ? jsonLine(key) : `${visible(key.id)} (${oneLine(key.name)}) is revoked`)
    return 0
  },
}

function stateOf(key: ApiKey, now: number): 'live' | 'revoked' | 'expired' {
  return key.revokedAt !== null ? 'revoked' : key.expiresAt !== null && key.expiresAt <= now ? 'expired' : 'live'
}

function endOf(key: ApiKey, now: number): string {
  const state = stateOf(key, now)
  return state !== 'live' ? state : key.expiresAt === null ? 'never' : new Date(key.expiresAt).toISOString().slice(0, 10)
}
