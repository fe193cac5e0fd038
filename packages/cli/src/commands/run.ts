// Owns `hearth run`: builds the request, sees to a daemon and a model, submits, and hands over to watch.
import { fstatSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { fault, FaultError } from '@hearth/protocol/fault'
import type { JobRequestInput, JobResult, SubmitReply } from '@hearth/protocol'
import { jobResults } from '@hearth/protocol/workspace'
import { oneOf, usageFault, type Args } from '../args.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { idleExit, serve } from '../daemon.ts'
import { consents, modes } from '../escalation-words.ts'
import { bytes, duration } from '../print.ts'
import { seeToModel } from '../starter.ts'
import { jsonLine, visible } from '../text.ts'
import { watch } from '../watch.ts'

/** The protocol holds two million characters; more is refused before it is read into memory. */
const promptBytes = 8 * 2 ** 20
const stdinNoteMs = 2000

export const run: Command = {
  spec: {
    name: 'run', operands: '[PROMPT...]', arity: [0, Infinity],
    about: 'Gives a job to a model, shows its steps and ends with its outcome as exit code. The prompt is the arguments, or standard input when there are none; '
      + 'with both, the arguments come first and the input follows after an empty line as context. The first line of stderr is the id of the job, written when the job is safely stored; '
      + 'progress and the receipt go to stderr, the model\'s closing words to stdout. Without a daemon one is started for the job (it ends after ten idle minutes); '
      + 'without any model the starter is fetched first. Ctrl-C (or SIGTERM) cancels the job, a second one leaves at once; closing the terminal or losing the connection leaves the job running.',
    flags: {
      cwd: { type: 'string', value: 'DIR', help: 'folder to work in (default: this one)' },
      check: { type: 'string', value: 'CMD', multiple: true, help: 'shell command that decides whether the job is resolved' },
      model: { type: 'string', value: 'ID', help: 'model id, or scripted:FILE (default: jobs.model, else the best installed one)' },
      approve: { type: 'boolean', help: 'ask before each call that writes or runs a command: on the terminal, else the job waits (exit 13) for hearth approve' },
      result: { type: 'string', value: 'HOW', help: "in-place (undo with hearth undo), branch or diff: the last two work in a copy and leave the folder as it is (default: jobs.result)" },
      network: { type: 'string', value: 'HOST', multiple: true, help: 'host that the tools may reach, with an optional :PORT, e.g. registry.example.org or *.example.org:443; within sandbox.network.allow (default: none)' },
      'max-steps': { type: 'string', value: 'N', help: 'steps at most (default: jobs.maxSteps of the configuration)' },
      'max-tokens': { type: 'string', value: 'N', help: 'tokens at most: prompt tokens evaluated plus generated ones (default: jobs.maxTokens)' },
      timeout: { type: 'string', value: 'TIME', help: 'time limit: seconds, or 90s, 10m, 1h30m (default: jobs.timeoutSeconds)' },
      budget: { type: 'string', value: 'USD', help: 'money it may spend at most, e.g. 0.50; 0 buys nothing (default: as box, project and key allow)' },
      escalate: { type: 'string', value: 'WORD', help: 'help from outside for this job: never, ask or auto; of box, project, key and job the strictest holds (default: as those say)' },
      modes: { type: 'string', value: 'LIST', help: 'the only kinds of help, e.g. advise,review, of plan, advise, step, review, rest' },
      'plan-first': { type: 'boolean', help: 'buy a plan with checks before the first step, where that is allowed' },
      'local-only': { type: 'boolean', help: 'nothing of this job leaves the house' },
      worth: { type: 'string', value: 'USD', help: 'what a resolved job is worth: it never spends more than this times its chance to be resolved' },
      seed: { type: 'string', value: 'N', help: 'seed of the sampling' },
      tag: { type: 'string', value: 'K=V', multiple: true, help: 'note kept with the job' },
      'idempotency-key': { type: 'string', value: 'KEY', help: 'the same key gives the same job, however often it is sent' },
      detach: { type: 'boolean', short: 'd', help: 'print the id on stdout and leave; the job goes on' },
      quiet: { type: 'boolean', short: 'q', help: 'no progress and no receipt' },
    },
    examples: [
      ['hearth run --check "test -f b.txt" "copy a.txt to b.txt"', 'exit 0 when the check passed, 10 when it ran and failed'],
      ['git diff | hearth run --json "review this change" > events.ndjson', 'the input is context; stdout gets one event a line'],
      ['id=$(hearth run --detach --timeout 1h "run the tests and mend what fails")', 'comes back at once; hearth attach $id watches'],
    ],
  },
  async run(ctx, args) {
    const json = args.flag('json')
    const request = await requestFrom(ctx, args)
    // Short notes wait until the id is out: the first line of stderr is the id for whoever reads it by program.
    const notes: string[] = []
    const { client, started } = await serve(ctx, idleExit.job)
    if (started !== null) notes.push(`no daemon was running: started one for this job (pid ${started}); it ends after ${duration(idleExit.job * 1000)} without work`)
    await seeToModel(ctx, client, request.model ?? null)
    const { job, duplicate } = await client.call<SubmitReply>('POST', '/api/jobs', request)
    const live = ctx.err.tty && !args.flag('quiet') && !json
    ctx.err.line(live ? `${ctx.err.ink.dim('job')} ${ctx.err.ink.bold(visible(job.id))}` : visible(job.id))
    if (duplicate) notes.push('the idempotency key names this older job; nothing new was started')
    if (!args.flag('quiet')) for (const note of notes) ctx.err.line(ctx.err.ink.dim(note))
    if (!args.flag('detach')) return await watch(ctx, job.id, { json, quiet: args.flag('quiet'), after: 0, interrupt: 'cancel' })
    ctx.out.line(json ? jsonLine({ job, duplicate }) : visible(job.id))
    return 0
  },
}

async function requestFrom(ctx: Context, args: Args): Promise<JobRequestInput> {
  const model = args.text('model')
  const seed = args.whole('seed', 0)
  if (seed !== null && seed > 2 ** 32 - 1) throw usageFault(`--seed is at most ${2 ** 32 - 1}.`)
  const request = {
    cwd: resolve(ctx.cwd, args.text('cwd') ?? '.'),
    checks: args.list('check'),
    // The daemon has another working directory: a script's path is made absolute here.
    model: model?.startsWith('scripted:') === true ? `scripted:${resolve(ctx.cwd, model.slice('scripted:'.length))}` : model,
    ...(args.flag('approve') ? { approve: 'writes' as const } : {}),
    result: resultFrom(args.text('result')),
    ...(args.list('network').length === 0 ? {} : { network: args.list('network') }),
    maxSteps: args.whole('max-steps', 1),
    maxTokens: args.whole('max-tokens', 1),
    timeoutSeconds: args.seconds('timeout'),
    ...given('budgetUsdMicros', args.usdMicros('budget')), ...given('worthUsdMicros', args.usdMicros('worth')), ...escalationOf(args),
    seed,
    tags: tagsFrom(args.list('tag')),
    idempotencyKey: args.text('idempotency-key'),
  }
  // The daemon judges the folder; a missing one is said here, before a model is fetched for nothing.
  if (statSync(request.cwd, { throwIfNoEntry: false })?.isDirectory() !== true) throw new FaultError(fault('bad_cwd', { path: request.cwd, problem: 'it is not a folder' }))
  const words = args.operands.join(' ').trim()
  const input = (await readInput(ctx)).trim()
  const prompt = [words, input].filter((part) => part !== '').join('\n\n')
  if (prompt === '') throw usageFault("There is no prompt: give it as arguments or on standard input, e.g. hearth run 'say hello'.")
  return { prompt, ...request }
}

function resultFrom(word: string | null): JobResult | null {
  if (word === null) return null
  const found = jobResults.find((result) => result.replace('_', '-') === word.replace('_', '-'))
  if (found === undefined) throw usageFault(`--result is in-place, branch or diff, not '${word}'.`)
  return found
}

function tagsFrom(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(words.map((word) => {
    const at = word.indexOf('=')
    if (at <= 0) throw usageFault(`--tag takes NAME=VALUE, not '${word}'.`)
    return [word.slice(0, at), word.slice(at + 1)]
  }))
}

/** Standard input when something was redirected into it; nothing for a terminal or a closed one. Throws `bad_request` for bytes that are not text. */
async function readInput(ctx: Context): Promise<string> {
  if (ctx.stdin.isTTY || !isRedirected()) return ''
  const slow = setTimeout(() => ctx.err.line("hearth: waiting for the end of standard input; 'hearth run ... < /dev/null' gives none"), stdinNoteMs)
  const parts: Buffer[] = []
  let size = 0
  try {
    for await (const part of ctx.stdin as AsyncIterable<Buffer>) {
      clearTimeout(slow)
      size += part.length
      if (size > promptBytes) throw new FaultError(fault('bad_request', { where: 'prompt', problem: `standard input has more than ${bytes(promptBytes)}` }))
      parts.push(part)
    }
  } finally {
    clearTimeout(slow)
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts))
  } catch {
    throw new FaultError(fault('bad_request', { where: 'prompt', problem: 'standard input is not UTF-8 text' }))
  }
}

function isRedirected(): boolean {
  try {
    const input = fstatSync(0)
    return input.isFIFO() || input.isFile() || input.isSocket()
  } catch {
    return false
  }
}

function escalationOf(args: Args): Pick<JobRequestInput, 'escalation'> {
  const [consent, listed] = [args.text('escalate'), args.text('modes')]
  const escalation = {
    ...(consent === null ? {} : { consent: oneOf('escalate', consent, consents) }), ...(listed === null ? {} : { modes: listed.split(',').map((text) => oneOf('modes', text.trim(), modes)) }),
    ...(args.flag('plan-first') ? { planFirst: true } : {}), ...(args.flag('local-only') ? { dataClass: 'local-only' as const } : {}),
  }
  return Object.keys(escalation).length === 0 ? {} : { escalation }
}

function given<K extends string>(name: K, value: number | null): Partial<Record<K, number>> {
  return value === null ? {} : { [name]: value } as Record<K, number>
}
