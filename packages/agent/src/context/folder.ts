// Owns what a job's folder brings with it, read once before the first step: instructions, skills, the project's own test command. Reads through the sandbox,
// so no link in the folder can show a file from outside of it; runs nothing it finds and takes no setting from it.
import { createHash } from 'node:crypto'
import type { EventOf, Fault, Limits, Sandbox } from '@hearth/protocol'
import { harmless } from '../observe.ts'
import { cutText } from './cut.ts'
import { guessCheck } from './guess.ts'
import { skillFrom } from '../skills/skill.ts'

export type Folder = { sandbox: Sandbox; workspace: string; limits: Limits; signal: AbortSignal }
export type FolderFinds = Pick<EventOf<'opened'>, 'instructions' | 'skills' | 'guessedCheck'>

const instructionNames = ['AGENTS.md', 'CLAUDE.md', '.claude/CLAUDE.md']
const skillFolders = ['.agents/skills', '.claude/skills']
const manifests = ['package.json', 'Makefile', 'makefile', 'Cargo.toml', 'go.mod', 'pyproject.toml', 'pytest.ini', 'tox.ini', 'setup.cfg', 'setup.py', 'mix.exs', 'composer.json', 'Gemfile', 'pom.xml', 'build.gradle', 'build.gradle.kts', 'gradlew', 'deno.json', 'bun.lock', 'pnpm-lock.yaml', 'yarn.lock']
const testFolders = ['tests', 'test', 'spec']
const fileBytes = 64 * 1024
const skillsAtMost = 64

/** Bytes of instructions for a window: a tenth of it at about four bytes a token, 32 KiB at most; a window under 4K has room for none. */
export function instructionBytes(contextTokens: number): number {
  return contextTokens < 4096 ? 0 : Math.min(32 * 1024, Math.floor(contextTokens * 0.4))
}

// One line for each file found: a letter, its path and its first bytes in base64, which no name or content can break out of.
const script = `
show() { if [ -f "$2" ] && [ -r "$2" ]; then printf '%s ' "$1"; printf '%s' "$2" | base64 -w0; printf ' '; head -c ${fileBytes} -- "$2" | base64 -w0; echo; fi; }
for name in ${instructionNames.join(' ')}; do show i "$name"; done
n=0
for folder in ${skillFolders.join(' ')}; do for skill in "$folder"/*/SKILL.md; do [ $n -lt ${skillsAtMost} ] && [ -f "$skill" ] && { show s "$skill"; n=$((n+1)); }; done; done
for name in ${manifests.join(' ')}; do show m "$name"; done
for name in ${testFolders.join(' ')}; do [ -d "$name" ] && { printf 'd '; printf '%s' "$name" | base64 -w0; echo ' '; }; done
exit 0`

/** What the folder brings; a fault only when the sandbox cannot run. A file that cannot be read is as good as absent. */
export async function readFolder({ sandbox, workspace, limits, signal }: Folder, contextTokens: number): Promise<FolderFinds | { fault: Fault }> {
  const result = await sandbox.run({ argv: ['sh', '-c', script], workspace, readOnly: true, limits: { ...limits, wallMs: Math.min(limits.wallMs, 20_000) }, captureBytes: 8 * 2 ** 20 }, signal)
  if (!result.ok) return { fault: result.fault }
  const found = result.stdout.truncated ? [] : result.stdout.text.split('\n').flatMap(foundIn)
  const room = instructionBytes(contextTokens)
  return {
    instructions: room === 0 ? [] : instructionsOf(found.filter(({ kind }) => kind === 'i'), room),
    skills: room === 0 ? [] : found.filter(({ kind }) => kind === 's').flatMap(({ path, text }) => skillFrom(path.slice(0, -'/SKILL.md'.length), text) ?? []),
    guessedCheck: guessCheck(new Map(found.filter(({ kind }) => kind === 'm').map(({ path, text }) => [path, text])), new Set(found.filter(({ kind }) => kind === 'd').map(({ path }) => path))),
  }
}

type Found = { kind: string; path: string; text: string; bytes: Buffer }

function foundIn(line: string): Found[] {
  const [kind, path, content] = line.split(' ')
  if (kind === undefined || path === undefined || content === undefined) return []
  const bytes = Buffer.from(content, 'base64')
  return [{ kind, path: Buffer.from(path, 'base64').toString('utf8'), text: bytes.toString('utf8'), bytes }]
}

/** Linear, and what stood on both sides of a comment makes no other one: it is not looked at again. */
function withoutComments(text: string): string {
  const parts: string[] = []
  for (let at = 0; ;) {
    const from = text.indexOf('<!--', at)
    const to = from === -1 ? -1 : text.indexOf('-->', from + 4)
    if (to === -1) return parts.join('') + text.slice(at)
    parts.push(text.slice(at, from))
    at = to + 3
  }
}

/** The same text under two names (a link, a copy) is told once. */
function instructionsOf(found: readonly Found[], room: number): FolderFinds['instructions'] {
  const seen = new Set<string>()
  const told: FolderFinds['instructions'] = []
  let left = room
  for (const { path, bytes, text } of found) {
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    const plain = withoutComments(harmless(text)).trim()
    if (seen.has(sha256) || plain === '' || text.includes('\0')) continue
    seen.add(sha256)
    const cut = cutText(plain, left)
    left -= Buffer.byteLength(cut)
    told.push({ path, sha256, text: cut })
    if (left < 200) break
  }
  return told
}
