// Owns what stands in place of a secret in one job's packets, and what it stood for. The table is in this process's memory only: nothing of it is
// stored, because looking at the same text again gives the same placeholders. Sends nothing.
import { createHmac } from 'node:crypto'
import { KnownTexts } from './scan-known.ts'
import type { Finding } from './finding.ts'
import { scan, scanKnown } from './scan.ts'

export type Redaction = { kind: string; count: number }
export type Hidden = { text: string; redactions: Redaction[]; findings: readonly Finding[] }
/** `at`: where in the value the text stands, as JavaScript writes it; '' = it is the value. */
export type Placed = { kind: string; at: string }

// A value that was found by its name is looked for everywhere from then on; a shorter one would be met by chance.
const learnedLeast = 8
const none = new KnownTexts()
// Blocks of keys and blobs are found wherever they stand.
const learnedMost = 400
const tagChars = 6
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'

/** `‹secret:github-token:4k7t2m›`: the kind, so that a model knows what stands there, and six characters that nobody can foresee. */
const form = /‹secret:([a-z0-9-]{1,40}):([0-9a-z]{6,12})›/g
// The same in JSON that writes these brackets as escapes.
const escapedForm = /\\u2039secret:([a-z0-9-]{1,40}):([0-9a-z]{6,12})\\u203[aA]/g
/** No placeholder is longer, in either writing. */
export const longestPlaceholder = 80

/**
 * One for each job (or conversation): the same secret has the same placeholder in all of its packets, so a provider's cache is hit, and another one
 * in every other job, so that nobody learns that two jobs hold the same. `key`: at least 16 secret bytes that outlive the daemon.
 */
export class Placeholders {
  readonly #key: Buffer
  readonly #scope: string
  readonly #values = new Map<string, string>()
  readonly #learned = new KnownTexts()

  constructor(key: Buffer, scope: string) {
    this.#key = key
    this.#scope = scope
  }

  /** The text with a placeholder for each secret. What was a secret once in this job is one wherever it stands later. Deterministic: the same texts in the same order give the same. */
  async hide(text: string, held: KnownTexts): Promise<Hidden> {
    const first = await scan(text, held)
    for (const { kind, start, end } of first) this.#learn(kind, text.slice(start, end))
    const findings = scanKnown(text, this.#learned, first)
    const counts = new Map<string, number>()
    let at = 0
    let made = ''
    for (const { kind, start, end } of findings) {
      counts.set(kind, (counts.get(kind) ?? 0) + 1)
      made += text.slice(at, start) + this.#placeholder(kind, text.slice(start, end))
      at = end
    }
    return { text: made + text.slice(at), redactions: listed(counts), findings }
  }

  /** The same for every text inside a value, names too, one after the other: what is a secret in one is one in those that follow. A text may be one by its name alone. */
  async hideInside(value: unknown, held: KnownTexts): Promise<{ value: unknown; redactions: Redaction[]; places: Placed[] }> {
    const counts = new Map<string, number>()
    const places: Placed[] = []
    const text = async (plain: string, at: string): Promise<string> => {
      const hidden = await this.hide(plain, held)
      for (const { kind, count } of hidden.redactions) counts.set(kind, (counts.get(kind) ?? 0) + count)
      places.push(...hidden.findings.map(({ kind }) => ({ kind, at })))
      return hidden.text
    }
    const inside = async (one: unknown, at: string): Promise<unknown> => {
      if (typeof one === 'string') return text(one, at)
      if (typeof one !== 'object' || one === null) return one
      if (Array.isArray(one)) {
        const all: unknown[] = []
        for (const [index, item] of one.entries()) all.push(await inside(item, `${at}[${index}]`))
        return all
      }
      const made: [string, unknown][] = []
      for (const [name, item] of Object.entries(one)) {
        const shown = await text(name, at)
        const where = at === '' ? shown : `${at}.${shown}`
        const hidden = await inside(item, where)
        const kind = typeof item === 'string' && hidden === item ? await toldByName(name, item) : null
        if (kind === null || typeof item !== 'string') made.push([shown, hidden])
        else {
          counts.set(kind, (counts.get(kind) ?? 0) + 1)
          places.push({ kind, at: where })
          this.#learn(kind, item)
          made.push([shown, this.#placeholder(kind, item)])
        }
      }
      return Object.fromEntries(made)
    }
    return { value: await inside(value, ''), redactions: listed(counts), places }
  }

  /** What stood there is put back. A placeholder that this job never made stays as it is. `json`: the text is JSON, so what is put back is escaped as in a JSON string. */
  putBack(text: string, { json = false }: { json?: boolean } = {}): string {
    if (!text.includes('secret:')) return text
    const instead = (escape: boolean) => (whole: string, kind: string, tag: string): string => {
      const value = this.#values.get(`${kind}:${tag}`)
      return value === undefined ? whole : escape ? quoted(value) : value
    }
    return text.replace(form, instead(json)).replace(escapedForm, instead(true))
  }

  /** The same in every text inside a value: the arguments of a tool call. */
  putBackInside(value: unknown): unknown {
    if (typeof value === 'string') return this.putBack(value)
    if (Array.isArray(value)) return value.map((one) => this.putBackInside(one))
    if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).map(([name, one]) => [this.putBack(name), this.putBackInside(one)]))
    return value
  }

  /** For text that comes in pieces: `push` gives what is certain, `end` the rest. */
  stream(options: { json?: boolean } = {}): { push(piece: string): string; end(): string } {
    let waiting = ''
    return {
      push: (piece) => {
        waiting += piece
        const cut = openAt(waiting)
        const ready = waiting.slice(0, cut)
        waiting = waiting.slice(cut)
        return this.putBack(ready, options)
      },
      end: () => {
        const rest = this.putBack(waiting, options)
        waiting = ''
        return rest
      },
    }
  }

  #learn(kind: string, value: string): void {
    if (value.length >= learnedLeast && value.length <= learnedMost) this.#learned.add({ kind, value })
  }

  #placeholder(kind: string, value: string): string {
    const name = kind.toLowerCase().replace(/[^a-z0-9-]/g, '-').slice(0, 40)
    // Halves of characters are different here, which UTF-8 would write alike.
    const digest = createHmac('sha256', this.#key).update(Buffer.from(`${this.#scope}\0${name}\0${value}`, 'utf16le')).digest()
    const tag = Array.from(digest.subarray(0, 12), (byte) => alphabet.charAt(byte % 32)).join('')
    // One in a thousand million pairs begins alike.
    const short = tag.slice(0, tagChars)
    const taken = this.#values.get(`${name}:${short}`)
    const own = taken === undefined || taken === value ? short : tag
    this.#values.set(`${name}:${own}`, value)
    return `‹secret:${name}:${own}›`
  }
}

/** The kind of secret that a whole text is by the name before it alone; null = it is none. */
async function toldByName(name: string, value: string): Promise<string | null> {
  if (value.length > learnedMost) return null
  const text = JSON.stringify({ [name]: value })
  const [start, end] = [JSON.stringify(name).length + 3, text.length - 2]
  return (await scan(text, none)).find((one) => one.start <= start && one.end >= end)?.kind ?? null
}

/** The commonest first. */
function listed(counts: ReadonlyMap<string, number>): Redaction[] {
  return [...counts].map(([kind, count]) => ({ kind, count })).toSorted((a, b) => b.count - a.count || (a.kind < b.kind ? -1 : 1))
}

/** Where a placeholder begins that is not over yet; the length of the text when there is none. */
function openAt(text: string): number {
  const tail = Math.max(0, text.length - longestPlaceholder)
  const bracket = text.lastIndexOf('‹')
  if (bracket >= tail && !text.slice(bracket).includes('›')) return bracket
  const slash = text.lastIndexOf('\\')
  if (slash < tail) return text.length
  // A backslash may begin either end of the escaped form.
  const start = text.lastIndexOf('\\u2039', slash)
  if (start >= tail && !/\\u203[aA]/.test(text.slice(start))) return start
  return '\\u2039'.startsWith(text.slice(slash)) ? slash : text.length
}

function quoted(value: string): string {
  return JSON.stringify(value).slice(1, -1)
}

// Tools whose arguments stay in the folder of the job.
const stays: ReadonlySet<string> = new Set(['read', 'write', 'edit', 'glob', 'grep', 'plan', 'finish'])

/**
 * Whether secrets are put back in the arguments of this tool. Never where they could leave: addresses (fetch), MCP servers, questions to an expert, tools we do not
 * know; in commands only when the job has no network. docs/decisions/placeholders.md says why.
 */
export function putsBackFor(tool: string, jobHasNetwork: boolean): boolean {
  return stays.has(tool) || (tool === 'bash' && !jobHasNetwork)
}
