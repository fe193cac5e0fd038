// Owns who is asked: of the models that a route names, in which order, and why in that order. Pure; learned from what came of earlier questions.
import type { EscalationMode, Place, RouteConfig } from '@hearth/protocol'

/** A model that could be asked. `ready`: it is in memory; only of models of this box. `inHouse`: the owner counts that machine of the network as this box. */
export type Candidate = { id: string; place: Place; ready?: boolean; inHouse?: boolean }

/** What came of the questions of one mode and kind that a model answered on this box. */
export type Track = { asked: number; cleared: number; usdMicros: number; seconds: number }

export type Choice = { id: string; because: string }

/** So many answers must have been judged before their share says something of a model. */
const judgedAtLeast = 3

/** The first route that is for this mode and kind; null = none is, and all models of the providers may be asked in their order. */
export function routeFor(routes: readonly RouteConfig[], mode: EscalationMode, kind: string): RouteConfig | null {
  return routes.find((route) => (route.modes === null || route.modes.includes(mode)) && (route.kinds === null || route.kinds.includes(kind))) ?? null
}

/**
 * Who is asked first, who after them, wherever the route names them: what is in memory here, a machine that counts as this box, what would have to be loaded here
 * (whether that pays is weighed when its turn comes), another machine of the network, and then what is bought. Among the bought ones `prefer` decides; models of
 * which too little is known keep the order of the route behind those that proved themselves.
 */
export function ordered(candidates: readonly Candidate[], prefer: RouteConfig['prefer'], records: ReadonlyMap<string, Track>): Choice[] {
  const all = (place: Place, is: (one: Candidate) => boolean, because: string): Choice[] => candidates.filter((one) => one.place === place && is(one)).map(({ id }) => ({ id, because }))
  return [
    ...all('local', ({ ready }) => ready === true, 'it is on this box and ready'), ...all('lan', ({ inHouse }) => inHouse === true, 'it is in the house'),
    ...all('local', ({ ready }) => ready !== true, 'it is on this box'), ...all('lan', ({ inHouse }) => inHouse !== true, 'it is on the network and costs nothing'),
    ...bought(candidates.filter(({ place }) => place === 'remote'), prefer, records),
  ]
}

/** Enough of its answers were judged, and none helped. */
export function provedUseless(track: Track | undefined): track is Track {
  return track !== undefined && track.asked >= judgedAtLeast && track.cleared === 0
}

/** Throughput that is paid for anyway and is used up for this minute spills over: the next ones of the route are asked before more is bought there. */
export function spilled<T extends Choice>(choices: readonly T[], isFull: (choice: T) => boolean): T[] {
  const full = choices.filter(isFull)
  return [...choices.filter((one) => !full.includes(one)), ...full.map((one) => ({ ...one, because: `${one.because}; the throughput that is paid for is used up for this minute` }))]
}

function bought(candidates: readonly Candidate[], prefer: RouteConfig['prefer'], records: ReadonlyMap<string, Track>): Choice[] {
  if (prefer === 'order') return candidates.map(({ id }) => ({ id, because: 'the next one of the route' }))
  const judged = candidates.flatMap(({ id }) => {
    const record = records.get(id)
    return record === undefined || record.asked < judgedAtLeast || record.cleared === 0 ? [] : [{ id, record }]
  })
  const proven = judged.toSorted((a, b) => merit(prefer, a.record) - merit(prefer, b.record)).map(({ id, record }) => ({ id, because: reason(prefer, record) }))
  const rest = candidates.filter(({ id }) => !judged.some((one) => one.id === id)).map(({ id }) => {
    const record = records.get(id)
    return { id, because: record === undefined || record.asked < judgedAtLeast ? `only ${record?.asked ?? 0} of its answers were judged so far` : `none of its ${record.asked} answers helped` }
  })
  return [...proven, ...rest]
}

/** Less is better. The share that helped is Laplace's, so that three of three do not beat forty of forty-one. */
function merit(prefer: Exclude<RouteConfig['prefer'], 'order'>, { asked, cleared, usdMicros, seconds }: Track): number {
  const share = (cleared + 1) / (asked + 2)
  switch (prefer) {
    case 'cheapest': return usdMicros / asked / share
    case 'best': return -share
    case 'fastest': return seconds / asked / share
    default: return prefer satisfies never
  }
}

function reason(prefer: Exclude<RouteConfig['prefer'], 'order'>, { asked, cleared, usdMicros, seconds }: Track): string {
  const helped = `${cleared} of its ${asked} answers helped`
  switch (prefer) {
    case 'cheapest': return `${helped}, ${(usdMicros / 1e6 / cleared).toFixed(4)} USD for each that did`
    case 'best': return helped
    case 'fastest': return `${helped}, ${(seconds / asked).toFixed(1)} s an answer`
    default: return prefer satisfies never
  }
}
