// Owns limits as people write and read them: in money and in number, for an escalation, a job, a day, a month.
import type { Budget, BudgetRow } from '@hearth/protocol'
import { parseUsd, usageFault } from './args.ts'
import { usd } from './print.ts'

const moneyOf = { escalation: 'escalationUsdMicros', job: 'jobUsdMicros', day: 'dayUsdMicros', month: 'monthUsdMicros' } as const
const countOf = { job: 'jobCount', day: 'dayCount', month: 'monthCount' } as const

/** Limits like '5/day' (dollars) and '3x/job' (escalations); null for none. */
export function budgetFrom(words: readonly string[]): Budget | null {
  if (words.length === 0) return null
  const budget: Budget = { escalationUsdMicros: null, jobUsdMicros: null, dayUsdMicros: null, monthUsdMicros: null, jobCount: null, dayCount: null }
  for (const word of words.flatMap((text) => text.split(','))) {
    const [amount = '', period = ''] = word.trim().split('/')
    const usdMicros = parseUsd(amount)
    if (usdMicros !== null && Object.hasOwn(moneyOf, period)) budget[moneyOf[period as keyof typeof moneyOf]] = usdMicros
    else if (/^\d{1,6}x$/.test(amount) && Object.hasOwn(countOf, period)) budget[countOf[period as keyof typeof countOf]] = Number.parseInt(amount, 10)
    else throw usageFault(`--budget takes 5/day, 20/month, 0.50/job, 0.10/escalation, 3x/job, 50x/day or 500x/month, not '${word}'.`)
  }
  return budget
}

/** The limits as `budgetFrom` takes them; before those of a day and a month what of them is used. */
export function budgetText(budget: Budget | null, limits: readonly BudgetRow[]): string {
  const amount = (unit: BudgetRow['unit'], value: number): string => (unit === 'usdMicros' ? usd(value) : `${value}x`)
  const set = Object.entries({ usdMicros: moneyOf, escalations: countOf } as const).flatMap(([unit, fields]) => Object.entries(fields).map(([period, field]) => ({ unit: unit as BudgetRow['unit'], period, limit: budget?.[field] ?? null })))
  const words = set.flatMap(({ unit, period, limit }) => {
    if (limit === null) return []
    const row = limits.find((one) => one.unit === unit && one.period === period)
    return [`${row === undefined ? '' : `${amount(unit, row.spent)} of `}${amount(unit, limit)}/${period}`]
  })
  return words.length === 0 ? 'as the box' : words.join(', ')
}
