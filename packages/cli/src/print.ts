// Owns how figures and tables read: bytes, durations, counts, ages, columns, colours. Pure; writes nothing.
import { columns, cut, pad } from './text.ts'

export type Ink = {
  bold(text: string): string
  dim(text: string): string
  red(text: string): string
  green(text: string): string
  yellow(text: string): string
  cyan(text: string): string
}

/** Colours for a stream that wants them, or the same functions doing nothing. */
export function inkOf(color: boolean): Ink {
  const sgr = (on: number, off: number) => (text: string): string => (color && text !== '' ? `\u001b[${on}m${text}\u001b[${off}m` : text)
  return { bold: sgr(1, 22), dim: sgr(2, 22), red: sgr(31, 39), green: sgr(32, 39), yellow: sgr(33, 39), cyan: sgr(36, 39) }
}

/** 98362432 -> '93.8 MiB'. Binary units; bytes below 1024 as they are. */
export function bytes(value: number): string {
  if (value < 1024) return value === 1 ? '1 byte' : `${value} bytes`
  const units = ['KiB', 'MiB', 'GiB', 'TiB']
  let size = value / 1024
  let unit = 0
  while (size >= 1023.95 && unit < units.length - 1) {
    size /= 1024
    unit += 1
  }
  return `${size.toFixed(1)} ${units[unit] ?? ''}`
}

/** 1234567 -> '1,234,567'. */
export function count(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+(?!\d))/g, ',')
}

/** count with its noun: '1 step', '2 steps'. */
export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? '' : 's'}`
}

/** Milliseconds as a person says them: '340 ms', '8.1 s', '2 m 05 s', '1 h 03 m', '2 d 4 h'. */
export function duration(ms: number): string {
  if (ms < 999.5) return `${Math.max(0, Math.round(ms))} ms`
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`
  const two = (value: number): string => String(value).padStart(2, '0')
  const seconds = Math.round(ms / 1000)
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${two(seconds % 60)} s`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${two(Math.floor((seconds % 3600) / 60))} m`
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`
}

/** How long ago, in one unit: '4 s ago', '3 d ago'. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  if (seconds < 60) return `${seconds} s ago`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ago`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`
  return `${Math.floor(seconds / 86_400)} d ago`
}

/** Micro-dollars: '$0.00' or as many digits as say something. */
export function usd(micros: number): string {
  const dollars = micros / 1_000_000
  return micros !== 0 && Math.abs(dollars) < 0.01 ? `$${dollars.toFixed(6)}` : `$${dollars.toFixed(2)}`
}

/** To the micro-dollar, for limits: a cent of rounding would say that more is allowed than is. */
export function usdExact(micros: number): string {
  return `$${(micros / 1_000_000).toFixed(micros % 10_000 === 0 ? 2 : 6)}`
}

export type Column = { title: string; side?: 'left' | 'right' }
/** A cell is plain text; `ink` colours it after it was measured. */
export type Cell = string | { text: string; ink: (text: string) => string }

/** A table with a dim head; the last column is cut to the width, the others keep theirs. Cells must hold no control characters. */
export function table(head: readonly Column[], rows: readonly (readonly Cell[])[], width: number, ink: Ink): string[] {
  const plain = (cell: Cell | undefined): string => (cell === undefined ? '' : typeof cell === 'string' ? cell : cell.text)
  const sizes = head.map((column, i) => Math.max(columns(column.title), ...rows.map((row) => columns(plain(row[i])))))
  const last = head.length - 1
  const before = sizes.slice(0, last).reduce((sum, size) => sum + size + 2, 0)
  const room = Math.max(width - before, 8)
  const line = (cells: readonly Cell[]): string => head.map((column, i) => {
    const cell = cells[i]
    const text = plain(cell)
    const side = column.side === 'right' ? 'left' : 'right'
    const placed = i === last ? cut(text, room) : pad(text, sizes[i] ?? 0, side)
    return cell === undefined || typeof cell === 'string' ? placed : placed.replace(cut(text, i === last ? room : Infinity), (found) => cell.ink(found))
  }).join('  ').trimEnd()
  return [ink.dim(line(head.map((column) => column.title))), ...rows.map(line)]
}

/** Lines 'name  value' with the names padded to one column; long values are not cut. */
export function fields(rows: readonly (readonly [name: string, value: string])[], ink: Ink, indent = ''): string[] {
  const size = Math.max(...rows.map(([name]) => columns(name)))
  return rows.map(([name, value]) => `${indent}${ink.dim(pad(name, size))}  ${value.replaceAll('\n', `\n${indent}${' '.repeat(size + 2)}`)}`)
}
