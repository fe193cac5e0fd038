// Who is asked for help, in which order and why: pure, on records of what came of earlier answers.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { RouteConfig } from '@hearth/protocol'
import { ordered, routeFor, type Candidate, type Track } from '../../packages/daemon/src/egress/routes.ts'

const bought = (...ids: string[]): Candidate[] => ids.map((id) => ({ id, place: 'remote' }))
const track = (asked: number, cleared: number, usd: number, seconds: number): Track => ({ asked, cleared, usdMicros: usd * 1e6, seconds })
const names = (candidates: readonly Candidate[], prefer: RouteConfig['prefer'], records: Record<string, Track> = {}): string[] => ordered(candidates, prefer, new Map(Object.entries(records))).map(({ id }) => id)

describe('routes of help', () => {
  it('the first that is for the mode and the kind', () => {
    const routes = [{ modes: ['review'], models: ['a'] }, { kinds: ['triage'], models: ['b'] }, { models: ['c'] }].map((route) => RouteConfig.parse(route))
    assert.deepEqual([routeFor(routes, 'review', 'triage'), routeFor(routes, 'advise', 'triage'), routeFor(routes, 'advise', 'task')].map((route) => route?.models[0]), ['a', 'b', 'c'])
    assert.equal(routeFor(routes.slice(0, 2), 'advise', 'task'), null)
  })

  it('what is in memory here, then what counts as this box, what could be loaded here, the network, and what is bought, whatever the route says', () => {
    const all: Candidate[] = [
      ...bought('far'), { id: 'desk', place: 'lan' }, { id: 'cold', place: 'local', ready: false }, { id: 'own', place: 'lan', inHouse: true }, { id: 'big', place: 'local', ready: true },
    ]
    assert.deepEqual(ordered(all, 'order', new Map()).map(({ id, because }) => `${id}: ${because}`), [
      'big: it is on this box and ready', 'own: it is in the house', 'cold: it is on this box', 'desk: it is on the network and costs nothing', 'far: the next one of the route',
    ])
  })

  it('the cheapest that helped, the best, the fastest', () => {
    const records = { dear: track(10, 9, 1, 50), cheap: track(10, 6, 0.1, 200), quick: track(10, 5, 0.8, 20) }
    const all = bought('dear', 'cheap', 'quick')
    assert.deepEqual([names(all, 'cheapest', records), names(all, 'best', records), names(all, 'fastest', records), names(all, 'order', records)],
      [['cheap', 'dear', 'quick'], ['dear', 'cheap', 'quick'], ['quick', 'dear', 'cheap'], ['dear', 'cheap', 'quick']])
    assert.deepEqual(ordered(all, 'cheapest', new Map(Object.entries(records)))[0], { id: 'cheap', because: '6 of its 10 answers helped, 0.0167 USD for each that did' })
  })

  it('of which too little is known stays behind what proved itself, and three lucky answers do not beat forty good ones', () => {
    assert.deepEqual(names(bought('new', 'useless', 'old'), 'best', { new: track(2, 2, 0, 1), useless: track(9, 0, 1, 1), old: track(10, 3, 1, 1) }), ['old', 'new', 'useless'])
    assert.deepEqual(names(bought('lucky', 'good'), 'best', { lucky: track(3, 3, 1, 1), good: track(41, 40, 1, 1) }), ['good', 'lucky'])
    assert.deepEqual(ordered(bought('new', 'useless'), 'cheapest', new Map(Object.entries({ useless: track(9, 0, 1, 1) }))).map(({ because }) => because),
      ['only 0 of its answers were judged so far', 'none of its 9 answers helped'])
  })
})
