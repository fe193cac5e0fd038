// Owns the way from argv to an exit code: finds the command, prints its help or its fault. Reads no environment, never exits.
import { exitOf, faultFrom, type Fault } from '@hearth/protocol/fault'
import { nearest, parse, usageFault } from './args.ts'
import type { Command } from './command.ts'
import { commands } from './commands/all.ts'
import type { Context } from './context.ts'
import { jsonLine, visible } from './text.ts'

/** Runs one command line and resolves to its exit code. Faults are printed, never thrown. */
export async function dispatch(ctx: Context, argv: readonly string[]): Promise<number> {
  const end = argv.indexOf('--')
  const json = argv.slice(0, end === -1 ? undefined : end).includes('--json')
  try {
    checkFolders(ctx)
    const [name, rest] = commandName(argv)
    const command = await load(name)
    const args = parse(command.spec, rest)
    if (!args.flag('help')) return await command.run(ctx, args)
    const { commandHelp } = await import('./help.ts')
    ctx.out.write(commandHelp(command.spec))
    return 0
  } catch (thrown) {
    return printFault(ctx, faultFrom(thrown), json)
  }
}

/** `hearth: message`, the remedy on the next line, and with --json the fault as one object on stdout. */
export function printFault(ctx: Context, value: Fault, json: boolean): number {
  if (json) ctx.out.line(jsonLine({ error: value }))
  ctx.err.line(`${ctx.err.ink.red('hearth:')} ${visible(value.message)}`)
  if (value.remedy !== '') ctx.err.line(visible(value.remedy))
  return exitOf(value)
}

/** A relative folder would be another one for the daemon, and is ignored by the paths: better a sentence than the wrong place. */
function checkFolders(ctx: Context): void {
  for (const name of ['HEARTH_HOME', 'HEARTH_MODELS']) {
    const value = ctx.env[name] ?? ''
    if (value !== '' && !value.startsWith('/')) throw usageFault(`${name} must be an absolute path, it is '${value}'.`)
  }
}

async function load(name: string): Promise<Command> {
  const entry = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (entry === undefined) throw usageFault(`There is no command '${name}'.`)
  return await entry.load()
}

/** First words of commands that have two: models, keys, … */
const groups = [...new Set(Object.keys(commands).filter((name) => name.includes(' ')).map((name) => name.split(' ')[0] ?? ''))]

/** Takes the command's name off the front. `--json` and `--no-color` may stand before it. */
function commandName(argv: readonly string[]): [name: string, rest: string[]] {
  const before: string[] = []
  let i = 0
  for (; argv[i] === '--json' || argv[i] === '--no-color'; i++) before.push(argv[i] ?? '')
  const [word, next] = [argv[i], argv[i + 1]]
  const rest = (taken: number): string[] => [...before, ...argv.slice(i + taken)]
  if (word === undefined || word === '--help' || word === '-h') return ['help', rest(1)]
  if (word === '--version' || word === '-V') return ['version', rest(1)]
  if (word.startsWith('-')) throw usageFault(`'${word}' stands before the command; write 'hearth COMMAND ${word}'.`)
  if (groups.includes(word)) {
    if ((next === undefined || next.startsWith('-')) && Object.hasOwn(commands, `${word} ls`)) return [`${word} ls`, rest(1)]
    if (Object.hasOwn(commands, `${word} ${next}`)) return [`${word} ${next}`, rest(2)]
    throw unknown(next === undefined ? word : `${word} ${next}`)
  }
  if (Object.hasOwn(commands, word)) return [word, rest(1)]
  throw unknown(word)
}

function unknown(name: string): Error {
  const near = nearest(name, [...Object.keys(commands), ...groups])
  return usageFault(`There is no command '${name}'${near === null ? '' : `; the nearest is '${near}'`}.`)
}
