// Owns what was drawn from packages: of calls that one package covers, and of those at a boundary that several cover one after the other.
import type { Package } from '@hearth/protocol'
import { sharesOf, type Drawn } from '../meter/packages.ts'
import type { Query } from './db.ts'
import { drawn, moneyFrom, number, text, usd } from './rows.ts'

const listCovered = `coalesce(s.list_usd_micros, r.list_usd_micros) - ${usd}`

/** What was drawn from a package since its first day, what is reserved at its worst; `lately`: since a moment. */
export function drawnFrom(query: Query, { id, boughtAt }: Pick<Package, 'id' | 'boughtAt'>, since: number): Drawn {
  const [alone] = query(`SELECT sum(${drawn}) AS used, sum(${drawn}) FILTER (WHERE r.at >= ?2) AS lately, sum(${listCovered}) AS list FROM ${moneyFrom} WHERE r.cover = ?1 AND r.day >= ?3`, `package:${id}`, since, boughtAt)
  const sums = { used: number(alone ?? {}, 'used'), lately: number(alone ?? {}, 'lately'), listUsdMicros: number(alone ?? {}, 'list') }
  // Of each package there are only the few calls at its end; the bounds are the names that begin so.
  for (const row of query(`SELECT r.cover, r.at, ${drawn} AS drawn, ${listCovered} AS list FROM ${moneyFrom} WHERE r.cover >= 'packages:' AND r.cover < 'packages;' AND r.day >= ?1`, boughtAt)) {
    const share = sharesOf(text(row, 'cover'), number(row, 'drawn')).get(id) ?? 0
    if (share === 0) continue
    sums.used += share
    sums.lately += number(row, 'at') >= since ? share : 0
    sums.listUsdMicros += Math.round(number(row, 'list') * share / number(row, 'drawn'))
  }
  return sums
}
