// Owns the command line: what a command takes (Spec), parsing, and the sentences for a wrong word. Reads no environment.
import { parseArgs } from 'node:util'
import { fault, FaultError } from '@hearth/protocol/fault'

export type Flag = {
  type: 'boolean' | 'string'
  short?: string
  /** May be given more than once. */
  multiple?: boolean
  /** Name of the value in the help text. */
  value?: string
  help: string
}

/** What a command takes and says about itself. The help text and docs/cli.md are made from it. */
export type Spec = {
  /** Full name, e.g. 'models pull'. */
  name: string
  /** Words after the name, e.g. '[PROMPT...]'. */
  operands: string
  /** Fewest and most operands. */
  arity: readonly [min: number, max: number]
  about: string
  flags: Readonly<Record<string, Flag>>
  examples: readonly (readonly [command: string, what: string])[]
}

/** Flags of every command. */
export const sharedFlags: Readonly<Record<string, Flag>> = {
  json: { type: 'boolean', help: 'machine-readable output on stdout' },
  'no-color': { type: 'boolean', help: 'no colours (NO_COLOR and TERM=dumb do the same)' },
  help: { type: 'boolean', short: 'h', help: 'this text' },
}

export function usageFault(problem: string): FaultError {
  return new FaultError(fault('usage', { problem }))
}

export class Args {
  readonly operands: readonly string[]
  readonly #values: ReadonlyMap<string, readonly (string | true)[]>

  constructor(operands: readonly string[], values: ReadonlyMap<string, readonly (string | true)[]>) {
    this.operands = operands
    this.#values = values
  }

  flag(name: string): boolean {
    return this.#values.has(name)
  }

  /** All values of a repeatable flag, in order. */
  list(name: string): string[] {
    return (this.#values.get(name) ?? []).filter((value) => value !== true)
  }

  /** The last value, or null. */
  text(name: string): string | null {
    return this.list(name).at(-1) ?? null
  }

  /** A whole number of at least `min`, or null when the flag is absent. */
  whole(name: string, min: number): number | null {
    const text = this.text(name)
    if (text === null) return null
    const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN
    if (!(value >= min)) throw usageFault(`--${name} takes a whole number from ${min} on, not '${text}'.`)
    return value
  }

  /** Micro-dollars from an amount in dollars such as '2' or '0.50'; null when the flag is absent. */
  usdMicros(name: string): number | null {
    const text = this.text(name)
    if (text === null) return null
    const amount = parseUsd(text)
    if (amount === null) throw usageFault(`--${name} takes an amount in dollars such as 2 or 0.50, not '${text}'.`)
    return amount
  }

  /** Seconds from '90', '90s', '10m', '1h30m', '7d'; null when the flag is absent. */
  seconds(name: string): number | null {
    const text = this.text(name)
    if (text === null) return null
    const value = parseSeconds(text)
    if (value === null || value <= 0) throw usageFault(`--${name} takes seconds or a time like 90s, 10m, 1h30m or 7d, not '${text}'.`)
    return value
  }
}

/** Dollars with six decimals at most, as micro-dollars; null for anything else. */
export function parseUsd(text: string): number | null {
  const [, whole = '', part = ''] = /^\$?(\d{1,9})(?:\.(\d{1,6}))?$/.exec(text) ?? []
  return whole === '' ? null : Number(whole) * 1_000_000 + Number(part.padEnd(6, '0'))
}

/** The word of `known` that the flag names. */
export function oneOf<T extends string>(flag: string, text: string, known: readonly T[]): T {
  const found = known.find((word) => word === text)
  if (found === undefined) throw usageFault(`--${flag} takes ${known.join(', ')}, not '${text}'.`)
  return found
}

const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }

export function parseSeconds(text: string): number | null {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text)
  if (!/^(\d+(\.\d+)?[smhd])+$/.test(text)) return null
  let sum = 0
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)([smhd])/g)) sum += Number(amount) * (unitSeconds[unit ?? ''] ?? NaN)
  return Number.isFinite(sum) ? sum : null
}

/** Parses the words after the command's name. Throws FaultError `usage` that names the nearest known flag. */
export function parse(spec: Spec, argv: readonly string[]): Args {
  const flags = { ...spec.flags, ...sharedFlags }
  const options = Object.fromEntries(Object.entries(flags).map(([name, flag]) =>
    [name, { type: flag.type, multiple: true, ...(flag.short === undefined ? {} : { short: flag.short }) }]))
  const { tokens } = parseArgs({ args: [...argv], options, strict: false, allowPositionals: true, tokens: true })
  const operands: string[] = []
  const values = new Map<string, (string | true)[]>()
  for (const token of tokens) {
    if (token.kind === 'positional') operands.push(token.value)
    if (token.kind !== 'option') continue
    const flag = Object.hasOwn(flags, token.name) ? flags[token.name] : undefined
    if (flag === undefined) throw unknownFlag(spec, token.rawName, Object.keys(flags))
    if (flag.type === 'boolean' && token.value !== undefined) throw usageFault(`--${token.name} takes no value.`)
    if (flag.type === 'string' && token.value === undefined) throw usageFault(`--${token.name} needs a value: --${token.name} ${flag.value ?? 'VALUE'}.`)
    if (flag.type === 'string' && token.inlineValue === false && /^-./.test(token.value ?? '')) {
      throw usageFault(`--${token.name} needs a value, '${token.value}' looks like an option; write --${token.name}=${token.value} if it is the value.`)
    }
    values.set(token.name, [...(values.get(token.name) ?? []), token.value ?? true])
  }
  const [min, max] = spec.arity
  if (!values.has('help')) {
    if (operands.length < min) throw usageFault(`'hearth ${spec.name}' needs ${spec.operands}.`)
    if (operands.length > max) throw usageFault(max === 0
      ? `'hearth ${spec.name}' takes no argument, it got '${operands[0]}'.`
      : `'hearth ${spec.name}' takes ${spec.operands}, '${operands[max]}' is one too many.`)
  }
  return new Args(operands, values)
}

function unknownFlag(spec: Spec, raw: string, known: readonly string[]): FaultError {
  const near = raw.startsWith('--') ? nearest(raw.slice(2), known) : null
  return usageFault(`'hearth ${spec.name}' has no option ${raw}${near === null ? '' : `; the nearest is --${near}`}.`)
}

/** The known word with the fewest edits, if it is near enough to be a slip (at most a third of the word, and 1 always). */
export function nearest(word: string, known: readonly string[]): string | null {
  let best: string | null = null
  let least = Math.max(1, Math.floor(word.length / 3)) + 1
  for (const candidate of known) {
    const edits = candidate.startsWith(word) && word.length >= 2 ? 1 : distance(word, candidate)
    if (edits < least) {
      best = candidate
      least = edits
    }
  }
  return best
}

/** Damerau-Levenshtein distance with adjacent transpositions (optimal string alignment). */
function distance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  const at = (i: number, j: number): number => rows[i]?.[j] ?? Infinity
  for (let i = 1; i <= a.length; i++) {
    rows[i] = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let cost = Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, at(i - 2, j - 2) + 1)
      rows[i]?.push(cost)
    }
  }
  return at(a.length, b.length)
}
