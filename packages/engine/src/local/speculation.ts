// Owns greedy generation with drafts: guess, check all rows in one evaluation, keep what agrees, erase the rest. Who guesses is a Drafter.
// The library's own way accepts one prediction a round (a bug) and cannot be told when to stop. Knows the library only by the functions it is handed.
import { Balance, Lookup, type CheckCosts } from './lookup.ts'

export type Greedy = {
  /** Evaluates `tokens` and then one token after the other. */
  plain(tokens: readonly number[]): AsyncGenerator<{ token: number }, void, void>
  /** Evaluates `tokens` in one go and says the likeliest next token behind each of them. */
  check(tokens: readonly number[]): Promise<(number | null)[]>
  /** Cuts the sequence's memory back to its first `tokens` tokens. */
  cutTo(tokens: number): Promise<void>
  /** Tokens in the sequence's memory. */
  position(): number
  /** Tokens that may still be generated, the next one included; 0 when drafting is not allowed at this moment. */
  room(): number
  ends(token: number): boolean
}

export type DraftFigures = { draftedTokens: number; acceptedTokens: number }

/** What became of one draft: of `drafted` tokens `agreed` were right, and `said` tokens came of it. Milliseconds, `plainMs` of one token without drafts. */
export type Round = { drafted: number; agreed: number; said: number; guessMs: number; checkMs: number; plainMs: number }

/** Who guesses, and decides whether guessing pays. Told times, asks no clock. */
export interface Drafter {
  /** How many tokens to guess now, at most `atMost`; 0 = say a plain one. */
  length(atMost: number): number
  /** The likely next tokens: `length` of them, or fewer. */
  guess(length: number): readonly number[] | Promise<readonly number[]>
  judged(round: Round): void
  /** One token was said. */
  push(token: number): void
  /** One token was said without a draft. */
  plain(ms: number): void
}

/** Greedy generation of `prompt`, whose tokens from `at` on are not in the memory yet; ends at an end-of-generation token. Says the same as without drafts, but for near ties. */
export async function* draftedDraws(
  greedy: Greedy, drafter: Drafter, prompt: readonly number[], at: number, costs: CheckCosts, figures: DraftFigures,
): AsyncGenerator<{ token: number }, void, void> {
  let plain: AsyncGenerator<{ token: number }, void, void> | null = null
  // Said, but not in the memory yet.
  let pending = prompt.slice(at)
  let first = true
  try {
    for (;;) {
      const plainMs = costs.plainMs
      const [last] = pending
      const length = first || plainMs === null ? 0 : drafter.length(greedy.room() - 1)
      const startedAt = performance.now()
      const draft = length > 0 ? await drafter.guess(length) : []
      if (draft.length > 0 && plainMs !== null && last !== undefined) {
        await plain?.return()
        plain = null
        const guessedAt = performance.now()
        const before = greedy.position()
        const nexts = await greedy.check([last, ...draft])
        const { said, agreed } = accept(draft, nexts, (token) => greedy.ends(token))
        if (agreed < draft.length) await greedy.cutTo(before + 1 + agreed)
        const checkMs = performance.now() - guessedAt
        costs.note(draft.length + 1, checkMs)
        drafter.judged({ drafted: draft.length, agreed, said: said.length, guessMs: guessedAt - startedAt, checkMs, plainMs })
        figures.draftedTokens += draft.length
        figures.acceptedTokens += agreed
        for (const token of said) {
          if (greedy.ends(token)) return
          drafter.push(token)
          pending = [token]
          yield { token }
        }
      } else {
        plain ??= greedy.plain(pending)
        const plainAt = performance.now()
        const drawn = await plain.next()
        if (drawn.done === true) return
        const ms = performance.now() - plainAt
        drafter.plain(ms)
        // The first one reads the rest of the prompt.
        if (!first) costs.plain(ms)
        drafter.push(drawn.value.token)
        pending = [drawn.value.token]
        first = false
        yield drawn.value
      }
    }
  } finally {
    await plain?.return()
  }
}

/** The tokens that plain generation would have said, and how many of the draft's rows hold exactly them. */
export function accept(draft: readonly number[], nexts: readonly (number | null)[], ends: (token: number) => boolean): { said: number[]; agreed: number } {
  const said: number[] = []
  let agreed = 0
  for (;;) {
    const token = nexts[agreed]
    if (token === undefined || token === null) throw new Error('Failed to sample next token')
    said.push(token)
    if (agreed === draft.length || token !== draft[agreed] || ends(token)) return { said, agreed }
    agreed++
  }
}

/** Prompt lookup: guesses what followed the last time, as long as that has paid in this run. */
export class LookupDrafter implements Drafter {
  readonly #lookup: Lookup
  readonly #costs: CheckCosts
  readonly #balance = new Balance()

  constructor(prompt: readonly number[], costs: CheckCosts) {
    this.#lookup = new Lookup(prompt)
    this.#costs = costs
  }

  length(atMost: number): number {
    return this.#balance.resting || this.#lookup.matched === 0 ? 0 : this.#costs.draftLength(this.#lookup.matched, atMost)
  }

  guess(length: number): number[] {
    return this.#lookup.next(length)
  }

  judged({ said, guessMs, checkMs, plainMs }: Round): void {
    this.#balance.drafted(said, guessMs + checkMs, plainMs)
  }

  push(token: number): void {
    this.#lookup.push(token)
  }

  plain(ms: number): void {
    this.#balance.plain(ms)
  }
}
