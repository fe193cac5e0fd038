// Owns what a model's tokenizer says: its control tokens, its template, prompts as tokens, and whether two models mean the same by a token.
// Knows the library only by the shape of its models.
import type { Inspection, Segment } from './wire.ts'

/** What is asked of a model of the library; `T` is its branded number of a token. */
export type Vocabulary<T extends number> = {
  readonly vocabularyType: string
  readonly tokens: { readonly bos: T | null; readonly eos: T | null; readonly bosString: string | null; readonly eosString: string | null; readonly shouldPrependBosToken: boolean }
  readonly architecture: string
  readonly trainContextSize: number
  readonly fileInfo: { readonly metadata: { readonly tokenizer?: { readonly chat_template?: unknown } } }
  iterateAllTokens(): Iterable<T>
  getTokenAttributes(token: T): { readonly control: boolean; readonly unknown: boolean }
  tokenize(text: string, specialTokens?: boolean, options?: 'trimLeadingSpace'): T[]
  detokenize(tokens: readonly T[], specialTokens?: boolean): string
}

/** The texts that parse into control or unknown tokens: llama.cpp skips exactly these two kinds when special parsing is off. */
export function controlTokens<T extends number>(model: Vocabulary<T>): Map<string, T> {
  const found = new Map<string, T>()
  for (const token of model.iterateAllTokens()) {
    const attributes = model.getTokenAttributes(token)
    if (!attributes.control && !attributes.unknown) continue
    const text = model.detokenize([token], true)
    if (text !== '') found.set(text, token)
  }
  return found
}

export function inspect<T extends number>(model: Vocabulary<T>, controls: ReadonlyMap<string, T>): Inspection {
  const template: unknown = model.fileInfo.metadata.tokenizer?.chat_template
  return {
    architecture: String(model.architecture),
    trainedContextTokens: model.trainContextSize,
    chatTemplate: typeof template === 'string' ? template : null,
    bosText: model.tokens.bosString,
    eosText: model.tokens.eosString,
    controlTexts: [...controls.keys()],
  }
}

export function tokenise<T extends number>(model: Vocabulary<T>, segments: readonly Segment[]): T[] {
  const tokens: T[] = []
  // SentencePiece puts a blank before every piece it is given; only the first one may keep it.
  const trims = model.vocabularyType === 'spm'
  for (const [index, { text, special }] of segments.entries()) {
    tokens.push(...(trims && index > 0 ? model.tokenize(text, special, 'trimLeadingSpace') : model.tokenize(text, special)))
  }
  const bos = model.tokens.bos
  if (model.tokens.shouldPrependBosToken && bos !== null && tokens[0] !== bos) tokens.unshift(bos)
  return tokens
}

// As llama.cpp has it (common/speculative.cpp): sizes may differ by padding, and the first few tokens are control tokens that every model has its own of.
const sizeDifference = 128
const firstCompared = 5

/** Why the tokens of one model cannot be guessed by another; null when they can. */
export function vocabularyMismatch<T extends number>(model: Vocabulary<T>, draft: Vocabulary<T>): string | null {
  if (model.vocabularyType !== draft.vocabularyType) return `its vocabulary is of the kind ${draft.vocabularyType}, the model's is ${model.vocabularyType}`
  const [ours, theirs] = [[...model.iterateAllTokens()], [...draft.iterateAllTokens()]]
  if (Math.abs(ours.length - theirs.length) > sizeDifference) return `it has ${theirs.length} tokens, the model has ${ours.length}`
  for (const name of ['bos', 'eos'] as const) {
    if (model.tokens[name] !== draft.tokens[name]) return `its ${name} token is number ${draft.tokens[name] ?? 'none'}, the model's is ${model.tokens[name] ?? 'none'}`
  }
  for (const token of ours.slice(firstCompared, theirs.length)) {
    const [one, other] = [model.detokenize([token], true), draft.detokenize([token], true)]
    if (one !== other) return `its token ${token} reads ${JSON.stringify(other)}, the model's reads ${JSON.stringify(one)}`
  }
  return null
}
