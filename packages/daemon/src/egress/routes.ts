// Owns who is asked: of the models that a route names, in which order, and why in that order. Pure; learned from what came of earlier questions.
import type { EscalationMode, Place, RouteConfig } from '@hearth/protocol'

/** A model that could be asked. `ready`: it is in memory, or loading it keeps nobody waiting; only asked of models of this box. */
export type Candidate = { id: string; place: Place; ready: boolean }

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
 * Who is asked first, who after them. What runs on this box goes first wherever it stands, because it costs nothing and nothing leaves; then what runs in
 * the house. Among the bought ones `prefer` decides; models of which too little is known keep the order of the route behind those that proved themselves.
 */
export function ordered(candidates: readonly Candidate[], prefer: RouteConfig['prefer'], records: ReadonlyMap<string, Track>): Choice[] {
  const places: readonly Place[] = ['local', 'lan', 'remote']
  return places.flatMap((place) => {
    const here = candidates.filter((candidate) => candidate.place === place && (place !== 'local' || candidate.ready))
    if (place === 'local') return here.map(({ id }) => ({ id, because: 'it is on this box and ready' }))
    if (place === 'lan') return here.map(({ id }) => ({ id, because: 'it is in the house' }))
    return bought(here, prefer, records)
  })
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
