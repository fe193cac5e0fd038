// Owns `hearth models plan`: shows what loading a model would take as a bar. Decides nothing: the daemon planned it.
import type { MemoryPlan } from '@hearth/protocol'
import { ask } from '../ask.ts'
import type { Command } from '../command.ts'
import { serve } from '../daemon.ts'
import { bytes, type Ink } from '../print.ts'
import { jsonLine, oneLine, visible, wrap } from '../text.ts'

const barColumns = 60
const names = { weights: 'weights', cache: 'KV cache', state: 'recurrent state', checkpoints: 'checkpoints', compute: 'compute buffers', saved: 'saved conversations', program: 'worker program' } as const
const fills = { weights: '█', cache: '▓', state: '▒', checkpoints: '▞', compute: '▚', saved: '░', program: '▪' } as const
const places = { ram: 'memory', gtt: 'GTT', vram: 'VRAM' } as const

export const plan: Command = {
  spec: {
    name: 'models plan', operands: 'ID', arity: [1, 1],
    about: 'Shows what loading an installed model would take on this box now, part by part, and whether it fits, fits smaller, or is refused. Loads nothing. Exit 69 when it is refused. Without a daemon one is started for a minute.',
    flags: {},
    examples: [['hearth models plan smollm2-135m', 'a bar of the memory, and the remedy when it does not fit']],
  },
  async run(ctx, args) {
    const { client } = await serve(ctx)
    const planned = await ask<MemoryPlan>(client, `/api/models/${encodeURIComponent(args.operands[0] ?? '')}/plan`)
    if (args.flag('json')) ctx.out.line(jsonLine(planned))
    else for (const line of lines(planned, ctx.out.width, ctx.out.ink)) ctx.out.line(line)
    return planned.verdict === 'refused' ? 69 : 0
  },
}

/** The verdict, the bar over what models may have, one line a part, and the remedy. */
export function lines(planned: MemoryPlan, width: number, ink: Ink): string[] {
  const colour = { fits: ink.green, smaller: ink.yellow, refused: ink.red, unknown: ink.yellow }[planned.verdict]
  const out = wrap(visible(planned.said), width)
  const { limitBytes, freeBytes, place } = planned
  if (limitBytes !== null && freeBytes !== null && place !== null) {
    const size = Math.max(8, Math.min(barColumns, width - 2))
    out.push('', `[${bar(planned, limitBytes, freeBytes, size)}]`)
    out.push(`${colour(planned.verdict)}: ${bytes(planned.neededBytes)} needed, ${bytes(freeBytes)} free, ${bytes(limitBytes)} for models of ${bytes(planned.totalBytes ?? limitBytes)} ${places[place]}`)
  }
  for (const part of planned.parts) out.push(`  ${fills[part.name]} ${names[part.name].padEnd(20)} ${bytes(part.bytes).padStart(10)}`)
  if (limitBytes !== null && freeBytes !== null && limitBytes > freeBytes) out.push(`  # ${'in use by others'.padEnd(20)} ${bytes(limitBytes - freeBytes).padStart(10)}`)
  if (planned.remedy !== null) out.push('', ...wrap(oneLine(planned.remedy), width).map((line) => ink.yellow(line)))
  return out
}

/** What others use, then the parts, then what stays free; a plan that does not fit runs over with `>`. */
function bar(planned: MemoryPlan, limitBytes: number, freeBytes: number, size: number): string {
  const perColumn = Math.max(1, limitBytes) / size
  let text = '#'.repeat(Math.round((limitBytes - freeBytes) / perColumn))
  let done = limitBytes - freeBytes
  for (const part of planned.parts) {
    done += part.bytes
    text += fills[part.name].repeat(Math.max(0, Math.round(done / perColumn) - text.length))
  }
  return text.length > size ? `${text.slice(0, size - 1)}>` : text.padEnd(size, '.')
}
