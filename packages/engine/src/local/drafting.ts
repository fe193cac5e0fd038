// Owns drafting inside the worker: whether a run may draft, who guesses for it, and what a draft model's memory is. Knows the library only by the shape of its sequences
// and models; worker.ts hands them in.
import type { Batching } from './batching.ts'
import { DraftGain, ModelDrafter, type Guesser } from './draft-model.ts'
import { CheckCosts } from './lookup.ts'
import { draftedDraws, LookupDrafter, type Drafter } from './speculation.ts'
import type { Generate, RunFigures } from './wire.ts'

// With more streams every row of a draft takes the place of a sure one.
const draftingStreams = 2

/** What is asked of a sequence of the library; `T` is its branded number of a token. */
export type Sequence<T extends number, P> = {
  readonly nextTokenIndex: number
  readonly needsCheckpoints: boolean
  compareContextTokens(tokens: T[]): { firstDifferentIndex: number }
  eraseContextTokenRanges(ranges: { start: number; end: number }[]): Promise<void>
  evaluateWithoutGeneratingNewTokens(tokens: T[], options?: { evaluationPriority?: P }): Promise<void>
  evaluateWithMetadata(tokens: T[], metadata: Record<never, never>, options: { temperature: number; evaluationPriority?: P }): AsyncGenerator<{ token: T }, void, void>
  controlledEvaluate(input: [T, { generateNext: { token: true; options: { temperature: number } } }][], options: { evaluationPriority: P }): Promise<({ next: { token?: T | null } } | undefined)[]>
}

/** A second model that guesses; its sequence n goes with the model's sequence n. */
export type DraftModel<T extends number, P> = { sequences: readonly Sequence<T, P>[]; contextTokens: number; vocabulary: number }

export type Drafting<T extends number, P> = { kind: 'lookup' } | { kind: 'draft'; model: DraftModel<T, P> }

type Run<T extends number, P> = {
  sequence: Sequence<T, P>
  request: Generate
  priority: P
  tokens: readonly T[]
  /** Tokens of the prompt that are in the memory already. */
  at: number
  /** Completion tokens at most. */
  limit: number
  contextTokens: number
  figures: RunFigures
  ends(token: T): boolean
  over(): boolean
}

/** Drafting of one worker: what it knows of this machine is shared by all its runs. */
export class Drafts<T extends number, P> {
  readonly #drafting: Drafting<T, P>
  readonly #batching: Batching
  readonly #costs = new CheckCosts()
  readonly #gain = new DraftGain(this.#costs)

  constructor(drafting: Drafting<T, P>, batching: Batching) {
    this.#drafting = drafting
    this.#batching = batching
  }

  /** Only greedy runs say the same with and without drafts; a grammar cannot be asked about several rows, and a memory that needs checkpoints cannot be cut back. */
  may(sequence: Sequence<T, P>, { sampling, grammar, probabilities }: Generate): boolean {
    return sampling.temperature === 0 && sampling.repeatPenalty === 1 && grammar === null && probabilities === 0 && !sequence.needsCheckpoints
  }

  draws({ sequence, request, priority, tokens, at, limit, contextTokens, figures, ends, over }: Run<T, P>): AsyncGenerator<{ token: T }, void, void> {
    const greedy = { generateNext: { token: true, options: { temperature: 0 } } } as const
    figures.drafts = { draftedTokens: 0, acceptedTokens: 0 }
    return draftedDraws({
      plain: (pending) => sequence.evaluateWithMetadata(pending as T[], {}, { temperature: 0, evaluationPriority: priority }),
      check: async (rows) => {
        const checked = await sequence.controlledEvaluate(rows.map((token) => [token as T, greedy]), { evaluationPriority: priority })
        return checked.map((row) => row?.next.token ?? null)
      },
      cutTo: (kept) => this.#batching.exclusive(() => sequence.eraseContextTokenRanges([{ start: kept, end: sequence.nextTokenIndex }])),
      position: () => sequence.nextTokenIndex,
      // The last place of the window stays free: a full one makes the library drop the beginning.
      room: () => (this.#batching.active > draftingStreams ? 0 : Math.min(limit - figures.completionTokens, contextTokens - sequence.nextTokenIndex - 2)),
      ends: (token) => ends(token as T),
    }, this.#drafter(request, tokens, over), tokens, at, this.#costs, figures.drafts) as AsyncGenerator<{ token: T }, void, void>
  }

  #drafter({ sequence }: Generate, tokens: readonly number[], over: () => boolean): Drafter {
    const draft = this.#drafting.kind === 'lookup' ? undefined : this.#drafting.model
    const memory = draft?.sequences[sequence]
    if (draft === undefined || memory === undefined) return new LookupDrafter(tokens, this.#costs)
    return new ModelDrafter(tokens, guesser(draft, memory, over), this.#gain)
  }
}

// A draft model is small, and between two pieces its run can be cancelled.
const pieceTokens = 256

function guesser<T extends number, P>(draft: DraftModel<T, P>, memory: Sequence<T, P>, over: () => boolean): Guesser {
  const agreed = (text: readonly number[]): number => memory.compareContextTokens(text as T[]).firstDifferentIndex
  return {
    behind: (text) => text.length - agreed(text),
    guess: async (text, count) => {
      const tokens: number[] = []
      if (text.length + count >= draft.contextTokens) return { tokens, readMs: 0 }
      const startedAt = performance.now()
      let at = Math.min(agreed(text), text.length - 1)
      const behind = text.length - at
      if (at < memory.nextTokenIndex) await memory.eraseContextTokenRanges([{ start: at, end: memory.nextTokenIndex }])
      while (text.length - at > pieceTokens) {
        if (over()) return { tokens, readMs: 0 }
        await memory.evaluateWithoutGeneratingNewTokens(text.slice(at, at + pieceTokens) as T[])
        at += pieceTokens
      }
      const draws = memory.evaluateWithMetadata(text.slice(at) as T[], {}, { temperature: 0 })
      let readMs = 0
      while (tokens.length < count) {
        const drawn = await draws.next()
        // One of the rows read is the first guess's own.
        if (tokens.length === 0 && behind > 8) readMs = performance.now() - startedAt
        // A token of its padding is none of the model's.
        if (drawn.done === true || drawn.value.token >= draft.vocabulary) break
        tokens.push(drawn.value.token)
      }
      await draws.return()
      return { tokens, readMs }
    },
  }
}
