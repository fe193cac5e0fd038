// Owns the choice of worked examples: the episodes of a bank that are most like the task, the likest last (nearest to the task itself).
import type { AgentProfile, Message } from '@hearth/protocol'
import { type Episode, exampleMessages } from '../modes/json.ts'
import { starter } from './starter.ts'

const banks: Readonly<Record<string, readonly Episode[]>> = { starter }

/** Example messages of a profile for this task; none when the profile has no bank. An unknown bank is a broken models.json and gives none. */
export function exampleMessagesFor(profile: AgentProfile, task: string): Message[] {
  if (profile.fewShot === null) return []
  return exampleMessages(likest(banks[profile.fewShot.bank] ?? [], task, profile.fewShot.count))
}

/** The `count` episodes whose task shares the rarest words with `task`, in rising likeness. Pure and stable: equal scores keep the bank's order. */
export function likest(bank: readonly Episode[], task: string, count: number): Episode[] {
  const rarity = new Map<string, number>()
  for (const episode of bank) for (const word of wordsOf(episode.task)) rarity.set(word, (rarity.get(word) ?? 0) + 1)
  const weight = (word: string): number => Math.log(1 + bank.length / (rarity.get(word) ?? bank.length))
  const wanted = wordsOf(task)
  const scored = bank.map((episode, index) => {
    const words = wordsOf(episode.task)
    let shared = 0
    for (const word of words) if (wanted.has(word)) shared += weight(word)
    const norm = Math.sqrt([...words].reduce((sum, word) => sum + weight(word), 0)) || 1
    return { episode, index, score: shared / norm }
  })
  return scored.sort((a, b) => b.score - a.score || a.index - b.index).slice(0, count).reverse().map(({ episode }) => episode)
}

function wordsOf(text: string): Set<string> {
  return new Set(text.toLowerCase().match(/[a-z]+(?:\.[a-z]+)?/g) ?? [])
}
