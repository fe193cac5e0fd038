// Owns `hearth models probe`: has the daemon ask a model what it can do, shows the answers as they come and the table at the end. Judges nothing itself.
import type { ProbeCase, ProbeEvent, ProbeRequestInput, ProbeResult } from '@hearth/protocol'
import { usageFault } from '../args.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { serve } from '../daemon.ts'
import { operate } from '../operation.ts'
import { count, fields, table, type Ink } from '../print.ts'
import { oneLine } from '../text.ts'
import { Meter } from '../transfer.ts'

const disagrees = 10

export const probe: Command = {
  spec: {
    name: 'models probe', operands: 'ID', arity: [1, 1],
    about: 'Asks a model (or endpoint) a fixed set of questions: tool calls by its own template and as one JSON object a step, JSON of a schema, stopping, repeating, changing files, finding a tool among many, going on by itself, thinking, and a code at the beginning of prompts that fill 25, 50 and 90 % of its window. Recommends how the agent should speak with it.',
    flags: {
      write: { type: 'boolean', help: 'put the recommendation into your own entries (models.d)' },
      check: { type: 'boolean', help: 'exit 10 when the profile says otherwise' },
      seconds: { type: 'string', value: 'N', help: 'time for all of it (default 600); what does not fit is left out' },
    },
    examples: [
      ['hearth models probe smollm2-135m', 'the table of the starter'],
      ['hearth models probe qwen3-8b --write', 'speak with it as it was measured to understand best'],
    ],
  },
  async run(ctx, args) {
    const seconds = args.text('seconds')
    if (seconds !== null && !/^\d{2,5}$/.test(seconds)) throw usageFault(`--seconds takes a whole number from 10 to 86400, not '${seconds}'.`)
    if (args.flag('write') && args.flag('check')) throw usageFault('--write and --check cannot both be meant.')
    const id = args.operands[0] ?? ''
    const json = args.flag('json')
    const { result, written } = await ask(ctx, id, { write: args.flag('write'), ...(seconds === null ? {} : { seconds: Number(seconds) }) }, json)
    if (!json) {
      for (const line of page(result, written !== null, ctx.out.width, ctx.out.ink)) ctx.out.line(line)
      if (written !== null) ctx.out.line(`written to ${oneLine(written)}`)
    }
    return args.flag('check') && !result.agrees ? disagrees : 0
  },
}

async function ask(ctx: Context, id: string, request: ProbeRequestInput, json: boolean): Promise<Extract<ProbeEvent, { type: 'done' }>> {
  const { client } = await serve(ctx)
  const meter = new Meter(ctx.err, ctx.err.tty && ctx.env['TERM'] !== 'dumb')
  return await operate<ProbeEvent>(ctx, {
    client, path: `/api/models/${encodeURIComponent(id)}/probe`, body: request, json, left: 'the terminal; nothing was written', noResult: 'the probe ended without a result',
    tell(event) {
      switch (event.type) {
        case 'case': return meter.part(event.done / event.total, `${event.done} of ${event.total}  ${event.case.mode}: ${oneLine(event.case.name)}`)
        case 'window': return meter.line(`window, ${Math.round(event.share * 100)} % full: ${foundText(event.found)}`)
        default: event satisfies never
      }
    },
    clear: () => ctx.err.write(meter.clear()),
  })
}

const foundText = (found: boolean | null): string => (found === null ? 'not asked' : found ? 'the code was found' : 'the code was not found')

/** The table of a probe, and what it recommends. */
export function page(result: ProbeResult, changed: boolean, width: number, ink: Ink): string[] {
  const names = [...new Set(result.cases.map(({ name }) => name))]
  const cell = (each: ProbeCase | undefined): string | { text: string; ink: (text: string) => string } =>
    each === undefined ? '' : each.problem === null ? { text: 'right', ink: ink.green } : { text: each.counts ? 'wrong' : '(wrong)', ink: ink.red }
  const rows = names.map((name) => {
    const of = result.cases.filter((each) => each.name === name)
    const by = (mode: ProbeCase['mode']): ProbeCase | undefined => of.find((each) => each.mode === mode)
    return [oneLine(name), cell(by('native')), cell(by('json') ?? by('text')), oneLine([...new Set(of.flatMap(({ problem }) => problem ?? []))].join('; '))]
  })
  const share = (value: { right: number; of: number } | null): string => (value === null ? 'its template has no tools' : `${value.right} of ${value.of} right`)
  const window = result.window.map((each) => `${Math.round(each.share * 100)} %${each.promptTokens === null ? '' : ` (${count(each.promptTokens)} tokens)`}: ${foundText(each.found)}${each.why === '' ? '' : `, ${oneLine(each.why)}`}`)
  return [
    ...table([{ title: 'QUESTION' }, { title: 'NATIVE' }, { title: 'JSON' }, { title: 'WHAT WAS WRONG' }], rows, width, ink), '',
    ...fields([
      ['native calls', share(result.native)], ['json calls', share(result.json)], ['schemas', share(result.schema)],
      ['stops', result.stops ? 'yes' : 'not always'], ['repeats itself', result.repeats ? 'yes' : 'no'],
      ['changes files', `by replacing text: ${share(result.edits.edit)}; by writing them whole: ${share(result.edits.write)}`],
      ['tools', result.toolsAtOnce === null ? 'too many are offered, however few' : `finds the right one among ${result.toolsAtOnce}`],
      ['goes on', result.goesOn.length === 0 ? 'no' : oneLine(`as somebody else, at ${result.goesOn.map((text) => JSON.stringify(text)).join(', ')}`)],
      ['thinks', thoughtsText(result.thinks)],
      ['window', `${count(result.contextTokens)} tokens`], ...window.map((line) => ['', line] as const),
      ['recommended', `toolMode ${result.recommended.toolMode}: ${oneLine(result.recommended.why)}${result.recommended.weak ? '; neither way is reliable' : ''}`],
      ['profile', result.agrees ? 'says so already' : oneLine(`${changed ? 'says now' : '--write would make it say'}: ${result.recommended.changes.join('; ')}`)],
    ], ink),
  ]
}

function thoughtsText({ byItself, off, on }: ProbeResult['thinks']): string {
  if (byItself === null && off === null && on === null) return 'not asked'
  if (byItself === true) return off === false ? 'by itself; not when asked to leave it' : 'by itself, also when asked to leave it'
  return on === true ? 'when asked to' : 'not that anybody could tell'
}
