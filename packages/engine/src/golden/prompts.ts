// Owns the known texts: beginnings that every language model continues in one way, and how long the long one must be. Asks nobody.
// Whoever changes a text raises `edition`: what passed an older one is tried again.

export const edition = 1

export type GoldenName = 'count' | 'copy' | 'weekdays' | 'alphabet' | 'list'

/** `expected`: how a right answer begins, its blanks collapsed. `maxTokens` leaves room for tokenizers that cut words into small pieces. */
export type Golden = { name: GoldenName; text: string; expected: string; maxTokens: number }

const line = 'The small green boat waits under the old bridge.'

/** In the order in which they are asked until two were continued rightly. */
export const short: readonly Golden[] = [
  { name: 'count', text: '1, 2, 3, 4, 5, 6,', expected: '7, 8', maxTokens: 6 },
  { name: 'copy', text: `${line}\n${line}\n${line}\nThe small green`, expected: 'boat waits', maxTokens: 5 },
  { name: 'weekdays', text: 'Monday, Tuesday, Wednesday, Thursday,', expected: 'Friday', maxTokens: 4 },
  { name: 'alphabet', text: 'A B C D E F G H', expected: 'I J', maxTokens: 4 },
]

const shelves = ['one holds red apples', 'two holds white paper', 'three holds old books', 'four holds warm bread', 'five holds blue paint', 'six holds green tea', 'seven holds dry wood', 'eight holds black coffee']
const round = shelves.map((shelf) => `Shelf ${shelf}.\n`).join('')
const begun = 5
const tokensPerLine = 7

/** The same eight lines over and over, about `tokens` long: each right word stands one round back. */
export function list(tokens: number): Golden {
  const rounds = Math.max(2, Math.round((tokens / tokensPerLine - begun) / shelves.length))
  const text = round.repeat(rounds) + shelves.slice(0, begun).map((shelf) => `Shelf ${shelf}.\n`).join('')
  return { name: 'list', text: `${text}Shelf six holds`, expected: 'green tea', maxTokens: 5 }
}
