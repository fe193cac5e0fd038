// Owns how a model reads on a terminal: its page, and the lines of endpoints and of what providers sell. Asks nobody.
import type { CatalogModel, EndpointRow, ModelDetail, ModelRow, ProviderGap, RemoteRow } from '@hearth/protocol'
import { age, bytes, count, counted, fields, table, usd, type Ink } from './print.ts'
import { oneLine, visible, wrap } from './text.ts'

/** All that is known of one model; nothing when nothing is. */
export function modelPage({ row, entry, record, endpoint, remote }: ModelDetail, width: number, ink: Ink): string[] {
  if (remote !== undefined) return remotePage(remote, width, ink)
  if (endpoint !== null) return endpointPage(endpoint, ink)
  if (row === null) return []
  const size = row.bytes === null ? 'unknown size' : bytes(row.bytes)
  const kvBytes = entry?.kvBytesPerToken ?? record?.kvBytesPerToken ?? null
  const format = entry?.toolFormat ?? record?.toolFormat ?? null
  const lines = [
    ink.bold(oneLine(row.id)) + (row.name === row.id ? '' : `  ${oneLine(row.name)}`), ...wrap(oneLine(row.summary), width), '',
    ...fields([
      ['state', stateOf(row)],
      ...(row.aliases === undefined ? [] : [['aliases', oneLine(row.aliases.join(', '))] as const]),
      ['roles', oneLine(row.roles.join(', '))],
      ['licence', row.license === null ? unknown(entry, 'license') : oneLine(row.license)],
      ['size', size],
      ['context', row.contextTokens === null ? unknown(entry, 'contextTokens') : `${count(row.contextTokens)} tokens as trained`],
      ['KV cache', kvBytes === null ? unknown(entry, 'kvBytesPerToken') : `${count(kvBytes)} bytes a token`],
      ['fits', fitText(row)],
      ['tool calls', `${row.toolMode === 'native' ? 'by its own template' : 'one JSON object a step'}${format === null || format === 'none' ? '' : oneLine(`, format ${format}`)}`],
      ...(entry === null ? [] : profileOf(entry)),
      ...(record?.architecture == null ? [] : [['architecture', oneLine(record.architecture)] as const]),
      ...(record?.from == null ? [] : [['from', oneLine(record.from)] as const]),
    ], ink),
  ]
  lines.push('', ink.bold('Files'), ...(entry === null ? recordFiles(record) : entry.files.flatMap((file) => fileLines(file, entry))))
  if (entry !== null && entry.reported.length > 0) {
    lines.push('', ink.bold('Speeds that others published; nothing of this box'))
    for (const one of entry.reported) {
      const depth = one.depthTokens === null ? 'depth not stated' : `behind ${count(one.depthTokens)} tokens`
      lines.push(`  ${one.what === 'prefill' ? 'reading' : 'writing'}  ${one.tokensPerSecond >= 1000 ? count(one.tokensPerSecond) : one.tokensPerSecond} tokens/s, ${depth}; ${oneLine(one.on)}`, ink.dim(`           by ${oneLine(one.source)}`))
    }
  }
  if (entry !== null && entry.notes.length > 0) lines.push('', ink.bold('Notes'), ...entry.notes.flatMap((note) => hung(oneLine(note), width)))
  const unknowns = Object.entries(entry?.unknown ?? {})
  if (unknowns.length > 0) lines.push('', ink.bold('Not known'), ...unknowns.flatMap(([field, why]) => hung(oneLine(`${field}: ${why}`), width)))
  return lines
}

function stateOf(row: ModelRow): string {
  if (row.problem !== null) return oneLine(`unusable: ${row.problem}`)
  if (!row.installed) return oneLine(`not on this disk; hearth models pull ${row.id}`)
  return oneLine(`${row.origin === 'imported' ? 'imported' : 'installed'}: ${row.path ?? ''}`)
}

function unknown(entry: CatalogModel | null, field: string): string {
  const why = entry?.unknown[field]
  return why === undefined ? 'not known' : oneLine(`not known: ${why}`)
}

function fitText({ fit, installed, id }: ModelRow): string {
  if (fit === undefined) return installed ? oneLine(`hearth models plan ${id} tells`) : 'not known: its size or this box does not tell enough'
  const place = `${bytes(fit.limitBytes)} of ${{ ram: 'memory', gtt: 'GTT', vram: 'VRAM' }[fit.place]} for models`
  if (fit.contextTokens === null) return `yes, with a window that nobody can tell; ${place}`
  return fit.contextTokens === 0 ? `no; ${place}` : `one conversation of ${count(fit.contextTokens)} tokens; ${place}`
}

function profileOf({ profile }: CatalogModel): (readonly [string, string])[] {
  const { sampling, fewShot, tools, maxTools, maxCallTokens, editFormat, prompt, stop, reasoning, minContextTokens } = profile
  const set = Object.entries(sampling).filter(([, value]) => value !== null).map(([name, value]) => `${name} ${String(value)}`)
  return [
    ['sampling', set.length === 0 ? 'the defaults' : oneLine(set.join(', '))],
    ['one step', `at most ${count(maxCallTokens)} tokens`],
    ...(fewShot === null ? [] : [['examples', oneLine(`${fewShot.count} of the bank ${fewShot.bank}`)] as const]),
    ...(tools === null && maxTools === undefined ? [] : [['tools', oneLine([...tools ?? [], ...(maxTools === undefined ? [] : [`at most ${maxTools}`])].join(', '))] as const]),
    ...(editFormat === undefined || editFormat === 'both' ? [] : [['changes files', editFormat === 'edit' ? 'by replacing text' : 'by writing them whole'] as const]),
    ...(prompt === undefined ? [] : [['own words', oneLine(`${prompt.how === 'add' ? 'behind' : 'in place of'} Hearth's: ${prompt.text.slice(0, 200)}`)] as const]),
    ...(reasoning === undefined ? [] : [['thoughts', `asked for: ${reasoning.ask ?? 'as its template does'}; ${reasoning.keep === true ? 'kept in the prompt' : 'dropped from the prompt'}`] as const]),
    ...(stop === undefined || stop.length === 0 ? [] : [['stops at', oneLine(stop.map((text) => JSON.stringify(text)).join(', '))] as const]),
    ...(minContextTokens === undefined ? [] : [['set up for', `a window from ${count(minContextTokens)} tokens on`] as const]),
  ]
}

function fileLines(file: CatalogModel['files'][number], entry: CatalogModel): string[] {
  const sum = file.sha256 === null ? `sha256 ${unknown(entry, 'sha256')}` : `sha256 ${visible(file.sha256)}`
  const sources = file.sources.map((source) => {
    switch (source.type) {
      case 'pypi': return `Python package ${source.package} ${source.version}, ${source.member}`
      case 'https': return source.url
      case 'hf': return `hub ${source.repo}, ${source.path}, ${source.revision === null ? 'newest commit' : `commit ${source.revision}`}`
      default: return source satisfies never
    }
  })
  return [`  ${oneLine(file.name)}  ${file.bytes === null ? 'unknown size' : `${count(file.bytes)} bytes`}`, `    ${sum}`,
    ...(sources.length === 0 ? ['    only by import'] : sources.map((source) => `    from ${oneLine(source)}`))]
}

function recordFiles(record: ModelDetail['record']): string[] {
  if (record === null) return ['  its record cannot be read']
  const now = Date.now()
  return [
    ...record.files.flatMap((file) => [`  ${oneLine(file.name)}  ${count(file.bytes)} bytes`, `    sha256 ${file.sha256 === null ? 'not known' : visible(file.sha256)}`]),
    `  taken in ${age(now - record.installedAt)}${record.verifiedAt === null ? ', never compared since' : `, compared ${age(now - record.verifiedAt)}`}`,
  ]
}

function hung(text: string, width: number): string[] {
  return wrap(text, width - 4).map((line, index) => `${index === 0 ? '  - ' : '    '}${line}`)
}

function endpointPage(endpoint: EndpointRow, ink: Ink): string[] {
  return fields([
    ['endpoint', oneLine(endpoint.id)],
    ['address', oneLine(endpoint.url)],
    ['model', oneLine(endpoint.model)],
    ['place', placeOf(endpoint)],
    ['key', endpoint.key ? 'from its key file' : 'none'],
    ['context', `${count(endpoint.contextTokens)} tokens`],
    ['tool calls', endpoint.toolMode === 'native' ? 'by its own template' : 'one JSON object a step'],
  ], ink)
}

function placeOf({ countsAsLocal }: EndpointRow): string {
  return countsAsLocal ? 'another machine of this network; the owner lets it count as this box' : 'another machine of this network'
}

/** The table of endpoints under the list of models; nothing when there are none. */
export function endpointLines(endpoints: readonly EndpointRow[], width: number, ink: Ink): string[] {
  if (endpoints.length === 0) return []
  const rows = endpoints.map((one) => [
    oneLine(one.id), one.countsAsLocal ? 'LAN, as this box' : 'LAN', count(one.contextTokens),
    one.check === undefined ? '?' : { text: oneLine(one.check.ok ? `${one.check.detail} in ${one.check.ms} ms` : one.check.detail), ink: one.check.ok ? ink.green : ink.red },
    oneLine(`${one.url}, ${one.model}`),
  ])
  const head = [{ title: 'ENDPOINT' }, { title: 'PLACE' }, { title: 'CONTEXT', side: 'right' as const }, { title: 'ANSWERS' }, { title: 'ADDRESS, MODEL' }]
  return ['', ...table(head, rows, width, ink)]
}

function remotePage(one: RemoteRow, width: number, ink: Ink): string[] {
  const { price, prepaidUsdMicros } = one
  return [
    ...fields([
      ['sold', oneLine(one.id)],
      ['provider', oneLine(`${one.provider} (${one.kind}), ${one.url}`)],
      ['model', oneLine(one.model)],
      ['place', 'outside of this house'],
      ['key', one.key ? 'from its key file' : 'none'],
      ['context', `${count(one.contextTokens)} tokens, answers of at most ${count(one.maxOutputTokens)}`],
      ['tool calls', one.toolMode === 'native' ? 'by its own template' : 'one JSON object a step'],
      ['price', price === null ? ink.red('no price: refused until one is set')
        : `a million tokens: ${usd(price.input)} read, ${usd(price.cacheRead)} out of its cache, ${usd(price.cacheWrite)} into it, ${usd(price.output)} written; set for ${price.from} and later`],
      ['asked for', one.usedFor.length === 0 ? 'nothing: no route (escalation.routes) and no mode (escalation.modes) leads to it' : oneLine(one.usedFor.join(', '))],
      ['bought', one.lastUsedAt === null ? 'nothing yet' : `${counted(one.calls, 'call')} for ${usd(one.usdMicros)}${prepaidUsdMicros === 0 ? '' : `, and ${usd(prepaidUsdMicros)} at list price that was paid for before`}; the last one ${age(Date.now() - one.lastUsedAt)}`],
    ], ink),
    ...gapLines(one.gaps, width, ink),
  ]
}

/** What is missing before anything is bought, each with what mends it. */
export function gapLines(gaps: readonly ProviderGap[], width: number, ink: Ink): string[] {
  return gaps.length === 0 ? [] : ['', ink.bold('Before anything is bought'), ...gaps.flatMap(({ what, remedy }) => [...hung(oneLine(what), width), `    ${ink.bold(oneLine(remedy))}`])]
}

/** The table of what providers sell; nothing when there are none. A model without a price of today is not bought from. */
export function remoteLines(remotes: readonly RemoteRow[], width: number, ink: Ink): string[] {
  if (remotes.length === 0) return []
  const now = Date.now()
  const rows = remotes.map((one) => [
    oneLine(one.id), 'remote', count(one.contextTokens), one.price === null ? { text: 'no price', ink: ink.red } : `${usd(one.price.input)} in, ${usd(one.price.output)} out (${one.price.from})`,
    one.gaps.length === 0 ? { text: one.usedFor.length === 0 ? 'nothing' : oneLine(one.usedFor.join(', ')), ink: ink.green } : { text: 'not yet', ink: ink.yellow },
    one.lastUsedAt === null ? 'never' : age(now - one.lastUsedAt), usd(one.usdMicros), oneLine(`${one.provider}, ${one.model}`),
  ])
  const head = [{ title: 'SOLD' }, { title: 'PLACE' }, { title: 'CONTEXT', side: 'right' as const }, { title: 'A MILLION TOKENS' }, { title: 'ASKED FOR' }, { title: 'LAST' }, { title: 'COST', side: 'right' as const }, { title: 'PROVIDER, MODEL' }]
  const waiting = remotes.find(({ gaps }) => gaps.length > 0)
  return ['', ...table(head, rows, width, ink), ...(waiting === undefined ? [] : [`What is missing: hearth models show ${oneLine(waiting.id)}`])]
}
