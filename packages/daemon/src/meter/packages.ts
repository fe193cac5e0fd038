// Owns what was paid for before: which package or paid throughput covers a call, how fast a package empties, whether it lapses unused. Pure.
import type { Package, PackageRow } from '@hearth/protocol'
import { dayMs, dayOf, dollars, moneyBeyond, type Cover } from './amounts.ts'
import type { Ask, Spent } from './ask.ts'

export const throughputWindowMs = 60_000
const paceDays = 7
const warnBelow = 0.1
const warnDays = 7
/** What is so far away is not at this pace. */
export const farAwayDays = 100 * 365

/**
 * Paid throughput first, when it holds the whole call at its worst; then packages, each to its end, the one that lapses first before the others, and money for what
 * they do not hold. Those that hold tokens and those that hold money are not mixed: whichever leave less, else the ones whose first lapses first. Null = nothing covers it.
 */
export function coverOf(spent: Spent, ask: Ask, listUsdMicros: number): { cover: Cover; restUsdMicros: number } | null {
  const tokens = ask.worst.promptTokens + ask.worst.completionTokens
  if (tokens <= freeThroughput(spent, ask)) return { cover: { source: 'throughput', unit: 'tokens', held: tokens }, restUsdMicros: 0 }
  const found = ask.packages.flatMap((one, index) => {
    const left = amountOf(one) - (spent.packages[index] ?? 0)
    return left > 0 && mayDraw(one, ask, dayOf(spent.at)) ? [{ one, left }] : []
  }).toSorted((a, b) => order(a.one).localeCompare(order(b.one)))
  const [best] = [...Map.groupBy(found, ({ one }) => unitOf(one))].map(([unit, all]) => {
    let need = unit === 'tokens' ? tokens : listUsdMicros
    const parts = all.flatMap(({ one, left }) => {
      const held = Math.min(left, need)
      need -= held
      return held === 0 ? [] : [{ id: one.id, held }]
    })
    const cover: Cover = { source: sourceOf(parts), unit, held: parts.reduce((sum, { held }) => sum + held, 0) }
    return { cover, restUsdMicros: moneyBeyond(cover, listUsdMicros, tokens) }
  }).filter(({ cover }) => cover.held > 0).toSorted((a, b) => a.restUsdMicros - b.restUsdMicros)
  return best ?? null
}

function sourceOf(parts: readonly { id: string; held: number }[]): Cover['source'] {
  const [first] = parts
  return parts.length === 1 ? `package:${first?.id ?? ''}` : `packages:${parts.map(({ id, held }) => `${id}*${held}`).join('+')}`
}

/** What each of several packages gave of what was drawn: the first ones all that they held. */
export function sharesOf(source: string, drawn: number): Map<string, number> {
  let left = drawn
  return new Map(source.slice('packages:'.length).split('+').map((part) => {
    const [id = '', held = '0'] = part.split('*')
    const share = Math.min(left, Number(held))
    left -= share
    return [id, share]
  }))
}

/** Tokens of this minute that this principal may still use: not those that are kept for others. */
function freeThroughput(spent: Spent, { provider, principal }: Ask): number {
  if (provider.tokensPerMinute === null) return 0
  let left = provider.tokensPerMinute
  for (const used of spent.throughput.values()) left -= used
  for (const [who, part] of Object.entries(provider.reservedTokensPerMinute)) {
    if (who !== principal) left -= Math.max(0, part - (spent.throughput.get(who) ?? 0))
  }
  return left
}

function mayDraw(one: Package, ask: Ask, day: string): boolean {
  return one.provider === ask.provider.id && (one.models === null || one.models.includes(ask.model)) && (one.principals === null || one.principals.includes(ask.principal))
    && one.boughtAt <= day && (one.expiresAt === null || day <= one.expiresAt)
}

function unitOf(one: Package): Cover['unit'] {
  return one.tokens === null ? 'usdMicros' : 'tokens'
}

function amountOf(one: Package): number {
  return one.tokens ?? one.usdMicros ?? 0
}

function order(one: Package): string {
  return `${one.expiresAt ?? '9999'} ${one.boughtAt} ${one.id}`
}

/** Drawn from a package ever and in the days of its pace, and what all of it would have cost at the dated prices. `wouldHave`: of one that is not good yet, what it
 * would have covered in those days. */
export type Drawn = { used: number; lately: number; listUsdMicros: number; wouldHave?: { tokens: number; usdMicros: number } }

/** First moment of the days that the pace is measured over. */
export function paceSince(at: number): number {
  return at - paceDays * dayMs
}

/** A package as it is now, with what the pace of the last days makes of it. */
export function packageRow(one: Package, { used, lately, listUsdMicros, wouldHave }: Drawn, at: number): PackageRow {
  const unit = unitOf(one)
  const amount = amountOf(one)
  const left = Math.max(0, amount - used)
  const begins = Date.parse(one.boughtAt)
  const goodFrom = Math.max(at, begins)
  const perDay = wouldHave === undefined ? lately / Math.min(paceDays, Math.max(1, (at - begins) / dayMs)) : wouldHave[unit] / paceDays
  const lapseMs = one.expiresAt === null ? null : Date.parse(one.expiresAt) + dayMs - goodFrom
  const lapsed = lapseMs !== null && lapseMs <= 0
  const emptyMs = perDay > 0 && left / perDay < farAwayDays ? left / perDay * dayMs : null
  const emptyAt = left > 0 && emptyMs !== null && !lapsed && (lapseMs === null || emptyMs < lapseMs) ? dayOf(goodFrom + emptyMs) : null
  const lapses = lapseMs === null ? 0 : lapsed ? left : Math.max(0, Math.round(left - perDay * lapseMs / dayMs))
  const amounts = (value: number): string => (unit === 'tokens' ? `${value.toLocaleString('en-US')} tokens` : dollars(value))
  const warnings = [
    ...(left === 0 ? ['It is empty.'] : left < amount * warnBelow && !lapsed ? [`${amounts(left)} of ${amounts(amount)} are left.`] : []),
    ...(emptyAt !== null && emptyMs !== null && goodFrom + emptyMs - at < warnDays * dayMs ? [`At the pace of the last days it is empty on ${emptyAt}.`] : []),
    ...(lapsed && left > 0 ? [`It lapsed on ${one.expiresAt ?? ''} with ${amounts(left)} unused.`] : []),
    ...(!lapsed && lapseMs !== null && goodFrom + lapseMs - at < warnDays * dayMs && lapses > 0 ? [`It lapses after ${one.expiresAt ?? ''}, at the pace of the last days with ${amounts(lapses)} unused.`] : []),
  ]
  // What the whole of it will have paid for, at the price that its tokens had until now; of one that nothing was drawn from, at that of what it would have covered.
  const [counted, list] = used > 0 ? [used, listUsdMicros] : [wouldHave?.[unit] ?? 0, wouldHave?.usdMicros ?? 0]
  const forecastUsdMicros = counted === 0 ? null : Math.round(list / counted * (amount - lapses))
  const pays = one.paidUsdMicros === null || forecastUsdMicros === null ? null : forecastUsdMicros > one.paidUsdMicros
  return { id: one.id, provider: one.provider, unit, amount, used, left, boughtAt: one.boughtAt, expiresAt: one.expiresAt, perDay, emptyAt, lapses, worthUsdMicros: listUsdMicros, forecastUsdMicros, pays, warnings }
}
