// Owns the bash tool: one shell command, which begins where the last one ended. Never runs twice after a crash.
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { harmless, troubleShare } from '../observe.ts'
import { type Trouble, troubleKeeper } from '../observe/noise.ts'
import { mostProcesses } from './background.ts'
import { inFolder, shown } from './place.ts'
import { beginning, endNote, outcomeOf, outputPath, runProgram, withNotes } from './run.ts'
import { answered, commandWord, defineTool, refused, type ToolContext, type ToolOutcome } from './tool.ts'
import { shellFolder } from './traces.ts'

/**
 * $1 the command, $2 the folder to begin in. stderr joins stdout at the source, so that the model reads both in the order they were written; the real
 * stderr then carries where the shell stood at its end. A command that replaces the shell leaves no word, and the folder stays as it was. One line, so that
 * the shell's own complaints name the lines of the command.
 */
const script = [
  'exec {__hearth}>&2 2>&1', 'cd -- "$2" 2> /dev/null || { cd /work; printf "gone\\0" >&$__hearth; }',
  `trap 'printf "at %s\\0" "$PWD" >&$__hearth' EXIT`, 'set -- "$1"', 'eval "$1"',
].join('; ')

/** A background process that fails does so soon; this long its start is watched. */
const watchedMs = 400
const longestTimerMs = 2 ** 31 - 1

export const bash = defineTool({
  name: 'bash',
  description: 'Run a shell command. cd lasts for the next call, variables do not. No network but its own: run a server and its client in one command.',
  parameters: z.strictObject({
    command: commandWord().describe('the command line'),
    timeout: z.int().min(1).max(86_400).optional().describe('seconds'),
    background: z.boolean().optional().describe('leave it running; see process'),
  }),
  idempotency: 'unsafe',
  run: (args, context) => (args.background === true ? inBackground(args.command, args.timeout, context) : inForeground(args.command, args.timeout, context)),
})

async function inForeground(command: string, timeout: number | undefined, context: ToolContext): Promise<ToolOutcome> {
  const from = shellFolder(context.past)
  const first = beginning()
  const wallMs = Math.min(context.limits.wallMs, timeout === undefined ? Infinity : timeout * 1000)
  const result = await runProgram({ argv: argvOf(command, from), readOnly: false, network: true, shown: true, words: true, wallMs, onBytes: (chunk) => first.take(chunk) }, context)
  if (!result.ok) return outcomeOf(result, context, true, true)
  const { lostFolder, notes, cwd } = heard(result.stderr.text, from)
  const note = endNote(result, { ...context.limits, wallMs })
  const outcome = outcomeOf({ ...result, stderr: { text: '', totalBytes: 0, truncated: false } }, context, true, true)
  const said = [...(lostFolder ? [`the folder ${shown(from)} is gone: this ran in /work`] : []), ...(note === null ? [] : [note]), ...(result.refused ?? []), ...notes]
  // Of an output this long only its ends were kept in memory; what it says of errors between them is read back from the file.
  const trouble = result.stdout.truncated ? { trouble: await troubleOf(outputPath(context), context.shownBytes) } : {}
  return { ...outcome, text: withNotes(result.stdout.text, said), firstBytes: first.bytes(), ...trouble, ...(cwd === from ? {} : { cwd }) }
}

/** Lines of errors of a kept output, but for the ends that are shown anyway; null also when it cannot be read. In pieces, so that nobody waits for it. */
async function troubleOf(file: string, shownBytes: number): Promise<Trouble | null> {
  const keeper = troubleKeeper(troubleShare(shownBytes))
  let [number, rest, at] = [1, '', 0]
  try {
    const { size } = await stat(file)
    for await (const chunk of createReadStream(file, { encoding: 'latin1', highWaterMark: 2 ** 18 }) as AsyncIterable<string>) {
      const lines = (rest + chunk).split('\n')
      rest = (lines.pop() ?? '').slice(-65_536)
      for (const line of lines) {
        at += line.length + 1
        if (at > shownBytes / 3 && at < size - (shownBytes * 2) / 3) keeper.take(line, number)
        number += 1
      }
    }
  } catch {
    return null
  }
  const found = keeper.found()
  return found === null ? null : { ...found, shown: harmless(Buffer.from(found.shown, 'latin1').toString('utf8')) }
}

function argvOf(command: string, from: string): string[] {
  return ['bash', '-c', script, 'bash', command, `/work/${from}`]
}

/** What the shell said of its folders. Words from it are worth no more than a path inside /work. */
function heard(words: string, from: string): { lostFolder: boolean; cwd: string; notes: string[] } {
  const parts = words.split('\0')
  const lostFolder = parts[0] === 'gone'
  const start = lostFolder ? '' : from
  const at = parts.findLast((part) => part.startsWith('at '))?.slice(3)
  if (at === undefined) return { lostFolder, cwd: start, notes: start === '' ? [] : [`in ${shown(start)}`] }
  const place = inFolder(at)
  if (place.startsWith('/') || place.split('/').includes('..')) return { lostFolder, cwd: '', notes: [`${shown(place)} is outside of the folder: the next command begins in /work`] }
  const cwd = place === '.' ? '' : place
  return { lostFolder, cwd, notes: cwd === '' ? (start === '' ? [] : ['in /work']) : [`in ${shown(cwd)}`] }
}

async function inBackground(command: string, timeout: number | undefined, context: ToolContext): Promise<ToolOutcome> {
  const { background } = context
  if (background.handles.length >= mostProcesses) return refused(`${mostProcesses} background processes run already (${background.handles.join(', ')}); stop one with process`)
  const from = shellFolder(context.past)
  // It may live as long as the job: the job's own time limit ends it, and everything else about it is limited as ever.
  const limits = { ...context.limits, wallMs: Math.min(longestTimerMs, timeout === undefined ? Infinity : timeout * 1000) }
  const running = background.start(command, context.callId, ({ signal, onBytes }) => runProgram({
    argv: argvOf(command, from), readOnly: false, network: true, shown: true, words: true, onBytes, signal,
  }, { ...context, limits, onOutput: () => undefined }))
  await Promise.race([running.ended, sleep(watchedMs)])
  const { text } = running.news()
  const { result } = running
  if (result !== null && !result.ok) return outcomeOf(result, context, true, true)
  const state = result === null ? `${running.handle} runs in the background` : `${running.handle} has ended: ${endNote(result, limits) ?? 'exit 0'}`
  return { ...answered(withNotes(text, [state, ...(result?.ok === true ? result.refused ?? [] : [])])), ok: result === null || result.exitCode === 0, exitCode: result === null ? null : result.exitCode, wrote: true }
}
