// Owns the ways in which one text is read: as it is, without what hides, with escapes undone, with cut lines and quotes put together.
// Each reading knows where its characters stand in the text itself. Decides nothing about secrets.

/**
 * `from[i]` and `to[i]`: the place of character i in the text itself; null = it is the text itself. `changed`: where this reading differs from the
 * one it was made of.
 */
export type View = { text: string; from: Int32Array | null; to: Int32Array | null; changed: readonly number[] }

/** The range of the text itself for the range [start, end) of a view. `end` is above `start`. */
export function placeOf(view: View, start: number, end: number): { start: number; end: number } {
  return view.from === null || view.to === null ? { start, end } : { start: view.from[start] ?? 0, end: view.to[end - 1] ?? 0 }
}

// Nothing else has to be looked at in plain text.
const strange = /[^\t\n\r -~]/
// Terminal colours and links, control characters, and whatever Unicode draws nothing for: joiners, directions, variation and tag characters, fillers, combining marks.
const hidden = /^(?:\x1b[\s\S]*|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u0300-\u036f\u0483-\u0487\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u1ab0-\u1aff\u1dc0-\u1dff\u200b-\u200f\u202a-\u202e\u2060-\u206f\u20d0-\u20ff\u2800\u3164\ufe00-\ufe0f\ufe20-\ufe2f\ufeff\uffa0\ufff0-\ufffb]|\udb40[\udc00-\uddef]|\ud834[\udd73-\udd7a])$/
const unusual = /\x1b\[[0-9;?]{0,40}[ -/]{0,4}[@-~]|\x1b\][^\x07\x1b]{0,400}(?:\x07|\x1b\\)|[\ud800-\udbff][\udc00-\udfff]|[^\t\n\r -~]/g

// Letters of other scripts that look like Latin ones (the first lines of Unicode's confusables), and quotes and dashes of word processors.
const alike = new Map<string, string>()
for (const [look, same] of [
  ['аɑα', 'a'], ['Ьв', 'b'], ['сϲ', 'c'], ['ԁ', 'd'], ['еҽ', 'e'], ['ɡ', 'g'], ['һ', 'h'], ['іıι', 'i'], ['ј', 'j'], ['кκ', 'k'], ['ӏ', 'l'], ['м', 'm'], ['ոп', 'n'], ['оοօ', 'o'], ['рρ', 'p'], ['ԛ', 'q'], ['г', 'r'], ['ѕ', 's'], ['тτ', 't'], ['υս', 'u'], ['νѵ', 'v'], ['ԝѡ', 'w'], ['хχ', 'x'], ['уγ', 'y'], ['ᴢ', 'z'],
  ['АΑ', 'A'], ['ВΒ', 'B'], ['СϹ', 'C'], ['ЕΕ', 'E'], ['Ԍ', 'G'], ['НΗ', 'H'], ['ІΙ', 'I'], ['Ј', 'J'], ['КΚ', 'K'], ['МΜ', 'M'], ['Ν', 'N'], ['ОΟ', 'O'], ['РΡ', 'P'], ['Ѕ', 'S'], ['ТΤ', 'T'], ['ХΧ', 'X'], ['УΥ', 'Y'], ['Ζ', 'Z'],
  ['“”„‟″', '"'], ['‘’‚‛′', "'"], ['‐‑‒–—―−', '-'], ['⁄∕', '/'], ['∶', ':'], ['⁓∼', '~'],
] as const) for (const one of look) alike.set(one, same)

const plainOf = new Map<string, string>()

/** What a character or sequence is read as: nothing, the plain character it stands for, or itself. */
function plain(found: string): string {
  const known = plainOf.get(found)
  if (known !== undefined) return known
  const folded = hidden.test(found) ? '' : alike.get(found) ?? Array.from(found.normalize('NFKC'), (one) => alike.get(one) ?? one).join('')
  // Bounded: a text of many different sequences must not fill the memory.
  if (plainOf.size < 20_000) plainOf.set(found, folded)
  return folded
}

/** Without what hides, and with look-alikes as plain letters. */
export function visible(text: string): View {
  const own: View = { text, from: null, to: null, changed: [] }
  return strange.test(text) ? rewrite(own, unusual, (found) => plain(found)) : own
}

const escapes = /\\{1,16}(?:["'`/nrt]|u\{?[0-9a-fA-F]{4}\}?|x[0-9a-fA-F]{2}|(?:0?[4-7][0-7]|1[0-7]{2})(?![0-9]))|&(?:quot|amp|apos|lt|gt|#\d{2,3}|#[xX][0-9a-fA-F]{2});|%(?:25){0,3}(?:[2-7][0-9a-fA-F]|0[9aAdD])/g
const words: Readonly<Record<string, string>> = { quot: '"', amp: '&', apos: "'", lt: '<', gt: '>' }

/** With the escapes of JSON and program texts, HTML and addresses undone, however often they were applied. */
export function unescaped(view: View): View {
  return rewrite(view, escapes, (found) => {
    const first = found.charCodeAt(0)
    if (first === 37) return String.fromCharCode(parseInt(found.slice(-2), 16))
    if (first === 38) {
      const name = found.slice(1, -1)
      return words[name] ?? String.fromCharCode(/^#[xX]/.test(name) ? parseInt(name.slice(2), 16) : Number(name.slice(1)))
    }
    const rest = found.replace(/^\\+/, '')
    switch (rest.charAt(0)) {
      case 'n': return '\n'
      case 'r': return '\r'
      case 't': return '\t'
      case '0': case '1': case '4': case '5': case '6': case '7': return String.fromCharCode(parseInt(rest, 8))
      case 'u': case 'x': return plain(String.fromCharCode(parseInt(rest.replace(/[^0-9a-fA-F]/g, ''), 16)))
      default: return rest
    }
  })
}

const gap = '(?:[ \\t]|\\r?\\n[+\\->|]?){0,60}'
const mark = '(?:[+\\->|#*][ \\t]{0,20}|//[ \\t]{0,20}|\\d{1,6}(?:[:|]|\\t)[ \\t]{0,20})?'
const cuts = new RegExp(`["'\`]${gap}(?:\\+|\\.\\.?|&|\\|\\||\\\\)?${gap}["'\`]|\\\\\\r?\\n[ \\t]{0,80}|(?<=[A-Za-z0-9+/=_\\-.~])\\r?\\n[ \\t]{0,80}${mark}(?=[A-Za-z0-9+/=_\\-])`, 'g')

/** With text put together that was cut: quotes with `+`, `.` or nothing between them, continued lines, lines wrapped inside a word (also in diffs and numbered lists). */
export function joined(view: View): View {
  return rewrite(view, cuts, () => '')
}

const goesOn = new RegExp(`^\\r?\\n[ \\t]{0,80}${mark}([A-Za-z0-9+/=_\\-.~]{8,400})(["'\`,;)]{0,3}[ \\t]{0,20}(?:\\r?\\n|$))?`)

/** Whether the text that follows a finding, as it stands there, goes on with the same value after a cut: a quote or a continued line, or a next line that is nothing else, or begins like something made by chance. */
export function continues(text: string): boolean {
  if (/^["'`\\]/.test(text)) return true
  const [, next, alone] = goesOn.exec(text) ?? []
  return next !== undefined && (alone !== undefined || (/\d/.test(next) && /[A-Za-z]/.test(next)))
}

// Longer than any form that is no block of lines.
const around = 400

/** The ranges of a view's text in which anything can be found that was not in the reading before: around its changes, from a line's beginning if one is near. */
export function news({ text, changed }: View): { start: number; end: number }[] {
  const ranges: { start: number; end: number }[] = []
  for (const at of changed) {
    const last = ranges.at(-1)
    const end = Math.min(text.length, at + around)
    if (last !== undefined && at - around <= last.end) {
      last.end = end
      continue
    }
    const line = text.lastIndexOf('\n', at - around / 2) + 1
    ranges.push({ start: Math.max(0, at - around, line), end })
  }
  return ranges
}

/** A view with each match replaced; the same view when nothing changes. `replace` gives what a match is read as. */
function rewrite(view: View, pattern: RegExp, replace: (found: string) => string): View {
  const { text } = view
  const pieces: string[] = []
  const edits: { at: number; width: number; size: number }[] = []
  let last = 0
  for (const match of text.matchAll(pattern)) {
    const found = match[0]
    const instead = replace(found)
    if (instead === found) continue
    pieces.push(text.slice(last, match.index), instead)
    edits.push({ at: match.index, width: found.length, size: instead.length })
    last = match.index + found.length
  }
  if (edits.length === 0) return view
  pieces.push(text.slice(last))
  const made = pieces.join('')
  const from = new Int32Array(made.length)
  const to = new Int32Array(made.length)
  const changed: number[] = []
  let read = 0
  let write = 0
  const copy = (until: number): void => {
    for (; read < until; read += 1, write += 1) {
      from[write] = view.from?.[read] ?? read
      to[write] = view.to?.[read] ?? read + 1
    }
  }
  for (const { at, width, size } of edits) {
    copy(at)
    const place = placeOf(view, at, at + width)
    changed.push(write)
    for (let i = 0; i < size; i += 1, write += 1) {
      from[write] = place.start
      to[write] = place.end
    }
    read = at + width
  }
  copy(text.length)
  return { text: made, from, to, changed }
}
