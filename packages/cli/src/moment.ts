// Owns a moment on the command line: so long ago, or a date.
import { parseSeconds, usageFault } from './args.ts'

/**
 * Milliseconds since 1970 from '7d' (ago) or an ISO date in UTC, to which `ofDate` is added when it names a whole day; null when absent.
 * Throws FaultError `usage`.
 */
export function momentMs(flag: string, text: string | null, ofDate = 0): number | null {
  if (text === null) return null
  const seconds = /[smhd]$/.test(text) ? parseSeconds(text) : null
  if (seconds !== null) return Math.round(Date.now() - seconds * 1000)
  const whole = /^\d{4}-\d{2}-\d{2}$/.test(text)
  // A time without a zone would be read in that of the terminal.
  const date = whole ? Date.parse(text) : /^\d{4}-\d{2}-\d{2}T[\d:.]+(Z|[+-]\d\d:\d\d)?$/.test(text) ? Date.parse(/(Z|[+-]\d\d:\d\d)$/.test(text) ? text : `${text}Z`) : NaN
  if (Number.isNaN(date) || !isDay(text.slice(0, 10))) throw usageFault(`--${flag} takes a time like 24h or 7d, or a date like 2026-01-31, not '${text}'.`)
  return whole ? date + ofDate : date
}

/** Whether the calendar has it: 31 February would be read as a day in March. */
function isDay(text: string): boolean {
  return new Date(text).toISOString().startsWith(text)
}
