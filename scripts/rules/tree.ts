// Reads a checkout as the rules see it: its files and their text. Knows no rule.
import { execFileSync } from 'node:child_process'
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'

export type Tree = {
  root: string
  /** Paths relative to the root, sorted: what git tracks or would track. */
  files: readonly string[]
  read(file: string): string
}

/** What a rule answers: `file` (or a folder) breaks it, with what to do. A warning never fails the build. */
export type Violation = { file: string; problem: string; warning?: true }

const never = new Set(['node_modules', '.git'])
/** Folders of the task set: other people's programs, with their faults on purpose. */
const notOurs = /^test\/tasks\/[^/]+\//

export function readTree(root: string): Tree {
  const files = existsSync(join(root, '.git')) ? tracked(root) : walked(root, root)
  const texts = new Map<string, string>()
  return {
    root,
    files: files.filter((file) => !notOurs.test(file)).sort(),
    read(file) {
      const known = texts.get(file)
      if (known !== undefined) return known
      const text = readFileSync(join(root, file), 'utf8')
      texts.set(file, text)
      return text
    },
  }
}

function tracked(root: string): string[] {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 26 })
  // A file that was deleted and not yet committed is still listed.
  return [...new Set(listed.split('\0'))].filter((file) => file !== '' && lstatSync(join(root, file), { throwIfNoEntry: false })?.isFile() === true)
}

function walked(root: string, folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return never.has(entry.name) ? [] : walked(root, path)
    return entry.isFile() ? [relative(root, path)] : []
  })
}

export function isCode(file: string): boolean {
  return /\.(ts|mts|js|mjs|tsx)$/.test(file)
}

/** The package a file belongs to, null outside packages/. */
export function packageOf(file: string): string | null {
  return /^packages\/([^/]+)\//.exec(file)?.[1] ?? null
}
