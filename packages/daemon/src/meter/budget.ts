// Decides whether money may be reserved: a pure function of what was spent and what is asked. No clock, no I/O; it runs on the thread that writes the reservation.
import type { Budget, BudgetScope, Denial } from '@hearth/protocol'
import { dayOf, dollars, worstUsdMicros, type Hold } from './amounts.ts'
import type { Ask, Spent } from './ask.ts'
import { coverOf } from './packages.ts'
import { worthLimit, worthWords } from './worth.ts'

export type Decision = { ok: true; hold: Hold } | { ok: false; denial: Denial }

const moneyFields = ['escalationUsdMicros', 'jobUsdMicros', 'dayUsdMicros', 'monthUsdMicros'] as const

/**
 * Grants the worst price of a call when every limit holds with it, whatever the call then costs; else names the first that does not. What a package or
 * paid throughput covers is no money: only limits in count bound it, and its own size.
 */
export function reserve(spent: Spent, ask: Ask): Decision {
  if (ask.price === null) {
    return deny('price', `No price of '${ask.model}' is known for ${dayOf(spent.at)}, so nothing is bought from it.`, 'Put its prices into escalation.providers of the configuration.')
  }
  const { promptTokens, completionTokens } = ask.worst
  const listUsdMicros = worstUsdMicros(ask.price, ask.worst)
  const cover = coverOf(spent, ask, listUsdMicros)
  const usdMicros = cover?.restUsdMicros ?? listUsdMicros
  const denied = overCount(spent, ask) ?? (usdMicros === 0 ? null : overMoney(spent, ask, usdMicros))
  return denied ?? { ok: true, hold: { at: spent.at, price: ask.price, promptTokens, completionTokens, usdMicros, listUsdMicros, cover: cover?.cover ?? null } }
}

function overCount(spent: Spent, ask: Ask): Decision | null {
  for (const [index, { scope, id, budget }] of ask.limits.entries()) {
    if (ask.jobId !== null && budget.jobCount !== null && spent.jobOthers + 1 > budget.jobCount) {
      return deny('limit', `The limit${whose(scope, id)} is ${counted(budget.jobCount)} for one job, and nothing of it is left.`, remedy(scope, 'jobCount', ask.jobId))
    }
    if (budget.dayCount !== null && (spent.limits[index]?.dayOthers ?? 0) + 1 > budget.dayCount) {
      return deny('limit', `The limit${whose(scope, id)} is ${counted(budget.dayCount)} for ${dayOf(spent.at)}, and nothing of it is left.${behind(spent, ask)}`, remedy(scope, 'dayCount', ask.jobId))
    }
    if (budget.monthCount != null && (spent.limits[index]?.monthOthers ?? 0) + 1 > budget.monthCount) {
      return deny('limit', `The limit${whose(scope, id)} is ${counted(budget.monthCount)} for ${dayOf(spent.at).slice(0, 7)}, and nothing of it is left.${behind(spent, ask)}`, remedy(scope, 'monthCount', ask.jobId))
    }
  }
  return null
}

function overMoney(spent: Spent, ask: Ask, usdMicros: number): Decision | null {
  const box = ask.limits.find(({ scope }) => scope === 'box')
  if (box === undefined || moneyFields.every((field) => box.budget[field] === null)) {
    return deny('budget', 'This box has no budget, so nothing is bought.', 'Set escalation.budget.dayUsdMicros in the configuration; 1000000 is one dollar.')
  }
  const { approvedUsdMicros: approved } = ask
  if (approved !== undefined && spent.escalationUsdMicros + usdMicros > approved) {
    return deny('budget', `${dollars(approved)} were approved for this: ${dollars(spent.escalationUsdMicros)} are spent or reserved, and this call may cost ${dollars(usdMicros)}.`, 'What is still needed is offered anew.')
  }
  for (const [index, { scope, id, budget }] of ask.limits.entries()) {
    const there = spent.limits[index]
    const kept = (field: 'dayUsdMicros' | 'monthUsdMicros'): number => (scope === 'box' ? keptForOthers(spent, ask, field, budget[field] ?? 0) : 0)
    const rows = [
      { field: 'escalationUsdMicros', name: ' for one escalation', before: spent.escalationUsdMicros, kept: 0 },
      ...(ask.jobId === null ? [] : [{ field: 'jobUsdMicros', name: scope === 'job' ? '' : ' for one job', before: spent.jobUsdMicros, kept: 0 } as const]),
      { field: 'dayUsdMicros', name: ` for ${dayOf(spent.at)}`, before: there?.dayUsdMicros ?? 0, kept: kept('dayUsdMicros') },
      { field: 'monthUsdMicros', name: ` for ${dayOf(spent.at).slice(0, 7)}`, before: there?.monthUsdMicros ?? 0, kept: kept('monthUsdMicros') },
    ] as const
    for (const { field, name, before, kept: keptUsdMicros } of rows) {
      const limit = budget[field]
      if (limit === null || before + keptUsdMicros + usdMicros <= limit) continue
      const others = keptUsdMicros === 0 ? '' : `, ${dollars(keptUsdMicros)} are kept for others`
      const clock = field === 'dayUsdMicros' || field === 'monthUsdMicros' ? behind(spent, ask) : ''
      return deny('budget', `The budget${whose(scope, id)}${name} is ${dollars(limit)}: ${dollars(before)} are spent or reserved${others}, and this call may cost ${dollars(usdMicros)}.${clock}`, remedy(scope, field, ask.jobId))
    }
  }
  const { worth } = ask
  if (worth !== null && ask.jobId !== null && spent.jobUsdMicros + usdMicros > worthLimit(worth)) {
    return deny('budget', `${worthWords(worth)}. ${dollars(spent.jobUsdMicros)} are spent or reserved, and this call may cost ${dollars(usdMicros)}.`, `Say that it is worth more with 'hearth resume ${ask.jobId} --worth USD'.`)
  }
  return null
}

/** What of the box's limit may be spent only by others, and is not spent yet. */
function keptForOthers(spent: Spent, ask: Ask, field: 'dayUsdMicros' | 'monthUsdMicros', limit: number): number {
  return ask.earmarks.reduce((sum, mark, index) => {
    if (mark.principals.includes(ask.principal)) return sum
    const left = (one: typeof field): number => Math.max(0, mark[one] - (spent.earmarks[index]?.[one] ?? 0))
    if (field === 'dayUsdMicros' || mark.monthUsdMicros > 0) return sum + left(field)
    // Of a month that is used up nothing could be spent on the days that are left.
    const day = new Date(spent.at)
    const days = new Date(Date.UTC(day.getUTCFullYear(), day.getUTCMonth() + 1, 0)).getUTCDate()
    return sum + left('dayUsdMicros') + (mark.dayUsdMicros * days <= limit ? mark.dayUsdMicros * (days - day.getUTCDate()) : 0)
  }, 0)
}

function deny(rule: Denial['rule'], why: string, remedy: string): Decision {
  return { ok: false, denial: { rule, why, remedy } }
}

function counted(escalations: number): string {
  return escalations === 1 ? '1 escalation' : `${escalations} escalations`
}

function whose(scope: BudgetScope, id: string): string {
  switch (scope) {
    case 'box': return ' of this box'
    case 'project': return ` of the project ${id}`
    case 'principal': return ` of ${id}`
    case 'job': return ' of this job'
    default: return scope satisfies never
  }
}

/** Days are booked on a clock that never goes back, so that turning it back reopens no day that was spent. */
function behind(spent: Spent, ask: Ask): string {
  return dayOf(spent.at) === dayOf(ask.now) ? '' : ` The clock was turned back to ${dayOf(ask.now)}; what is bought counts as on ${dayOf(spent.at)} until then.`
}

function remedy(scope: BudgetScope, field: keyof Budget, jobId: string | null): string {
  const wait = field.startsWith('day') ? ', or wait for the next day (UTC)' : field.startsWith('month') ? ', or wait for the next month (UTC)' : ''
  switch (scope) {
    case 'box': return `Raise escalation.budget.${field} in the configuration${wait}.`
    case 'project': return `Raise the budget of the project${wait}.`
    case 'principal': return `Ask the owner of this box for a larger budget${wait}.`
    case 'job': return `Give it more with 'hearth resume ${jobId ?? 'JOB'} --budget USD'.`
    default: return scope satisfies never
  }
}
