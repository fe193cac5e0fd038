// Owns the write tool, and how bytes get into a file of the workspace: beside it first, then in its place, so that a full disk or a crash leaves it whole.
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { look, notFound, path, shown } from './place.ts'
import { runProgram } from './run.ts'
import { defineFileTool, refused, type ToolContext, type ToolOutcome } from './tool.ts'
import { seenHash } from './traces.ts'

/**
 * $1 path, $2 name of the file beside it, $3 sha256 the file must have now, `absent` or `any`. stderr carries why it was not written. Links are followed
 * inside the folder only; rights are kept; another name of the same file (a hard link) keeps the old content.
 */
const writeScript = `
say() { printf '%s' "$1" >&2; exit 3; }
case $1 in /*) p=$1;; *) p=./$1;; esac
real=$(readlink -mn -- "$p" && printf x) || say loop
real=\${real%x}
case $real in /work/?*) ;; *) say "outside
$real";; esac
[ -d "$real" ] && say folder
if [ -e "$real" ]; then
  [ -f "$real" ] || say special
  [ -w "$real" ] || say "locked $(stat -c %a -- "$real")"
elif [ -L "$real" ]; then say loop
fi
d=\${real%/*}
why=$(mkdir -p -- "$d" 2>&1) || say "failed $why"
if [ "$3" != any ]; then
  now=absent; [ -e "$real" ] && { now=$(sha256sum < "$real"); now=\${now%% *}; }
  [ "$now" = "$3" ] || say changed
fi
if [ -w "$d" ]; then
  t=$d/$2
  rm -f -- "$t"
  why=$({ cat > "$t"; } 2>&1) || { rm -f -- "$t"; say "failed $why"; }
  [ -e "$real" ] && chmod --reference="$real" -- "$t"
  why=$(mv -fT -- "$t" "$real" 2>&1) || { rm -f -- "$t"; say "failed $why"; }
else
  why=$({ cat > "$real"; } 2>&1) || say "failed $why"
fi`

/** Puts `content` into the file and answers with `done`. `expected`: the sha256 it must still have; null = there is no file; absent = whatever there is. */
export async function writeFile(file: string, content: string | Uint8Array, context: ToolContext, done: ToolOutcome, expected?: string | null): Promise<ToolOutcome> {
  const result = await runProgram({
    argv: ['sh', '-c', writeScript, 'sh', file, `.hearth-${context.callId}.tmp`, expected === undefined ? 'any' : (expected ?? 'absent')],
    stdin: content, readOnly: false, words: true,
  }, context)
  if (!result.ok) return { ...refused(result.fault.message), cause: result.fault.code, fault: result.fault }
  if (result.cause === 'exited' && result.exitCode === 0) return done
  const answer = result.stderr.text
  const how = result.cause === 'exited' ? answer : `failed ${result.cause}`
  return { ...refused(whyNot(file, how)), exitCode: result.exitCode, wrote: result.cause !== 'exited' || how.startsWith('failed') }
}

function whyNot(file: string, answer: string): string {
  const name = shown(file)
  const space = answer.search(/[ \n]/)
  const [word, detail] = space === -1 ? [answer, ''] : [answer.slice(0, space), answer.slice(space + 1)]
  switch (word) {
    case 'outside': return `${name} is outside of the folder /work; only files in it can be written`
    case 'folder': return `${name} is a folder`
    case 'special': return `${name} is not a regular file`
    case 'locked': return `${name} is read-only (mode ${detail}); nothing was written`
    case 'loop': return `${name} is a symbolic link that leads in a circle`
    case 'changed': return `${name} changed while this call ran; nothing was written. Read it again`
    case 'failed': return `${name} was not written: ${reason(detail)}`
    default: return `${name} was not written: ${answer.slice(0, 200) || 'the sandbox gave no reason'}`
  }
}

/** The system's own words, without the names of programs and files before them. */
function reason(text: string): string {
  return text.trim().split('\n').at(-1)?.split(': ').at(-1)?.slice(0, 200) || 'the system gave no reason'
}

export const sha256 = (content: string | Uint8Array): string => createHash('sha256').update(content).digest('hex')

export const write = defineFileTool({
  name: 'write',
  description: 'Write a whole file; folders are made as needed.',
  parameters: z.strictObject({ path, content: z.string().describe('the new content') }),
  async prepare(args, context) {
    if (args.path.endsWith('/')) {
      return { before: null, after: null, path: null, run: () => Promise.resolve(refused(`${shown(args.path)} names a folder; folders are made with the files in them`)) }
    }
    const found = await look(args.path, { send: 'nothing' }, context)
    const after = sha256(args.content)
    const wrote = { ...answeredWrite(`wrote ${args.path}`), ...('real' in found ? { file: { path: found.real, sha256: after } } : {}) }
    if ('fault' in found) return { before: null, after: null, path: null, run: () => Promise.resolve(notFound(args.path, found, context)) }
    const before = 'sha256' in found ? found.sha256 : null
    const seen = 'real' in found ? seenHash(context.past, found.real) : null
    const note = seen !== null && before !== null && seen !== before && before !== after ? '\n(it had changed since you last saw it; what was there is replaced)' : ''
    return { before, after, path: 'real' in found ? found.real : null, run: () => writeFile(args.path, args.content, context, { ...wrote, text: wrote.text + note }) }
  },
})

/** The outcome of a file that was written. */
export function answeredWrite(text: string): ToolOutcome {
  return { ok: true, exitCode: 0, cause: 'exited', text, totalBytes: Buffer.byteLength(text), outputFile: null, wrote: true }
}
