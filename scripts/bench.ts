// Runs benchmarks by name, prints their rows, appends them to docs/bench.jsonl when asked, and draws what was recorded.
import { execFileSync } from 'node:child_process'
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, homedir, release, totalmem } from 'node:os'
import { join } from 'node:path'
import { agent } from './benches/agent.ts'
import { decode } from './benches/decode.ts'
import { growth } from './benches/growth.ts'
import { drawGrowth, drawPage, drawPicture, type Recorded } from './benches/draw.ts'
import { barText, figures, type Benchmark, type Context, type Row } from './benches/frame.ts'
import { interactive } from './benches/interactive.ts'
import { ledger } from './benches/ledger.ts'
import { residency } from './benches/residency.ts'
import { scanning } from './benches/scan.ts'
import { search } from './benches/search.ts'
import { http } from './benches/http.ts'
import { lookup } from './benches/lookup.ts'
import { signals } from './benches/signals.ts'
import { size } from './benches/size.ts'
import { starter } from './benches/starter.ts'
import { startup } from './benches/startup.ts'
import { trust } from './benches/trust.ts'
import { turns } from './benches/turns.ts'
import { usage } from './benches/usage.ts'
import { workspace } from './benches/workspace.ts'
import { wordsOf, wrongWords } from './words.ts'

/** Every benchmark there is; a new one is one file and one name here. */
const all: readonly Benchmark[] = [startup, size, starter, decode, lookup, residency, interactive, turns, http, trust, growth, search, workspace, ledger, usage, signals, scanning, agent]

/** Names that stand for several benchmarks whose rows make one table. */
const groups: Readonly<Record<string, readonly Benchmark[]>> = { engine: [decode, residency, interactive, lookup, http] }

const root = join(import.meta.dirname, '..')
const record = join(root, 'docs/bench.jsonl')
const { values, positionals } = wordsOf('bench', {
  options: {
    json: { type: 'boolean', default: false },
    record: { type: 'boolean', default: false },
    draw: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '9' },
    // Of the bench 'agent' alone.
    model: { type: 'string' },
    tasks: { type: 'string' },
    update: { type: 'boolean', default: false },
  },
  allowPositionals: true,
})

const cache = process.env['HEARTH_TEST_CACHE'] ?? join(homedir(), '.cache/hearth-test')
const context: Context = {
  root, cache,
  model: process.env['HEARTH_TEST_MODEL'] ?? join(cache, 'SmolLM2-135M-Instruct.Q4_1.gguf'),
  rounds: Number(values.rounds),
  say: (line) => console.error(`bench: ${line}`),
  agent: { model: values.model ?? null, tasks: values.tasks ?? null, update: values.update, record: values.record },
}

const asked = positionals.flatMap((name) => groups[name]?.map((one) => one.name) ?? [name])
const unknown = asked.filter((name) => !all.some((one) => one.name === name))
if (unknown.length > 0) wrongWords('bench', `there is no benchmark '${unknown.join("', '")}'; there are: ${[...Object.keys(groups), ...all.map((one) => one.name)].join(', ')}`)
if (!Number.isInteger(context.rounds) || context.rounds < 1) wrongWords('bench', '--rounds takes a number from 1')
if (values.list) {
  for (const [name, members] of Object.entries(groups)) console.log(`${name}  one table of ${members.map((one) => one.name).join(', ')}`)
  for (const one of all) console.log(`${one.name}  ${one.title}`)
}
else if (values.draw && !values.record && positionals.length === 0) draw()
else await measure(all.filter((one) => asked.length === 0 || asked.includes(one.name)))

async function measure(chosen: readonly Benchmark[]): Promise<void> {
  const rows: Row[] = []
  const machine = machineLine()
  if (!values.json) console.log(`${machine}\n`)
  for (const bench of chosen) {
    context.say(bench.title)
    const found = await bench.run(context)
    rows.push(...found)
    if (!values.json) console.log(`${bench.title}\n${found.map(line).join('\n')}\n`)
  }
  if (!values.json && chosen.length > 1) console.log(table(rows))
  const stamped: Recorded[] = rows.map((row) => ({ ...row, commit: commit(), date: new Date().toISOString().slice(0, 10), machine }))
  if (values.json) console.log(JSON.stringify(stamped, null, 1))
  if (values.record) appendFileSync(record, stamped.map((row) => `${JSON.stringify(row, shortNumbers)}\n`).join(''))
  if (values.draw) draw()
  const short = rows.filter((row) => row.verdict === 'falls short')
  if (!values.json) console.log(short.length === 0 ? 'every bar holds' : `falls short: ${short.map((row) => `${row.bench} ${row.figure}`).join(', ')}`)
  process.exitCode = short.length === 0 ? 0 : 1
}

function line(row: Row): string {
  const ours = `${figures(row.ours.median)} ${row.unit} (${figures(row.ours.min)}-${figures(row.ours.max)}, n=${row.ours.n})`
  const theirs = row.theirs === null ? '' : ` | ${row.theirs.name} ${'limit' in row.theirs ? figures(row.theirs.limit)
    : `${figures(row.theirs.spread.median)} (${figures(row.theirs.spread.min)}-${figures(row.theirs.spread.max)})`}`
  const ratio = row.ratio === null ? '' : ` | ratio ${figures(row.ratio.median)} [${figures(row.ratio.low)}, ${figures(row.ratio.high)}] | bar ${barText(row.bar)}`
  return `  ${row.verdict.padEnd(11)}  ${row.figure}: ${ours}${theirs}${ratio}${row.note === '' ? '' : `\n               ${row.note}`}`
}

/** All rows with something to compare, one line each, in columns. */
function table(rows: readonly Row[]): string {
  const cells = rows.filter((row) => row.ratio !== null).map((row) => [
    row.verdict, row.bench, row.figure, `${figures(row.ours.median)} ${row.unit}`,
    row.theirs === null ? '' : `${'limit' in row.theirs ? figures(row.theirs.limit) : figures(row.theirs.spread.median)} (${row.theirs.name})`,
    row.ratio === null ? '' : `${figures(row.ratio.median)} [${figures(row.ratio.low)}, ${figures(row.ratio.high)}]`, barText(row.bar), `n=${row.ours.n}`,
  ])
  const all = [['', 'bench', 'figure', 'ours', 'theirs', 'ratio [95 %]', 'bar', 'pairs'], ...cells]
  const widths = all[0]?.map((_, column) => Math.max(...all.map((line) => (line[column] ?? '').length))) ?? []
  return `${all.map((line) => line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd()).join('\n')}\n`
}

function draw(): void {
  const rows = existsSync(record) ? readFileSync(record, 'utf8').trim().split('\n').map((text) => JSON.parse(text) as Recorded) : []
  writeFileSync(join(root, 'docs/bench.svg'), drawPicture(rows))
  writeFileSync(join(root, 'docs/growth.svg'), drawGrowth(rows))
  writeFileSync(join(root, 'docs/bench-results.md'), drawPage(rows))
  console.error('bench: wrote docs/bench.svg, docs/growth.svg and docs/bench-results.md')
}

/** Five digits are more than any of these figures has. */
function shortNumbers(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toPrecision(5)) : value
}

/** Short hash of HEAD; `+` when files differ from it. */
function commit(): string {
  const git = (...argv: string[]): string => execFileSync('git', argv, { cwd: root, encoding: 'utf8' }).trim()
  try {
    return `${git('rev-parse', '--short=10', 'HEAD')}${git('status', '--porcelain', '--untracked-files=no') === '' ? '' : '+'}`
  } catch {
    return 'no commit'
  }
}

/** What the figures depend on; never the name of the machine. */
function machineLine(): string {
  const cores = cpus()
  return `${cores.length} x ${cores[0]?.model.trim() ?? 'unknown CPU'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release().split('-')[0] ?? ''}, Node ${process.version}`
}
