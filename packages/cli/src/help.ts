// Owns the help texts and docs/cli.md: both are made from the commands' specs and the outcome table, so that they cannot drift. Pure.
import { commandExits, outcomeTable } from '@hearth/protocol/outcome'
import { sharedFlags, type Flag, type Spec } from './args.ts'
import type { Commands } from './command.ts'
import { pad, wrap } from './text.ts'

const width = 100

function flagName(name: string, flag: Flag): string {
  const short = flag.short === undefined ? '' : `-${flag.short}, `
  return `${short}--${name}${flag.type === 'string' ? ` ${flag.value ?? 'VALUE'}` : ''}`
}

/** Two columns: a name and a text wrapped beside it. */
function listed(rows: readonly (readonly [name: string, text: string])[]): string[] {
  const size = Math.max(...rows.map(([name]) => name.length))
  return rows.flatMap(([name, text]) => wrap(text, width - size - 4).map((line, i) => `  ${pad(i === 0 ? name : '', size)}  ${line}`.trimEnd()))
}

function flagRows(spec: Spec): [string, string][] {
  return Object.entries({ ...spec.flags, ...sharedFlags })
    .map(([name, flag]) => [flagName(name, flag), flag.help + (flag.multiple === true ? ' (repeatable)' : '')])
}

/** What `hearth COMMAND --help` prints. */
export function commandHelp(spec: Spec): string {
  return [
    `hearth ${spec.name}${spec.operands === '' ? '' : ` ${spec.operands}`}`, '',
    ...wrap(spec.about, width), '',
    'Options:', ...listed(flagRows(spec)), '',
    spec.examples.length === 1 ? 'Example:' : 'Examples:',
    ...spec.examples.flatMap(([command, what]) => [`  $ ${command}`, `      ${what}`]), '',
  ].join('\n')
}

/** What `hearth help` prints. */
export function overview(commands: Commands): string {
  return [
    'hearth COMMAND [OPTIONS] [ARGUMENTS]', '',
    ...wrap('Gives jobs to the language models of this box: one daemon, local models first, every token accounted for.', width), '',
    'Commands:', ...listed(Object.entries(commands).map(([name, entry]) => [name, entry.summary])), '',
    "Each takes --json and --help. 'hearth help COMMAND' explains one, 'hearth help exit-codes' the exit codes,",
    "'hearth help environment' the variables and folders.", '',
    'Example:',
    '  $ hearth run --check "test -f b.txt" "copy a.txt to b.txt"', '',
  ].join('\n')
}

const commandMeanings: Readonly<Record<keyof typeof commandExits, string>> = {
  ok: 'the command did what was asked',
  internal: 'something went wrong inside Hearth',
  waitingApproval: 'the job waits for an approval',
  usage: 'the command line is wrong',
  badInput: 'the input cannot be used',
  unreachable: 'the daemon cannot be reached, or no engine can serve',
  cannotCreate: 'a file or folder cannot be created',
  tryLater: 'try again later (queue full, disk low, shutting down)',
  notAllowed: 'you may not do that',
  interrupted: 'it was interrupted',
}

/** Every exit code, once: the outcomes of a job that end with it, and what it means for a command. Ascending. */
export function exitRows(): { code: number; outcomes: string[]; meaning: string }[] {
  const rows = new Map<number, { code: number; outcomes: string[]; meaning: string }>()
  const row = (code: number): { code: number; outcomes: string[]; meaning: string } => {
    const found = rows.get(code) ?? { code, outcomes: [], meaning: '' }
    rows.set(code, found)
    return found
  }
  const say = (code: number, meaning: string): void => {
    const found = row(code)
    found.meaning = found.meaning === '' ? meaning : `${found.meaning}; ${meaning}`
  }
  for (const [outcome, entry] of Object.entries(outcomeTable)) {
    row(entry.exit).outcomes.push(outcome)
    say(entry.exit, `${outcome}: ${entry.means}`)
  }
  for (const [name, meaning] of Object.entries(commandMeanings)) say(commandExits[name as keyof typeof commandExits], meaning)
  return [...rows.values()].sort((a, b) => a.code - b.code)
}

const variables: readonly (readonly [string, string])[] = [
  ['HEARTH_HOME', 'an absolute folder that then holds everything: config.json, state, models, cache, the socket'],
  ['HEARTH_MODELS', 'an absolute folder for the models only'],
  ['HEARTH_SYSTEM', '1 = the folders of the system service: /etc/hearth, /var/lib/hearth, /var/cache/hearth, /run/hearth'],
  ['XDG_CONFIG_HOME, XDG_STATE_HOME, XDG_DATA_HOME, XDG_CACHE_HOME, XDG_RUNTIME_DIR', 'the usual folders of a user; hearth makes its own inside them'],
  ['NO_COLOR', 'not empty = no colours; TERM=dumb also means no live progress'],
]

/** Pages of `hearth help` that are not commands. */
export const topics: Readonly<Record<string, () => string>> = {
  'exit-codes': () => ['Exit codes:', ...listed(exitRows().map((row) => [String(row.code), row.meaning])), ''].join('\n'),
  environment: () => ['Environment:', ...variables.flatMap(([name, text]) => [`  ${name}`, ...wrap(text, width - 6).map((line) => `      ${line}`)]), ''].join('\n'),
}

/** The text of docs/cli.md. */
export async function reference(commands: Commands): Promise<string> {
  const specs = await Promise.all(Object.values(commands).map(async (entry) => (await entry.load()).spec))
  const fence = (text: string): string[] => ['```text', text.trimEnd(), '```', '']
  return [
    '# The command line', '',
    "This page is printed by `hearth help --markdown`; a test compares it with the program. The result goes to stdout, progress and complaints to stderr.",
    'Text of a model, a tool or a file reaches the terminal without control characters. A fault is `hearth: what happened`, then a line that says what to do;',
    'with `--json` stdout also gets `{"error": {"code", "origin", "message", "remedy"}}`. A reader that goes away (`head`) is no error.', '',
    ...fence(overview(commands)),
    '## Commands', '',
    ...specs.flatMap((spec) => [`### hearth ${spec.name}`, '', ...fence(commandHelp(spec))]),
    '## Exit codes', '',
    '| code | a job that ended as | meaning |', '|---|---|---|',
    ...exitRows().map((row) => `| ${row.code} | ${row.outcomes.map((name) => `\`${name}\``).join(', ')} | ${row.meaning} |`), '',
    '## Environment', '',
    '| variable | meaning |', '|---|---|',
    ...variables.map(([name, text]) => `| ${name.split(', ').map((word) => `\`${word}\``).join(', ')} | ${text} |`), '',
  ].join('\n')
}
