// Owns settlements that could not be stored (a full disk): each is tried again before the next call is held, so that money which was not spent is not held until a
// restart. Until then it counts at its worst price. Decides nothing.
import type { Till } from './paid.ts'

/** The same till; a settlement that it rejects still rejects, and is tried again later. One that is stored already is refused by the store, so none is booked twice. */
export function withOwed(till: Till): Till {
  const owed = new Map<number, Parameters<Till['settle']>>()
  const settleOwed = async (): Promise<void> => {
    for (const [id, settlement] of [...owed]) {
      try {
        await till.settle(...settlement)
      } catch {
        // Still no room, or it was stored after all; in both cases a restart books what is open.
        continue
      }
      owed.delete(id)
    }
  }
  return {
    async reserve(ask) {
      await settleOwed()
      return till.reserve(ask)
    },
    async settle(...settlement) {
      try {
        await till.settle(...settlement)
      } catch (error) {
        owed.set(settlement[0], settlement)
        throw error
      }
    },
  }
}
