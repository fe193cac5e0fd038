// Owns how a path of the model becomes a file: looked at inside the sandbox, so it can never lead out of it. Writes nothing.
import type { Fault } from '@hearth/protocol'
import { runProgram } from './run.ts'
import { commandWord, refused, type ToolContext, type ToolOutcome } from './tool.ts'
import { shellFolder } from './traces.ts'

export const path = commandWord().max(4096).describe('path, relative to the folder')

/** Files up to this size are hashed, and can be edited: they are held in memory several times over. */
export const editBytes = 8 * 2 ** 20
/** Lines of a file up to this size are counted. */
const countedBytes = 64 * 2 ** 20

/** What is known of a regular file. `lines` is null when it is too large to be counted, `sha256` when it is too large to be hashed. */
export type Found = { real: string; size: number; sha256: string | null; lines: number | null; kind: 'text' | 'utf16' | 'binary'; magic: string; content: Uint8Array }

export type Look = Found | { missing: true; real: string; near: string[] } | { problem: string } | { fault: Fault }

/**
 * $1 path, $2 what to send (`text` by lines, `bytes`, `nothing`), $3 first line, $4 number of lines (0 = all), $5 bytes at most, $6 and $7 the sizes
 * above. stderr carries the answer in one word and its details; for a file that is missing, others of its name. A special file is never opened: it would block or never end.
 */
const lookScript = `
say() { printf '%s' "$1" >&2; exit 0; }
case $1 in /*) p=$1;; *) p=./$1;; esac
real=$(readlink -mn -- "$p" && printf x) || say loop
real=\${real%x}
if [ ! -e "$p" ]; then
case $(stat -L -- "$p" 2>&1) in *'Too many'*) say loop;; esac
[ -L "$p" ] && say "link
$real"
near=; [ "$2" = nothing ] || near=$(timeout 2 find . '(' -name .git -o -name node_modules ')' -prune -o -type f -name "$(basename -- "$p")" -print 2> /dev/null | head -n 3)
printf 'missing\\n%s\\0%s' "$real" "$near" >&2; exit 0; fi
[ -d "$p" ] && say folder
[ -f "$p" ] || say special
[ -r "$p" ] || say unreadable
size=$(stat -Lc %s -- "$p")
sha=-; [ "$size" -le "$6" ] && { sha=$(sha256sum < "$p"); sha=\${sha%% *}; }
nul=$(head -c 8192 -- "$p" | tr -dc '\\000' | wc -c)
magic=$(head -c 16 -- "$p" | od -An -v -tx1 | tr -d ' \\n')
kind=text; case $magic in fffe*|feff*) kind=utf16;; *) [ "$nul" -gt 0 ] && kind=binary;; esac
lines=-
show() { if [ $kind = utf16 ]; then iconv -f UTF-16 -t UTF-8 -- "$p"; else cat -- "$p"; fi; }
case $2 in
text)
  [ "$size" -le "$7" ] && lines=$(show | wc -l)
  if [ $kind != binary ]; then
    if [ "$4" -gt 0 ]; then show | tail -n "+$3" | head -n "$4" | head -c "$5"; else show | tail -n "+$3" | head -c "$5"; fi
  fi;;
bytes) [ "$size" -le "$5" ] && cat -- "$p";;
esac
say "ok $size $sha $kind \${magic:--} $lines
$real"`

export type Wanted = { send: 'text'; offset: number; limit: number; maxBytes: number } | { send: 'bytes' | 'nothing' }

/** Looks at a path. Never throws; a fault means that the sandbox could not run at all. */
export async function look(name: string, wanted: Wanted, context: ToolContext): Promise<Look> {
  const parts: Uint8Array[] = []
  const [offset, limit, maxBytes] = wanted.send === 'text' ? [wanted.offset, wanted.limit, wanted.maxBytes] : [1, 0, editBytes]
  const result = await runProgram({
    argv: ['sh', '-c', lookScript, 'sh', name, wanted.send, ...[offset, limit, maxBytes, editBytes, countedBytes].map(String)],
    readOnly: true, words: true, onBytes: (chunk) => parts.push(Uint8Array.from(chunk)),
  }, context)
  if (!result.ok) return { fault: result.fault }
  if (result.cause !== 'exited') return { problem: `${shown(name)} could not be read: ${result.cause}` }
  const answer = result.stderr.text
  const end = answer.indexOf('\n')
  const words = (end === -1 ? answer : answer.slice(0, end)).split(' ')
  const real = end === -1 ? '' : inFolder(answer.slice(end + 1))
  switch (words[0]) {
    case 'ok': {
      const [, size, sha, kind, magic, lines] = words
      return {
        real, size: Number(size), sha256: sha === '-' || sha === undefined ? null : sha, kind: kind === 'utf16' || kind === 'binary' ? kind : 'text',
        magic: magic ?? '', lines: lines === '-' ? null : Number(lines), content: Buffer.concat(parts),
      }
    }
    case 'missing': {
      const [at = '', near = ''] = answer.slice(end + 1).split('\0')
      return { missing: true, real: inFolder(at), near: near.split('\n').filter((one) => one !== '').map((one) => one.replace(/^\.\//, '')) }
    }
    case 'folder': return { problem: `${shown(name)} is a folder; use glob or bash ls` }
    case 'special': return { problem: `${shown(name)} is not a regular file` }
    case 'unreadable': return { problem: `${shown(name)} may not be read` }
    case 'link': return { problem: `${shown(name)} is a symbolic link to ${shown(real)}, and nothing is there` }
    case 'loop': return { problem: `${shown(name)} is a symbolic link that leads in a circle` }
    default: return { problem: `${shown(name)} could not be read: ${answer.slice(0, 200) || `exit ${result.exitCode}`}` }
  }
}

/** A path as the sandbox names it -> relative to the folder, when it lies in it. */
export function inFolder(real: string): string {
  return real === '/work' ? '.' : real.startsWith('/work/') ? real.slice('/work/'.length) : real
}

/** A path in a sentence: bounded, on one line. */
export function shown(name: string): string {
  return (name.length > 200 ? `${name.slice(0, 200)}...` : name).replaceAll('\n', '\\n')
}

/** The outcome of a look that found no file. */
export function notFound(name: string, found: Exclude<Look, Found>, context: ToolContext): ToolOutcome {
  if ('fault' in found) return { ...refused(found.fault.message), cause: found.fault.code, fault: found.fault }
  if (!('missing' in found)) return refused(found.problem)
  return refused(`there is no file ${shown(name)}${found.near.length === 0 ? '' : `; there is ${found.near.map(shown).join(', ')}`}${whence(context)}`)
}

/** A model whose shell stands in a folder forgets that paths do not. */
export function whence(context: ToolContext): string {
  const folder = shellFolder(context.past)
  return folder === '' ? '' : `\n(paths are relative to /work; the shell is in ${shown(folder)})`
}
