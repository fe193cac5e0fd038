// Owns how a measured profile reads on a terminal: what was compared, what was chosen and why, what to expect. Pure; 80 columns are enough.
import type { MeasuredPoint, ModelProfile, SpeedSpread } from '@hearth/protocol'
import { count, duration, table, type Cell, type Ink } from './print.ts'
import { oneLine, wrap } from './text.ts'

export type Forecasts = readonly { promptTokens: number; ms: number }[]

const titles: Record<MeasuredPoint['run'], string> = {
  threads: 'threads', 'threads-fine': 'threads, finer', pieces: 'pieces of a prompt', streams: 'streams at once', depth: 'depth', speculation: 'guessing ahead',
}

/** All of one profile. `current` false: it is of another file, build or machine, and is not used. */
export function profileLines(profile: ModelProfile, forecasts: Forecasts, current: boolean, width: number, ink: Ink): string[] {
  const room = Math.min(width, 100)
  const date = new Date(profile.measuredAt).toISOString().slice(0, 10)
  return [
    `${ink.bold(oneLine(profile.model))}  measured ${date} in ${duration(profile.seconds * 1000)} (${profile.effort})`,
    ...wrap(oneLine(`on ${profile.machine}; ${profile.library}; backend ${profile.backend}`), room).map((line) => ink.dim(line)),
    ...(current ? [] : wrap(`It is not used: the model file, the library or the machine is another one now. Run 'hearth tune ${oneLine(profile.model)}'.`, room).map((line) => ink.yellow(line))),
    '', ...pointLines(profile, room, ink), '', ...choiceLines(profile, room, ink), ...expectation(forecasts, ink), ...skippedLines(profile, room, ink),
  ]
}

function pointLines({ points }: ModelProfile, width: number, ink: Ink): string[] {
  const head = [{ title: 'COMPARED' }, { title: 'SETTING' }, { title: 'PROMPT', side: 'right' as const }, { title: 'READ tok/s', side: 'right' as const }, { title: 'WRITE tok/s', side: 'right' as const }, { title: 'RUNS', side: 'right' as const }]
  let run: string | null = null
  const rows = points.map((point): Cell[] => {
    const title = point.run === run ? '' : titles[point.run]
    run = point.run
    return [title, settingText(point), count(point.promptTokens), speedText(point.prefillTokensPerSecond), speedText(point.decodeTokensPerSecond), String(point.samples)]
  })
  return table(head, rows, width, ink)
}

/** What distinguishes a row from the others of its run. */
export function settingText({ run, threads, pieceTokens, streams, speculation, text, adapter }: MeasuredPoint): string {
  const server = adapter === 'llama-server' ? ', llama-server' : ''
  switch (run) {
    case 'threads':
    case 'threads-fine': return `${threads} thread${threads === 1 ? '' : 's'}${server}`
    case 'pieces': return `${pieceTokens} tokens${server}`
    case 'streams': return `${streams}${server}`
    case 'depth': return `1 stream${server}`
    case 'speculation': return `${text === 'copy' ? 'copied text' : 'prose'}, ${speculation}`
    default: return run satisfies never
  }
}

/** '142 ±4 %': the median, and half the range of equal runs. */
function speedText(spread: SpeedSpread | null): string {
  if (spread === null) return '-'
  const half = spread.median > 0 ? ((spread.max - spread.min) / 2 / spread.median) * 100 : 0
  return `${figure(spread.median)}${spread.max > spread.min ? ` ±${half.toFixed(0)} %` : ''}`
}

export function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

function choiceLines({ choices }: ModelProfile, width: number, ink: Ink): string[] {
  const { threads, batch, activeDecodes, speculation, adapter } = choices
  const told: [string, string, string][] = [
    ...(threads === null ? [] : [['threads', String(threads.value), threads.why] satisfies [string, string, string]]),
    ...(batch === null ? [] : [['batch', `${batch.batchTokens}, pieces ${batch.pieceTokens}`, batch.why] satisfies [string, string, string]]),
    ...(activeDecodes === null ? [] : [['at once', String(activeDecodes.value), activeDecodes.why] satisfies [string, string, string]]),
    ...(speculation === null ? [] : [['speculation', speculation.value, speculation.why] satisfies [string, string, string]]),
    ...(adapter === null ? [] : [['llama-server', adapter.aboveStreams === null ? 'no' : adapter.aboveStreams === 0 ? 'always' : `above ${adapter.aboveStreams} stream${adapter.aboveStreams === 1 ? '' : 's'}`, adapter.why] satisfies [string, string, string]]),
  ]
  if (told.length === 0) return ['Nothing could be chosen: too little was measured.']
  return ['Chosen (a key of the configuration wins over it):', ...told.flatMap(([name, value, why]) => [
    `  ${name.padEnd(13)} ${ink.green(value)}`, ...wrap(oneLine(why), width - 16).map((line) => `                ${line}`),
  ])]
}

function expectation(forecasts: Forecasts, ink: Ink): string[] {
  if (forecasts.length === 0) return []
  return ['', 'Expected time to the first token, nothing reused:', ...forecasts.map(({ promptTokens, ms }) => `  ${`a prompt of ${count(promptTokens)} tokens`.padEnd(30)} ${ink.bold(duration(ms))}`)]
}

function skippedLines({ skipped }: ModelProfile, width: number, ink: Ink): string[] {
  if (skipped.length === 0) return []
  return ['', 'Not measured:', ...skipped.flatMap(({ what, why }) => wrap(oneLine(`${what}: ${why}`), width - 4).map((line, index) => ink.dim(index === 0 ? `  - ${line}` : `    ${line}`)))]
}
