// Owns `hearth provider ...`: writing into the owner's configuration who sells tokens, at which price, and what may be bought. Each step says the next.
import { chmodSync, existsSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { Config, ProviderConfig, ProviderGap, RemoteModelConfig } from '@hearth/protocol'
import { fault, FaultError } from '@hearth/protocol/fault'
import { usageFault, oneOf, type Args } from '../args.ts'
import { budgetFrom } from '../budget-words.ts'
import type { Command } from '../command.ts'
import { edited, readConfigFile, rewriteConfig, writeWhole, type Edit } from '../config-edit.ts'
import type { Context } from '../context.ts'
import { reach } from '../daemon.ts'
import { consents, modes } from '../escalation-words.ts'
import { table } from '../print.ts'
import { jsonLine, oneLine } from '../text.ts'
import { piped, typed } from '../typed.ts'
import { gapLines } from '../model-text.ts'

const kinds = ['anthropic', 'openai', 'compatible'] as const

const noProvider = "There is no provider; 'hearth provider add NAME' writes one into the configuration."

const priceFlags = {
  input: { type: 'string', value: 'USD', help: 'for a million tokens that are read' },
  output: { type: 'string', value: 'USD', help: 'for a million tokens that are written' },
  'cache-read': { type: 'string', value: 'USD', help: 'for a million tokens out of its cache (default: as --input)' },
  'cache-write': { type: 'string', value: 'USD', help: 'for a million tokens into its cache (default: as --input; anthropic has a price of its own for it)' },
  from: { type: 'string', value: 'DATE', help: 'first day of this price (default: today, UTC)' },
} as const

export const add: Command = {
  spec: {
    name: 'provider add', operands: 'NAME', arity: [1, 1],
    about: 'Writes a provider, or one more model of it, into the configuration; all else in that file stays as it is. The key of a new one is read from standard input (at a terminal it is asked for, and not shown) '
      + 'and lies in a file of its own (0600) beside the configuration. Sends nothing, and nothing is bought before price, budget and consent are set: it says what is next. Hearth ships no prices; take them from the provider\'s own page.',
    flags: {
      kind: { type: 'string', value: 'KIND', help: `whose format it speaks: ${kinds.join(', ')} (default: NAME when it is one of them, else compatible)` },
      url: { type: 'string', value: 'URL', help: "base address (default: the provider's own; a compatible one needs it)" },
      'key-file': { type: 'string', value: 'FILE', help: 'a file (0600) that holds the key already' },
      'no-key': { type: 'boolean', help: 'a compatible one that asks for none' },
      model: { type: 'string', value: 'NAME', help: 'what the provider calls the model' },
      id: { type: 'string', value: 'ID', help: 'what it is called here (default: PROVIDER/MODEL)' },
      context: { type: 'string', value: 'TOKENS', help: 'its window' },
      'max-output': { type: 'string', value: 'TOKENS', help: 'what it may write at most in one answer; with the price it bounds a call' },
      ...priceFlags,
    },
    examples: [
      ['hearth provider add anthropic < key.txt', 'the provider; then its models, one by one'],
      ['hearth provider add anthropic --model claude-example-1 --context 200000 --max-output 16000', 'its price comes later: hearth provider price'],
      ['hearth provider add router --url https://router.example/api/v1', 'asks for the key'],
    ],
  },
  async run(ctx, args) {
    const name = args.operands[0] ?? ''
    const { file, config } = await configOf(ctx)
    const at = config.escalation.providers.findIndex(({ id }) => id === name)
    const known = config.escalation.providers[at]
    const kind = known?.kind ?? kindOf(name, args)
    const model = modelFrom({ id: name, kind }, args)
    if (model !== null && config.escalation.providers.some(({ models }) => models.some((one) => one.id === model.id))) {
      throw new FaultError(fault('conflict', { problem: `There is a model '${model.id}' already; hearth provider price sets its price, --id gives another one its name.` }))
    }
    if (known === undefined) {
      const { entry, key } = await providerFrom(ctx, { id: name, kind }, args)
      await save(ctx, file, [{ at: ['escalation', 'providers', config.escalation.providers.length], value: { ...entry, models: model === null ? [] : [model] } }], args, key)
    } else {
      const given = ['kind', 'url', 'key-file', 'no-key'].find((flag) => args.flag(flag))
      if (given !== undefined) throw new FaultError(fault('conflict', { problem: `There is a provider '${name}' already; change its ${given} in ${file.path}.` }))
      if (model === null) throw usageFault(`There is a provider '${name}' already; --model adds one of its models.`)
      await save(ctx, file, [{ at: ['escalation', 'providers', at, 'models', known.models.length], value: model }], args)
    }
    return 0
  },
}

export const price: Command = {
  spec: {
    name: 'provider price', operands: 'ID', arity: [1, 1],
    about: "Sets the price of a model that a provider sells, from a day on; what was bought before keeps the price of its day. In dollars for a million tokens, as the provider's own page says it.",
    flags: priceFlags,
    examples: [['hearth provider price router/coder --input 0.40 --output 1.60 --cache-read 0.10', 'from today on']],
  },
  async run(ctx, args) {
    const id = args.operands[0] ?? ''
    const { file, config: { escalation: { providers } } } = await configOf(ctx)
    const at = providers.findIndex(({ models }) => models.some((one) => one.id === id))
    const model = providers[at]?.models.findIndex((one) => one.id === id) ?? -1
    if (model === -1) throw new FaultError(fault('unknown_model', { id, known: providers.flatMap(({ models }) => models.map((one) => one.id)) }))
    const made = priceFrom(providers[at]?.kind ?? 'compatible', args)
    if (made === null) throw usageFault('A price needs --input and --output, in dollars for a million tokens.')
    const { prices = [] } = providers[at]?.models[model] ?? {}
    const same = prices.findIndex(({ from }) => from === made.from)
    await save(ctx, file, [{ at: ['escalation', 'providers', at, 'models', model, 'prices', same === -1 ? prices.length : same], value: made }], args)
    return 0
  },
}

export const allow: Command = {
  spec: {
    name: 'provider allow', operands: '', arity: [0, 0],
    about: 'Sets what this box may buy: the limits in money of all jobs together, whether a person is asked each time, and for what. Projects, keys and jobs can be stricter, never laxer.',
    flags: {
      budget: { type: 'string', multiple: true, value: 'LIMIT[,...]', help: '2/day, 20/month, 0.50/job, 0.10/escalation in dollars, 3x/job or 50x/day in escalations' },
      consent: { type: 'string', value: 'WHO', help: 'ask: a person approves each packet; auto: within the budget; never: nothing is bought' },
      mode: { type: 'string', multiple: true, value: 'MODE[,...]', help: `for what: ${modes.join(', ')}; docs/escalation.md tells what each sends` },
    },
    examples: [['hearth provider allow --budget 2/day,20/month --consent ask', 'two dollars a day, each packet approved']],
  },
  async run(ctx, args) {
    const { file } = await configOf(ctx)
    const budget = budgetFrom(args.list('budget'))
    const wanted = args.list('mode').flatMap((text) => text.split(',')).map((text) => oneOf('mode', text.trim(), modes))
    const consent = args.text('consent')
    const edits: Edit[] = [
      ...Object.entries(budget ?? {}).flatMap(([field, limit]) => (limit === null ? [] : [{ at: ['escalation', 'budget', field], value: limit }])),
      ...(consent === null ? [] : [{ at: ['escalation', 'consent'], value: oneOf('consent', consent, consents) }]),
      ...(wanted.length === 0 ? [] : [{ at: ['escalation', 'modes'], value: [...new Set(wanted)] }]),
    ]
    if (edits.length === 0) throw usageFault('Give --budget, --consent or --mode.')
    await save(ctx, file, edits, args)
    return 0
  },
}

export const ls: Command = {
  spec: {
    name: 'provider ls', operands: '', arity: [0, 0],
    about: 'Lists the providers of the configuration file with their models, and what is missing before anything is bought. Reads the file itself: a daemon that runs may not have read it yet. hearth models tells what was bought.',
    flags: {}, examples: [['hearth provider ls', 'who sells, and what the next step is']],
  },
  async run(ctx, args) {
    const { config: { escalation } } = await configOf(ctx)
    const gaps = await gapsOf(escalation)
    if (args.flag('json')) {
      ctx.out.line(jsonLine({ providers: escalation.providers, gaps }))
      return 0
    }
    const { ink, width } = ctx.out
    if (escalation.providers.length === 0) ctx.err.line(noProvider)
    else {
      const rows = escalation.providers.map(({ id, kind, url, keyFile, models }) => [oneLine(id), kind, oneLine(url ?? 'its own'), oneLine(keyFile ?? 'none'), oneLine(models.map((one) => one.id).join(', '))])
      for (const line of table([{ title: 'PROVIDER' }, { title: 'KIND' }, { title: 'ADDRESS' }, { title: 'KEY FILE' }, { title: 'MODELS' }], rows, width, ink)) ctx.out.line(line)
      for (const line of next(ctx, escalation, gaps)) ctx.out.line(line)
    }
    return 0
  },
}

type Found = { file: ReturnType<typeof readConfigFile>; config: Config }

/** The file and what it says. Throws FaultError `bad_config`. */
async function configOf(ctx: Context): Promise<Found> {
  const file = readConfigFile(ctx.paths.config)
  return { file, config: await checked(file.path, file.value) }
}

async function checked(path: string, value: unknown): Promise<Config> {
  const { Config: schema } = await import('@hearth/protocol')
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  throw new FaultError(fault('bad_config', { path, where: issue?.path.join('.') ?? 'the file', problem: `${(issue?.message ?? 'it has the wrong shape').replace(/\.$/, '')}; nothing was changed` }))
}

type Key = { path: string; text: string }

/** Writes the edits when what comes of them is a valid configuration, before them the key that they name, and says what is next. */
async function save(ctx: Context, file: Found['file'], edits: readonly Edit[], args: Args, key: Key | null = null): Promise<void> {
  const { path } = file
  const made = edited(file.text, edits)
  const { escalation } = await checked(path, JSON.parse(made))
  rewriteConfig(file, made, () => {
    if (key === null) return
    writeWhole(key.path, `${key.text}\n`, 0o600, path)
    // One that lay there may have been open to others.
    chmodSync(key.path, 0o600)
  })
  if (key !== null) ctx.err.line(`The key is in ${oneLine(key.path)} (0600).`)
  const gaps = await gapsOf(escalation)
  if (args.flag('json')) {
    ctx.out.line(jsonLine({ path, gaps }))
    return
  }
  ctx.out.line(`${oneLine(path)} is written.`)
  if (await reach(ctx).catch(() => null) !== null) ctx.out.line("The daemon that runs reads it at its next start: hearth down, then hearth up.")
  for (const line of next(ctx, escalation, gaps)) ctx.out.line(line)
}

function next(ctx: Context, { providers }: Config['escalation'], gaps: readonly ProviderGap[]): string[] {
  const { ink, width } = ctx.out
  const last = providers.at(-1)
  if (last === undefined) return [noProvider]
  return gaps.length > 0 ? gapLines(gaps, Math.min(width, 160), ink) : [`Nothing is missing. Try it: hearth provider test ${oneLine(last.id)}`]
}

async function gapsOf(escalation: Config['escalation']): Promise<ProviderGap[]> {
  const { gapsOfBox, gapsOfModel, gapsOfProvider, priceAt } = await import('@hearth/protocol')
  const now = Date.now()
  const { providers } = escalation
  const prices = providers.flatMap(({ models }) => models.flatMap((one) => priceAt(one.prices, now) ?? []))
  return [
    ...providers.flatMap((one) => [...gapsOfProvider(one, keyProblem(one.keyFile)), ...one.models.flatMap((model) => gapsOfModel(model, now))]),
    ...(providers.length === 0 ? [] : gapsOfBox(escalation, prices.toSorted((a, b) => b.input + b.output - a.input - a.output)[0] ?? null)),
  ]
}

/** What can be said of it from outside; the daemon looks into it. */
function keyProblem(path: string | null): string | null {
  const found = path === null ? undefined : statSync(path, { throwIfNoEntry: false })
  if (path === null) return null
  if (found === undefined) return `there is no file ${path}`
  return (found.mode & 0o077) === 0 ? null : `others may read its key file ${path} (mode ${(found.mode & 0o777).toString(8)})`
}

function kindOf(name: string, args: Args): ProviderConfig['kind'] {
  const said = args.text('kind')
  return said === null ? kinds.find((one) => one === name) ?? 'compatible' : oneOf('kind', said, kinds)
}

/** A new entry, and its key when that was given. */
async function providerFrom(ctx: Context, { id: name, kind }: Pick<ProviderConfig, 'id' | 'kind'>, args: Args): Promise<{ entry: Pick<ProviderConfig, 'id' | 'kind'> & { url?: string; keyFile?: string }; key: Key | null }> {
  if (!/^[a-z0-9][a-z0-9-]{0,30}$/.test(name)) throw usageFault(`A provider is called by small letters, digits and '-', not '${name}'.`)
  const url = args.text('url')
  if (kind === 'compatible' && url === null) throw usageFault(`'${name}' needs --url, its base address (with /v1); or is it --kind anthropic or --kind openai?`)
  const entry = { id: name, kind, ...(url === null ? {} : { url }) }
  const given = args.text('key-file')
  if (args.flag('no-key')) return { entry, key: null }
  if (given !== null) {
    const path = resolve(ctx.cwd, given)
    if (!existsSync(path)) throw usageFault(`There is no file ${path}.`)
    return { entry: { ...entry, keyFile: path }, key: null }
  }
  const text = (ctx.stdin.isTTY ? await typed(ctx, `Key of ${name} (it is not shown): `, false) : await piped(ctx)).trim()
  if (!/^[\x21-\x7e]{8,10000}$/.test(text)) throw usageFault('The key is read from standard input: one line of plain characters. --key-file names a file that holds it; --no-key is for a provider that asks for none.')
  const path = join(dirname(ctx.paths.config), 'keys', `${name}.key`)
  return { entry: { ...entry, keyFile: path }, key: { path, text } }
}

function modelFrom(provider: Pick<ProviderConfig, 'id' | 'kind'>, args: Args): Pick<RemoteModelConfig, 'id' | 'model' | 'contextTokens' | 'maxOutputTokens' | 'prices'> | null {
  const model = args.text('model')
  const made = priceFrom(provider.kind, args)
  if (model === null) {
    const given = ['id', 'context', 'max-output', ...Object.keys(priceFlags)].find((flag) => args.flag(flag))
    if (given !== undefined) throw usageFault(`--${given} says something of a model; --model names it.`)
    return null
  }
  const [contextTokens, maxOutputTokens] = [args.whole('context', 512), args.whole('max-output', 16)]
  if (contextTokens === null || maxOutputTokens === null) throw usageFault("A model needs --context and --max-output: its window and its longest answer, in tokens, as the provider's page says.")
  return { id: args.text('id') ?? `${provider.id}/${model}`.toLowerCase().replace(/[^a-z0-9._/-]/g, '-'), model, contextTokens, maxOutputTokens, prices: made === null ? [] : [made] }
}

function priceFrom(kind: ProviderConfig['kind'], args: Args): RemoteModelConfig['prices'][number] | null {
  const [input, output] = [args.usdMicros('input'), args.usdMicros('output')]
  const given = Object.keys(priceFlags).find((flag) => args.flag(flag))
  if (input === null || output === null) {
    if (given !== undefined) throw usageFault('A price needs --input and --output, in dollars for a million tokens.')
    return null
  }
  if (kind === 'anthropic' && !args.flag('cache-write')) throw usageFault('anthropic bills what is written into its cache at a price of its own, and Hearth has it cached: give --cache-write too (and --cache-read).')
  const from = args.text('from') ?? new Date().toISOString().slice(0, 10)
  if (!/^\d{4}-\d{2}-\d{2}$/.test(from) || Number.isNaN(Date.parse(from))) throw usageFault(`--from takes a date like 2026-01-31, not '${from}'.`)
  return { from, input, cacheRead: args.usdMicros('cache-read') ?? input, cacheWrite: args.usdMicros('cache-write') ?? input, output }
}
