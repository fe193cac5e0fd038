// Owns reading calls that begin with a format's own marker: one group after another, up to the end of the text. Pure and linear.
// A group is as its format writes it; markers between groups may be missing, for models lose them. Anything else behind the first marker is no call.
import { looseValue, type Loose } from './loose.ts'
import { gemmaCall, pythonCalls } from './pythonic.ts'
import { callsOf, isObject, nothingLost, type Known, type RawCall } from './shapes.ts'
import { match, pairedCall, skipBlanks, taggedCall, type Group } from './xml.ts'

/** Which marker a format begins with, for finding the first one in a message. */
const markers: readonly { format: string; at: RegExp }[] = [
  { format: 'hermes', at: /<tool_calls?>|<function_calls?>|\[TOOL_REQUEST\]/ },
  { format: 'granite', at: /<\|tool_call\|>/ },
  { format: 'qwen_xml', at: /<function=[\w.:/-]+>|<function name=["'][\w.:/-]+["']>/ },
  { format: 'invoke', at: /<invoke name=["'][\w.:/-]+["']>|<minimax:tool_call>/ },
  { format: 'mistral', at: /\[TOOL_CALLS\]/ },
  { format: 'python_tag', at: /<\|python_tag\|>/ },
  { format: 'harmony', at: /(?:<\|channel\|>\s*(?:commentary|analysis)\s*|<\|start\|>assistant\s*|(?:assistant)?commentary\s+|\bassistant\s+)to=functions\.\w/ },
  { format: 'deepseek', at: /<｜tool▁calls▁begin｜>|<｜tool▁call▁begin｜>/ },
  { format: 'kimi', at: /<\|tool_calls_section_begin\|>|<\|tool_call_begin\|>/ },
  { format: 'command_r', at: /<\|START_ACTION\|>/ },
  { format: 'nemotron', at: /<TOOLCALL>/ },
  { format: 'lfm', at: /<\|tool_call_start\|>/ },
  { format: 'gemma', at: /<\|tool_call>|<start_function_call>/ },
  { format: 'functools', at: /\bfunctools(?=\[)/ },
]

/** The first marker of a message; `text` is masked, so that what stands in code or quotations is not seen. */
export function firstMarker(text: string): { format: string; at: number } | null {
  let first: { format: string; at: number } | null = null
  for (const { format, at } of markers) {
    const found = at.exec(text)
    if (found !== null && (first === null || found.index < first.at)) first = { format, at: found.index }
  }
  return first
}

// Words of a format that hold nothing themselves.
const framing = new RegExp([
  String.raw`<\/?tool_calls?>`, String.raw`<\|\/?tool_call\|>`, String.raw`<\|tool_call>`, String.raw`<tool_call\|>`, String.raw`<\/?function_calls?>`, String.raw`<\/?minimax:tool_call>`,
  String.raw`\[TOOL_REQUEST\]`, String.raw`\[END_TOOL_REQUEST\]`, String.raw`\[TOOL_CALLS\]`, String.raw`<\|python_tag\|>`, '<｜tool▁calls▁begin｜>', '<｜tool▁call▁end｜>', '<｜tool▁calls▁end｜>',
  String.raw`<\|tool_calls_section_(?:begin|end)\|>`, String.raw`<\|tool_call_(?:end|start)\|>`, String.raw`<\|(?:START|END)_ACTION\|>`, String.raw`<\/?TOOLCALL>`,
  '<(?:start|end)_function_call>', String.raw`functools(?=\[)`, String.raw`<\|(?:call|end|im_end|eot_id|eom_id)\|>`, '[;,]',
].join('|'), 'y')

// A name, then an object. Blanks are counted: two unbounded runs side by side would make a hostile text quadratic.
const headers: readonly RegExp[] = [
  /\[TOOL_CALLS\]\s{0,20}([\w.:/-]{1,80})\s{0,20}(?:\[CALL_ID\]\s{0,20}[\w-]{0,40}\s{0,20})?(?:\[ARGS\])?\s{0,20}(?=\{)/y,
  /([\w.:/-]{1,80})\s{0,20}(?:\[CALL_ID\]\s{0,20}[\w-]{0,40}\s{0,20})?\[ARGS\]\s{0,20}(?=\{)/y,
  /<｜tool▁call▁begin｜>\s{0,20}(?:function<｜tool▁sep｜>)?([\w.:/-]{1,80})\s{0,20}(?:<｜tool▁sep｜>)?\s{0,20}(?:```(?:json)?\s{0,20})?(?=\{)/y,
  /<\|tool_call_begin\|>\s{0,20}([\w.:/-]{1,80})\s{0,20}<\|tool_call_argument_begin\|>\s{0,20}(?=\{)/y,
  /(?:<\|start\|>)?(?:assistant\s{0,20})?(?:<\|channel\|>\s{0,20})?(?:(?:commentary|analysis)\s{0,20})?to=([\w./-]{1,80})\s{0,20}(?:<\|channel\|>\s{0,20}(?:commentary|analysis)\s{0,20})?(?:<\|constrain\|>\s{0,20})?(?:json|code)?\s{0,20}(?:<\|message\|>)?\s{0,20}(?=\{)/y,
]

/** All calls from `from` to the end of the text, or null when anything there is not part of one. */
export function callSequence(text: string, from: number, known: Known): RawCall[] | null {
  const calls: RawCall[] = []
  let at = from
  while (calls.length <= 64) {
    at = skipBlanks(text, at)
    if (at >= text.length) return calls.length > 0 ? calls : null
    const group = groupAt(text, at, known)
    if (group !== null) {
      calls.push(...group.calls)
      at = group.end
      continue
    }
    const frame = match(framing, text, at)
    if (frame === null) return null
    at += frame[0].length
    // Behind an opening marker a format may have no brackets of its own.
    const bare = unmarked(text, skipBlanks(text, at), frame[0])
    if (bare !== null) {
      calls.push(...bare.calls)
      at = bare.end
    }
  }
  return null
}

function groupAt(text: string, at: number, known: Known): Group | null {
  for (const header of headers) {
    const head = match(header, text, at)
    if (head === null) continue
    const value = looseValue(text, at + head[0].length)
    if (value === null || !isObject(value.value) || !nothingLost(value.value, new Set(value.open))) return null
    const fence = match(/\s*```(?=\s*(?:<｜|$))/y, text, value.end)
    return { calls: [{ name: head[1] ?? '', arguments: value.value, changes: value.changes }], end: value.end + (fence?.[0].length ?? 0) }
  }
  switch (text[at]) {
    case '{': case '[': return valueCalls(looseValue(text, at), known) ?? (text[at] === '[' ? pythonCalls(text, at) : null)
    case '<': return taggedCall(text, at)
    default: return null
  }
}

function unmarked(text: string, at: number, frame: string): Group | null {
  if (frame === '<tool_call>') return pairedCall(text, at)
  if (frame === '<|tool_call>' || frame === '<start_function_call>') return gemmaCall(text, at)
  if (frame === '<|python_tag|>' || frame === '<|tool_call_start|>') return pythonCalls(text, at)
  return null
}

/** The calls of a value, with what was forgiven in reading it. */
export function valueCalls(read: Loose | null, known: Known): Group | null {
  const calls = read === null ? null : callsOf(read.value, known, new Set(read.open))
  return read === null || calls === null ? null : { calls: calls.map((call) => ({ ...call, changes: [...read.changes, ...call.changes] })), end: read.end }
}
