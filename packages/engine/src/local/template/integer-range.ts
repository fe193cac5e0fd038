// Owns the grammar of whole numbers between two bounds, as alternatives over digits. Pure.

/** Largest magnitude the grammar of an unbounded integer writes: fifteen digits, all exact in JSON. */
export const integerLimit = 999_999_999_999_999

/** A GBNF body for the integers from `low` to `high` (null = no bound); null when the bounds exclude nothing that the plain rule can write. */
export function integerRange(low: number | null, high: number | null): string | null {
  const from = Math.max(low ?? -integerLimit, -integerLimit)
  const to = Math.min(high ?? integerLimit, integerLimit)
  if (from === -integerLimit && to === integerLimit) return null
  const parts: string[] = []
  if (from < 0) parts.push(...positive(Math.max(1, -to), -from).map((digits) => `"-" ${digits}`))
  if (from <= 0 && to >= 0) parts.push('"0"')
  if (to > 0) parts.push(...positive(Math.max(1, from), to))
  return parts.join(' | ')
}

/** Alternatives for low..high, both from 1: one group for each number of digits. */
function positive(low: number, high: number): string[] {
  const groups: string[] = []
  for (let digits = String(low).length; digits <= String(high).length; digits++) {
    const from = Math.max(low, 10 ** (digits - 1))
    const to = Math.min(high, 10 ** digits - 1)
    if (from <= to) groups.push(...sameLength(String(from), String(to)))
  }
  return groups
}

/** Alternatives for two numbers with the same count of digits. */
function sameLength(from: string, to: string): string[] {
  if (from === '') return ['']
  const rest = from.length - 1
  const first = Number(from[0])
  const last = Number(to[0])
  if (first === last) return sameLength(from.slice(1), to.slice(1)).map((tail) => joined(`"${first}"`, tail))
  const low = from.slice(1)
  const high = to.slice(1)
  const parts: string[] = []
  const wholeLow = /^0*$/.test(low)
  const wholeHigh = /^9*$/.test(high)
  if (!wholeLow) parts.push(...sameLength(low, '9'.repeat(rest)).map((tail) => joined(`"${first}"`, tail)))
  const begin = wholeLow ? first : first + 1
  const end = wholeHigh ? last : last - 1
  if (begin <= end) parts.push(joined(begin === end ? `"${begin}"` : `[${begin}-${end}]`, rest === 0 ? '' : `[0-9]{${rest}}`))
  if (!wholeHigh) parts.push(...sameLength('0'.repeat(rest), high).map((tail) => joined(`"${last}"`, tail)))
  return parts
}

function joined(head: string, tail: string): string {
  return tail === '' ? head : `${head} ${tail}`
}
