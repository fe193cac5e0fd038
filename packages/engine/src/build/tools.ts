// Owns looking for a toolchain: each program on the PATH, each header where it is installed. Starts nothing.
import { accessSync, constants, existsSync, readdirSync, realpathSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { BuildBackend } from '@hearth/protocol'
import { needsOf, type Need } from './recipe.ts'

export type Tools = {
  /** Name -> absolute path of the program. */
  programs: ReadonlyMap<string, string>
  missing: readonly Need[]
  /** Folders outside /usr that the programs and their libraries live in (a ROCm in /opt). */
  outside: readonly string[]
}

// AMD's packages put nothing on the PATH.
const rocmPlaces = ['/opt/rocm/bin']

/** `path`: the PATH to search, as the environment has it. `root`: where absolute paths of headers begin (a test's tree). */
export function findTools(backend: BuildBackend, path: string, root = '/'): Tools {
  const folders = [...path.split(':').filter((folder) => folder.startsWith('/')), ...(backend === 'hip' ? rocmPlaces : [])]
  const programs = new Map<string, string>()
  const missing: Need[] = []
  for (const need of needsOf(backend)) {
    if (need.program === undefined) {
      if (!(need.files ?? []).some((file) => exists(root, file))) missing.push(need)
      continue
    }
    const found = folders.map((folder) => join(folder, need.program ?? '')).find(isProgram)
    if (found === undefined) missing.push(need)
    else programs.set(need.program, found)
  }
  const outside = [...programs.values()].flatMap((program) => [program, realpathSync(program)]).flatMap(homeOf).filter((folder) => !isSystem(folder) && existsSync(folder))
  return { programs, missing, outside: [...new Set(outside)] }
}

/** Where a program and its libraries are: all of a PREFIX in /opt; of any other only what belongs to programs, as it may be a person's home. */
function homeOf(program: string): string[] {
  const folder = dirname(program)
  if (!folder.endsWith('/bin')) return [folder]
  const prefix = dirname(folder)
  return prefix.startsWith('/opt/') ? [prefix] : ['bin', 'lib', 'lib64', 'libexec', 'share', 'include'].map((name) => join(prefix, name))
}

function isSystem(folder: string): boolean {
  return folder === '/' || folder === '/usr' || folder.startsWith('/usr/')
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

function exists(root: string, pattern: string): boolean {
  const [before, after] = pattern.split('/*/')
  if (after === undefined) return existsSync(join(root, pattern))
  const folder = join(root, before ?? '')
  return existsSync(folder) && readdirSync(folder).some((name) => existsSync(join(folder, name, after)))
}
