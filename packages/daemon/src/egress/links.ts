// Owns what else a file of a job's folder is called: every name that links lead through, as the job's sandbox follows them. Reads links only; opens no file.
import { readlinkSync } from 'node:fs'
import { join, posix } from 'node:path'

/** What the sandbox calls the folder. */
const seen = '/work'
/** As many as the kernel follows. */
const linksAtMost = 40

/**
 * All names of a file: the given one (relative to the folder), and each that its links lead to: relative for what lies in the folder, absolute for what lies outside. A link in a
 * circle, or through something that is no folder, ends there: it can be read by nobody. Hard links are files of their own; no name of one says that there is another.
 */
export function namesOfFile(folder: string, path: string): string[] {
  const names = [path]
  let left = piecesOf(path)
  // Taken step by step: what `..` leaves depends on where a link before it led.
  let here = path.startsWith('/') ? '/' : seen
  for (let links = 0; left.length > 0;) {
    const [part = '', ...rest] = left
    left = rest
    if (part === '.' || part === '..') {
      here = posix.join(here, part)
      continue
    }
    const next = posix.join(here, part)
    const target = targetOf(folder, next)
    if (target === null) {
      here = next
      continue
    }
    if (++links > linksAtMost) return names
    here = target.startsWith('/') ? '/' : here
    left = [...piecesOf(target), ...rest]
    const now = posix.join(here, ...left)
    names.push(inside(now) ?? now)
  }
  names.push(inside(here) ?? here)
  return [...new Set(names)]
}

function piecesOf(path: string): string[] {
  return path.split('/').filter((piece) => piece !== '')
}

/** Where a link of the folder leads; null for anything else, and for what lies outside of it. */
function targetOf(folder: string, path: string): string | null {
  const own = inside(path)
  if (own === null || own === '') return null
  try {
    return readlinkSync(join(folder, own))
  } catch {
    return null
  }
}

/** Relative to the folder; null = it lies outside. */
function inside(path: string): string | null {
  return path === seen ? '' : path.startsWith(`${seen}/`) ? path.slice(seen.length + 1) : null
}
