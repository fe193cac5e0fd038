// Owns CSV (RFC 4180): every line ends in CRLF, texts are quoted, and no cell is a formula for a spreadsheet. Pure.
import { oneLine } from './text.ts'

/** Sums of fractions end in noise: 0.07995678300000054. */
function figure(value: number): string {
  return String(Number.isInteger(value) ? value : Number(value.toPrecision(12)))
}

/** A text that begins like a formula gets an apostrophe before it; what is not known is an empty cell. */
export function csv(rows: readonly (readonly (string | number)[])[]): string {
  const cell = (value: string | number): string => (typeof value === 'number' ? figure(value) : `"${oneLine(value).replace(/^[=+\-@]/, "'$&").replaceAll('"', '""')}"`)
  return rows.map((row) => `${row.map(cell).join(',')}\r\n`).join('')
}
