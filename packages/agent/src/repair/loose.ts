// Owns reading a value that is nearly JSON: Python dicts and literals, trailing commas, raw line breaks in strings, typographic quotes, bare keys.
// Pure and linear. It never guesses where a string ends: what can be read in two ways is no value.

export type Loose = {
  value: unknown
  /** Index just behind the value. */
  end: number
  /** What had to be forgiven, in words; empty for strict JSON. */
  changes: string[]
  /** Objects and lists that the text ends in the middle of, innermost first; only a text that ends behind a whole string or bracket has any. */
  open: object[]
}

const deepest = 64

/** The value that begins at `at` (blanks before it are skipped), or null. */
export function looseValue(text: string, at = 0): Loose | null {
  const reader = new Reader(text, at)
  try {
    const value = reader.value(0)
    return { value, end: reader.at, changes: [...reader.changes], open: reader.open }
  } catch (error) {
    if (error === unreadable) return null
    throw error
  }
}

/** A Python string literal at `at`, also a triple-quoted one; null when there is none. */
export function pythonString(text: string, at: number): { value: string; end: number } | null {
  const reader = new Reader(text, at)
  try {
    return { value: reader.python(), end: reader.at }
  } catch (error) {
    if (error === unreadable) return null
    throw error
  }
}

// One object for all: a refusal is frequent and needs no stack.
const unreadable = new Error('not a value')

function no(): never {
  throw unreadable
}

const words: Readonly<Record<string, { value: unknown; python: boolean }>> = {
  true: { value: true, python: false }, false: { value: false, python: false }, null: { value: null, python: false },
  True: { value: true, python: true }, False: { value: false, python: true }, None: { value: null, python: true },
}
const jsonEscapes: Readonly<Record<string, string>> = { '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }
const pythonEscapes: Readonly<Record<string, string>> = { '"': '"', "'": "'", '\\': '\\', n: '\n', r: '\r', t: '\t', '\n': '' }

class Reader {
  readonly #text: string
  readonly changes = new Set<string>()
  readonly open: object[] = []
  at: number

  constructor(text: string, at: number) {
    this.#text = text
    this.at = at
  }

  value(depth: number): unknown {
    this.#blanks()
    const char = this.#text[this.at]
    switch (char) {
      case '{': return this.#object(depth)
      case '[': return this.#list(depth)
      case '"': return this.#json()
      case "'":
        this.changes.add('single quotes')
        return this.python()
      case '\u201c': return this.#typographic()
      default: return this.#bare()
    }
  }

  #object(depth: number): unknown {
    if (depth >= deepest) no()
    const made: Record<string, unknown> = {}
    let quote: string | null = null
    this.at += 1
    for (;;) {
      this.#blanks()
      if (this.#closes('}')) return made
      const begin = this.#text[this.at] ?? ''
      const key = begin === '"' ? this.#json() : begin === "'" ? this.python() : begin === '\u201c' ? this.#typographic() : this.#bareKey()
      // JSON objects and Python dicts have keys of one kind; a mixture is a string that was torn.
      const kind = /["'\u201c]/.test(begin) ? begin : 'bare'
      if (quote !== null && quote !== kind) no()
      quote = kind
      if (kind === "'") this.changes.add('single quotes')
      this.#blanks()
      if (this.#text[this.at] !== ':') no()
      this.at += 1
      this.#blanks()
      if (kind === '"' && this.#text[this.at] === "'") no()
      const value = this.value(depth + 1)
      if (Object.hasOwn(made, key)) no()
      Object.defineProperty(made, key, { value, enumerable: true, configurable: true, writable: true })
      if (this.#next('}', made)) return made
    }
  }

  #list(depth: number): unknown {
    if (depth >= deepest) no()
    const made: unknown[] = []
    this.at += 1
    for (;;) {
      this.#blanks()
      if (this.#closes(']')) return made
      made.push(this.value(depth + 1))
      if (this.#next(']', made)) return made
    }
  }

  /** Behind a member: true when the thing is over. */
  #next(close: string, made: object): boolean {
    this.#blanks()
    if (this.at >= this.#text.length) {
      // A number or a word at the very end may be the beginning of a longer one.
      if (!/["'\u201d\]}]\s*$/.test(this.#text.slice(-64))) no()
      this.open.push(made)
      this.changes.add('missing closing brackets')
      return true
    }
    // Inside something that the end of the text left open nothing can follow.
    if (this.open.length > 0) no()
    if (this.#closes(close)) return true
    if (this.#text[this.at] !== ',') no()
    this.at += 1
    this.#blanks()
    if (this.#text[this.at] === close) this.changes.add('trailing comma')
    else if (this.#text[this.at] === undefined) no()
    return false
  }

  #closes(close: string): boolean {
    if (this.#text[this.at] !== close) return false
    this.at += 1
    return true
  }

  #json(): string {
    this.at += 1
    let made = ''
    let raw = false
    for (;;) {
      const char = this.#text[this.at]
      if (char === undefined) return no()
      if (char === '"') break
      if (char === '\\') made += this.#escape(jsonEscapes)
      else {
        if (char < ' ') raw = true
        made += char
        this.at += 1
      }
    }
    this.at += 1
    if (raw) this.changes.add('unescaped control characters in a string')
    return made
  }

  python(): string {
    const quote = this.#text[this.at]
    if (quote !== "'" && quote !== '"') return no()
    const end = this.#text.startsWith(quote.repeat(3), this.at) ? quote.repeat(3) : quote
    this.at += end.length
    let made = ''
    for (;;) {
      const char = this.#text[this.at]
      if (char === undefined) return no()
      if (this.#text.startsWith(end, this.at)) break
      if (char === '\\') made += this.#escape(pythonEscapes)
      else {
        if (char === '\n' && end.length === 1) this.changes.add('unescaped control characters in a string')
        made += char
        this.at += 1
      }
    }
    this.at += end.length
    return made
  }

  #typographic(): string {
    const end = this.#text.indexOf('\u201d', this.at)
    if (end < 0) no()
    const made = this.#text.slice(this.at + 1, end)
    // An escape or another quote in it: nobody knows which kind of string this is.
    if (/["\\\u201c]/.test(made)) no()
    this.at = end + 1
    this.changes.add('typographic quotes')
    return made
  }

  #escape(known: Readonly<Record<string, string>>): string {
    const char = this.#text[this.at + 1] ?? ''
    const simple = Object.hasOwn(known, char) ? known[char] : undefined
    if (simple !== undefined) {
      this.at += 2
      return simple
    }
    const code = /^(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))/.exec(this.#text.slice(this.at + 1, this.at + 6))
    const digits = code?.[1] ?? (known === pythonEscapes ? code?.[2] : undefined)
    // `\d` may stand for `\\d` or for `d`: two readings.
    if (digits === undefined) return no()
    this.at += 2 + digits.length
    return String.fromCharCode(parseInt(digits, 16))
  }

  #bareKey(): string {
    const key = /^[A-Za-z_][A-Za-z0-9_-]{0,63}/.exec(this.#text.slice(this.at, this.at + 64))?.[0]
    if (key === undefined) return no()
    this.at += key.length
    this.changes.add('keys without quotes')
    return key
  }

  #bare(): unknown {
    const piece = this.#text.slice(this.at, this.at + 64)
    const text = /^(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|[A-Za-z]+)/.exec(piece)?.[0] ?? no()
    const behind = piece[text.length]
    if (behind !== undefined && !/[\s,\]})]/.test(behind)) no()
    this.at += text.length
    const word = Object.hasOwn(words, text) ? words[text] : undefined
    if (word === undefined) {
      const number = /^[-0-9]/.test(text) ? Number(text) : no()
      // Digits that a double cannot hold would be other digits.
      return Number.isFinite(number) && (Number.isSafeInteger(number) || !Number.isInteger(number)) ? number : no()
    }
    if (word.python) this.changes.add('Python literals')
    return word.value
  }

  #blanks(): void {
    while (/\s/.test(this.#text[this.at] ?? '')) this.at += 1
  }
}
