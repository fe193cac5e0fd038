// Owns finding texts that are known (keys this daemon holds, the owner's own words) in whatever form they were written. Linear in the text. Guesses nothing.
import type { Finding } from './finding.ts'
import { placeOf, type View } from './scan-view.ts'

/** `kind` is what a placeholder calls it. */
export type Known = { kind: string; value: string }

// Letters and digits that a form needs so that it is looked for among the letters and digits alone: shorter ones would be met by chance.
const skeletonLeast = 10
// A shorter text is no secret, and replacing it would tear words apart.
const valueLeast = 4

type Pattern = { kind: string; skeleton: Uint8Array }

export class KnownTexts {
  readonly #byHash = new Map<number, Pattern[]>()
  readonly #filter = new Uint8Array(1 << 16)
  readonly #exact: { kind: string; text: string; fold: boolean }[] = []
  readonly #seen = new Set<string>()

  constructor(known: readonly Known[] = []) {
    for (const one of known) this.add(one)
  }

  get size(): number {
    return this.#seen.size
  }

  add({ kind, value }: Known): void {
    if (value.length < valueLeast || this.#seen.has(value)) return
    this.#seen.add(value)
    for (const form of formsOf(value)) this.#add(kind, form, form === value)
  }

  #add(kind: string, form: string, raw: boolean): void {
    const skeleton = bonesOf(form)
    if (skeleton.length >= skeletonLeast) {
      const hash = hashOf(skeleton)
      this.#filter[hash >>> 16] = 1
      this.#byHash.set(hash, [...this.#byHash.get(hash) ?? [], { kind, skeleton }])
    }
    // Mostly signs, or short: letter for letter.
    if (skeleton.length < skeletonLeast || (raw && skeleton.length * 2 < form.length)) {
      // In base64 another case is another text.
      const fold = raw || /^[0-9a-f]+$/.test(form)
      this.#exact.push({ kind, text: fold ? form.toLowerCase() : form, fold })
    }
  }

  /** Every known text in this view, in any form, with anything but letters and digits between its parts. Places are those of the text itself. */
  find(view: View): Finding[] {
    if (this.size === 0) return []
    const found: Finding[] = []
    if (this.#exact.length > 0) {
      const lower = view.text.toLowerCase()
      // A few letters become longer in lower case, and then nothing stands where it stood.
      const folded = lower.length === view.text.length ? lower : view.text.replace(/[A-Z]/g, (one) => one.toLowerCase())
      for (const exact of this.#exact) {
        const text = exact.fold ? folded : view.text
        for (let at = text.indexOf(exact.text); at >= 0; at = text.indexOf(exact.text, at + exact.text.length)) found.push({ kind: exact.kind, ...placeOf(view, at, at + exact.text.length) })
      }
    }
    if (this.#byHash.size > 0) this.#findBones(view, found)
    return found
  }

  // Rabin and Karp's rolling hash over the letters and digits of the text, of the first ten of each form.
  #findBones(view: View, found: Finding[]): void {
    const { text } = view
    const bones = new Uint8Array(text.length)
    const places = new Int32Array(text.length)
    let size = 0
    for (let i = 0; i < text.length; i += 1) {
      const bone = boneOf[text.charCodeAt(i)] ?? 0
      if (bone === 0) continue
      bones[size] = bone
      places[size] = i
      size += 1
    }
    let hash = 0
    let until = -1
    for (let i = 0; i < size; i += 1) {
      hash = (Math.imul(hash, base) + (bones[i] ?? 0) - Math.imul(i >= skeletonLeast ? bones[i - skeletonLeast] ?? 0 : 0, power)) | 0
      if (i < skeletonLeast - 1 || this.#filter[hash >>> 16] === 0) continue
      const at = i - skeletonLeast + 1
      for (const { kind, skeleton } of this.#byHash.get(hash) ?? []) {
        const end = at + skeleton.length
        // Of forms that lie in each other the longest counts; a hostile text of many beginnings costs one comparison each.
        if (end > size || end <= until || !same(bones, at, skeleton)) continue
        until = end
        found.push({ kind, ...placeOf(view, places[at] ?? 0, (places[end - 1] ?? 0) + 1) })
      }
    }
  }
}

const base = 0x01000193
const power = Array.from({ length: skeletonLeast }).reduce<number>((sum) => Math.imul(sum, base), 1)

/** By character code: the lower-case letter or digit; 0 = neither. */
const boneOf = new Uint8Array(65_536)
for (const one of 'abcdefghijklmnopqrstuvwxyz0123456789') {
  boneOf[one.charCodeAt(0)] = one.charCodeAt(0)
  boneOf[one.toUpperCase().charCodeAt(0)] = one.charCodeAt(0)
}

function bonesOf(text: string): Uint8Array {
  return Uint8Array.from(Array.from(text, (one) => boneOf[one.charCodeAt(0)] ?? 0).filter((bone) => bone !== 0))
}

function hashOf(skeleton: Uint8Array): number {
  let hash = 0
  for (let i = 0; i < skeletonLeast; i += 1) hash = (Math.imul(hash, base) + (skeleton[i] ?? 0)) | 0
  return hash
}

function same(bones: Uint8Array, at: number, skeleton: Uint8Array): boolean {
  for (let i = 0; i < skeleton.length; i += 1) if (bones[at + i] !== skeleton[i]) return false
  return true
}

/**
 * The ways in which a text is written: itself, in hex, and in base64 at each of its three alignments, of UTF-8 and UTF-16. Case, the two
 * alphabets of base64, escapes and separators need no form of their own: letters and digits alone are compared.
 */
function formsOf(value: string): Set<string> {
  const forms = new Set([value, encodeURIComponent(value.toWellFormed())])
  for (const bytes of [Buffer.from(value, 'utf8'), Buffer.from(value, 'utf16le')]) {
    forms.add(bytes.toString('hex'))
    // A character of base64 is certain when all of its six bits are ours.
    for (const lead of [0, 1, 2]) {
      const whole = Buffer.concat([Buffer.alloc(lead), bytes]).toString('base64')
      const certain = whole.slice(Math.ceil(lead * 8 / 6), Math.floor((lead + bytes.length) * 8 / 6))
      if (certain.length >= 6) forms.add(certain)
    }
  }
  return forms
}
