// Owns greedy generation with drafts out of the text so far: draft, check all rows in one evaluation, keep what agrees, erase the rest.
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

/** Greedy generation of `prompt`, whose tokens from `at` on are not in the memory yet; ends at an end-of-generation token. Says the same as without drafts, but for near ties. */
export async function* lookupDraws(greedy: Greedy, prompt: readonly number[], at: number, costs: CheckCosts, figures: DraftFigures): AsyncGenerator<{ token: number }, void, void> {
  const lookup = new Lookup(prompt)
  const balance = new Balance()
  let plain: AsyncGenerator<{ token: number }, void, void> | null = null
  // Said, but not in the memory yet.
  let pending = prompt.slice(at)
  let first = true
  try {
    for (;;) {
      const plainMs = costs.plainMs
      const [last] = pending
      const length = first || balance.resting || plainMs === null || lookup.matched === 0 ? 0 : costs.draftLength(lookup.matched, greedy.room() - 1)
      if (length > 0 && plainMs !== null && last !== undefined) {
        await plain?.return()
        plain = null
        const startedAt = performance.now()
        const draft = lookup.next(length)
        const before = greedy.position()
        const nexts = await greedy.check([last, ...draft])
        const { said, agreed } = accept(draft, nexts, (token) => greedy.ends(token))
        if (agreed < draft.length) await greedy.cutTo(before + 1 + agreed)
        const ms = performance.now() - startedAt
        costs.note(draft.length + 1, ms)
        balance.drafted(said.length, ms, plainMs)
        figures.draftedTokens += draft.length
        figures.acceptedTokens += agreed
        for (const token of said) {
          if (greedy.ends(token)) return
          lookup.push(token)
          pending = [token]
          yield { token }
        }
      } else {
        plain ??= greedy.plain(pending)
        const startedAt = performance.now()
        const drawn = await plain.next()
        if (drawn.done === true) return
        const ms = performance.now() - startedAt
        balance.plain(ms)
        // The first one reads the rest of the prompt.
        if (!first) costs.plain(ms)
        lookup.push(drawn.value.token)
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
