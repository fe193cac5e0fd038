// Owns starting a test program as an ordinary user who can reach neither this checkout nor our home: with copies made readable.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { chmodSync, cpSync, linkSync, mkdirSync, mkdtempSync, copyFileSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A number no account has. */
export const ordinaryUid = 54321

const checkout = join(import.meta.dirname, '..', '..')

/** A folder with node, the two packages and the tests, readable by all. */
export function makeReadableCopy(): { folder: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-user-'))
  for (const path of ['packages/protocol', 'packages/sandbox', 'test/sandbox', 'node_modules/zod', 'package.json']) {
    cpSync(join(checkout, path), join(folder, path), { recursive: true, dereference: true })
  }
  mkdirSync(join(folder, 'node_modules/@hearth'))
  for (const name of ['protocol', 'sandbox']) symlinkSync(`../../packages/${name}`, join(folder, 'node_modules/@hearth', name))
  const node = realpathSync(process.execPath)
  try {
    linkSync(node, join(folder, 'node'))
  } catch {
    copyFileSync(node, join(folder, 'node'))
  }
  mkdirSync(join(folder, 'tmp'))
  chmodSync(join(folder, 'tmp'), 0o1777)
  execFileSync('chmod', ['-R', 'go+rX', folder])
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

/** Starts `program` (a path below the copy) as the ordinary user; as the same user when the tests themselves are not run as root. */
export function startAsUser(folder: string, program: string): ChildProcess {
  const become = process.getuid?.() === 0 ? ['setpriv', `--reuid=${ordinaryUid}`, `--regid=${ordinaryUid}`, '--clear-groups', '--'] : []
  const [file = '', ...args] = [...become, join(folder, 'node'), '--disable-warning=ExperimentalWarning', join(folder, program)]
  return spawn(file, args, { cwd: folder, env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: '/nonexistent', TMPDIR: join(folder, 'tmp') }, stdio: ['ignore', 'pipe', 'inherit'] })
}
