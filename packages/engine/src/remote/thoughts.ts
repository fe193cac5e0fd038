// Owns the sealed thoughts of providers between the turns of a conversation. In memory only, bounded; reads none of them.

const atMost = 64

/** What a model thought before its calls, in the provider's own sealed form, by the id of the first of these calls. */
export class KeptThoughts {
  readonly #kept = new Map<string, readonly unknown[]>()

  of(callId: string): readonly unknown[] {
    return this.#kept.get(callId) ?? []
  }

  keep(callId: string, thoughts: readonly unknown[]): void {
    if (thoughts.length === 0) return
    this.#kept.set(callId, thoughts)
    const oldest = this.#kept.size > atMost ? this.#kept.keys().next().value : undefined
    if (oldest !== undefined) this.#kept.delete(oldest)
  }
}
