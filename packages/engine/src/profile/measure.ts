// Owns one sample: which prompts are asked, and how tokens a second follow from what a Model says. Knows no settings and no process.
import { ModelRequest, type Fault, type Message, type Model, type Timings, type Usage } from '@hearth/protocol'
import type { Cell } from './plan.ts'

export type Measured = { promptTokens: number; prefillTokensPerSecond: number | null; decodeTokensPerSecond: number | null }
/** `too_short`: the model ended its answers before their speed could be told. */
export type Unmeasured = { problem: 'aborted' | 'too_short' | Fault }

const words = ['the', 'lamp', 'river', 'old', 'and', 'blue', 'house', 'then', 'winter', 'road', 'a', 'bread', 'stone', 'she', 'went', 'over']
const topics = ['a lighthouse', 'a river', 'an old train', 'a winter garden', 'a bridge', 'a bakery', 'two sisters', 'the moon']
const passage = [
  'The miller of Oakham kept nine grey geese behind the barn, and every one of them knew the sound of his wooden shoes.',
  'On the first day of spring he counted the sacks, wrote the number on the door, and sent his daughter to the market with a cart.',
  'The road went past the chapel, over two small bridges, and then along the canal where the barges waited for the lock to open.',
  'A man with a brown hat sold candles there, and he said the same words to everyone who passed: buy today, the nights are long.',
  'In the evening the wind turned, the sails of the mill began to move again, and the geese went back to the barn one by one.',
].join(' ')
// An answer that ends earlier says too little about speed.
const leastTokens = 8
const tries = 3

/** Learns how many words make a token, so that the next prompt has the wished length. */
export class Wording {
  // Ordinary words and the template around them; the first answer tells the truth.
  #wordsPerToken = 0.85

  /** A text of about `tokens` tokens whose first words differ for each `seed`, so that nothing of it is in a cache. */
  filler(tokens: number, seed: number): string {
    const pick = generator(seed)
    return Array.from({ length: Math.max(1, Math.floor(tokens * this.#wordsPerToken)) }, () => words[pick() % words.length] ?? 'a').join(' ')
  }

  learn(wordCount: number, promptTokens: number): void {
    if (wordCount > 100 && promptTokens > 100) this.#wordsPerToken = Math.min(1, wordCount / promptTokens)
  }
}

/**
 * One sample. One stream: a prompt that was never asked before is read and answered, so both speeds come from the worker's own times. Several: each
 * prompt is read first, then all are answered at once; the speed is that of all tokens from the requests to each one's end.
 */
export async function measure(model: Model, cell: Cell, seed: number, wording: Wording, signal: AbortSignal): Promise<Measured | Unmeasured> {
  for (let attempt = 0; attempt < tries; attempt++) {
    const found = cell.run === 'streams' ? await together(model, cell, attempt, wording, signal) : await alone(model, cell, seed * tries + attempt, wording, signal)
    if (!('problem' in found) || found.problem !== 'too_short') return found
  }
  return { problem: 'too_short' }
}

async function alone(model: Model, cell: Cell, seed: number, wording: Wording, signal: AbortSignal): Promise<Measured | Unmeasured> {
  const asked = cell.text === 'copy' ? copyOf(seed) : [story(wording.filler(cell.depthTokens, seed), seed)]
  const answer = await ask(model, asked, cell.decodeTokens, signal)
  if ('problem' in answer) return answer
  const { usage: { promptTokens, reusedTokens, completionTokens }, timings } = answer
  if (cell.text === 'story') wording.learn(asked[0]?.text.split(' ').length ?? 0, promptTokens)
  const wantsAnswer = cell.decodeTokens > 1
  if (wantsAnswer && completionTokens < Math.min(leastTokens, cell.decodeTokens)) return { problem: 'too_short' }
  // The first token comes with the prompt.
  const decode = wantsAnswer && timings.decodeMs > 0 ? ((completionTokens - 1) * 1000) / timings.decodeMs : null
  const read = promptTokens - reusedTokens
  return { promptTokens, decodeTokensPerSecond: decode, prefillTokensPerSecond: cell.text === 'story' && read > 0 && timings.prefillMs > 0 ? (read * 1000) / timings.prefillMs : null }
}

async function together(model: Model, cell: Cell, attempt: number, wording: Wording, signal: AbortSignal): Promise<Measured | Unmeasured> {
  // The same texts each time: a sequence that still holds one need not read it again.
  const prompts = Array.from({ length: cell.streams }, (_, index) => [story(wording.filler(cell.depthTokens, 1000 + index), index + attempt)])
  let promptTokens = 0
  for (const prompt of prompts) {
    const read = await ask(model, prompt, 1, signal)
    if ('problem' in read) return read
    promptTokens = read.usage.promptTokens
  }
  const from = performance.now()
  const answers = await Promise.all(prompts.map(async (prompt) => ({ answer: await ask(model, prompt, cell.decodeTokens, signal), ms: performance.now() - from })))
  let total = 0
  for (const { answer, ms } of answers) {
    if ('problem' in answer) return answer
    if (answer.usage.completionTokens < Math.min(leastTokens, cell.decodeTokens)) return { problem: 'too_short' }
    total += (answer.usage.completionTokens * 1000) / ms
  }
  return { promptTokens, prefillTokensPerSecond: null, decodeTokensPerSecond: total }
}

function story(filler: string, index: number): Message & { text: string } {
  return { role: 'user', text: `${filler}. Now tell a very long story about ${topics[index % topics.length] ?? 'the sea'}, with many chapters.` }
}

function copyOf(seed: number): (Message & { text: string })[] {
  const text = `${seed}. ${passage}`
  return [
    { role: 'user', text: `Repeat this text word for word:\n\n${text}` }, { role: 'assistant', text },
    { role: 'user', text: 'Repeat the same text once more, word for word.' },
  ]
}

async function ask(model: Model, messages: Message[], maxTokens: number, signal: AbortSignal): Promise<{ usage: Usage; timings: Timings } | Unmeasured> {
  const request = ModelRequest.parse({ messages, maxTokens, sampling: { temperature: 0 }, purpose: 'bench' })
  for await (const event of model.generate(request, signal)) {
    if (event.type === 'failed') return { problem: event.fault }
    if (event.type === 'done') return event.stop === 'cancelled' ? { problem: 'aborted' } : { usage: event.usage, timings: event.timings }
  }
  return { problem: 'aborted' }
}

/** Numbers from a seed, the same each time (mulberry32). */
function generator(seed: number): () => number {
  let state = (seed * 0x9e3779b1) >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
}
