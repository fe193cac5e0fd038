// Owns `hearth project add|ls|set|rm`: folders with rules of their own for what may leave the house. Decides nothing; the daemon says what holds.
import { resolve } from 'node:path'
import type { Client } from '@hearth/protocol/client'
import type { Budget, ProjectChange, ProjectList, ProjectRequestInput, ProjectView } from '@hearth/protocol'
import { oneOf, usageFault, type Args, type Flag } from '../args.ts'
import { ask } from '../ask.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { serve } from '../daemon.ts'
import { consents, dataClasses, modes } from '../escalation-words.ts'
import { table, usd } from '../print.ts'
import { jsonLine, oneLine } from '../text.ts'

/** Word on the command line that takes a rule away again. */
const asTheBox = 'box'

const ruleFlags: Readonly<Record<string, Flag>> = {
  consent: { type: 'string', value: 'WORD', help: `${consents.join(', ')}, or ${asTheBox} = as the box has it` },
  'data-class': { type: 'string', value: 'WORD', help: `${dataClasses.join(', ')}, or ${asTheBox}` },
  modes: { type: 'string', value: 'LIST', help: `the only ones allowed, e.g. advise,review, of ${modes.join(', ')}; or ${asTheBox}` },
  'job-usd': { type: 'string', value: 'USD', help: 'for one job at most; none = no limit of its own' },
  'day-usd': { type: 'string', value: 'USD', help: 'for a day (UTC) at most' },
  'month-usd': { type: 'string', value: 'USD', help: 'for a month (UTC) at most' },
  'local-only': { type: 'string', multiple: true, value: 'GLOB', help: 'files of it that never leave; may be given more than once; none = no such file' },
}

export const add: Command = {
  spec: {
    name: 'project add', operands: '[FOLDER]', arity: [0, 1],
    about: 'Gives a folder rules of its own for what may leave the house. They hold for jobs in it and in folders inside it, from the next step on. Of box, project, key and job the strictest holds: a project cannot allow what the box forbids.',
    flags: { name: { type: 'string', value: 'ID', help: 'what to call it (default: as the folder is called)' }, ...ruleFlags },
    examples: [['hearth project add --data-class local-only', 'nothing of the current folder ever leaves'], ['hearth project add ~/shop --consent ask --day-usd 2 --local-only "data/**"', 'each packet is approved, for 2 dollars a day at most']],
  },
  async run(ctx, args) {
    const request: ProjectRequestInput = { id: args.text('name'), path: resolve(ctx.cwd, args.operands[0] ?? '.'), rules: changeOf(args) }
    return say(ctx, args, await (await daemon(ctx)).call<ProjectView>('POST', '/api/projects', request))
  },
}

export const set: Command = {
  spec: {
    name: 'project set', operands: 'ID', arity: [1, 1],
    about: 'Changes rules of a project; those that are not named stay. A rule that was made stricter holds at once, also for jobs that run.',
    flags: ruleFlags, examples: [['hearth project set shop --consent never', 'nothing more is bought for it'], ['hearth project set shop --data-class box --day-usd none', 'as the box has it again']],
  },
  async run(ctx, args) {
    const change = changeOf(args)
    if (Object.keys(change).length === 0) throw usageFault('Nothing to change was named; see hearth help project set.')
    return say(ctx, args, await (await daemon(ctx)).call<ProjectView>('POST', `/api/projects/${encodeURIComponent(args.operands[0] ?? '')}`, change))
  },
}

export const ls: Command = {
  spec: {
    name: 'project ls', operands: '', arity: [0, 0],
    about: 'Lists the projects with what holds for each: its own rules and those of the box, the stricter of both.',
    flags: {}, examples: [['hearth project ls', 'id, what holds, what it may spend, folder']],
  },
  async run(ctx, args) {
    const list = await ask<ProjectList>(await daemon(ctx), '/api/projects')
    if (args.flag('json')) {
      ctx.out.line(jsonLine(list))
      return 0
    }
    const rows = [
      ...list.projects.map(({ id, effective, rules, path }) => [oneLine(id), effective.consent, effective.dataClass, effective.modes.join(',') || 'none', budgetWords(rules.budget), String(rules.localOnly.length), oneLine(path)]),
      ['(every other folder)', list.box.consent, list.box.dataClass, list.box.modes.join(',') || 'none', "'hearth budget' says", '0', ''],
    ]
    for (const line of table([{ title: 'PROJECT' }, { title: 'CONSENT' }, { title: 'DATA' }, { title: 'MODES' }, { title: 'MAY SPEND' }, { title: 'LOCAL FILES', side: 'right' }, { title: 'FOLDER' }], rows, ctx.out.width, ctx.out.ink)) ctx.out.line(line)
    return 0
  },
}

export const rm: Command = {
  spec: {
    name: 'project rm', operands: 'ID', arity: [1, 1],
    about: 'Forgets the rules of a project: from then on those of the box hold for its folder. Folder, jobs and what they cost stay as they are.',
    flags: {}, examples: [['hearth project rm shop', 'the id is in hearth project ls']],
  },
  async run(ctx, args) {
    const id = args.operands[0] ?? ''
    await (await daemon(ctx)).call('DELETE', `/api/projects/${encodeURIComponent(id)}`)
    ctx.out.line(args.flag('json') ? jsonLine({}) : `${oneLine(id)} has no rules of its own any more`)
    return 0
  },
}

async function daemon(ctx: Context): Promise<Client> {
  return (await serve(ctx)).client
}

function say(ctx: Context, args: Args, view: ProjectView): number {
  if (args.flag('json')) ctx.out.line(jsonLine(view))
  else {
    const { consent, dataClass, modes: allowed } = view.effective
    ctx.out.line(`${oneLine(view.id)}: ${oneLine(view.path)}`)
    ctx.out.line(`holds now: consent ${consent}, data ${dataClass}, modes ${allowed.join(', ') || 'none'}, may spend ${budgetWords(view.rules.budget)}`)
    if (view.rules.consent !== null && consent !== view.rules.consent) ctx.err.line(`The box says consent ${consent}, which is stricter (escalation.consent in the configuration).`)
  }
  return 0
}

function changeOf(args: Args): ProjectChange {
  const word = <T extends string>(flag: string, known: readonly T[]): T | null | undefined => {
    const text = args.text(flag)
    return text === null ? undefined : text === asTheBox ? null : oneOf(flag, text, known)
  }
  const consent = word('consent', consents)
  const dataClass = word('data-class', dataClasses)
  const listed = args.text('modes')
  const budget = Object.fromEntries((['job', 'day', 'month'] as const).flatMap((span) => {
    const text = args.text(`${span}-usd`)
    return text === null ? [] : [[`${span}UsdMicros`, text === 'none' ? null : args.usdMicros(`${span}-usd`)]]
  })) as NonNullable<ProjectChange['budget']>
  const globs = args.list('local-only')
  return {
    ...(consent === undefined ? {} : { consent }), ...(dataClass === undefined ? {} : { dataClass }),
    ...(listed === null ? {} : { modes: listed === asTheBox ? null : listed.split(',').map((text) => oneOf('modes', text.trim(), modes)) }),
    ...(Object.keys(budget).length === 0 ? {} : { budget }), ...(globs.length === 0 ? {} : { localOnly: globs.filter((glob) => glob !== 'none') }),
  }
}

function budgetWords({ jobUsdMicros, dayUsdMicros, monthUsdMicros }: Budget): string {
  const parts = [[jobUsdMicros, 'a job'], [dayUsdMicros, 'a day'], [monthUsdMicros, 'a month']] as const
  const said = parts.flatMap(([amount, span]) => (amount === null ? [] : [`${usd(amount)} ${span}`]))
  return said.length === 0 ? 'as the box' : said.join(', ')
}
