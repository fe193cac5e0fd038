// The task set, played: the recorded courses as a regression of what a job costs, or any model really, judged by checks that it never sees.
import { appendFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { composeParts } from '@hearth/daemon/compose'
import { readConfig } from '@hearth/daemon'
import { loadScript } from '@hearth/engine'
import { Catalog, Config, resolvePaths, type Model } from '@hearth/protocol'
import { recordPlay } from '../../test/tasks/record.ts'
import { readTasks, type TaskFolder } from '../../test/tasks/set.ts'
import { TaskTable, type Played } from '../../test/tasks/table.ts'
import { benchHome } from './engine-parts.ts'
import { recorded, within, type Benchmark, type Context, type Row } from './frame.ts'
import { randomCalls } from './starter.ts'

/** Each task of the starter with so many sets of words. */
const starterVariants = 5
/** A play of a real model ends at the latest then. */
const playSeconds = 1800

/** What the options --model, --tasks, --update and --record ask for. */
type AgentWish = NonNullable<Context['agent']>
type Line = { task: TaskFolder; variant: number; played: Played }

export const agent: Benchmark = {
  name: 'agent',
  title: 'The task set: outcome and cost of thirty small jobs',
  async run(context) {
    const wish = context.agent ?? { model: null, tasks: null, update: false, record: false }
    const tasks = readTasks().filter(({ name }) => wish.tasks === null || name.includes(wish.tasks))
    const table = new TaskTable()
    try {
      if (wish.model === null) return await replayed(context, table, tasks, wish)
      const opened = await openModel(context, wish.model)
      try {
        return await asked(context, table, opened.starter ? tasks.filter(({ starter }) => starter) : tasks, opened, wish)
      } finally {
        await opened.close()
      }
    } finally {
      await table.close()
    }
  },
}

async function replayed({ root, say }: Context, table: TaskTable, tasks: readonly TaskFolder[], wish: AgentWish): Promise<Row[]> {
  const lines: Line[] = []
  for (const task of tasks) {
    const script = await loadScript(task.trajectory)
    if (!script.ok) throw new Error(script.fault.message)
    const played = await table.play(task, script.model)
    say(lineOf({ task, variant: 0, played }))
    if (!played.verdict.passed) throw new Error(`The course of ${task.name} does not pass its hidden check: ${played.verdict.output}`)
    if (wish.update) recordPlay(task, played)
    lines.push({ task, variant: 0, played })
  }
  const markdown = tableOf(lines)
  console.log(`${markdown}\n`)
  if (wish.record) write(root, 'the recorded courses of the task set', '`scripts/bench agent`: the scripted model, four characters a token; seconds on a busy machine say little.', markdown)
  const before = sum(tasks, ({ expected }) => expected?.evaluatedTokens ?? 0)
  const sentBefore = sum(tasks, ({ expected }) => expected?.promptTokens ?? 0)
  const names = { bench: 'agent', unit: 'tokens', note: 'recorded courses; the scripted model counts' }
  return [
    within({ ...names, figure: `sent in ${tasks.length} tasks` }, [sum(lines, ({ played }) => played.promptTokens)], { name: 'stored', value: sentBefore }, { is: 'at most', ratio: 1.05 }),
    within({ ...names, figure: 'evaluated anew' }, [sum(lines, ({ played }) => played.evaluatedTokens)], { name: 'stored', value: before }, { is: 'at most', ratio: 1.05 }),
    recorded({ ...names, figure: 'time of a task', unit: 's', note: 'loop, tools and sandbox; no model' }, lines.map(({ played }) => played.seconds)),
  ]
}

async function asked({ root, say }: Context, table: TaskTable, tasks: readonly TaskFolder[], { model, starter }: Opened, wish: AgentWish): Promise<Row[]> {
  const play = async (by: Model, loud: boolean): Promise<Line[]> => {
    const lines: Line[] = []
    for (const task of tasks) {
      for (let variant = 0; variant < (starter ? starterVariants : 1); variant++) {
        const varied = table.vary(task, variant)
        const line = { task, variant, played: await table.play(varied, by, { seed: 1 + variant, timeoutSeconds: playSeconds }) }
        if (loud) say(lineOf(line))
        lines.push(line)
      }
    }
    return lines
  }
  const lines = await play(model, true)
  const markdown = tableOf(lines)
  console.log(`${markdown}\n`)
  const name = model.info.id
  const passed = (found: readonly Line[]): number => found.filter(({ played }) => played.verdict.passed).length
  const names = { bench: 'agent', unit: `of ${lines.length}`, note: 'judged by the hidden checks' }
  const rows: Row[] = [
    recorded({ ...names, figure: `right by ${name}` }, [passed(lines)]),
    recorded({ bench: 'agent', figure: `prompt tokens sent by ${name}`, unit: 'tokens', note: 'of a task' }, lines.map(({ played }) => played.promptTokens)),
    recorded({ bench: 'agent', figure: `evaluated anew by ${name}`, unit: 'tokens', note: 'of a task' }, lines.map(({ played }) => played.evaluatedTokens)),
    recorded({ bench: 'agent', figure: `time of a task, ${name}`, unit: 's', note: 'the first one loads it' }, lines.map(({ played }) => played.seconds)),
  ]
  const chance = starter ? await play(randomCalls(model), false) : null
  if (chance !== null) rows.push(recorded({ ...names, figure: 'right by random legal calls', note: 'the same loop, tools and schema; arguments drawn from the conversation' }, [passed(chance)]))
  if (wish.record) {
    const beside = chance === null ? '' : ` Random legal calls: ${passed(chance)} of ${chance.length}.`
    write(root, `the task set by ${name}`, `\`scripts/bench agent --model ${wish.model ?? name}\`: ${passed(lines)} of ${lines.length} right by the hidden checks.${beside}`, markdown)
  }
  return rows
}

type Opened = { model: Model; starter: boolean; close(): Promise<void> }

/** The model of an id as the daemon would find it with the owner's configuration; `starter`: the catalogue's default, from the test cache. */
async function openModel({ root, model: path }: Context, id: string): Promise<Opened> {
  const entry = Catalog.parse(JSON.parse(readFileSync(join(root, 'models.json'), 'utf8'))).models.find((one) => one.id === Config.parse({}).models.default)
  const isStarter = id === 'starter' || id === entry?.id
  const kept = isStarter ? benchHome() : null
  const paths = resolvePaths(kept === null ? process.env : { HEARTH_HOME: kept.home }, process.getuid?.() ?? 0)
  const config = isStarter ? Config.parse({ engine: { contextTokens: 4096, sequences: 1, backend: 'cpu' } }) : await readConfig(paths.config)
  const parts = composeParts({ config, paths, store: { egress: () => Promise.resolve() }, log: () => undefined, node: process.execPath, root, env: process.env })
  const close = async (): Promise<void> => {
    await parts.close()
    kept?.remove()
  }
  try {
    if (isStarter) {
      const taken = await (await parts.shelf()).importFile({ path, id: null, copy: false })
      if (!taken.ok) throw new Error(taken.fault.message)
    }
    const found = await parts.model(isStarter ? entry?.id ?? id : id)
    if (!found.ok) throw new Error(`${found.fault.message} ${found.fault.remedy}`)
    return { model: found.model, starter: isStarter, close }
  } catch (error) {
    await close()
    throw error
  }
}

function lineOf({ task, variant, played }: Line): string {
  return `${played.verdict.passed ? 'right' : 'wrong'}  ${task.name}${variant === 0 ? '' : ` (${variant + 1})`}  ${played.outcome}, ${played.steps} steps, ${played.promptTokens} tokens sent, ${played.evaluatedTokens} read, ${played.seconds.toFixed(1)} s`
}

/** Markdown; the plays of one task are one row. */
function tableOf(lines: readonly Line[]): string {
  const names = [...new Set(lines.map(({ task }) => task.name))]
  const row = (title: string, of: readonly Line[]): string => {
    const outcomes = [...new Set(of.map(({ played }) => played.outcome))].join(', ')
    return `| ${title} | ${of.filter(({ played }) => played.verdict.passed).length} of ${of.length} | ${outcomes} | ${sum(of, ({ played }) => played.steps)} | ${sum(of, ({ played }) => played.promptTokens)} | ${sum(of, ({ played }) => played.evaluatedTokens)} | ${sum(of, ({ played }) => played.seconds).toFixed(1)} |`
  }
  return [
    '| task | right | outcome | steps | prompt tokens | evaluated anew | seconds |', '|---|---|---|---|---|---|---|',
    ...names.map((name) => row(name, lines.filter(({ task }) => task.name === name))), row('**all**', lines),
  ].join('\n')
}

function write(root: string, title: string, how: string, table: string): void {
  appendFileSync(join(root, 'docs/log.md'), `\n## ${new Date().toISOString().slice(0, 10)}, ${title}\n${how}\n\n${table}\n`)
}

function sum<T>(all: readonly T[], of: (one: T) => number): number {
  return all.reduce((total, one) => total + of(one), 0)
}
