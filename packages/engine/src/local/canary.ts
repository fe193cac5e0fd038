// Owns the canary: the smallest question to a worker, by which it shows that it can still evaluate. What the answer is does not matter.
import type { Generate } from './wire.ts'

export const canaryId = 'canary'

/** One token behind one word, in this sequence. */
export function canary(sequence: number): Generate {
  return {
    type: 'generate', id: canaryId, sequence, segments: [{ text: 'Hello', special: false }], maxTokens: 1, stop: [], grammar: null,
    sampling: { temperature: 0, topK: 0, topP: 1, minP: 0, repeatPenalty: 1, seed: 0 }, stopAtJson: false, probabilities: 0, visible: [], priority: 5,
  }
}
