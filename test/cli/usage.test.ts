// How a report of usage reads: every line of it on a terminal, as CSV, and as a picture that holds no foreign markup.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { UsageReport, UsageStatement } from '@hearth/protocol'
import { inkOf } from '../../packages/cli/src/print.ts'
import { drawUsage } from '../../packages/cli/src/usage-plot.ts'
import { reportCsv, reportLines, statementCsv, statementLines } from '../../packages/cli/src/usage-text.ts'
import { emptyReport, noFigures, usageReport, usageStatement } from '../fixtures/usage-report.ts'
import { root } from '../fixtures/starter.ts'
import { usageDemo } from '../../scripts/usage-demo.ts'
import { withDaemon } from './cli.ts'

const ink = inkOf(false)

test('the fixtures are what the schema says', () => {
  UsageReport.parse(usageReport)
  UsageReport.parse(emptyReport)
  UsageStatement.parse(usageStatement)
})

test('all of a report, line by line', () => {
  assert.deepEqual(reportLines(usageReport, 200, ink), `since         the beginning, the first call on 2026-02-27; days are UTC
jobs          5 ended, 2 resolved
model calls   44, of them 1 cut off by a crash and charged at their worst price
tokens        129,000 prompt (103,000 reused, 2,000 written to a cache), 9,000 generated
done locally  93 % of tokens, 95 % of steps (answered turns that worked on jobs)
model time    1 m 47 s
energy        7,200 J above idle on 30 of 40 local calls (0.0020 kWh, $0.000600): APU PPT, not wall
spent         $0.12, and $0.03 at list price that packages covered
left the box  at least 4.0 KiB; 1 connection not counted, or not to the end

CALLS   PROMPT   REUSED  CACHED  GENERATED      TIME  JOULES  SPENT  PREPAID  MENDED  REFUSED  MODEL
    4    9,000    3,000   2,000      1,000    12.0 s       -  $0.12    $0.03       0        0  frontier
   40  120,000  100,000       0      8,000  1 m 35 s  7,200+  $0.00    $0.00       2        1  =small"<
+ not all of its local calls were measured

Jobs that ended, with all the money they cost
JOBS  CHECKED  SPENT  PREPAID  A JOB  OUTCOME
   2        2  $0.08    $0.00  $0.04  resolved
   2        2  $0.02    $0.03  $0.01  check_failed
   1        0  $0.00    $0.00  $0.00  done_unverified
4 jobs with a check: $0.10, $0.05 for each resolved one; 1 not over

Money by person and automation
SPENT  PREPAID  CALLS  WHO
$0.10    $0.03     14  automation  key:cron (nightly <b>)
$0.02    $0.00     30  person      socket:1000

Escalations
4 for $0.12 and $0.03 prepaid: 2 cleared what was wrong, 1 changed nothing, 0 made it worse, 1 not told yet or cut off
1 cleared something in a job that was then resolved: $0.12 of all that money for each
FOR ONE CLEARED  CLEARED  OF  MONEY  MODE    MODEL
         $0.025        2   2  $0.05  advise  frontier
              -        0   1  $0.10  step    frontier

Frontier cost avoided (an estimate)
$0.25: 120,000 prompt and 8,000 generated tokens of this box at the dated price of frontier, if
  - it would have taken the same tokens

The price of this box (an estimate)
$19.70 written off in 9 days + $0.000600 energy above idle + $0.50 idle; 128,000 local tokens, $157.80 a million ($1.95 at the frontier)
it saves $2.00 a day (95 %: -$0.10 a day to $4.00 a day): paid for after 1,200 days (95 %: 600 to never), on 2029-06-11
  - every day goes on as those that were counted

Free work left, by the speeds that hearth tune measured
small: 25 % busy (computing time of all local calls over 4 streams), room to generate 5,734,800 tokens a day at 88.5 tokens/s

This month, 2026-03
$0.09 spent; at the pace of the last 4.5 days ($0.02 a day) $0.60 at its end of $0.50, which is reached on 2026-03-24

PACKAGE           LEFT              OF  UNTIL
march    10,000 tokens  150,000 tokens  2026-03-31
! march: 10,000 tokens of 150,000 tokens are left.
lane: 500 of 12,000 paid tokens a minute used`.split('\n'))
})

test('an empty ledger says so, and nothing of what is not known', () => {
  assert.deepEqual(reportLines(emptyReport, 80, ink), `since         the beginning; days are UTC
jobs          0 ended, 0 resolved
model calls   0
tokens        0 prompt (0 reused), 0 generated
model time    0 ms
energy        nothing was computed on this box
spent         $0.00
left the box  0 bytes`.split('\n'))
  assert.match(drawUsage(emptyReport), /nothing was called/)
})

test('a box that does not pay for itself says so', () => {
  assert.ok(usageReport.box !== null)
  const never = { ...usageReport, box: { ...usageReport.box, netUsdMicrosPerDay: { value: -500_000, low: -900_000, high: 100_000 }, breakEvenDays: { value: null, low: 24_000, high: null }, breakEvenOn: null } }
  assert.ok(reportLines(never, 200, ink).includes('it saves -$0.50 a day (95 %: -$0.90 a day to $0.10 a day): it does not pay for itself at this rate, at best after 24,000 days'))
})

test('a box that has paid for itself says since when', () => {
  assert.ok(usageReport.box !== null)
  const even = { ...usageReport, box: { ...usageReport.box, breakEvenDays: { value: 8.5, low: null, high: null }, breakEvenOn: '2026-03-08' } }
  assert.match(reportLines(even, 200, ink, '2026-03-08').join('\n'), /: paid for after 9 days, since 2026-03-08/)
  assert.match(reportLines(even, 200, ink, '2026-03-07').join('\n'), /: paid for after 9 days, on 2026-03-08/)
})

test('CSV: what is not known is empty, quotes are doubled, and no cell is a formula', () => {
  assert.equal(reportCsv(usageReport), [
    '"model","label","calls","promptTokens","reusedTokens","cacheWriteTokens","completionTokens","modelSeconds","joules","measuredCalls","localCalls","kwh","energyUsdMicros","usdMicros","prepaidUsdMicros","chargedCalls","bytesLeftBox"',
    '"frontier","",4,9000,3000,2000,1000,12,"",0,0,"","",120000,30000,1,""', '"\'=small""<","",40,120000,100000,0,8000,95,7200,30,40,0.002,600,0,0,0,""', '',
  ].join('\r\n'))
  assert.match(reportCsv({ ...usageReport, rows: [{ ...noFigures, name: 'a', modelSeconds: 0.07995678300000054, usdMicros: 9_007_199_254_740_991 }] }), /"a","",0,0,0,0,0,0\.079956783,"",0,0,"","",9007199254740991,/)
  assert.match(statementCsv(usageStatement), /^"month",.*\r\n"2026-03","key:cron","nightly","frontier","remote",4,9000,/)
})

test('a statement of a month', () => {
  assert.deepEqual(statementLines(usageStatement, 200, ink), `Statement for 2026-03, which is not over: key:cron (nightly) (automation)
CALLS  PROMPT  REUSED  GENERATED    TIME  SPENT  PREPAID  PLACE   MODEL
    4   9,000   3,000      1,000  12.0 s  $0.12    $0.03  remote  frontier
    4   9,000   3,000      1,000  12.0 s  $0.12    $0.03  all
energy: nothing was computed on this box
3 jobs ended, 2 with a check, 1 resolved`.split('\n'))
})

test('the picture: a panel for each thing that is there, no foreign markup, days without a call too', () => {
  const svg = drawUsage(usageReport)
  for (const title of ['Tokens, read and written', 'Money for models', 'Cost of a resolved job', 'Jobs by outcome', 'Money by person and automation', 'What the next dollar bought']) assert.ok(svg.includes(title), title)
  assert.ok(svg.includes('nightly &lt;b&gt;') && !svg.includes('<b>'))
  assert.ok(svg.includes('>02-27<') || svg.includes('>02-28<'), 'the days of one year are told without it')
  assert.equal([...svg.matchAll(/<title>2026-03-01: /g)].length, 5, 'two parts of the tokens, two of the money, one price')
  assert.doesNotMatch(svg, /NaN|Infinity|undefined/)
  const year = { ...usageReport, days: Array.from({ length: 900 }, (_, index) => ({ day: new Date(Date.parse('2024-01-01') + index * 86_400_000).toISOString().slice(0, 10), localTokens: 5, lanTokens: 0, remoteTokens: 0, usdMicros: 0, prepaidUsdMicros: 0, checkedJobs: 0, resolvedJobs: 0, jobsUsdMicros: 0 })) }
  assert.equal([...drawUsage(year).matchAll(/<title>2024-\d\d: /g)].length, 12, 'many days are drawn by month')
})

/** Texts of a picture with where they begin and end, as wide as a common font makes them. */
function labels(svg: string): { panel: string; text: string; from: number; to: number; y: number; size: number }[] {
  return svg.split(/(?=<g transform=)/).slice(1).flatMap((panel, index) => [...panel.matchAll(/<text x="([-\d.]+)" y="([-\d.]+)" ([^>]*)>([^<]*)</g)].map(([, x, y, attributes = '', text = '']) => {
    const size = Number(/font-size="(\d+)"/.exec(attributes)?.[1] ?? 12)
    const width = text.length * size * 0.6
    const from = Number(x) - (attributes.includes('"end"') ? width : attributes.includes('"middle"') ? width / 2 : 0)
    return { panel: String(index), text, from, to: from + width, y: Number(y), size }
  }))
}

test('no label leaves its panel or lies on its neighbour: one day, 400 days, nothing but zeros, micro-dollars, millions', () => {
  const one = (index: number, times: number): UsageReport['days'][number] => ({
    day: new Date(Date.parse('2025-11-20') + index * 86_400_000).toISOString().slice(0, 10), localTokens: 30_000 * times, lanTokens: index % 5 * times, remoteTokens: 7000 * times, usdMicros: 120_000 * times, prepaidUsdMicros: index % 3 * times,
    checkedJobs: 3, resolvedJobs: index % 4, jobsUsdMicros: 90_000 * times,
  })
  const long = 'openrouter/somebody/a-model-with-a-name-that-does-not-end-4.5'
  const reports = [0, 1e-5, 1, 1e9].flatMap((times) => [1, 2, 30, 62, 100, 400, 2000].map((days): UsageReport => ({
    ...usageReport, days: Array.from({ length: days }, (_, index) => one(index, times)),
    spenders: usageReport.spenders.map((spender) => ({ ...spender, label: 'a key of the 会計部門の夜間の処理 \u001b[31m', usdMicros: spender.usdMicros * times })),
    jobs: { ...usageReport.jobs, byOutcome: usageReport.jobs.byOutcome.map((outcome) => ({ ...outcome, jobs: outcome.jobs * Math.ceil(times), usdMicrosPerJob: outcome.usdMicrosPerJob * times })) },
    escalations: { ...usageReport.escalations, curve: Array.from({ length: 9 }, (_, index) => ({ mode: 'advise', model: `${long}${index}`, count: 30 * Math.ceil(times), cleared: (9 - index) * Math.ceil(times), usdMicros: 50_000 * times, usdMicrosPerCleared: 50_000 / (9 - index) })) },
  })))
  for (const report of reports) {
    const found = labels(drawUsage(report))
    for (const { text, from, to } of found) {
      assert.ok(from >= -12 && to <= 482, `'${text}' stands from ${from} to ${to} in a panel of 470`)
      assert.doesNotMatch(text, /e[-+]\d|[\u0000-\u001f]|NaN|Infinity/)
    }
    for (const [, line] of Map.groupBy(found.filter(({ text }) => /^\d[\d-]{3,}$/.test(text)), ({ panel, y }) => `${panel} ${y}`)) {
      for (const [index, { text, from }] of line.entries()) assert.ok(index === 0 || from > (line[index - 1]?.to ?? 0), `'${text}' lies on the day before it`)
    }
  }
})

test('hearth usage asks for what its flags say, and writes a picture', async (t) => {
  const { home, daemon } = await withDaemon(t, { events: [] })
  const ran = await home.hearth('usage', '--since', '2026-01-01', '--until', '2026-01-31', '--by', 'tag:customer', '--tag', 'a=b', '--principal', 'key:x', '--svg', 'u.svg')
  assert.deepEqual([ran.code, ran.stderr], [0, ''])
  assert.match(ran.stdout, /^since +the beginning/)
  assert.match(readFileSync(join(home.dir, 'u.svg'), 'utf8'), /^<svg /)
  const asked = new URL(daemon.requests.at(-1)?.path ?? '', 'http://x').searchParams
  assert.deepEqual(Object.fromEntries(asked), { by: 'tag:customer', limit: '40', since: String(Date.parse('2026-01-01')), until: String(Date.parse('2026-02-01')), tag: 'a=b', principal: 'key:x' })
  assert.match((await home.hearth('usage', '--csv')).stdout, /^"model","label","calls"/)
  assert.match((await home.hearth('usage', '--statement', '2026-03', '--csv')).stdout, /^"month","principal"/)
  assert.equal(daemon.requests.at(-1)?.path, '/api/usage/statement?month=2026-03')
  for (const [words, problem] of [
    [['--by', 'hour'], "--by takes day, month, job, person, automation, principal, model, place, purpose, project or tag:KEY, not 'hour'."], [['--tag', 'customer'], "--tag takes KEY=VALUE, not 'customer'."],
    [['--statement', '2026-13'], "--statement takes a month like 2026-11, not '2026-13'."], [['--statement', '2026-11', '--by', 'day'], '--by says nothing of a statement: it is of one month, by principal.'],
    [['--json', '--csv'], '--json and --csv cannot both be meant.'], [['--until', '2026-02-31T9'], "--until takes a time like 24h or 7d, or a date like 2026-01-31, not '2026-02-31T9'."],
    [['--since', '2026-02-31'], "--since takes a time like 24h or 7d, or a date like 2026-01-31, not '2026-02-31'."], [['--until', '2026-04-31T10:00'], "--until takes a time like 24h or 7d, or a date like 2026-01-31, not '2026-04-31T10:00'."],
  ] as const) {
    const failed = await home.hearth('usage', ...words)
    assert.equal(failed.code, 64)
    assert.ok(failed.stderr.includes(problem), `${failed.stderr} is not ${problem}`)
  }
})

test('the picture in the docs is what is drawn of its ledger today', async () => {
  assert.equal(readFileSync(join(root, 'docs/usage.svg'), 'utf8'), await usageDemo(), "it is old: run 'node_modules/.bin/node scripts/usage-demo.ts --write'")
})
