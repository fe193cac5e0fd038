// Owns the prompts that show how much of a window is really used: a code at the beginning, filling behind it, the question at the end. Pure.
import type { Message } from '@hearth/protocol'

export const windowShares = [0.25, 0.5, 0.9] as const
export const needleCode = '7319'

const filling = ['The boats came home in the afternoon.', 'A dog slept beside the door of the shop.', 'Somebody painted the fence green again.', 'The clock in the hall was four minutes late.', 'Rain fell on the roofs and ran into the street.']
const wordsOfFilling = filling.map((sentence) => sentence.split(' ').length)

/** A prompt of about so many words. The sentences are numbered, so that no two stretches are the same. */
export function needlePrompt(words: number): Message[] {
  const parts = [`The code of the gate is ${needleCode}. Remember it.`]
  for (let count = 0, n = 0; count < words; n += 1) {
    parts.push(`${n + 1}. ${filling[n % filling.length] ?? ''}`)
    count += (wordsOfFilling[n % filling.length] ?? 0) + 1
  }
  return [{ role: 'user', text: `${parts.join('\n')}\nWhat is the code of the gate? Reply with the number only.` }]
}

/** Words that make so many tokens, by what one word was measured to take; never none. */
export function wordsFor(tokens: number, tokensPerWord: number): number {
  return Math.max(8, Math.floor(tokens / Math.max(0.1, tokensPerWord)))
}
