// Owns reading pieces of the folder's files for a packet, through the sandbox: no link shows a file from outside, nothing binary or huge is read.
import type { Limits, PacketSlice, Sandbox } from '@hearth/protocol'
import { harmless } from '../observe.ts'
import { inFolder, type Place } from './places.ts'

export type Reading = { sandbox: Sandbox; workspace: string; limits: Limits; signal: AbortSignal }

const linesAround = 14
const headLines = 60
const sliceBytes = 4000
const fileBytes = 512 * 1024
const treeLines = 200

// One line for each place: its number, and the file's real path and its lines in base64, which no content can break out of. Looked at and read by one descriptor: what is exchanged
// meanwhile is not read. A link that leads outside is no file; one with a NUL in it is binary.
const script = `
n=0
while [ $# -ge 3 ]; do
  if [ -f "$1" ] && [ -r "$1" ]; then {
    f=/proc/self/fd/3
    case $(readlink $f) in *' (deleted)') in=0;; "$PWD"/*) in=1;; *) in=0;; esac
    if [ $in = 1 ] && [ -f $f ] && [ "$(stat -Lc %s $f)" -le ${fileBytes} ] && { [ ! -s $f ] || grep -qI -m1 . $f; }; then
      printf '%s ' "$n"; readlink -n $f | base64 -w0; printf ' '; sed -n "$2,$3p" $f | head -c ${sliceBytes} | base64 -w0; echo
    fi
  } 3< "$1"; fi
  n=$((n+1)); shift 3
done`

/**
 * Lines around each place, or the head of the file where no line is known. What cannot be read, or of which `mayShow` (asked for the file that was really read, relative to
 * the folder) says no, is left out; a sandbox that fails means no slices.
 */
export async function readSlices(places: readonly Place[], { sandbox, workspace, limits, signal }: Reading, mayShow: (path: string) => boolean): Promise<PacketSlice[]> {
  if (places.length === 0) return []
  const spans = places.map(({ path, line }) => (line === null ? { path, from: 1, to: headLines } : { path, from: Math.max(1, line - linesAround), to: line + linesAround }))
  const result = await sandbox.run({
    argv: ['sh', '-c', script, 'sh', ...spans.flatMap(({ path, from, to }) => [`./${path}`, String(from), String(to)])],
    workspace, readOnly: true, limits: { ...limits, wallMs: Math.min(limits.wallMs, 20_000) }, captureBytes: 256 * 1024,
  }, signal)
  if (!result.ok) return []
  return result.stdout.text.split('\n').flatMap((line): PacketSlice[] => {
    const [number, real, content] = line.split(' ')
    const span = spans[Number(number)]
    if (number === undefined || number === '' || real === undefined || content === undefined || span === undefined) return []
    const read = inFolder(Buffer.from(real, 'base64').toString('utf8'))
    if (read === null || !mayShow(read)) return []
    const text = harmless(Buffer.from(content, 'base64').toString('utf8')).trimEnd()
    return text === '' ? [] : [{ path: span.path, fromLine: span.from, text }]
  })
}

/** Names of the folder's files, sorted, without what tools and version control keep there. */
export async function readTree({ sandbox, workspace, limits, signal }: Reading): Promise<string[]> {
  const result = await sandbox.run({
    argv: ['sh', '-c', `find . \\( -name .git -o -name node_modules -o -name target -o -name .venv -o -name __pycache__ -o -name dist \\) -prune -o -type f -print | head -n 5000 | LC_ALL=C sort | head -n ${treeLines}`],
    workspace, readOnly: true, limits: { ...limits, wallMs: Math.min(limits.wallMs, 20_000) }, captureBytes: 64 * 1024,
  }, signal)
  return result.ok ? harmless(result.stdout.text).split('\n').filter((line) => line !== '').map((line) => line.replace(/^\.\//, '')) : []
}
