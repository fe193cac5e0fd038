const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Milliseconds of a text like "1h 30m". */
export function parseDuration(text: string): number {
  const wrong = new RangeError('not a duration: ' + JSON.stringify(text))
  const seen = new Set<string>()
  let total = 0
  let rest = text.trim()
  if (rest === '') throw wrong
  while (rest !== '') {
    const found = /^(\d+(?:\.\d+)?)(ms|[smhd])\s*/.exec(rest)
    const unit = found?.[2]
    if (found === null || unit === undefined || seen.has(unit)) throw wrong
    seen.add(unit)
    total += Number(found[1]) * (units[unit] ?? NaN)
    rest = rest.slice(found[0].length)
  }
  return total
}
