// Owns the grep tool: Perl expressions over the files that ripgrep would search, with an answer that says what was left out of it. Runs in the sandbox only.
import { z } from 'zod'
import type { RunResult } from '@hearth/protocol'
import { path, shown, whence } from './place.ts'
import { outcomeOf, runProgram } from './run.ts'
import { answered, commandWord, defineTool, refused, type ToolContext, type ToolOutcome } from './tool.ts'
import { gitEnv, noGit, walkScript, withoutBraces } from './walk.ts'

/** Output of one search is read up to this; a search that finds more is stopped. */
const readBytes = 8 * 2 ** 20
const linesShown = 300
const linesOfFile = 60
const lineBytes = 400

/** $1 path, $2 1 = also hidden and ignored files, $3 what to print, $4 the dialect, $5 lines around a match, $6 the expression, then pathspecs. */
const script = `${walkScript}
p=$1; all=$2; mode=$3; dialect=$4; around=$5; pattern=$6; shift 6
case $p in /*) ;; *) p=./$p;; esac
[ -e "$p" ] || say missing
real=$(readlink -fn -- "$p" && printf x) || say missing
real=\${real%x}
case $real in /work|/work/*) ;; *) all=1; GIT_WORK_TREE=$real; [ -d "$real" ] || GIT_WORK_TREE=\${real%/*};; esac
prepare 1 1
if [ -d "$real" ]; then cd -- "$real" || say unreadable; [ $# -gt 0 ] || set -- .
else cd -- "\${real%/*}" && set -- ":(literal)\${real##*/}"; fi
if [ "$all" = 0 ] && [ "$real" != /work ] && git check-ignore -q -- "$real"; then all=1; fi
what=--exclude-standard; [ "$all" = 1 ] && what=--no-exclude-standard
set -o pipefail
git grep --no-index $what --full-name -I $mode "$dialect" -C "$around" --no-color -e "$pattern" -- "$@" | cut -b 1-${lineBytes}
exit \${PIPESTATUS[0]}`

const modes = { lines: '-n --heading --break', files: '-l', count: '-c' } as const

export const grep = defineTool({
  name: 'grep',
  description: 'Search files for a Perl regular expression, (?i) ignores case. Skips hidden, ignored and binary files.',
  parameters: z.strictObject({
    pattern: commandWord(),
    path: path.optional().describe('file or folder'),
    include: commandWord().optional().describe('only such names, e.g. *.ts'),
    mode: z.enum(['lines', 'files', 'count']).optional(),
    context: z.int().min(0).max(20).optional().describe('lines around'),
    all: z.boolean().optional().describe('hidden and ignored files too'),
  }),
  idempotency: 'pure',
  async run(args, context) {
    const first = await search(args, '-P', context)
    if (first.type === 'done') return first.outcome
    if (first.type === 'dialect') {
      const second = await search(args, '-E', context)
      return second.type === 'done' ? { ...second.outcome, text: `${second.outcome.text}\n(git has no Perl expressions here: searched as an extended one)` } : refused(first.why)
    }
    // What is no expression can only be meant as it stands.
    const plain = await search(args, '-F', context)
    return plain.type === 'done' ? { ...plain.outcome, text: `${plain.outcome.text}\n(no valid expression, ${first.why}: searched as plain text)` } : refused(first.why)
  },
})

type Args = { pattern: string; path?: string | undefined; include?: string | undefined; mode?: keyof typeof modes | undefined; context?: number | undefined; all?: boolean | undefined }
type Searched = { type: 'done'; outcome: ToolOutcome } | { type: 'dialect' | 'expression'; why: string }

async function search(args: Args, dialect: '-P' | '-E' | '-F', context: ToolContext): Promise<Searched> {
  const mode = args.mode ?? 'lines'
  const over = new AbortController()
  const found = new Matches(mode, context.shownBytes - 200)
  let bytes = 0
  const result = await runProgram({
    argv: ['bash', '-c', script.replace('$mode', modes[mode]), 'bash', args.path ?? '.', args.all === true ? '1' : '0', mode, dialect, String(args.context ?? 0), args.pattern, ...pathspecs(args.include)],
    readOnly: true, words: true, env: gitEnv, signal: AbortSignal.any([context.signal, over.signal]),
    onBytes(chunk) {
      if (over.signal.aborted) return
      bytes += chunk.length
      found.take(chunk)
      if (bytes > readBytes) over.abort()
    },
  }, context)
  if (!result.ok) return { type: 'done', outcome: outcomeOf(result, context, false, false) }
  const stopped = over.signal.aborted || result.cause === 'output'
  if (!stopped && result.cause !== 'exited') return { type: 'done', outcome: refused(`the search was stopped (${result.cause}); narrow it by path or include`) }
  const problem = stopped ? null : trouble(result, args, context)
  if (problem !== null) return problem
  const text = found.text(stopped)
  return { type: 'done', outcome: { ...answered(text ?? `no match${args.all === true ? '' : '\n(hidden and ignored files were left out; all: true searches them too)'}`), files: found.read } }
}

function pathspecs(include: string | undefined): string[] {
  if (include === undefined) return []
  return withoutBraces(include.replace(/^(?:\.\/|\/work\/)/, '')).map((one) => `:(glob)${one.includes('/') ? one : `**/${one}`}`)
}

/** 0 and 1 are git's words for "found" and "nothing". */
function trouble(result: Extract<RunResult, { ok: true }>, args: Args, context: ToolContext): Searched | null {
  if (result.exitCode === 0 || result.exitCode === 1) return null
  const said = result.stderr.text.trim()
  const name = shown(args.path ?? '.')
  if (said === 'nogit') return { type: 'done', outcome: refused(noGit) }
  if (said === 'missing') return { type: 'done', outcome: refused(`there is no ${name}${whence(context)}`) }
  if (said === 'unreadable') return { type: 'done', outcome: refused(`${name} may not be read`) }
  if (/cannot use Perl-compatible/.test(said)) return { type: 'dialect', why: 'git knows no Perl expressions here' }
  const expression = /^fatal: (?:command line|-e option), '.*': (.*)$/s.exec(said)?.[1] ?? /^fatal: .*(?:regex|pcre2?|expression).*$/im.exec(said)?.[0]
  if (expression !== undefined) return { type: 'expression', why: expression.slice(0, 120) }
  return { type: 'done', outcome: refused(`the search failed: ${said.slice(0, 300) || `exit ${result.exitCode}`}`) }
}

/** Counts everything that a search prints and keeps as much as may be shown, some of every file before all of one. */
class Matches {
  readonly #mode: keyof typeof modes
  readonly #limit: number
  readonly #decoder = new TextDecoder()
  #rest = ''
  #kept: string[] = []
  #size = 0
  #shown = 0
  #files = 0
  #matches = 0
  #ofFile = 0
  #atName = true
  /** Files of which lines are kept, as a search names them. */
  readonly read: string[] = []

  constructor(mode: keyof typeof modes, limit: number) {
    this.#mode = mode
    this.#limit = limit
  }

  take(chunk: Uint8Array): void {
    const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) this.#line(line.replace(/\ufffd+$/, ''))
  }

  #line(line: string): void {
    if (this.#mode !== 'lines') {
      this.#files += 1
      if (this.#keep(line)) this.#shown += 1
      return
    }
    if (line === '') {
      this.#atName = true
      this.#keep('')
    } else if (this.#atName) {
      this.#atName = false
      this.#files += 1
      this.#ofFile = 0
      if (this.#keep(line)) this.read.push(line)
    } else {
      const isMatch = /^\d+:/.test(line)
      if (isMatch) {
        this.#matches += 1
        this.#ofFile += 1
      }
      const kept = this.#ofFile <= linesOfFile && this.#keep(line)
      if (kept && isMatch) this.#shown += 1
    }
  }

  #keep(line: string): boolean {
    if (this.#shown >= linesShown || this.#size + Buffer.byteLength(line) + 1 > this.#limit) {
      this.#size = Infinity
      return false
    }
    this.#size += Buffer.byteLength(line) + 1
    this.#kept.push(line)
    return true
  }

  /** Null = nothing was found. */
  text(stopped: boolean): string | null {
    if (this.#files === 0) return null
    const body = this.#kept.join('\n').replace(/\n+$/, '')
    const total = this.#mode === 'lines' ? this.#matches : this.#files
    if (this.#shown === total && !stopped) return body
    const more = stopped ? 'more than ' : ''
    const what = this.#mode === 'lines' ? `${this.#shown} of ${more}${total} matching lines in ${this.#files} files` : `${this.#shown} of ${more}${total} files`
    return `${body}\n[${what}; narrow it by path, include or pattern${this.#mode === 'lines' ? ', or ask for mode files' : ''}]`
  }
}
