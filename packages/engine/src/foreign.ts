// Owns how what another program sent is read: shapes that are believed only after a look, and its words made fit for a sentence. Pure.
import type { TokenProbability } from '@hearth/protocol'

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** '' for what is no text. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** NaN for what is no number: it is refused with the others that cannot be true. */
export function countOf(value: unknown): number {
  return typeof value === 'number' ? value : Number.NaN
}

/** The objects of a list; anything else is left out. */
export function objects(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isObject) : []
}

/** Chosen tokens with the likeliest others, `wanted` of them at most, as llama.cpp and the OpenAI dialect both write them. */
export function tokenProbabilities(value: unknown, wanted: number): TokenProbability[] {
  return objects(value).map((one) => ({ ...likelihood(one), top: objects(one['top_logprobs']).slice(0, wanted).map(likelihood) }))
}

function likelihood({ token, logprob }: Record<string, unknown>): { text: string; probability: number } {
  return { text: String(token ?? ''), probability: typeof logprob === 'number' ? Math.min(1, Math.exp(logprob)) : 0 }
}

/** What the `error` of an answer says, fit for a sentence: its message, or all of it. */
export function saidError(error: unknown): string {
  return shown(isObject(error) && typeof error['message'] === 'string' ? error['message'] : JSON.stringify(error))
}

/** Foreign text as it may stand in a sentence. */
export function shown(text: string): string {
  const clean = text.replace(/[\x00-\x1f\x7f]+/g, ' ').trim()
  return clean.length <= 120 ? clean : `${clean.slice(0, 120)}…`
}
