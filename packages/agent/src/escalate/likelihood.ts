// Owns how likely a model found its own calls: which of its tokens spell names of tools and values of arguments, and their low quantiles. Decides nothing. Pure.
// Never a mean: one token in fifty that the model did not believe in is a wrong path, and a mean does not see it.
import type { CallLikelihood, TokenLikelihood, TokenProbability } from '@hearth/protocol'

/** Turns of which it is asked for: it costs a second look at the vocabulary for each token (docs/escalation.md has the figure). */
const oneTurnIn = 8

/** The same turns in every run of a job, and other ones in other jobs. */
export function asksLikelihood(seed: number, step: number): boolean {
  return (seed + step) % oneTurnIn === 0
}

/** `thoughts`: what the model thought before it spoke, where calls may be spoken of. Null: the tokens spell no call that is known. */
export function likelihoodOf(tokens: readonly TokenProbability[], thoughts = ''): CallLikelihood | null {
  const text = tokens.map((token) => token.text).join('')
  const from = spokenFrom(text, thoughts)
  if (from === null) return null
  const { names, values } = partsOf(text, from)
  const found = quantiles(tokens, names)
  return found === null ? null : { names: found, values: quantiles(tokens, values) }
}

// So much of the end of a thought is not said again by chance.
const rememberedCharacters = 32

function spokenFrom(text: string, thoughts: string): number | null {
  if (thoughts === '') return 0
  const end = thoughts.slice(-rememberedCharacters)
  const at = text.lastIndexOf(end)
  return at < 0 ? null : at + end.length
}

/** From the first character to behind the last. */
type Span = { from: number; to: number }
/** Adds the values of the call whose name ends at `from`, and answers where they end. */
type Reader = (text: string, from: number, values: Span[]) => number

const argumentsOf: Readonly<Record<string, Reader>> = {
  inJson: (text, from, values) => json(text, from + 1, 1, values), beforeJson, tagged, quoted,
}

/** A name of a tool, by what stands before or behind it in the formats of calls; its group is the way its arguments are written. */
const opening = new RegExp([
  String.raw`"(?:tool|name)"\s*:\s*"(?<inJson>[\w.:/-]+)`, String.raw`<function=(?<tagged>[^<>\n]+)`, String.raw`call:(?<quoted>[\w.:/-]+)(?=\{)`, String.raw`to=functions\.(?<beforeJson>[\w.:/-]+)`,
  String.raw`(?<![\w.:/-])(?<tagged>[\w.:/-]{1,80})(?=\s*<arg_key>)`, String.raw`(?<![\w.:/-])(?<beforeJson>[\w.:/-]{1,80})(?=\s*(?:\[CALL_ID\]|\[ARGS\]|<｜tool▁sep｜>))`,
].join('|'), 'dg')

/** A name counts with the character behind it, where the model ended it; and so does a value. */
function partsOf(text: string, from: number): { names: Span[]; values: Span[] } {
  const names: Span[] = []
  const values: Span[] = []
  opening.lastIndex = from
  for (let found = opening.exec(text); found !== null; found = opening.exec(text)) {
    const [written, place] = Object.entries(found.indices?.groups ?? {}).find(([, at]) => at !== undefined) ?? []
    const read = argumentsOf[written ?? '']
    if (place === undefined || read === undefined) break
    names.push({ from: place[0], to: Math.min(place[1] + 1, text.length) })
    opening.lastIndex = read(text, place[1], values)
  }
  return { names, values }
}

function beforeJson(text: string, from: number, values: Span[]): number {
  const brace = text.indexOf('{', from)
  return brace < 0 ? from : json(text, brace, 0, values)
}

/** To the end of the JSON whose brackets are `depth` deep at `from`, or to the end of the text. */
function json(text: string, from: number, depth: number, values: Span[]): number {
  const part = /"[^"\\]*(?:\\[^][^"\\]*)*(?:"|$)|-?\d[\d.eE+-]*|true|false|null|[{}[\]]/g
  part.lastIndex = from
  let deep = depth
  for (let found = part.exec(text); found !== null; found = part.exec(text)) {
    const [word] = found
    const end = part.lastIndex
    if (word === '{' || word === '[') deep += 1
    else if (word === '}' || word === ']') deep -= 1
    else if (!word.startsWith('"')) values.push({ from: found.index, to: end })
    // A text before a colon is a key.
    else if (!/^\s*:/.test(text.slice(end, end + 20))) values.push({ from: found.index + 1, to: end })
    if (deep === 0) return end
    if (end === text.length) break
  }
  return text.length
}

/** `<parameter=KEY>VALUE</parameter>`, or `<arg_key>KEY</arg_key><arg_value>VALUE</arg_value>`: a value ends where the format goes on behind its tag. */
function tagged(text: string, from: number, values: Span[]): number {
  const argument = /[>\s]*(?:<parameter=[^<>\n]+>\n?|<arg_key>[^<>]*<\/arg_key>\s*<arg_value>)([^]*?)(?:<\/(?:parameter|arg_value)>(?=\s*<(?:parameter=|\/function>|arg_key>|\/tool_call>))|$)/dy
  let end = from
  argument.lastIndex = from
  for (let found = argument.exec(text); found !== null; found = argument.exec(text)) {
    // Where the format frames a value with line breaks, the last one ends it.
    const [start, behind] = found.indices?.[1] ?? [0, 0]
    values.push({ from: start, to: text[behind - 1] === '\n' ? behind : Math.min(behind + 1, text.length) })
    end = argument.lastIndex
    if (end === text.length) break
  }
  return end
}

/** Gemma's `{key:<|"|>text<|"|>,key:3}`. */
function quoted(text: string, from: number, values: Span[]): number {
  const part = /<\|"\|>([^]*?)(?:<\|"\|>|$)|(?<=[:,[]\s*)(-?\d[\d.eE+-]*|true|false|null)|<tool_call\|>/dg
  part.lastIndex = from
  for (let found = part.exec(text); found !== null; found = part.exec(text)) {
    if (found[0] === '<tool_call|>') return part.lastIndex
    const place = found.indices?.[1] ?? found.indices?.[2]
    if (place !== undefined) values.push({ from: place[0], to: Math.min(place[1] + 1, text.length) })
    if (part.lastIndex === text.length) break
  }
  return text.length
}

/** Of the tokens that spell a part of these spans. Both are in order. */
function quantiles(tokens: readonly TokenProbability[], spans: readonly Span[]): TokenLikelihood | null {
  const found: number[] = []
  let [from, at] = [0, 0]
  for (const { text, probability } of tokens) {
    const to = from + text.length
    while (at < spans.length && (spans[at]?.to ?? 0) <= from) at += 1
    if ((spans[at]?.from ?? Infinity) < to) found.push(probability)
    from = to
  }
  const sorted = found.toSorted((a, b) => a - b).map((one) => Math.round(one * 1000))
  const [lowest] = sorted
  return lowest === undefined ? null : { tokens: sorted.length, lowest, tenth: sorted[Math.ceil(sorted.length / 10) - 1] ?? lowest }
}
