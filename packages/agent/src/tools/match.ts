// Owns where the text of an edit stands in a file, and what is said when it stands nowhere or twice. Pure; touches no file.
import { isInvisible, withoutInvisible } from '../observe/harmless.ts'

export type Edit = { old: string; new: string }

export type Applied =
  | { ok: true; text: string; lines: number[]; loosely: boolean }
  | { ok: false; problem: string }

type Place = { start: number; end: number; loosely: boolean }

/** Texts above this length are not searched for the nearest place: that would hold the daemon up. */
const nearestLength = 2 ** 20
const longestShown = 40

/**
 * Applies all edits or none. Each is looked for in the text as it is, not as an earlier edit leaves it. `all`: every occurrence, else it must be the only
 * one. New text gets the line endings of the file. `name` is what the file is called in the answer, `writes` whether the model has the tool write.
 */
export function applyEdits(text: string, edits: readonly Edit[], all: boolean, name: string, writes = true): Applied {
  const eol = lineEnd(text)
  const found: (Place & { with: string })[] = []
  let flat: Flat | null = null
  for (const [index, edit] of edits.entries()) {
    const which = edits.length === 1 ? '' : `edit ${index + 1} of ${edits.length}: `
    const refuse = (problem: string): Applied => ({ ok: false, problem: `${which}${problem}` })
    if (edit.old === '') return refuse(`old is empty; ${name} has ${lineCount(text)} line${lineCount(text) === 1 ? '' : 's'}: ${writes ? 'use write to replace it whole' : 'give the text of it that is to be replaced'}`)
    if (edit.old === edit.new) return refuse('old and new are the same')
    let places = exactly(text, edit.old)
    if (places.length === 0) places = loosely((flat ??= flatten(text)), edit.old)
    if (places.length === 0) return refuse(miss(text, edit, name, writes))
    if (places.length > 1 && !all) {
      const numbers = lineNumbers(text, places.map((place) => place.start))
      return refuse(`the old text occurs ${places.length} times in ${name} (lines ${numbers.slice(0, 8).join(', ')}${numbers.length > 8 ? ', ...' : ''}); give more of its surroundings, or set replace_all`)
    }
    for (const place of all ? apart(places) : places) found.push({ ...place, with: withLineEnds(edit.new, eol) })
  }
  found.sort((a, b) => a.start - b.start)
  const parts: string[] = []
  let at = 0
  for (const place of found) {
    if (place.start < at) return { ok: false, problem: 'two edits overlap; make them one' }
    parts.push(text.slice(at, place.start), place.with)
    at = place.end
  }
  parts.push(text.slice(at))
  return { ok: true, text: parts.join(''), lines: lineNumbers(text, found.map((place) => place.start)), loosely: found.some((place) => place.loosely) }
}

/** The line ending that most lines of a text have; null = it has none. */
export function lineEnd(text: string): '\n' | '\r\n' | null {
  let crlf = 0
  let lf = 0
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) {
    if (text[at - 1] === '\r') crlf += 1
    else lf += 1
  }
  return crlf + lf === 0 ? null : crlf > lf ? '\r\n' : '\n'
}

function withLineEnds(text: string, eol: '\n' | '\r\n' | null): string {
  return eol === null ? text : text.replace(/\r?\n/g, eol)
}

/** Overlapping ones too: of `aa` in `aaa` nobody can say which is meant. */
function exactly(text: string, piece: string): Place[] {
  const places: Place[] = []
  for (let at = text.indexOf(piece); at !== -1; at = text.indexOf(piece, at + 1)) places.push({ start: at, end: at + piece.length, loosely: false })
  return places
}

function apart(places: readonly Place[]): Place[] {
  const kept: Place[] = []
  for (const place of places) if (place.start >= (kept.at(-1)?.end ?? 0)) kept.push(place)
  return kept
}

/** A text without what a model is not shown or does not repeat: carriage returns and blanks at line ends, invisible characters. `at[i]`: where character i stood. */
type Flat = { text: string; at: Uint32Array }

function flatten(text: string): Flat {
  const codes = new Uint16Array(text.length)
  const at = new Uint32Array(text.length + 1)
  let length = 0
  const dropBlanks = (): void => {
    while (length > 0 && isBlank(codes[length - 1] ?? 0)) length -= 1
  }
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index)
    if (code === 10) dropBlanks()
    else if (isInvisible(code) && code !== 13) {
      if (code === 0xdb40) index += 1
      continue
    }
    codes[length] = code
    at[length] = index
    length += 1
  }
  dropBlanks()
  at[length] = text.length
  return { text: Buffer.from(codes.buffer, 0, length * 2).toString('utf16le'), at }
}

const isBlank = (code: number): boolean => code === 32 || code === 9 || code === 13

function loosely(flat: Flat, piece: string): Place[] {
  const lineEnds = piece.replaceAll('\r\n', '\n').replace(/[ \t]+\n/g, '\n')
  const wanted = withoutInvisible(lineEnds)
  const trimmed = wanted.replace(/[ \t\r]+$/, '')
  if (trimmed.trim() === '') return []
  const whole = (start: number, length: number): Place => ({ start: flat.at[start] ?? 0, end: (flat.at[start + length - 1] ?? 0) + 1, loosely: true })
  const places = exactly(flat.text, wanted).map((place) => whole(place.start, wanted.length))
  if (places.length > 0 || trimmed === wanted) return places
  // Blanks at its very end count unless the line ends there.
  return exactly(flat.text, trimmed).filter((place) => place.end === flat.text.length || flat.text[place.end] === '\n').map((place) => whole(place.start, trimmed.length))
}

/** 1-based line numbers of rising offsets. */
function lineNumbers(text: string, offsets: readonly number[]): number[] {
  let line = 1
  let at = 0
  return offsets.map((offset) => {
    for (let next = text.indexOf('\n', at); next !== -1 && next < offset; next = text.indexOf('\n', at)) {
      line += 1
      at = next + 1
    }
    return line
  })
}

export function lineCount(text: string): number {
  return text === '' ? 0 : text.split('\n').length - (text.endsWith('\n') ? 1 : 0)
}

/** Files below this many lines are cheaper written whole than searched again. */
const smallLines = 40

function miss(text: string, { old, new: wanted }: Edit, name: string, writes: boolean): string {
  const head = `the old text does not occur in ${name}; nothing was changed.`
  if (text.length > nearestLength) return `${head} The file is large: grep for a part of it`
  const already = wanted.trim().length < 8 ? -1 : text.indexOf(wanted)
  if (already !== -1) return `${head} The new text is already there, at line ${lineNumbers(text, [already])[0]}`
  const near = nearest(text, old)
  const small = writes && lineCount(text) < smallLines ? `\n(the file has ${lineCount(text)} line${lineCount(text) === 1 ? '' : 's'}: write can replace it whole)` : ''
  if (near === null) return `${head} Nothing in it is like it${small}`
  const where = near.lines.length === 1 ? `line ${near.first}` : `lines ${near.first}-${near.first + near.lines.length - 1}`
  const numbered = near.lines.map((line, index) => `${near.first + index}: ${line.replace(/\r$/, '').slice(0, 400)}`).join('\n')
  return `${head} The nearest is ${where}, which differs in ${difference(near.lines.join('\n'), old)}:\n${numbered}${small}`
}

/** The run of as many lines as `wanted` has that shares most words with it, the first of equals, at most 40 lines; null when no word is shared. */
export function nearest(text: string, wanted: string): { first: number; lines: string[] } | null {
  const lines = text.split('\n')
  const size = Math.min(wanted.replace(/\n$/, '').split('\n').length, longestShown, lines.length)
  const words = new Set(wanted.match(/\w+/g) ?? [wanted.trim()])
  const score = lines.map((line) => (line.slice(0, 2000).match(/\w+|[^\w\s]+/g) ?? []).filter((word) => words.has(word)).length)
  let best = 0
  let sum = score.slice(0, size).reduce((a, b) => a + b, 0)
  let most = sum
  for (let start = 1; start + size <= lines.length; start += 1) {
    sum += (score[start + size - 1] ?? 0) - (score[start - 1] ?? 0)
    if (sum > most) [most, best] = [sum, start]
  }
  return most === 0 ? null : { first: best + 1, lines: lines.slice(best, best + size) }
}

/** In what two texts differ, as far as it can be named. */
export function difference(found: string, wanted: string): string {
  const lines = (text: string): string[] => text.replace(/\n$/, '').split('\n')
  const same = (change: (line: string) => string): boolean => lines(found).map(change).join('\n') === lines(wanted).map(change).join('\n')
  const plain = (line: string): string => line.replace(/\s+$/, '')
  const quotes = (line: string): string => plain(line).replace(/[\u2018\u2019\u201c\u201d"`]/g, "'")
  if (same((line) => line.trim())) return `the blanks before its lines (there: ${indentOf(found)}, given: ${indentOf(wanted)})`
  if (same((line) => line.replace(/\s+/g, ' ').trim())) return 'blanks inside its lines'
  if (same((line) => line.replace(/\s+/g, ''))) return 'where there are blanks'
  if (same(quotes)) return 'its quotes'
  if (same((line) => plain(line).toLowerCase())) return 'upper and lower case'
  const flat = (text: string): string => text.replace(/\s+/g, '')
  if (flat(found) === flat(wanted)) return 'where its lines end'
  const there = lines(found)
  const given = lines(wanted)
  const different = given.findIndex((line, index) => plain(line) !== plain(there[index] ?? ''))
  return given.length === 1 || different === -1 ? 'its words' : `its words from line ${different + 1} of the old text on`
}

function indentOf(text: string): string {
  const indent = text.split('\n').map((line) => /^[ \t]*/.exec(line)?.[0] ?? '').find((blanks, index, all) => blanks !== '' || index === all.length - 1) ?? ''
  if (indent === '') return 'none'
  const tabs = indent.split('\t').length - 1
  return tabs === indent.length ? `${tabs} tab${tabs === 1 ? '' : 's'}` : tabs === 0 ? `${indent.length} space${indent.length === 1 ? '' : 's'}` : 'tabs and spaces'
}
