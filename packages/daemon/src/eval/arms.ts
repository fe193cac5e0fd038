// Owns what distinguishes the arms of an evaluation: how a job of each is asked for, which arms another one needs, which can go on from a fork and how, and when help is asked
// for at random or with hindsight. Pure.
import { createHash } from 'node:crypto'
import { escalationModes, type EscalationMode, type EvalArm, type EvalRow, type JobEventBody, type JobRequestInput } from '@hearth/protocol'
import { strictest, type Says } from '../egress/policy.ts'
import type { Trigger } from '../queue/fork.ts'
import { chance, pairOf } from './statistics.ts'

export type Rules = NonNullable<JobRequestInput['escalation']>

/** What an arm is measured by or timed by, which must have been played before it. */
export const needs: Readonly<Partial<Record<EvalArm, readonly EvalArm[]>>> = { local_again: ['local', 'advise'], random: ['local', 'advise'], oracle: ['local'] }

/** Why these arms cannot be compared, as a sentence's end; null = they can. */
export function armsProblem(arms: readonly EvalArm[]): string | null {
  for (const arm of arms) {
    const missing = (needs[arm] ?? []).filter((one) => !arms.includes(one))
    if (missing.length > 0) return `'${arm}' is made of what ${missing.map((one) => `'${one}'`).join(' and ')} did, so it needs ${missing.length === 1 ? 'that arm' : 'those arms'} too`
  }
  return null
}

/** Rules of a job of this arm: no mode but its own, and never looser than `says`. `askAt`: for the arms that are told when. */
export function rulesOf(arm: EvalArm, says: readonly Says[], askAt: readonly number[]): Rules {
  const { consent, dataClass, modes } = strictest({ consent: 'auto', dataClass: 'open', modes: [...escalationModes] }, says.map((one) => ['project', one] as const))
  const only = (...wanted: EscalationMode[]): Rules => ({ consent, dataClass, modes: wanted.filter((mode) => modes.includes(mode)) })
  switch (arm) {
    case 'local': case 'local_again': case 'stronger': return { ...only(), askAt: [] }
    // Who does all of it takes over the rest, and asks nobody.
    case 'frontier': return { ...only('rest'), askAt: [] }
    case 'plan': return { ...only('plan'), planFirst: true }
    case 'advise': case 'step': case 'rest': case 'review': return only(arm)
    case 'random': case 'oracle': return { ...only('advise'), askAt: [...askAt] }
    default: return arm satisfies never
  }
}

/** Arms that can go on from the moment at which help would be asked for. The others have another beginning (a plan, all of it) or moments of their own. */
export const forkable: ReadonlySet<EvalArm> = new Set<EvalArm>(['local', 'stronger', 'advise', 'step', 'rest', 'review'])

/** Why nothing could be forked, as a sentence's end; null = something can. */
export function forkProblem(arms: readonly EvalArm[]): string | null {
  return arms.some((arm) => forkable.has(arm)) ? null : `none of these arms goes on from the moment at which help would be asked for; those that do are ${[...forkable].join(', ')}`
}

/** Rules of the local course that is played up to where one of these arms would ask. */
export function courseRules(arms: readonly EvalArm[], says: readonly Says[]): Rules {
  const asking = (['advise', 'step', 'rest', 'review'] as const).filter((mode) => arms.includes(mode))
  const { dataClass } = rulesOf('local', says, [])
  return { consent: 'auto', ...(dataClass === undefined ? {} : { dataClass }), modes: asking.some((mode) => mode !== 'review') ? asking : ['advise', ...asking], untilTrigger: true }
}

/** As the loop tells a model whose question nobody answers. */
const unanswered = 'Nobody can be asked now. Go on by yourself: try another way, or call finish and say what is missing.'

/**
 * What an arm goes on from: the course up to the trigger, the same bytes for the model in all arms, and at its end what the arm makes of that moment. One that asks there
 * asks. `local` and `review` go on, or are over where guards had nothing left but help. `stronger` goes on, and no rung of the ladder is used up for it.
 */
export function pastOf(arm: EvalArm, past: readonly JobEventBody[], { mode, signals, step }: Trigger): JobEventBody[] {
  const asks = arm === 'step' || arm === 'rest' || (arm === 'advise' && !signals.some(({ name }) => name === 'overflow'))
  // A "done" is looked at again: who reviews asks then.
  if (asks || mode === 'review') return [...past]
  const own = past.flatMap((event): JobEventBody[] => {
    if (event.type === 'signals') return [{ ...event, acts: false }]
    if (arm === 'stronger') return event.type === 'guard' || event.type === 'sampled' ? [] : [event]
    return [event.type === 'guard' && event.action === 'escalate' ? { ...event, action: 'stop' } : event]
  })
  return signals.some(({ kind }) => kind === 'declared') ? [...own, { type: 'nudge', step, text: unanswered }] : own
}

export type Moments = ReadonlyMap<string, readonly number[]>

/** As many moments as the advised arm bought advice, drawn without putting back from all steps of all courses of the local arm but their last, after which nothing is left to ask for. */
export function randomMoments(local: readonly EvalRow[], advised: readonly EvalRow[], seed: number): Moments {
  const slots = local.flatMap((row) => Array.from({ length: Math.max(1, (row.steps ?? 1) - 1) }, (_, index) => ({ pair: pairOf(row), step: index + 1 })))
  const random = chance(seed)
  const drawn = Math.min(slots.length, advised.reduce((sum, { escalations }) => sum + escalations, 0))
  for (let at = 0; at < drawn; at += 1) {
    const other = at + Math.floor(random() * (slots.length - at))
    const [one, two] = [slots[at], slots[other]]
    if (one === undefined || two === undefined) break
    slots[at] = two
    slots[other] = one
  }
  return new Map([...Map.groupBy(slots.slice(0, drawn), ({ pair }) => pair)].map(([pair, group]) => [pair, group.map(({ step }) => step).sort((a, b) => a - b)]))
}

/** Moments only where the local arm fails: those of the advised arm where it asked there, else the middle of the local course. */
export function oracleMoments(local: readonly EvalRow[], advised: readonly EvalRow[]): Moments {
  const asked = new Map(advised.map((row) => [pairOf(row), row.askedAt ?? []]))
  return new Map(local.filter(({ solved }) => !solved).map((row) => {
    const like = asked.get(pairOf(row)) ?? []
    return [pairOf(row), like.length > 0 ? like : [Math.max(1, Math.ceil((row.steps ?? 1) / 2))]]
  }))
}

/** Seed of a job: the same in every arm, so that two arms go the same way until one of them is helped. `attempt` above 0: a further try. */
export function seedOf(seed: number, task: string, repeat: number, attempt = 0): number {
  return createHash('sha256').update(`${seed}\0${task}\0${repeat}\0${attempt}`).digest().readUInt32BE(0)
}
