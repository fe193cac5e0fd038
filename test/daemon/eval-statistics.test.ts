// Proves the statistics of an evaluation on simulated models whose ability is known: the interval must hold the truth as often as it says.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { EvalSummary, type EvalArm, type EvalRow, type Interval } from '@hearth/protocol'
import { forksOf } from '../../packages/daemon/src/eval/fork-summary.ts'
import { bootstrap, chance, difference, meanOf, passRate, triggers, usdMicrosPerSolved } from '../../packages/daemon/src/eval/statistics.ts'
import { summarize } from '../../packages/daemon/src/eval/summary.ts'

type World = { tasks: number; repeats: number; ability: (task: number) => number; usdMicros?: number; escalates?: (task: number, alone: boolean) => boolean }

/** Rows of one arm: each task is solved with its set probability. */
function play(arm: EvalArm, world: World, random: () => number): EvalRow[] {
  return Array.from({ length: world.tasks * world.repeats }, (_, index): EvalRow => {
    const task = Math.floor(index / world.repeats)
    const solved = random() < world.ability(task)
    return {
      task: `task-${task}`, repeat: index % world.repeats, arm, solved, outcome: solved ? 'resolved' : 'check_failed', usdMicros: Math.round((world.usdMicros ?? 0) * (0.5 + random())),
      seconds: 10 * (0.5 + random()), joules: null, escalations: world.escalates?.(task, solved) === true ? 1 : 0, jobId: null,
    }
  })
}

const holds = (interval: Interval | null, truth: number): boolean => interval !== null && interval.low <= truth && truth <= interval.high
const average = (tasks: number, of: (task: number) => number): number => Array.from({ length: tasks }, (_, task) => of(task)).reduce((sum, value) => sum + value, 0) / tasks

describe('statistics of an evaluation', () => {
  const abilities: [string, (task: number) => number][] = [
    ['tasks of every difficulty', (task) => [0.05, 0.3, 0.6, 0.95][task % 4] ?? 0],
    ['tasks that are nearly always solved', () => 0.95],
    ['tasks that are always solved', () => 1],
    ['a coin', () => 0.5],
    ['tasks that are nearly never solved', () => 0.04],
  ]
  for (const [tasks, repeats] of [[10, 1], [30, 2]] as const) {
    for (const [name, ability] of abilities) {
      it(`recovers the truth in at least 90 of 100 evaluations: ${tasks} tasks, ${repeats} times, ${name}`, () => {
        const helped = (task: number): number => Math.min(1, ability(task) + 0.2)
        const truth = { rate: average(tasks, ability), gain: average(tasks, helped) - average(tasks, ability) }
        // Each job of the advised arm costs 300 on average; a failed one is billed and run once more on a frontier that always solves, at 1,000.
        const solvedPrice = 300 + (1 - average(tasks, helped)) * 1000
        const right = { rate: 0, gain: 0, price: 0 }
        for (let evaluation = 0; evaluation < 100; evaluation += 1) {
          const random = chance(evaluation * 7919 + tasks * 31 + repeats)
          const local = play('local', { tasks, repeats, ability }, random)
          const advise = play('advise', { tasks, repeats, ability: helped, usdMicros: 300 }, random)
          const frontier = play('frontier', { tasks, repeats, ability: () => 1, usdMicros: 1000 }, random)
          if (holds(passRate(local, evaluation), truth.rate)) right.rate += 1
          if (holds(difference(advise, local, evaluation), truth.gain)) right.gain += 1
          if (holds(usdMicrosPerSolved(advise, frontier, evaluation), solvedPrice)) right.price += 1
        }
        assert.ok(right.rate >= 90 && right.gain >= 90 && right.price >= 90, JSON.stringify(right))
      })
    }
  }

  it('has no empty interval where all or nothing was solved, and never leaves 0 to 1', () => {
    for (const ability of [0, 1]) {
      const rate = passRate(play('local', { tasks: 8, repeats: 1, ability: () => ability }, chance(1)), 1)
      assert.ok(rate !== null && rate.value === ability && rate.high - rate.low > 0.1 && rate.low >= 0 && rate.high <= 1, JSON.stringify(rate))
    }
  })

  it('is no surer for playing the same few tasks more often', () => {
    const width = (repeats: number): number => {
      const rate = passRate(play('local', { tasks: 6, repeats, ability: (task) => task % 2 }, chance(1)), 1)
      return rate === null ? NaN : rate.high - rate.low
    }
    assert.equal(width(1), width(50))
  })

  it('gives the same interval for the same seed, and says nothing of no rows', () => {
    const rows = play('local', { tasks: 20, repeats: 2, ability: () => 0.4 }, chance(3))
    assert.deepEqual(passRate(rows, 9), passRate(rows, 9))
    assert.equal(passRate([], 1), null)
    assert.equal(difference(rows, [], 1), null)
    assert.equal(meanOf(rows, () => null, 1), null)
    assert.equal(bootstrap(3, () => null, 1), null)
  })

  it('has no price of a solved job where nobody solves anything', () => {
    const none = play('local', { tasks: 10, repeats: 1, ability: () => 0 }, chance(1))
    assert.equal(usdMicrosPerSolved(none, none, 1), null)
    assert.equal(usdMicrosPerSolved(none, [], 1), null)
  })

  it('judges the moments of asking by what happens without help', () => {
    const row = (task: string, solved: boolean, escalations: number): EvalRow => ({ task, repeat: 0, arm: 'advise', solved, outcome: '', usdMicros: 0, seconds: 1, joules: null, escalations, jobId: null })
    const local = [row('a', true, 0), row('b', false, 0), row('c', false, 0), row('d', false, 0)]
    const advise = [row('a', true, 1), row('b', true, 2), row('c', false, 0), row('d', true, 1)]
    assert.deepEqual(triggers(advise, local), { asked: 3, needed: 3, precision: 2 / 3, recall: 2 / 3 })
    assert.deepEqual(triggers([], local), { asked: 0, needed: 0, precision: null, recall: null })
  })
})

describe('statistics of forks', () => {
  type Forks = { tasks: number; repeats: number; triggers: (task: number) => number; alone: number; helped: number; silent: number }
  /** Rows of two arms that go on from the same courses; `apart`: the same abilities, each arm with courses of its own. */
  const forked = ({ tasks, repeats, triggers, alone, helped, silent }: Forks, random: () => number, apart = false): { local: EvalRow[]; advise: EvalRow[] } => {
    const [local, advise]: [EvalRow[], EvalRow[]] = [[], []]
    for (let index = 0; index < tasks * repeats; index += 1) {
      const task = Math.floor(index / repeats)
      const course = (): { fires: boolean; solved: boolean } => ({ fires: random() < triggers(task), solved: random() < silent })
      const common = course()
      for (const [arm, rows, able] of [['local', local, alone], ['advise', advise, helped]] as const) {
        const { fires, solved } = apart ? course() : common
        const fork = { jobId: `${index}`, step: fires ? 3 : null, trigger: fires ? 'check_failed' : null, usdMicros: fires && arm === 'advise' ? 1000 : 0, seconds: fires ? 4 : 0, joules: null }
        rows.push({
          task: `task-${task}`, repeat: index % repeats, arm, solved: fires ? random() < able : solved, outcome: '', usdMicros: fork.usdMicros, seconds: 10 + fork.seconds, joules: null,
          escalations: fires && arm === 'advise' ? 1 : 0, jobId: null, ...(apart ? {} : { fork }),
        })
      }
    }
    return { local, advise }
  }
  const width = (interval: Interval | null): number => (interval === null ? NaN : interval.high - interval.low)

  const worlds: [string, Omit<Forks, 'tasks' | 'repeats'>][] = [
    ['half of the courses ask, and help does much', { triggers: () => 0.5, alone: 0.2, helped: 0.7, silent: 0.8 }],
    ['few ask', { triggers: () => 0.1, alone: 0.2, helped: 0.7, silent: 0.8 }],
    ['all ask, and help does a little', { triggers: () => 1, alone: 0.5, helped: 0.7, silent: 0 }],
    ['help does nothing', { triggers: () => 0.5, alone: 0.5, helped: 0.5, silent: 0.8 }],
    ['help does harm', { triggers: () => 0.6, alone: 0.5, helped: 0.2, silent: 0.8 }],
    ['each second task always asks', { triggers: (task) => task % 2, alone: 0.1, helped: 0.9, silent: 0.9 }],
  ]
  for (const [tasks, repeats] of [[5, 1], [10, 1], [30, 2]] as const) {
    for (const [name, world] of worlds) {
      it(`recovers the truth in at least 90 of 100 evaluations, with less doubt than courses apart: ${tasks} tasks, ${repeats} times, ${name}`, () => {
        const gain = world.helped - world.alone
        const truth = average(tasks, world.triggers) * gain
        const right = { whole: 0, moments: 0, none: 0 }
        const widths = { matched: 0, apart: 0 }
        for (let evaluation = 0; evaluation < 100; evaluation += 1) {
          const random = chance(evaluation * 7919 + tasks * 31 + repeats)
          const { local, advise } = forked({ ...world, tasks, repeats }, random)
          const apart = forked({ ...world, tasks, repeats }, random, true)
          const found = difference(advise, local, evaluation)
          if (holds(found, truth)) right.whole += 1
          const moments = difference(advise.filter(({ fork }) => fork?.step !== null), local.filter(({ fork }) => fork?.step !== null), evaluation)
          if (moments === null) right.none += 1
          else if (holds(moments, gain)) right.moments += 1
          widths.matched += width(found)
          widths.apart += width(difference(apart.advise, apart.local, evaluation))
        }
        assert.ok(right.whole >= 90 && right.moments >= 0.9 * (100 - right.none), JSON.stringify(right))
        assert.ok(widths.matched < widths.apart, JSON.stringify(widths))
      })
    }
  }

  it('counts moments, needed ones and silent failures, and judges an arm by the same moments', () => {
    const row = (arm: EvalArm, task: string, step: number | null, solved: boolean): EvalRow => ({
      task, repeat: 0, arm, solved, outcome: '', usdMicros: 0, seconds: 1, joules: null, escalations: step !== null && arm === 'advise' ? 1 : 0, jobId: null,
      fork: { jobId: task, step, trigger: step === null ? null : 'check_failed', usdMicros: 0, seconds: 0, joules: null },
    })
    const both = (task: string, step: number | null, alone: boolean, helped: boolean): EvalRow[] => [row('local', task, step, alone), row('advise', task, step, helped)]
    const { fork: _fork, ...plain } = row('advise', 'f', 2, true)
    const rows = [...both('a', 3, false, true), ...both('b', 2, true, true), ...both('c', 4, false, false), ...both('d', null, false, false), ...both('e', null, true, true), { ...plain, unforked: 'processes ran' }]
    const found = forksOf(rows, 1)
    assert.deepEqual([found?.courses, found?.triggers, found?.needed, found?.missed, found?.unforked], [6, 3, 2, 1, 1])
    const advise = found?.arms.find(({ arm }) => arm === 'advise')
    assert.deepEqual([advise?.triggers, advise?.passRate.value, advise?.useful, advise?.gain?.value], [3, 2 / 3, 0.5, 2 / 3 - 1 / 3])
    // Asked at a, b and c; needed at a and c; d fails and never asked.
    const of = (arm: EvalArm): EvalRow[] => rows.filter((one) => one.arm === arm && one.task !== 'f')
    assert.deepEqual(triggers(of('advise'), of('local')), { asked: 3, needed: 3, precision: 2 / 3, recall: 2 / 3 })
    assert.equal(forksOf(rows.filter(({ arm }) => arm === 'advise'), 1)?.needed, null)
    assert.equal(forksOf([], 1), null)
    // What was kept of its course was removed before its last arm was played.
    const [first] = both('g', 2, false, true)
    assert.ok(first !== undefined)
    const cut = forksOf([first, { ...plain, task: 'g', unforked: 'what was kept is gone' }], 1)
    assert.deepEqual([cut?.courses, cut?.triggers, cut?.unforked], [1, 1, 0])
  })

  it('compares only what both arms played, and takes no pair for matched that is not', () => {
    const { local, advise } = forked({ tasks: 12, repeats: 2, triggers: () => 1, alone: 0, helped: 1, silent: 0 }, chance(1))
    assert.equal(difference(advise, local.filter(({ repeat }) => repeat === 0), 1)?.value, 1)
    const other = local.map((one, index) => (index > 0 || one.fork === undefined ? one : { ...one, fork: { ...one.fork, jobId: 'another' } }))
    assert.ok(width(difference(advise, other, 1)) > width(difference(advise, local, 1)))
  })
})

describe('verdict of an evaluation', () => {
  const world = { tasks: 40, repeats: 3 }
  const rows = (advised: number, atRandom: number, again: number): EvalRow[] => {
    const random = chance(5)
    return [
      ...play('local', { ...world, ability: () => 0.4 }, random), ...play('frontier', { ...world, ability: () => 0.95, usdMicros: 20_000 }, random),
      ...play('advise', { ...world, ability: () => advised, usdMicros: 2000, escalates: () => true }, random),
      ...play('random', { ...world, ability: () => atRandom, usdMicros: 2000, escalates: () => true }, random),
      ...play('local_again', { ...world, ability: () => again }, random),
    ]
  }

  it('says so when advice beats neither chance nor trying again', () => {
    const summary = summarize(rows(0.6, 0.6, 0.6))
    assert.deepEqual(EvalSummary.parse(summary), summary)
    const [random, again, local] = summary.verdict
    assert.match(random ?? '', /^Advice does not beat the same amount of advice at random moments \([+−]\d+ points, 95 % interval −\d+ to \+\d+\): on these tasks nothing shows that the signals choose their moments better than chance\.$/)
    assert.match(again ?? '', /^Advice does not beat the same time spent on further local tries .*: trying again for free may do as well\.$/)
    assert.match(local ?? '', /^'advise' solves more than the local model alone/)
  })

  it('says so when the signals choose well, and when they choose badly', () => {
    assert.match(summarize(rows(0.9, 0.5, 0.5)).verdict[0] ?? '', /^The signals choose their moments better than chance: .*\(\+\d+ points, 95 % interval \+\d+ to \+\d+\)\.$/)
    assert.match(summarize(rows(0.4, 0.8, 0.5)).verdict[0] ?? '', /^Advice at random moments solves more than advice when the signals say so/)
  })

  it('warns of few tasks and compares nothing that was not played', () => {
    const summary = summarize(play('local', { tasks: 3, repeats: 1, ability: () => 1 }, chance(1)))
    assert.deepEqual(summary.verdict, ['3 tasks are few: only large differences can show.'])
    assert.deepEqual(summary.differences, [])
    assert.deepEqual(summarize([]), { tasks: 0, jobs: 0, arms: [], differences: [], verdict: ['0 tasks are few: only large differences can show.'] })
  })

  it('says that help was refused, and why', () => {
    const rows = play('advise', { tasks: 12, repeats: 1, ability: () => 0 }, chance(1)).map((row, index) => (index < 3 ? { ...row, denied: 'consent: Nothing may be bought: the configuration of this box says so.' } : row))
    assert.deepEqual(summarize(rows).verdict, ["In 3 of 12 jobs of 'advise' help was asked for and refused (consent: Nothing may be bought: the configuration of this box says so): they say nothing of what it would do."])
  })

  it('gives the share of the gap for a dollar only where there certainly is a gap', () => {
    const found = summarize(rows(0.675, 0.5, 0.5)).arms.find(({ arm }) => arm === 'advise')
    // Half of the gap for 0.2 cents.
    assert.ok(found?.gapPerUsd != null && found.gapPerUsd > 150 && found.gapPerUsd < 350, String(found?.gapPerUsd))
    const random = chance(2)
    const same = summarize((['local', 'frontier', 'advise'] as const).flatMap((arm) => play(arm, { ...world, ability: () => 0.5, usdMicros: 10 }, random)))
    assert.ok(same.arms.every(({ gapPerUsd }) => gapPerUsd === null))
  })
})
