// Owns the prompts that show how much of a window is really used: a code at the beginning, filling behind it, a question at the end. Pure.
import type { Message } from '@hearth/protocol'

export const windowShares = [0.25, 0.5, 0.9] as const
export const needleCode = '7319'

/** One answer of a small model is chance: the starter found the code at 1,753 and 1,838 tokens, and not at 1,681. Only the end of the prompt differs, so the others cost little. */
export const questions = ['What is the code of the gate? Reply with the number only.', 'Which number opens the gate?', 'Somebody stands at the gate. Tell the code.'] as const
/** So many of them must be answered with the code. */
export const questionsNeeded = 2

// No digits, so that there is one number only; 5 x 7 x 8 x 9 sentences before one comes again.
const parts = [
  ['In the morning', 'In the evening', 'After the rain', 'On a quiet day', 'Before the feast'],
  ['the baker', 'an old sailor', 'my neighbour', 'the new teacher', 'a tired dog', 'the youngest child', 'somebody'],
  ['carried', 'painted', 'forgot', 'mended', 'looked for', 'sold', 'found', 'hid'],
  ['a blue boat.', 'the long ladder.', 'some warm bread.', 'a letter from home.', 'the red lamp.', 'two empty baskets.', 'the clock of the hall.', 'a box of nails.', 'the garden chair.'],
] as const
const wordsOfSentence = 8

/** A prompt of about so many words, with one of the questions at its end. */
export function needlePrompt(words: number, question: string = questions[0]): Message[] {
  const sentences = Array.from({ length: Math.ceil(words / wordsOfSentence) }, (_, n) => parts.map((words) => words[n % words.length] ?? '').join(' '))
  return [{ role: 'user', text: [`The code of the gate is ${needleCode}. Remember it.`, ...sentences, question].join('\n') }]
}

/** Words that make so many tokens, by what one word was measured to take; never none. */
export function wordsFor(tokens: number, tokensPerWord: number): number {
  return Math.max(8, Math.floor(tokens / Math.max(0.1, tokensPerWord)))
}
