// Owns `hearth chat`: sees to a daemon, a model and a chat (new, resumed or forked), and hands over to the conversation.
import { realpathSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Client } from '@hearth/protocol/client'
import { fault, FaultError } from '@hearth/protocol/fault'
import type { Job, JobEvent, JobList, SubmitReply } from '@hearth/protocol'
import { usageFault, type Args } from '../args.ts'
import { chatLines } from '../chat/lines.ts'
import { Session } from '../chat/session.ts'
import { Talk } from '../chat/talk.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { idleExit, serve } from '../daemon.ts'
import { findJob } from '../jobs.ts'
import { lookOf } from '../live.ts'
import { cut, oneLine, visible } from '../text.ts'
import { seeToModel } from '../starter.ts'

/** Chats are looked for among so many of the newest jobs. */
const searched = 1000

export const chat: Command = {
  spec: {
    name: 'chat', operands: '[ID]', arity: [0, 1],
    about: 'Talks with a model that works in this folder: its tools, guards, kept states and receipts are those of hearth run, and each turn ends in waiting for you. Ctrl-C stops a turn, twice within two '
      + 'seconds it leaves; Ctrl-D and /quit leave. A chat that was left waits, costs nothing and can be resumed, also after a restart; hearth cancel ends it. Without a terminal each line of standard input is '
      + 'a message: the answers go to stdout, all else to stderr, and the exit code is 1 when a turn ended in something else than an answer. /help lists the commands of a session.',
    flags: {
      cwd: { type: 'string', value: 'DIR', help: 'folder to work in (default: this one)' },
      model: { type: 'string', value: 'ID', help: 'model id, or scripted:FILE (default: jobs.model, else the best installed one)' },
      approve: { type: 'boolean', help: 'ask before each call that writes or runs a command' },
      network: { type: 'string', value: 'HOST', multiple: true, help: 'host that the tools may reach, with an optional :PORT; within sandbox.network.allow (default: none)' },
      resume: { type: 'boolean', help: 'go on with the chat ID, or with the newest of this folder' },
      fork: { type: 'string', value: 'JOB', help: 'a new chat with the past of a job or chat; that one stays as it is' },
      step: { type: 'string', value: 'N', help: 'with --fork: only up to step N' },
      files: { type: 'boolean', help: 'with --fork and --step: also put the files back to that step' },
      quiet: { type: 'boolean', short: 'q', help: 'without a terminal: only the answers' },
    },
    examples: [
      ['hearth chat --approve', 'a new chat in this folder; nothing is changed without a yes'],
      ['hearth chat --resume', 'goes on with the newest chat of this folder'],
      ['hearth chat --fork 4f2 --step 3', 'from step 3 of a job in another direction'],
      ["echo 'what does this project do?' | hearth chat", 'one question, the answer on stdout'],
    ],
  },
  async run(ctx, args) {
    const interactive = ctx.stdin.isTTY && ctx.out.tty && ctx.env['TERM'] !== 'dumb' && !args.flag('json')
    checkFlags(args, interactive)
    const cwd = realpathOf(resolve(ctx.cwd, args.text('cwd') ?? '.'))
    const word = args.text('model')
    const model = word?.startsWith('scripted:') === true ? `scripted:${resolve(ctx.cwd, word.slice('scripted:'.length))}` : word
    const { client } = await serve(ctx, idleExit.job)
    const session = new Session(client)
    const job = await chosen(client, args, cwd, model)
    if (job === null) await seeToModel(ctx, client, model)
    const past = job === null ? [] : await session.resume(job)
    if (interactive) greet(ctx, job, model, cwd, past)
    const approve = args.flag('approve') ? { approve: 'writes' as const } : {}
    const network = args.list('network').length === 0 ? {} : { network: args.list('network') }
    const talk = new Talk(ctx, session, { request: { kind: 'chat', class: 'interactive', cwd, model, ...approve, ...network }, json: args.flag('json'), quiet: args.flag('quiet') })
    try {
      return interactive ? await talk.interactive() : await talk.piped()
    } finally {
      session.leave()
    }
  },
}

function checkFlags(args: Args, interactive: boolean): void {
  if (args.operands.length > 0 && !args.flag('resume')) throw usageFault(`An id goes with --resume: hearth chat --resume ${args.operands[0]}.`)
  if (args.flag('resume') && args.text('fork') !== null) throw usageFault('--resume and --fork exclude each other.')
  if (args.text('fork') === null && (args.text('step') !== null || args.flag('files'))) throw usageFault('--step and --files go with --fork.')
  if (args.flag('files') && args.text('step') === null) throw usageFault('--files goes with --step N.')
  if (args.list('network').length > 0 && (args.flag('resume') || args.text('fork') !== null)) throw usageFault('A chat keeps the network that it began with.')
  if (args.flag('resume') && (args.flag('approve') || args.text('model') !== null)) throw usageFault('A resumed chat keeps its model and its approvals; --fork ID takes others.')
  if (args.flag('approve') && !interactive) throw usageFault('--approve needs a terminal: without one nobody can answer.')
}

function realpathOf(path: string): string {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) throw new FaultError(fault('bad_cwd', { path, problem: 'it is not a folder' }))
  return realpathSync(path)
}

/** The chat to go on with: a resumed one or a fork; null = a new one, made with the first words. */
async function chosen(client: Client, args: Args, cwd: string, model: string | null): Promise<Job | null> {
  const fork = args.text('fork')
  if (fork !== null) {
    const source = await findJob(client, fork)
    const path = `/api/jobs/${encodeURIComponent(source.id)}`
    const step = args.whole('step', 0)
    const { job } = await client.call<SubmitReply>('POST', `${path}/fork`, { step, model, ...(args.flag('approve') ? { approve: 'writes' } : {}) })
    if (args.flag('files')) await client.call('POST', `${path}/undo`, { toStep: step ?? 0, force: false })
    return job
  }
  if (!args.flag('resume')) return null
  const job = args.operands[0] === undefined ? await newest(client, cwd) : await findJob(client, args.operands[0])
  const refuse = (problem: string): never => { throw new FaultError(fault('conflict', { problem })) }
  if (job.request.kind !== 'chat') return refuse(`Job ${job.id} is no chat; 'hearth chat --fork ${job.id}' makes one of it.`)
  if (job.endedAt !== null) return refuse(`Chat ${job.id} is over; 'hearth chat --fork ${job.id}' goes on from it.`)
  return job
}

async function newest(client: Client, cwd: string): Promise<Job> {
  const { jobs } = await client.call<JobList>('GET', `/api/jobs?limit=${searched}`)
  const found = jobs.find((job) => job.request.kind === 'chat' && job.endedAt === null && job.request.cwd === cwd)
  if (found === undefined) throw new FaultError(fault('not_found', { what: `chat of ${cwd} that waits` }))
  return found
}

/** Where we are, and what was said last. */
function greet(ctx: Context, job: Job | null, model: string | null, cwd: string, past: readonly JobEvent[]): void {
  const { out } = ctx
  const { ink } = out
  const named = job?.model ?? model
  const where = [...(job === null ? [] : [visible(job.id)]), ...(named === null ? [] : [oneLine(named)]), oneLine(job?.request.cwd ?? cwd)].join(' · ')
  out.line(`${ink.bold('hearth chat')}  ${ink.dim(cut(where, out.width - 13))}`)
  out.line(ink.dim('/help lists the commands, Ctrl-D leaves'))
  const turns = past.flatMap((event, index) => (event.type === 'said' ? [index] : []))
  for (const event of past.slice(turns.at(-2) ?? 0)) for (const line of event.type === 'accepted' ? [`${ink.bold('> ')}${visible(event.request.prompt)}`] : chatLines(event, lookOf(out, false))) out.line(line)
  out.line()
}
