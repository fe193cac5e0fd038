// Owns `hearth eval`: has the daemon play tasks in several arms and shows how they compare; as text, JSON, rows or a picture. Plays and judges nothing itself.
import { resolve } from 'node:path'
import type { EvalArm, EvalEvent, EvalRequestInput, EvalStart } from '@hearth/protocol'
import { usageFault, type Args } from '../args.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { serve } from '../daemon.ts'
import { courseLine, rowLine, summaryLines } from '../eval-text.ts'
import { drawEval } from '../eval-plot.ts'
import { momentMs } from '../moment.ts'
import { operate } from '../operation.ts'
import { counted } from '../print.ts'
import { save } from '../save.ts'
import { oneLine } from '../text.ts'

/** As protocol/eval.ts has them: a command does not load the schemas for them. */
export const arms: readonly EvalArm[] = ['local', 'local_again', 'stronger', 'frontier', 'plan', 'advise', 'step', 'rest', 'review', 'random', 'oracle']
const usual = 'local,local_again,advise,random'
/** It can be gone on with. */
const exitStopped = 75

export const evaluate: Command = {
  spec: {
    name: 'eval', operands: '[DIR]', arity: [0, 1],
    about: 'Plays tasks with hidden checks in several arms (the local model alone, with bought advice, with the same advice at random moments, …) and says what may be concluded: share of solved jobs, '
      + 'money, time, whether the moments of asking were well chosen. Each row is a normal job, so budgets and rules of this box hold. DIR is a folder of tasks (docs/eval.md); nothing in it is changed. '
      + 'Ctrl-C keeps what was played; --resume goes on. Exit 75 when it stopped before its end, e.g. at a limit in money.',
    flags: {
      'from-jobs': { type: 'string', value: 'QUERY', help: "the owner's own finished jobs with checks as tasks: all, or since=7d,limit=20,state=resolved,folder=DIR,tag=K:V" },
      arms: { type: 'string', value: 'LIST', help: `of ${arms.join(', ')} (default ${usual})` },
      model: { type: 'string', value: 'ID', help: 'the local model that is helped (default: jobs.model, else the best installed one)' },
      frontier: { type: 'string', value: 'ID', help: 'the model of the arm frontier (default: the first of the first provider)' },
      stronger: { type: 'string', value: 'ID', help: 'the model of the arm stronger' },
      fork: { type: 'boolean', help: 'play the local course of a task once, and go on in each arm that can from where help would be asked for first; frontier, plan, local-again, random and oracle begin at the start' },
      repeats: { type: 'string', value: 'N', help: 'plays of each task in each arm, each with another seed (default 1)' },
      seed: { type: 'string', value: 'N', help: 'the same seed gives the same seeds of jobs, random moments and intervals (default 1)' },
      'max-usd': { type: 'string', value: 'USD', help: 'money that all its jobs together may spend (default: what the budgets of this box allow)' },
      rows: { type: 'string', value: 'FILE', help: 'write a line of JSON for each job' },
      svg: { type: 'string', value: 'FILE', help: 'draw money against the share of solved jobs' },
      resume: { type: 'string', value: 'ID', help: 'go on with one that was cut off; its tasks, arms and models stay as they were' },
    },
    examples: [
      ['hearth eval tasks --arms local,advise,random,local_again --repeats 3 --max-usd 2', 'does advice pay, and are its moments well chosen?'],
      ['hearth eval tasks --fork --arms local,advise,step,stronger --stronger qwen3-8b', 'from the same moments: going on alone, advice, a step taken over, a stronger model'],
      ['hearth eval --from-jobs since=30d,limit=20 --arms local,stronger --stronger qwen3-8b', 'another model on the own work'],
      ['hearth eval --resume 7k2m9x4tq8wz --svg eval.svg', 'go on, and draw the result'],
    ],
  },
  async run(ctx, args) {
    const start = startOf(ctx, args)
    const { client } = await serve(ctx)
    let id: string | null = null
    try {
      const done = await operate<EvalEvent>(ctx, {
        client, path: '/api/eval', body: start, json: args.flag('json'), left: 'the terminal; what was played is kept', noResult: 'the evaluation ended without a result',
        tell(event) {
          if (event.type === 'begun') ({ id } = event)
          tell(ctx, event)
        },
      })
      if (!args.flag('json')) for (const line of summaryLines(done.summary, ctx.out.width, ctx.out.ink)) ctx.out.line(line)
      const [rows, svg] = [args.text('rows'), args.text('svg')]
      if (rows !== null) save(resolve(ctx.cwd, rows), done.rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
      if (svg !== null) save(resolve(ctx.cwd, svg), drawEval(done.summary))
      if (done.stopped === null) return 0
      ctx.err.line(ctx.err.ink.yellow(`It stopped before its end: ${oneLine(done.stopped)}. 'hearth eval --resume ${done.id}' goes on.`))
      return exitStopped
    } catch (error) {
      if (id !== null) ctx.err.line(`'hearth eval --resume ${String(id)}' goes on where it was.`)
      throw error
    }
  },
}

function tell(ctx: Context, event: Exclude<EvalEvent, { type: 'done' | 'failed' }>): void {
  const { err } = ctx
  switch (event.type) {
    case 'begun':
      err.line(`evaluation ${event.id}: ${counted(event.jobs, 'job')} of ${counted(event.tasks, 'task')} in ${counted(event.request.arms.length, 'arm')}${event.done === 0 ? '' : `, ${event.done} played before`}`)
      for (const { task, why } of event.skipped) err.line(err.ink.dim(`left out: ${oneLine(task)}: ${oneLine(why)}`))
      return
    case 'playing': return
    case 'waiting': return err.line(err.ink.yellow(`job ${event.jobId} waits: ${oneLine(event.reason)} ('hearth approve ${event.jobId}')`))
    case 'course': return err.line(err.ink.dim(courseLine(event)))
    case 'row': return err.line(rowLine(event.row, event.done, event.jobs, err.ink))
    default: event satisfies never
  }
}

function startOf(ctx: Context, args: Args): EvalStart {
  const [folder] = args.operands
  const [resume, query] = [args.text('resume'), args.text('from-jobs')]
  if (resume !== null) {
    const other = args.flag('fork') ? 'fork' : ['from-jobs', 'arms', 'model', 'frontier', 'stronger', 'repeats', 'seed', 'max-usd'].find((name) => args.text(name) !== null)
    if (folder !== undefined || other !== undefined) throw usageFault(`--resume goes on with what was asked for then; ${folder === undefined ? `--${other}` : folder} cannot be changed.`)
    return { resume }
  }
  if ((folder === undefined) === (query === null)) throw usageFault("'hearth eval' needs a folder of tasks, or --from-jobs QUERY, one of them.")
  const [repeats, seed] = [args.whole('repeats', 1), args.whole('seed', 0)]
  return {
    folder: folder === undefined ? null : resolve(ctx.cwd, folder), jobs: query === null ? null : jobsOf(query, ctx.cwd), arms: armsOf(args.text('arms') ?? usual),
    model: args.text('model'), frontier: args.text('frontier'), stronger: args.text('stronger'), maxUsdMicros: args.usdMicros('max-usd'), fork: args.flag('fork'),
    ...(repeats === null ? {} : { repeats }), ...(seed === null ? {} : { seed }),
  }
}

function armsOf(list: string): EvalArm[] {
  return list.split(',').map((word) => {
    const found = arms.find((arm) => arm === word.trim().replaceAll('-', '_'))
    if (found === undefined) throw usageFault(`--arms takes a list of ${arms.join(', ')}, not '${word}'.`)
    return found
  })
}

/** 'all', or terms with a comma between them. */
function jobsOf(query: string, cwd: string): NonNullable<EvalRequestInput['jobs']> {
  const found: NonNullable<EvalRequestInput['jobs']> = {}
  const tags: Record<string, string> = {}
  for (const term of query === 'all' ? [] : query.split(',')) {
    const [, name = '', value = ''] = /^([a-z]+)=(.+)$/.exec(term.trim()) ?? []
    switch (name) {
      case 'since': found.since = momentMs('since', value); break
      case 'limit': found.limit = wholeOf(value); break
      case 'state': found.state = value as NonNullable<typeof found.state>; break
      case 'folder': found.folder = resolve(cwd, value); break
      case 'tag': {
        const [, key, text = ''] = /^([^:]+):(.*)$/.exec(value) ?? []
        if (key === undefined) throw usageFault(`--from-jobs takes a tag as tag=K:V, not '${term}'.`)
        tags[key] = text
        break
      }
      default: throw usageFault(`--from-jobs takes all, or terms such as since=7d,limit=20,state=resolved,folder=DIR,tag=K:V, not '${term}'.`)
    }
  }
  return { ...found, tags }
}

function wholeOf(word: string): number {
  if (!/^[1-9]\d{0,3}$/.test(word)) throw usageFault(`--from-jobs takes limit=N with N from 1 to 1000, not '${word}'.`)
  return Number(word)
}
