// Owns the glob tool: names of files by a shell pattern, sorted. Runs in the sandbox only.
import { z } from 'zod'
import { shown } from './place.ts'
import { outcomeOf, runProgram } from './run.ts'
import { answered, commandWord, defineTool, refused } from './tool.ts'
import { gitEnv, noGit, pathExpression, walkScript } from './walk.ts'

const namesShown = 500
/** Names are read up to this; a pattern that has more is stopped. */
const readBytes = 8 * 2 ** 20

/**
 * $1 1 = also hidden and ignored files, $2 and $3 whether to skip hidden files and node_modules, $4 the expression, $5 the pattern. git shows a repository
 * inside the folder as a name with a slash at its end; it is looked into as if it were a folder.
 */
const script = `${walkScript}
all=$1; prepare "$2" "$3"
std=--exclude-standard; [ "$all" = 1 ] && std=
names=$GIT_DIR/names
list() {
  GIT_WORK_TREE=/work/$1 git -C "/work/$1" ls-files -o -z $std > "$names.$2" 2> "$names.said" || { [ "$2" = 0 ] && say "failed $(tail -n 1 "$names.said")"; return 0; }
  prefix=$(printf '%s' "$1" | sed 's/[\\/&\\\\]/\\\\&/g')
  if [ -n "$1" ]; then sed -z "s/^/$prefix/" "$names.$2"; else cat "$names.$2"; fi | grep -zv '/$'
  [ "$2" -lt 8 ] && grep -z '/$' "$names.$2" | head -z -n 200 | while IFS= read -r -d '' inner; do list "$1$inner" $(($2 + 1)); done
  return 0
}
list '' 0 | grep -zE -- "$4" | LC_ALL=C sort -z
code=\${PIPESTATUS[1]}
[ "$code" -gt 1 ] && say expression
[ "$code" = 1 ] && [ -d "./$5" ] && say folder
exit 0`

export const glob = defineTool({
  name: 'glob',
  description: 'List files whose path matches, e.g. src/**/*.ts; a pattern without / is met in every folder. Skips hidden and ignored files.',
  parameters: z.strictObject({
    pattern: commandWord().max(1024),
    all: z.boolean().optional().describe('hidden and ignored files too'),
  }),
  idempotency: 'pure',
  async run({ pattern, all = false }, context) {
    const wanted = pattern.replace(/^(?:\.\/+)+/, '').replace(/^\/work\/+/, '').replace(/\/+$/, '/**')
    if (wanted.startsWith('/') || wanted.split('/').includes('..')) return refused('glob lists files of the folder only; use bash ls for others')
    const parts = wanted.split('/')
    const over = new AbortController()
    const names: string[] = []
    let rest = Buffer.alloc(0)
    let [count, size, bytes] = [0, 0, 0]
    const room = context.shownBytes - 150
    const result = await runProgram({
      argv: ['bash', '-c', script, 'bash', all ? '1' : '0', all || parts.some((part) => part.startsWith('.')) ? '0' : '1', all || parts.includes('node_modules') ? '0' : '1', pathExpression(wanted, /^\.?\//.test(pattern) || wanted.includes('/')), wanted],
      readOnly: true, words: true, env: gitEnv, signal: AbortSignal.any([context.signal, over.signal]),
      onBytes(chunk) {
        if (over.signal.aborted) return
        bytes += chunk.length
        if (bytes > readBytes) over.abort()
        let from = 0
        for (let end = chunk.indexOf(0); end !== -1; end = chunk.indexOf(0, from)) {
          count += 1
          if (names.length < namesShown && size < room) {
            const name = shown(Buffer.concat([rest, chunk.subarray(from, end)]).toString('utf8'))
            size += Buffer.byteLength(name) + 1
            if (size < room) names.push(name)
          }
          rest = Buffer.alloc(0)
          from = end + 1
        }
        if (names.length < namesShown && size < room) rest = Buffer.concat([rest, chunk.subarray(from)])
      },
    }, context)
    if (!result.ok) return outcomeOf(result, context, false, false)
    const stopped = over.signal.aborted || result.cause === 'output'
    if (!stopped && result.cause !== 'exited') return refused(`the listing was stopped (${result.cause}); use a narrower pattern`)
    const said = stopped ? '' : result.stderr.text.trim()
    if (said === 'nogit') return refused(noGit)
    if (said === 'folder') return answered(`${shown(wanted)} is a folder; ${shown(wanted)}/** lists it`)
    if (said !== '') return refused(said === 'expression' ? `${shown(pattern)} is no shell pattern` : `the listing failed: ${said.replace(/^failed /, '').slice(0, 300)}`)
    if (count === 0) return answered(`no match${all ? '' : '\n(hidden and ignored files were left out; all: true lists them too)'}`)
    const cut = names.length < count || stopped
    return answered(`${names.join('\n')}${cut ? `\n[${names.length} of ${stopped ? 'more than ' : ''}${count} files; use a narrower pattern]` : ''}`)
  },
})
