// A valid call in each format, torn by a few random slips, is repaired to the same call or refused; it is never run with other arguments.
// A slip inside an argument's own text is not a tear: then the call as it stands is what was written. So the oracle reads, with strict readers of its
// own, every text that some of the slips alone would have made; the result must be one of those calls.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fitCall } from '../../packages/agent/src/repair/fit.ts'
import { told, tools } from './repair-words.ts'

const seed = Number(process.env['HEARTH_FUZZ_SEED'] ?? 20261123)
const rounds = Number(process.env['HEARTH_FUZZ_ROUNDS'] ?? 20_000)

type Args = Record<string, unknown>
type Call = { name: string; arguments: Args }
type Format = { name: string; write(call: Call): string; /** The call that a strict reader finds, or null. */ read(text: string): Call | null; texts?: true; flat?: true; mode?: 'json' }

/** xorshift32: the same numbers everywhere. */
class Dice {
  #state: number
  constructor(start: number) {
    this.#state = start | 0 || 1
  }

  below(limit: number): number {
    this.#state ^= this.#state << 13
    this.#state ^= this.#state >>> 17
    this.#state ^= this.#state << 5
    return (this.#state >>> 0) % limit
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T
  }
}

// --- Strict readers: one reading of a format each. Beside it they take what says nothing: raw control characters in strings, and a comma before a bracket
// (a slip that takes a whole member out of a valid text leaves one, or a text that is valid as it is).

function json(text: string): unknown {
  const escaped = text.replace(/"(?:[^"\\]|\\[\s\S])*"|,(?=\s*[}\]])/g, (token) => (token === ',' ? '' : token.replace(/[\x00-\x1f]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)))
  try {
    return JSON.parse(escaped)
  } catch {
    return undefined
  }
}

const isArgs = (value: unknown): value is Args => typeof value === 'object' && value !== null && !Array.isArray(value)

function callIn(value: unknown, nameKey = 'name', argumentsKey = 'arguments'): Call | null {
  if (!isArgs(value)) return null
  const [name, given] = [value[nameKey], value[argumentsKey]]
  const read = typeof given === 'string' ? json(given) : given
  return typeof name === 'string' && isArgs(read) ? { name, arguments: read } : null
}

const named = (match: RegExpExecArray | null): Call | null => (match === null ? null : callIn({ name: match[1], arguments: json(match[2] ?? '') }))
const first = (value: unknown): unknown => (Array.isArray(value) && value.length === 1 ? (value[0] as unknown) : undefined)

/** Python literals as JSON. */
function python(text: string): unknown {
  let bad = false
  const made = text.replace(/'(?:[^'\\]|\\[\s\S])*'|"(?:[^"\\]|\\[\s\S])*"|[A-Za-z_]+/g, (token) => {
    const word: Record<string, string> = { True: 'true', False: 'false', None: 'null' }
    if (/^[A-Za-z_]/.test(token)) return word[token] ?? ((bad = true), token)
    return JSON.stringify(token.slice(1, -1).replace(/\\([\s\S])/g, (_all, char: string) => {
      const known: Record<string, string> = { n: '\n', t: '\t', r: '\r', '\\': '\\', "'": "'", '"': '"', '\n': '' }
      if (known[char] === undefined) bad = true
      return known[char] ?? ''
    }))
  })
  return bad ? undefined : json(made)
}

function pythonText(value: unknown): string {
  if (typeof value === 'string') {
    const quote = value.includes("'") && !value.includes('"') ? '"' : "'"
    return `${quote}${value.replace(/\\/g, '\\\\').replace(/\n/g, '\\n').replace(/\t/g, '\\t').replaceAll(quote, `\\${quote}`)}${quote}`
  }
  if (Array.isArray(value)) return `[${value.map(pythonText).join(', ')}]`
  if (isArgs(value)) return `{${Object.entries(value).map(([key, inner]) => `'${key}': ${pythonText(inner)}`).join(', ')}}`
  return value === true ? 'True' : value === false ? 'False' : String(value)
}

/** `a='x', b=3` as arguments. */
function keywords(text: string): Args | null {
  const made: Args = {}
  let rest = text.trim()
  while (rest !== '') {
    const key = /^([A-Za-z_]\w*)\s*=\s*/.exec(rest)
    if (key === null) return null
    rest = rest.slice(key[0].length)
    const value = /^(?:'(?:[^'\\]|\\[\s\S])*'|"(?:[^"\\]|\\[\s\S])*"|\[(?:'(?:[^'\\]|\\[\s\S])*'|"(?:[^"\\]|\\[\s\S])*"|[^'"[\]])*\]|[^,'"[\]()]+)/.exec(rest)
    const read = value === null ? undefined : python(value[0].trim())
    if (value === null || read === undefined) return null
    made[key[1] ?? ''] = read
    rest = rest.slice(value[0].length).trim()
    if (rest !== '' && !rest.startsWith(',')) return null
    rest = rest.slice(1).trim()
  }
  return made
}

const line = (value: string): string => value.replace(/^\n/, '').replace(/\n$/, '')

function pairs(body: string, pair: RegExp, unframe: (value: string) => string): Args | null {
  const made: Args = {}
  const rest = body.replace(pair, (_all, key: string, value: string) => {
    made[key.trim()] = unframe(value)
    return ''
  })
  return rest.trim() === '' ? made : null
}

function gemma(body: string): Args | null {
  const made: Args = {}
  const rest = body.replace(/\s*([\w.-]+)\s*:\s*(?:<\|"\|>([\s\S]*?)<\|"\|>|([^,<{}[\]]+))\s*(?:,|$)/gy, (_all, key: string, text: string | undefined, plain: string | undefined) => {
    made[key] = text ?? python((plain ?? '').replace(/^\s*true\s*$/, 'True').replace(/^\s*false\s*$/, 'False'))
    return ''
  })
  return rest.trim() === '' && !Object.values(made).includes(undefined) ? made : null
}

const xmlText = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))
const entries = (call: Call, write: (key: string, value: unknown) => string): string => Object.entries(call.arguments).map(([key, value]) => write(key, value)).join('')

const formats: readonly Format[] = [
  { name: 'json', write: (call) => JSON.stringify(call), read: (text) => callIn(json(text)) },
  { name: 'json after words', write: (call) => `I will do it.\n${JSON.stringify(call, null, 2)}`, read: (text) => callIn(json(text.slice(text.indexOf('\n') + 1))) },
  { name: 'fenced', write: (call) => `\`\`\`json\n${JSON.stringify(call)}\n\`\`\``, read: (text) => callIn(json(/^```json\n([\s\S]*?)\n?```\s*$/.exec(text)?.[1] ?? '')) },
  { name: 'hermes', write: (call) => `<tool_call>\n${JSON.stringify(call)}\n</tool_call>`, read: (text) => callIn(json(/^\s*<tool_call>([\s\S]*)<\/tool_call>\s*$/.exec(text)?.[1] ?? '')) },
  { name: 'mistral list', write: (call) => `[TOOL_CALLS][${JSON.stringify(call)}]`, read: (text) => callIn(first(json(/^\s*\[TOOL_CALLS\]([\s\S]*)$/.exec(text)?.[1] ?? ''))) },
  { name: 'mistral named', write: (call) => `[TOOL_CALLS]${call.name}[ARGS]${JSON.stringify(call.arguments)}`, read: (text) => named(/^\s*\[TOOL_CALLS\]\s*([\w.-]+)\s*\[ARGS\]([\s\S]*)$/.exec(text)) },
  { name: 'python tag', write: (call) => `<|python_tag|>${JSON.stringify({ name: call.name, parameters: call.arguments })}`, read: (text) => callIn(json(/^\s*<\|python_tag\|>([\s\S]*)$/.exec(text)?.[1] ?? ''), 'name', 'parameters') },
  {
    name: 'harmony', write: (call) => `<|channel|>commentary to=functions.${call.name} <|constrain|>json<|message|>${JSON.stringify(call.arguments)}<|call|>`,
    read: (text) => named(/^<\|channel\|>commentary to=functions\.([\w.-]+) <\|constrain\|>json<\|message\|>([\s\S]*)<\|call\|>\s*$/.exec(text)),
  },
  {
    name: 'deepseek', write: (call) => `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>${call.name}<｜tool▁sep｜>${JSON.stringify(call.arguments)}<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
    read: (text) => named(/^<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>([\w.-]+)<｜tool▁sep｜>([\s\S]*)<｜tool▁call▁end｜><｜tool▁calls▁end｜>\s*$/.exec(text)),
  },
  {
    name: 'openai', write: (call) => JSON.stringify({ tool_calls: [{ id: 'c', type: 'function', function: { name: call.name, arguments: JSON.stringify(call.arguments) } }] }),
    read: (text) => {
      const outer = json(text)
      const inner = isArgs(outer) ? first(outer['tool_calls']) : undefined
      return isArgs(inner) ? callIn(inner['function']) : null
    },
  },
  { name: 'react', write: (call) => `Thought: I look.\nAction: ${call.name}\nAction Input: ${JSON.stringify(call.arguments)}`, read: (text) => named(/\nAction: ?([\w.-]+)\nAction Input: ?([\s\S]*)$/.exec(text)) },
  { name: 'python dict', write: (call) => pythonText(call), read: (text) => callIn(python(text)) },
  {
    name: 'pythonic', flat: true, write: (call) => `[${call.name}(${Object.entries(call.arguments).map(([key, value]) => `${key}=${pythonText(value)}`).join(', ')})]`,
    read: (text) => {
      const match = /^\s*\[\s*([\w.]+)\(([\s\S]*)\)\s*\]\s*$/.exec(text)
      const given = match === null ? null : keywords(match[2] ?? '')
      return match === null || given === null ? null : { name: match[1] ?? '', arguments: given }
    },
  },
  {
    name: 'qwen', texts: true, write: (call) => `<tool_call>\n<function=${call.name}>\n${entries(call, (key, value) => `<parameter=${key}>\n${xmlText(value)}\n</parameter>\n`)}</function>\n</tool_call>`,
    read: (text) => {
      const match = /^\s*<tool_call>\s*<function=([\w.-]+)>([\s\S]*)<\/function>\s*<\/tool_call>\s*$/.exec(text)
      const given = match === null ? null : pairs(match[2] ?? '', /<parameter=([\w.-]+)>([\s\S]*?)<\/parameter>/g, line)
      return match === null || given === null ? null : { name: match[1] ?? '', arguments: given }
    },
  },
  {
    name: 'glm', texts: true, write: (call) => `<tool_call>${call.name}\n${entries(call, (key, value) => `<arg_key>${key}</arg_key>\n<arg_value>${xmlText(value)}</arg_value>\n`)}</tool_call>`,
    read: (text) => {
      const match = /^\s*<tool_call>\s*([\w.-]+)([\s\S]*)<\/tool_call>\s*$/.exec(text)
      const given = match === null ? null : pairs(match[2] ?? '', /<arg_key>\s*([\w.-]+)\s*<\/arg_key>\s*<arg_value>([\s\S]*?)<\/arg_value>/g, (value) => value)
      return match === null || given === null ? null : { name: match[1] ?? '', arguments: given }
    },
  },
  {
    name: 'gemma', flat: true, write: (call) => `<|tool_call>call:${call.name}{${Object.entries(call.arguments).map(([key, value]) => `${key}:${typeof value === 'string' ? `<|"|>${value}<|"|>` : String(value)}`).join(',')}}<tool_call|>`,
    read: (text) => {
      const match = /^\s*<\|tool_call>\s*call:([\w.-]+)\s*\{([\s\S]*)\}\s*<tool_call\|>\s*$/.exec(text)
      const given = match === null ? null : gemma(match[2] ?? '')
      return match === null || given === null ? null : { name: match[1] ?? '', arguments: given }
    },
  },
  {
    name: 'json mode', mode: 'json', write: (call) => JSON.stringify({ tool: call.name, ...call.arguments }),
    read: (text) => {
      const value = json(text)
      if (!isArgs(value) || typeof value['tool'] !== 'string') return null
      const { tool, ...given } = value
      return { name: tool, arguments: given }
    },
  },
]

// --- Random calls and slips.

const pieces = [
  'ls', ' ', '-la', 'a.txt', 'src/main.ts', '"', "'", '\\', '\n', '\t', '{', '}', '[', ']', ',', ':', '=', '(', ')', '`', '$x', 'é', '\u201c', '0', '10', 'true', 'None',
  '{"path": "b"}', '","content":"', "', 'x': '", '"}}', '\\n', '#', '&&', '|', '> out', '//', '; rm x', 'echo "hi"', "it's",
]

function someText(dice: Dice, least = 0): string {
  let text = ''
  const count = least + dice.below(7)
  for (let i = 0; i < count; i += 1) text += dice.of(pieces)
  return text === '' && least > 0 ? 'x' : text
}

function someCall(dice: Dice, flat: boolean): Call {
  const path = (): string => dice.of(['a', 'a.txt', 'src/x y.ts', "it's", '.', 'b"c', 'd\\e'])
  switch (dice.below(flat ? 5 : 7)) {
    case 0: return { name: 'bash', arguments: { command: someText(dice, 1) } }
    case 1: return { name: 'write', arguments: { path: path(), content: someText(dice) } }
    case 2: return { name: 'edit', arguments: { path: path(), old: someText(dice, 1), new: someText(dice) } }
    case 3: {
      const given: Args = { path: path() }
      if (dice.below(2) === 0) given['offset'] = 1 + dice.below(200)
      if (dice.below(2) === 0) given['limit'] = 1 + dice.below(2000)
      if (dice.below(3) === 0) given['all'] = dice.below(2) === 0
      return { name: 'read', arguments: given }
    }
    case 4: return { name: 'grep', arguments: { pattern: someText(dice, 1), ...(dice.below(2) === 0 ? { path: path() } : {}), ...(dice.below(2) === 0 ? { include: '*.ts' } : {}) } }
    case 5: return { name: 'plan', arguments: { items: Array.from({ length: dice.below(4) }, () => someText(dice, 1)) } }
    default: return { name: 'rework', arguments: { path: path(), edits: Array.from({ length: 1 + dice.below(2) }, () => ({ old: someText(dice), new: someText(dice) })) } }
  }
}

/** An edit of the original text, so that any subset of several can be applied. */
type Slip = { at: number; to: number; put: string; cut?: true }

/** One to three of them. A bracket put in right where the text is cut would forge an end that nobody wrote, so nothing else happens near a cut. */
function someSlips(dice: Dice, text: string): Slip[] {
  const slips = Array.from({ length: 1 + dice.below(3) }, () => someSlip(dice, text)).flat().slice(0, 6)
  const cut = Math.min(...slips.filter((slip) => slip.cut === true).map((slip) => slip.at))
  const kept = slips.filter((slip) => slip.cut === true ? slip.at === cut : slip.at < cut - 16 || cut === Infinity)
  // A slip inside another one's characters is no slip of its own: the oracle could not tell what either of them alone would have made.
  return kept.filter((slip, index) => !kept.some((other, before) => before < index && slip.cut !== true && other.cut !== true && slip.at < other.to + 2 && other.at < slip.to + 2 && (slip.put !== '' || other.put !== '')))
}

function someSlip(dice: Dice, text: string): Slip | Slip[] {
  const at = dice.below(text.length)
  const char = text[at] ?? ''
  switch (dice.below(7)) {
    case 0: return { at, to: at + 1, put: '' }
    case 1: return { at, to: at, put: dice.of(['"', "'", '{', '}', '[', ']', ',', ':', '\\', ' ', '\n', '<', '>', '/', '=', '|', '(', ')', 'x', '0', '\u201d', '`', '#']) }
    case 2: return { at, to: at + 2, put: `${text[at + 1] ?? ''}${char}` }
    case 3: return { at, to: at, put: text.slice(at, at + 1 + dice.below(12)) }
    case 4: return { at, to: text.length, put: '', cut: true }
    case 5: return { at, to: at + 1, put: char === char.toLowerCase() ? char.toUpperCase() : char.toLowerCase() }
    // A run of characters is that many slips: some of them may lie in a value and some not.
    default: return Array.from({ length: 1 + dice.below(4) }, (_one, index) => ({ at: at + index, to: at + index + 1, put: '' }))
  }
}

function apply(text: string, slips: readonly Slip[]): string {
  let made = text
  for (const slip of slips.toSorted((a, b) => b.at - a.at)) made = made.slice(0, slip.at) + slip.put + made.slice(slip.to)
  return made
}

/** Calls that some of the slips alone make, read strictly and in the types of the tool. */
function written(format: Format, text: string, slips: readonly Slip[]): string[] {
  const found: string[] = []
  for (let set = 0; set < 2 ** slips.length; set += 1) {
    const call = format.read(apply(text, slips.filter((_slip, index) => (set & (2 ** index)) !== 0)))
    if (call === null) continue
    const fitted = fitCall({ ...call, ...(format.texts === true ? { texts: true } : {}), changes: [] }, tools)
    if (!('problem' in fitted)) found.push(canonical(fitted.call))
  }
  return found
}

const sorted = (value: unknown): unknown => (isArgs(value) ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, inner]) => [key, sorted(inner)])) : Array.isArray(value) ? value.map(sorted) : value)
const canonical = (call: Call): string => JSON.stringify([call.name, sorted(call.arguments)])

describe(`torn calls, seed ${seed}`, () => {
  for (const format of formats) {
    it(`${format.name}: ${rounds} of them`, (test) => {
      const dice = new Dice(seed)
      const count = { same: 0, asWritten: 0, refused: 0 }
      for (let round = 0; round < rounds; round += 1) {
        const call = someCall(dice, format.flat === true)
        const text = format.write(call)
        const strict = format.read(text)
        const where = (what: string): string => `seed ${seed}, format ${format.name}, round ${round}: ${what}\nwritten: ${JSON.stringify(text)}`
        if (round % 20 === 0 && !isTagged(format, call)) {
          assert.ok(strict !== null, where('the strict reader does not read its own format'))
          const plain = told(text, { mode: format.mode ?? 'native', ...(format.mode === 'json' ? { problem: 'x' } : {}) })
          assert.ok('calls' in plain && plain.calls.length === 1 && canonical(plain.calls[0] as Call) === canonical(call), where(`a valid call became ${JSON.stringify(plain)}`))
        }
        const slips = someSlips(dice, text)
        const torn = apply(text, slips)
        const result = told(torn, { mode: format.mode ?? 'native', ...(format.mode === 'json' ? { problem: 'x' } : {}) })
        if (!('calls' in result)) {
          count.refused += 1
          continue
        }
        assert.equal(result.calls.length, 1, where(`torn: ${JSON.stringify(torn)}\nbecame ${JSON.stringify(result)}`))
        const made = canonical(result.calls[0] as Call)
        if (made === canonical(call)) count.same += 1
        else {
          assert.ok(written(format, text, slips).includes(made), where(`torn: ${JSON.stringify(torn)}\nbecame ${made}`))
          count.asWritten += 1
        }
      }
      test.diagnostic(`${format.name}: the same call ${count.same}, the call as written ${count.asWritten}, refused ${count.refused}`)
    })
  }
})

/** Values that spell the tags of their own format are refused, so they are no valid call of it. */
function isTagged(format: Format, call: Call): boolean {
  return format.texts === true && Object.values(call.arguments).some((value) => /<\/?(?:function|parameter|tool_call|arg_)/i.test(xmlText(value)))
}
