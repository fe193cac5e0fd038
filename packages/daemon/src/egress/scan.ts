// Owns looking at a text before it leaves: every known secret in any form, and everything that looks like one. Says where; changes nothing, decides nothing.
import { setImmediate } from 'node:timers/promises'
import type { Finding } from './finding.ts'
import { keptMatches } from './scan-kept.ts'
import type { KnownTexts } from './scan-known.ts'
import { Blobs } from './scan-blobs.ts'
import { continues, joined, news, placeOf, unescaped, visible, type View } from './scan-view.ts'
import { matchRules } from './rules.ts'

// A text is looked at in pieces, so that the daemon answers others in between and nothing grows faster than the text. What lies across two pieces is in both.
const pieceChars = 128 * 1024
const overlapChars = 24 * 1024

/**
 * Everything in the text that must not leave, in order and apart from each other. Deterministic: the same text and the same known texts give the same findings.
 * Its time grows with the text (about a second for a few megabytes); it gives way to others between pieces.
 */
export async function scan(text: string, known: KnownTexts): Promise<Finding[]> {
  const found: Finding[] = []
  for (let start = 0; start === 0 || start + overlapChars < text.length; start += pieceChars - overlapChars) {
    if (start > 0) await setImmediate()
    const piece = text.slice(start, start + pieceChars)
    for (const one of await scanPiece(piece, known, new Blobs())) found.push({ kind: one.kind, start: one.start + start, end: one.end + start })
  }
  return merged(found)
}

/** What was found, and beside it every place of texts that are known only now. */
export function scanKnown(text: string, known: KnownTexts, found: readonly Finding[]): Finding[] {
  if (known.size === 0) return [...found]
  const all = [...found]
  for (let start = 0; start === 0 || start + overlapChars < text.length; start += pieceChars - overlapChars) {
    for (const view of viewsOf(text.slice(start, start + pieceChars)).views) for (const one of known.find(view)) all.push({ kind: one.kind, start: one.start + start, end: one.end + start })
  }
  return merged(all)
}

/** As it is without what hides; with escapes undone; put together. Each only when it differs from the one before. */
function viewsOf(text: string): { views: View[]; seen: View; open: View; whole: View } {
  const seen = visible(text)
  const open = unescaped(seen)
  const whole = joined(open)
  return { views: [...new Set([seen, open, whole])], seen, open, whole }
}

async function scanPiece(text: string, known: KnownTexts, blobs: Blobs): Promise<Finding[]> {
  const { views, seen, open, whole } = viewsOf(text)
  const found: Finding[] = []
  for (const view of views) {
    found.push(...known.find(view))
    const ranges = view === seen ? [{ start: 0, end: view.text.length }] : news(view)
    for (const range of ranges) {
      await blobs.giveWay()
      const part = view.text.slice(range.start, range.end)
      // The kept rules need no reading between: whatever stands in it stands in the one put together.
      const kept = view === seen || view === whole ? await keptMatches(part) : []
      const here = place(view, range.start, [...matchRules(part), ...kept, ...await blobs.inside(part, (inner, deeper) => scanPiece(inner, known, deeper))])
      found.push(...view === whole && whole !== open ? here.map((one) => certain(text, one, found)).filter((one) => one !== null) : here)
    }
  }
  return found
}

function place(view: View, offset: number, matches: readonly Finding[]): Finding[] {
  return matches.filter(({ start, end }) => end > start).map(({ kind, start, end }) => ({ kind, ...placeOf(view, offset + start, offset + end) }))
}

// Kinds that are told by the name before them, and not by their own form.
const byName: ReadonlySet<string> = new Set(['password', 'secret-value', 'authorization', 'cookie'])

/**
 * Put together, the last word of a line and the first of the next look like one. What was found without that ends where it ended, and a value is
 * only as long as its line, if the next line is not surely a part of it. Null = it is no finding.
 */
function certain(text: string, one: Finding, found: readonly Finding[]): Finding | null {
  const goesOn = (at: number): boolean => continues(text.slice(at, at + 800))
  const before = found.filter(({ start, end }) => start < one.end && one.start < end && end < one.end).map(({ end }) => end)
  if (before.length > 0) {
    const end = Math.max(...before)
    return goesOn(end) ? one : { ...one, end }
  }
  const value = text.slice(one.start, one.end)
  // A line that ends behind a quote or a backslash was meant to go on.
  const lineEnd = byName.has(one.kind) ? value.search(/(?<!["'`\\][ \t+.&|\\]{0,20})\r?\n/) : -1
  if (lineEnd < 0 || goesOn(one.start + lineEnd)) return one
  return value.slice(0, lineEnd).includes('\n') ? { ...one, end: one.start + lineEnd } : null
}

/** In order, overlapping ones as one. Of the kinds in one, the first of the longest finding. */
function merged(found: Finding[]): Finding[] {
  const ordered = found.toSorted((a, b) => a.start - b.start || b.end - a.end)
  const result: Finding[] = []
  for (const one of ordered) {
    const last = result.at(-1)
    if (last === undefined || one.start >= last.end) result.push({ ...one })
    else {
      if (one.end - one.start > last.end - last.start) last.kind = one.kind
      last.end = Math.max(last.end, one.end)
    }
  }
  return result
}
