// Owns `hearth tune`: has the daemon measure this box, shows what it does meanwhile, and prints or draws what it chose. Measures nothing itself.
import { resolve } from 'node:path'
import type { Client } from '@hearth/protocol/client'
import { fault, FaultError } from '@hearth/protocol/fault'
import type { ModelProfile, ProfileReply, TuneEvent, TuneRequestInput } from '@hearth/protocol'
import { usageFault, type Args } from '../args.ts'
import { ask } from '../ask.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { serve } from '../daemon.ts'
import { drawProfiles } from '../tune-plot.ts'
import { operate } from '../operation.ts'
import { duration } from '../print.ts'
import { save } from '../save.ts'
import { cut, jsonLine, oneLine } from '../text.ts'
import { bar } from '../transfer.ts'
import { figure, profileLines } from '../tune-text.ts'

export const tune: Command = {
  spec: {
    name: 'tune', operands: '[MODEL...]', arity: [0, 100],
    about: 'Measures this box with installed models (default: the default model) and chooses by the figures: CPU threads, batch, how many answers at once, guessing ahead, and llama-server or not. Nothing else is computed meanwhile; it is refused while jobs or requests run. What was chosen is used from the next load on, where the configuration says nothing. Ctrl-C leaves the stored profile as it was.',
    flags: {
      quick: { type: 'boolean', help: 'about 2 minutes a model: threads, streams, prompts of 2,048 tokens' },
      full: { type: 'boolean', help: 'up to 45 minutes a model: more of everything' },
      minutes: { type: 'string', value: 'N', help: 'so many minutes a model instead (default 10)' },
      wait: { type: 'boolean', help: 'wait until no job and no request runs' },
      show: { type: 'boolean', help: 'measure nothing, print what is stored' },
      svg: { type: 'string', value: 'FILE', help: 'draw the curves' },
    },
    examples: [
      ['hearth tune --quick', 'the default model in about two minutes'],
      ['hearth tune --show --svg box.svg', 'what was measured, also as a picture'],
    ],
  },
  async run(ctx, args) {
    const minutes = minutesOf(args)
    if (args.flag('quick') && args.flag('full')) throw usageFault('--quick and --full cannot both be meant.')
    const { client } = await serve(ctx)
    const wanted = args.operands
    if (!args.flag('show')) {
      const request: TuneRequestInput = { models: [...wanted], effort: args.flag('quick') ? 'quick' : args.flag('full') ? 'full' : 'normal', minutes, wait: args.flag('wait') }
      await measure(ctx, client, request, args.flag('json'))
    }
    const stored = await ask<ProfileReply>(client, '/api/tune')
    const shown = stored.models.filter(({ profile }) => wanted.length === 0 || wanted.includes(profile.model))
    const missing = wanted.find((id) => !shown.some(({ profile }) => profile.model === id))
    if (missing !== undefined && args.flag('show')) throw new FaultError(fault('not_found', { what: `profile of '${missing}'; 'hearth tune ${missing}' measures it` }))
    const svg = args.text('svg')
    if (svg !== null) save(resolve(ctx.cwd, svg), drawProfiles(shown.map(({ profile }) => profile)))
    if (args.flag('show')) {
      if (args.flag('json')) ctx.out.line(jsonLine({ models: shown }))
      else if (shown.length === 0) ctx.out.line("Nothing was measured yet; 'hearth tune' does it.")
      else shown.forEach(({ profile, forecasts, current }, index) => print(ctx, profile, forecasts, current, index > 0))
    }
    return 0
  },
}

function minutesOf(args: Args): number | null {
  const text = args.text('minutes')
  if (text === null) return null
  const value = Number(text)
  if (!/^\d+(\.\d+)?$/.test(text) || value <= 0 || value > 24 * 60) throw usageFault(`--minutes takes a number of minutes up to 1440, not '${text}'.`)
  return value
}

function print(ctx: Context, profile: ModelProfile, forecasts: ProfileReply['models'][number]['forecasts'], current: boolean, apart: boolean): void {
  if (apart) ctx.out.line()
  for (const line of profileLines(profile, forecasts, current, ctx.out.width, ctx.out.ink)) ctx.out.line(line)
}

/** Follows the stream to its end; with `json` each event is a line on stdout. Throws its fault, or `cancelled` on Ctrl-C. */
async function measure(ctx: Context, client: Client, request: TuneRequestInput, json: boolean): Promise<void> {
  const live = new Progress(ctx, ctx.err.tty && ctx.env['TERM'] !== 'dumb')
  await operate<TuneEvent>(ctx, {
    client, path: '/api/tune', body: request, json, left: 'the terminal; the stored profile is as it was', noResult: 'the measuring ended without a result',
    tell(event) {
      if (event.type !== 'measured') return live.tell(event)
      live.clear()
      print(ctx, event.profile, event.forecasts, true, false)
    },
    clear: () => live.clear(),
  })
}

type Told = Extract<TuneEvent, { type: 'waiting' | 'model' | 'step' | 'sample' | 'skipped' }>

/** One line that is redrawn on a terminal; elsewhere a line for each sample. */
class Progress {
  readonly #ctx: Context
  readonly #live: boolean
  #budgetMs = 0
  #last = ''
  #shown = false

  constructor(ctx: Context, live: boolean) {
    this.#ctx = ctx
    this.#live = live
  }

  tell(event: Told): void {
    switch (event.type) {
      case 'waiting': return this.#say(`waiting: ${oneLine(event.text)}`)
      case 'model':
        this.#budgetMs = event.seconds * 1000
        return this.#say(`measuring ${oneLine(event.model)} for up to ${duration(this.#budgetMs)}; nothing else is computed meanwhile`)
      case 'step':
        if (this.#live) this.#draw(event.spentMs / Math.max(1, event.spentMs + event.leftMs), `${oneLine(event.text)}  ${duration(event.leftMs)} left${this.#last}`)
        return
      case 'sample': {
        const speeds = [
          ...(event.prefillTokensPerSecond === null ? [] : [`read ${figure(event.prefillTokensPerSecond)}`]),
          ...(event.decodeTokensPerSecond === null ? [] : [`write ${figure(event.decodeTokensPerSecond)}`]),
        ].join(', ')
        this.#last = `  (${speeds} tok/s)`
        if (!this.#live) this.#say(`${oneLine(event.text)}: ${speeds} tokens/s`)
        return
      }
      case 'skipped': return this.#say(`not measured: ${oneLine(event.what)}: ${oneLine(event.why)}`)
      default: event satisfies never
    }
  }

  clear(): void {
    if (this.#shown) this.#ctx.err.write('\r\u001b[K')
    this.#shown = false
  }

  #say(text: string): void {
    this.clear()
    this.#ctx.err.line(text)
  }

  #draw(part: number, text: string): void {
    const { err } = this.#ctx
    const width = err.width - 1
    this.#shown = true
    err.write(`\r\u001b[K${err.ink.cyan(bar(part, 16))} ${cut(text, width - 17)}`)
  }
}
