// The rule about the size of a production install, and the install it is measured on.
import { execFile } from 'node:child_process'
import { cpSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { installLimitBytes } from './table.ts'
import type { Tree, Violation } from './tree.ts'

export function installSize(root: string, limitBytes = installLimitBytes): Violation[] {
  const bytes = folderBytes(join(root, 'node_modules'))
  if (bytes <= limitBytes) return []
  const largest = packageFolders(join(root, 'node_modules')).map((name) => ({ name, bytes: folderBytes(join(root, 'node_modules', name)) }))
    .sort((a, b) => b.bytes - a.bytes).slice(0, 3).map((one) => `${one.name} ${megabytes(one.bytes)}`)
  return [{ file: 'node_modules', problem: `a production install has ${megabytes(bytes)}, the limit is ${megabytes(limitBytes)}; largest: ${largest.join(', ')}` }]
}

/** Installs for production into a temporary copy of the manifests, hands its root to `use`, and removes it. */
export async function withProductionInstall<T>(tree: Tree, use: (root: string) => T): Promise<T> {
  const root = mkdtempSync(join(tmpdir(), 'hearth-install-'))
  try {
    const wanted = tree.files.filter((file) => /(^|\/)package(-lock)?\.json$/.test(file) || file === '.npmrc' || /^packages\/[^/]+\/bin\//.test(file))
    for (const file of wanted) {
      mkdirSync(dirname(join(root, file)), { recursive: true })
      cpSync(join(tree.root, file), join(root, file))
    }
    await promisify(execFile)('npm', ['ci', '--omit=dev', '--ignore-scripts', '--prefer-offline', '--no-fund', '--no-audit', '--loglevel=error'], { cwd: root })
    return use(root)
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

/** Bytes of all files below a folder; links are not followed. 0 when it is absent. */
export function folderBytes(path: string): number {
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found === undefined) return 0
  if (!found.isDirectory()) return found.isSymbolicLink() ? 0 : found.size
  return readdirSync(path).reduce((sum, name) => sum + folderBytes(join(path, name)), 0)
}

function packageFolders(modules: string): string[] {
  return readdirSync(modules).flatMap((name) => name.startsWith('@') ? readdirSync(join(modules, name)).map((inner) => `${name}/${inner}`) : [name])
}

export function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`
}
