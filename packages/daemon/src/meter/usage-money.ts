// What the sums of the ledger come to in money: frontier cost avoided, the box's own price, the burn rate, what escalations bought, free work left. Pure; every
// estimate carries its assumptions, and what cannot be said is null.
import { priceAt, type Config, type ModelProfile, type RemoteModelConfig, type UsageReport } from '@hearth/protocol'
import { routeFor } from '../egress/routes.ts'
import { bootstrap } from '../eval/statistics.ts'
import type { UsageAsk } from '../store/usage-jobs.ts'
import type { DaySums, UsageRows } from '../store/usage-rows.ts'
import { dayMs, dayOf } from './amounts.ts'
import { farAwayDays } from './packages.ts'

type Box = NonNullable<UsageReport['box']>
type DaysInterval = Box['netUsdMicrosPerDay']

const daysPerMonth = 365.25 / 12
/** Fewer days than this say nothing of how they differ. */
const daysForAnInterval = 7

/** The model that whole jobs would have gone to: the first of its route that has a price, else the first of all providers that has one. */
export function pricedModel({ routes, providers }: Config['escalation']): RemoteModelConfig | null {
  const sold = providers.flatMap(({ models }) => models).filter(({ prices }) => prices.length > 0)
  const route = routeFor(routes, 'rest', 'task')
  return route?.models.flatMap((id) => sold.filter((one) => one.id === id))[0] ?? sold[0] ?? null
}

/** What the local tokens of a day would have cost, micro-dollars with a fraction; null = it had no price on that day. */
function priceOfDay({ day, work: { local } }: DaySums, { prices }: RemoteModelConfig): number | null {
  const price = priceAt(prices, Date.parse(day))
  if (price === null) return null
  return ((local.promptTokens - local.reusedTokens) * price.input + local.reusedTokens * price.cacheRead + local.completionTokens * price.output) / 1e6
}

export function avoidedCost(days: readonly DaySums[], model: RemoteModelConfig): NonNullable<UsageReport['avoided']> {
  const worked = days.filter(({ work: { local } }) => local.promptTokens + local.completionTokens > 0)
  const counted = worked.flatMap((one) => { const usd = priceOfDay(one, model); return usd === null ? [] : [{ ...one.work.local, usd }] })
  const unpricedDays = worked.length - counted.length
  return {
    model: model.id, unpricedDays, usdMicros: Math.round(sum(counted, ({ usd }) => usd)),
    promptTokens: sum(counted, ({ promptTokens }) => promptTokens), completionTokens: sum(counted, ({ completionTokens }) => completionTokens),
    assumptions: [
      `'${model.id}' would have done the same work in the same tokens, though it counts them otherwise and may need fewer turns`,
      'what was reused here would have come out of its cache, and nothing was paid for writing into that',
      'the price of each day (UTC) counts; benchmarks and canaries do not',
      ...(unpricedDays === 0 ? [] : [`${unpricedDays} ${unpricedDays === 1 ? 'day is' : 'days are'} left out, because no price is known for ${unpricedDays === 1 ? 'it' : 'them'}`]),
    ],
  }
}

/** The box's price written off over the whole UTC days of the time asked for, against the frontier. Null = no price, or not one whole day. */
export function boxEconomy(rows: UsageRows, ask: UsageAsk, energy: Config['energy'], model: RemoteModelConfig | null, sensedIdleWatts: number | null): UsageReport['box'] {
  const { boxUsd, boxMonths, usdPerKwh } = energy
  if (boxUsd === null || rows.firstEverAt === null) return null
  const first = Math.max(ask.since === null ? 0 : Math.ceil(ask.since / dayMs), Math.floor(rows.firstEverAt / dayMs))
  const days = Math.floor(Math.min(ask.now, ask.until ?? ask.now) / dayMs) - first
  if (days < 1) return null
  const known = new Map(rows.days.map((one) => [one.day, one]))
  const counted = Array.from({ length: days }, (_, index) => known.get(dayOf((first + index) * dayMs)))
  const local = counted.flatMap((one) => (one === undefined ? [] : [one.local]))
  const [measured, calls, tokens] = [sum(local, (one) => one.measuredCalls), sum(local, (one) => one.localCalls), sum(local, (one) => one.promptTokens + one.completionTokens)]
  const micros = (joules: number): number => joules / 3.6e6 * (usdPerKwh ?? 0) * 1e6
  const idleWatts = energy.idleWatts ?? sensedIdleWatts
  const idlePerDay = usdPerKwh === null || idleWatts === null ? null : micros(idleWatts * 86_400)
  const writeOff = boxUsd * 1e6 * days / (boxMonths * daysPerMonth)
  const energyMicros = usdPerKwh === null || measured === 0 ? null : micros(sum(local, (one) => one.joules))
  const prices = model === null ? null : counted.map((one) => (one === undefined ? 0 : priceOfDay(one, model)))
  const unpriced = prices?.filter((one) => one === null).length ?? 0
  const avoided = prices?.map((one) => one ?? 0) ?? null
  const net = avoided === null ? null : meanWithInterval(avoided.map((usd, index) => usd - micros(counted[index]?.local.joules ?? 0) - (idlePerDay ?? 0)))
  const value = net === null ? null : daysUntil(boxUsd, net.value)
  return {
    days, writeOffUsdMicros: Math.round(writeOff), energyUsdMicros: energyMicros === null ? null : Math.round(energyMicros), idleUsdMicros: idlePerDay === null ? null : Math.round(idlePerDay * days), localTokens: tokens,
    usdMicrosPerMillion: tokens === 0 ? null : (writeOff + (energyMicros ?? 0) + (idlePerDay ?? 0) * days) / tokens * 1e6,
    frontierUsdMicrosPerMillion: avoided === null || tokens === 0 ? null : sum(avoided, (usd) => usd) / tokens * 1e6,
    netUsdMicrosPerDay: net ?? unknown, breakEvenDays: net === null ? unknown : { value, low: daysUntil(boxUsd, net.high), high: daysUntil(boxUsd, net.low) },
    breakEvenOn: value === null ? null : dayOf((Math.floor(rows.firstEverAt / dayMs) + Math.ceil(value)) * dayMs),
    assumptions: [
      `${boxUsd} USD are written off evenly over ${boxMonths} months; it broke nothing and is worth nothing after that`,
      'every day goes on as the days that were counted, whole UTC days from the first call on, idle ones too',
      ...(unpriced === 0 ? [] : [`on ${unpriced} of these days nothing is said to be saved, because no price of '${model?.id}' is known for ${unpriced === 1 ? 'it' : 'them'}`]),
      ...(measured < calls ? [`the energy of ${calls - measured} of ${calls} local calls was not measured and is not in it`] : []),
      ...(usdPerKwh === null ? ['no price of electricity is set (energy.usdPerKwh), so no energy is in it'] : idlePerDay === null ? ['what the idle box takes is not known (energy.idleWatts) and not in it'] : []),
      ...(net === null ? ["no model with a price is configured (escalation.providers), so there is nothing to break even against"] : net.low === null ? [`fewer than ${daysForAnInterval} whole days give no interval`] : ['the interval is 95 % by the bootstrap over days, as if they did not hang together']),
    ],
  }
}

const unknown: DaysInterval = { value: null, low: null, high: null }

function meanWithInterval(values: readonly number[]): DaysInterval {
  const value = sum(values, (one) => one) / values.length
  if (values.length < daysForAnInterval) return { value, low: null, high: null }
  const interval = bootstrap(values.length, (weights) => values.reduce((total, one, index) => total + one * (weights[index] ?? 0), 0) / values.length, 1)
  return interval ?? { value, low: null, high: null }
}

/** Days until the box has paid for itself; null = not at this rate, or not within a hundred years. */
function daysUntil(boxUsd: number, perDay: number | null): number | null {
  const days = perDay === null || perDay <= 0 ? null : boxUsd * 1e6 / perDay
  return days === null || days > farAwayDays ? null : days
}

export function burnRate({ month, week, firstAt }: UsageRows['burn'], limitUsdMicros: number | null, now: number): UsageReport['burn'] {
  const days = firstAt === null ? 0 : Math.min(7, Math.max(1, (now - firstAt) / dayMs))
  const perDay = days === 0 ? 0 : week / days
  const name = dayOf(now).slice(0, 7)
  const [year = 0, number = 0] = name.split('-').map(Number)
  const end = Date.UTC(year, number, 1)
  const left = limitUsdMicros === null ? null : Math.max(0, limitUsdMicros - month)
  const reachedAt = left === null || (left > 0 && perDay === 0) ? null : left === 0 ? now : now + left / perDay * dayMs
  return {
    month: name, usdMicros: month, perDayUsdMicros: perDay, days, monthEndUsdMicros: Math.round(month + perDay * (end - now) / dayMs), limitUsdMicros,
    limitReachedOn: reachedAt === null || reachedAt >= end ? null : dayOf(reachedAt),
  }
}

export function escalationFigures({ sums, newest }: UsageRows['escalations']): UsageReport['escalations'] {
  const count = (is: (one: (typeof sums)[number]) => boolean): number => sum(sums.filter(is), (one) => one.count)
  const groups = Map.groupBy(sums.filter(({ mode }) => mode !== null), ({ mode, model }) => JSON.stringify([mode, model]))
  const curve = [...groups.values()].flatMap((all): UsageReport['escalations']['curve'] => {
    const [{ mode, model } = { mode: null, model: '' }] = all
    const cleared = sum(all.filter(({ effect }) => effect === 'cleared'), (one) => one.count)
    // What a package covered was money too, when it was bought.
    const usdMicros = sum(all, (one) => one.usdMicros + one.prepaidUsdMicros)
    return mode === null ? [] : [{ mode, model, count: sum(all, (one) => one.count), cleared, usdMicros, usdMicrosPerCleared: cleared === 0 ? null : usdMicros / cleared }]
  })
  const [usdMicros, changed] = [sum(sums, (one) => one.usdMicros), count(({ effect, resolved }) => effect === 'cleared' && resolved)]
  return {
    count: count(() => true), cleared: count(({ effect }) => effect === 'cleared'), same: count(({ effect }) => effect === 'same'), worse: count(({ effect }) => effect === 'worse'), untold: count(({ effect }) => effect === null),
    usdMicros, prepaidUsdMicros: sum(sums, (one) => one.prepaidUsdMicros), changed, usdMicrosPerChanged: changed === 0 ? null : usdMicros / changed, newest,
    curve: curve.toSorted((a, b) => (a.usdMicrosPerCleared ?? Infinity) - (b.usdMicrosPerCleared ?? Infinity) || b.count - a.count || (a.model < b.model ? -1 : 1)),
  }
}

/** Free work left by the measured speed of each model, in the number of streams that it writes fastest with. */
export function idleCapacity(rows: UsageRows, ask: UsageAsk, profiles: readonly ModelProfile[]): UsageReport['idle'] {
  const from = Math.max(ask.since ?? 0, rows.firstEverAt ?? ask.now)
  const spanMs = Math.min(ask.now, ask.until ?? ask.now) - from
  if (spanMs <= 0) return []
  const busyMs = sum(rows.days, ({ local }) => local.busyMs)
  return profiles.flatMap(({ model, points }) => {
    const best = points.filter(({ run }) => run === 'streams' || run === 'threads').reduce<{ streams: number; speed: number } | null>((found, { streams, decodeTokensPerSecond }) =>
      (decodeTokensPerSecond === null || decodeTokensPerSecond.median <= (found?.speed ?? 0) ? found : { streams, speed: decodeTokensPerSecond.median }), null)
    if (best === null) return []
    const busyShare = busyMs / (best.streams * spanMs)
    return [{ model, streams: best.streams, decodeTokensPerSecond: best.speed, busyShare, freeTokensPerDay: Math.max(0, 1 - busyShare) * 86_400 * best.speed }]
  })
}

export function sum<T>(all: readonly T[], of: (one: T) => number): number {
  return all.reduce((total, one) => total + of(one), 0)
}
