// Makes the report of usage and the statements of a month out of the sums that the ledger's thread read. Pure: no clock, no I/O. What was not measured stays null.
import type { BudgetReply, Config, ModelProfile, ProjectEntry, UsageFigures, UsageReport, UsageStatement } from '@hearth/protocol'
import { projectOf } from '../egress/policy.ts'
import type { UsageAsk } from '../store/usage-jobs.ts'
import { add, dearestFirst, noSums, type Group, type Sums, type UsageRows } from '../store/usage-rows.ts'
import { avoidedCost, boxEconomy, burnRate, escalationFigures, idleCapacity, pricedModel, sum } from './usage-money.ts'

export type UsageFacts = {
  config: Pick<Config, 'energy' | 'escalation'>
  projects: readonly ProjectEntry[]
  left: Pick<BudgetReply, 'packages' | 'throughput'>
  /** Those that are of this box as it is now. */
  profiles: readonly ModelProfile[]
  /** As its sensor says; null = it has none. */
  idleWatts: number | null
  energySource: string | null
}

const joulesPerKwh = 3_600_000

export function usageReport(rows: UsageRows, ask: UsageAsk, facts: UsageFacts): UsageReport {
  const { energy, escalation } = facts.config
  const figures = (sums: Sums, bytes: number | null): UsageFigures => figuresOf(sums, bytes, energy.usdPerKwh)
  const groups = sorted(ask.by === 'project' ? byProject(rows.groups, facts.projects) : rows.groups, ask.by)
  const shown = ask.by === 'day' || ask.by === 'month' ? groups.slice(-ask.limit) : groups.slice(0, ask.limit)
  const checked = rows.ended.outcomes.filter((one) => one.checked)
  const [jobs, resolved, usdMicros, prepaidUsdMicros] = [sum(checked, ({ jobs: n }) => n), sum(checked, ({ state, jobs: n }) => (state === 'resolved' ? n : 0)), sum(checked, (one) => one.usdMicros), sum(checked, (one) => one.prepaidUsdMicros)]
  const model = pricedModel(escalation)
  // What only part of the box's work tells is nothing of the box.
  const whole = ask.job === null && ask.principal === null && ask.tag === null
  return {
    since: ask.since, until: ask.until, firstAt: rows.firstAt, by: ask.by,
    totals: { ...figures(rows.totals, rows.bytes), jobs: sum(rows.ended.outcomes, (one) => one.jobs), resolved, uncountedConnections: rows.uncounted }, energySource: facts.energySource,
    rows: shown.map(({ name, sums, bytes }) => ({ ...labelled(name, rows.keyNames), ...figures(sums, bytes) })),
    leftOut: rows.leftOut + groups.length - shown.length,
    tokens: parts((place) => sum(rows.days, ({ work }) => tokensOf(work[place]))), steps: parts((place) => rows.steps[place]),
    jobs: {
      open: rows.open, checked: { jobs, resolved, usdMicros, prepaidUsdMicros, usdMicrosPerResolved: resolved === 0 ? null : usdMicros / resolved },
      byOutcome: outcomesOf(rows),
    },
    spenders: spendersOf(rows),
    escalations: escalationFigures(rows.escalations),
    avoided: model === null ? null : avoidedCost(rows.days, model),
    burn: burnRate(rows.burn, escalation.budget.monthUsdMicros, ask.now),
    ...facts.left,
    box: whole ? boxEconomy(rows, ask, energy, model, facts.idleWatts) : null,
    idle: whole ? idleCapacity(rows, ask, facts.profiles) : [],
    days: daysOf(rows), byModel: rows.unusual.map(({ model: id, mended, refused }) => ({ model: id, mendedCalls: mended, refusedCalls: refused })),
  }
}

/** `rows`: of the month alone. */
export function usageStatement(rows: UsageRows, month: string, closed: boolean, usdPerKwh: number | null): UsageStatement {
  type Person = { origins: Set<string>; sums: Sums; lines: Map<string, { model: string; place: string; sums: Sums }> }
  const people = new Map<string, Person>()
  for (const { principal, origin, model, place, sums } of rows.spenders) {
    const person: Person = people.get(principal) ?? { origins: new Set(), sums: noSums(), lines: new Map() }
    people.set(principal, person)
    person.origins.add(origin)
    add(person.sums, sums)
    const line = person.lines.get(`${place} ${model}`) ?? { model, place, sums: noSums() }
    person.lines.set(`${place} ${model}`, line)
    add(line.sums, sums)
  }
  const statements = [...people].map(([principal, { origins, sums, lines }]) => {
    const { name: _name, ...label } = labelled(principal, rows.keyNames)
    return {
      principal, ...label, origins: [...origins].toSorted(), totals: figuresOf(sums, null, usdPerKwh),
      lines: [...lines.values()].map((line) => ({ model: line.model, place: line.place, ...figuresOf(line.sums, null, usdPerKwh) }))
        .toSorted((one, other) => other.usdMicros - one.usdMicros || other.promptTokens - one.promptTokens || (one.model < other.model ? -1 : 1)),
      ...(rows.ended.principals.get(principal) ?? { jobs: 0, checked: 0, resolved: 0 }),
    }
  })
  return { month, closed, statements: statements.toSorted((one, other) => other.totals.usdMicros - one.totals.usdMicros || (one.principal < other.principal ? -1 : 1)) }
}

function figuresOf(sums: Sums, bytes: number | null, usdPerKwh: number | null): UsageFigures {
  const joules = sums.measuredCalls === 0 ? null : sums.joules
  const kwh = joules === null ? null : joules / joulesPerKwh
  return {
    calls: sums.calls, promptTokens: sums.promptTokens, reusedTokens: sums.reusedTokens, cacheWriteTokens: sums.cacheWriteTokens, completionTokens: sums.completionTokens,
    modelSeconds: sums.ms / 1000, measuredCalls: sums.measuredCalls, localCalls: sums.localCalls, joules, kwh, energyUsdMicros: kwh === null || usdPerKwh === null ? null : Math.round(kwh * usdPerKwh * 1e6),
    usdMicros: sums.usdMicros, prepaidUsdMicros: sums.prepaidUsdMicros, chargedCalls: sums.chargedCalls, bytesLeftBox: bytes,
  }
}

function byProject(groups: readonly Group[], projects: readonly ProjectEntry[]): Group[] {
  const found = new Map<string, Group>()
  for (const { name, sums, bytes } of groups) {
    const id = projectOf(name, projects)?.id ?? name
    const known = found.get(id)
    if (known === undefined) found.set(id, { name: id, sums: { ...sums }, bytes })
    else {
      add(known.sums, sums)
      known.bytes = (known.bytes ?? 0) + (bytes ?? 0)
    }
  }
  return [...found.values()]
}

function sorted(groups: readonly Group[], by: string): Group[] {
  return groups.toSorted(by === 'day' || by === 'month' ? (a, b) => (a.name < b.name ? -1 : 1) : dearestFirst)
}

function outcomesOf({ ended }: UsageRows): UsageReport['jobs']['byOutcome'] {
  const outcomes = new Map<string, UsageReport['jobs']['byOutcome'][number]>()
  for (const { state, checked, jobs, usdMicros, prepaidUsdMicros } of ended.outcomes) {
    const known = outcomes.get(state) ?? { outcome: state, jobs: 0, checked: 0, usdMicros: 0, prepaidUsdMicros: 0, usdMicrosPerJob: 0 }
    const all = { ...known, jobs: known.jobs + jobs, checked: known.checked + (checked ? jobs : 0), usdMicros: known.usdMicros + usdMicros, prepaidUsdMicros: known.prepaidUsdMicros + prepaidUsdMicros }
    outcomes.set(state, { ...all, usdMicrosPerJob: all.usdMicros / all.jobs })
  }
  return [...outcomes.values()].toSorted((a, b) => b.jobs - a.jobs || (a.outcome < b.outcome ? -1 : 1))
}

function spendersOf(rows: UsageRows): UsageReport['spenders'] {
  const found = new Map<string, UsageReport['spenders'][number]>()
  for (const { principal, origin, sums } of rows.spenders) {
    const { name: _name, ...label } = labelled(principal, rows.keyNames)
    const known = found.get(`${origin} ${principal}`) ?? { principal, ...label, origin, calls: 0, tokens: 0, usdMicros: 0, prepaidUsdMicros: 0 }
    found.set(`${origin} ${principal}`, {
      ...known, calls: known.calls + sums.calls, tokens: known.tokens + tokensOf(sums), usdMicros: known.usdMicros + sums.usdMicros, prepaidUsdMicros: known.prepaidUsdMicros + sums.prepaidUsdMicros,
    })
  }
  return [...found.values()].toSorted((a, b) => b.usdMicros - a.usdMicros || b.tokens - a.tokens || (a.principal < b.principal ? -1 : 1))
}

function daysOf({ days, ended }: UsageRows): UsageReport['days'] {
  const calls = new Map(days.map((one) => [one.day, one]))
  return [...new Set([...calls.keys(), ...ended.days.keys()])].toSorted().map((day) => {
    const [called, over] = [calls.get(day), ended.days.get(day)]
    return {
      day, localTokens: tokensOf(called?.work.local), lanTokens: tokensOf(called?.work.lan), remoteTokens: tokensOf(called?.work.remote),
      usdMicros: called?.all.usdMicros ?? 0, prepaidUsdMicros: called?.all.prepaidUsdMicros ?? 0,
      checkedJobs: over?.checked ?? 0, resolvedJobs: over?.resolved ?? 0, jobsUsdMicros: over?.usdMicros ?? 0,
    }
  })
}

function parts(of: (place: 'local' | 'lan' | 'remote') => number): UsageReport['tokens'] {
  const [local, lan, remote] = [of('local'), of('lan'), of('remote')]
  const all = local + lan + remote
  return { local, lan, remote, localShare: all === 0 ? null : local / all }
}

function labelled(name: string, keyNames: Readonly<Record<string, string>>): { name: string; label?: string } {
  const label = keyNames[name]
  return label === undefined ? { name } : { name, label }
}

function tokensOf(sums: Sums | undefined): number {
  return sums === undefined ? 0 : sums.promptTokens + sums.completionTokens
}
