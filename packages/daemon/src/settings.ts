// Owns reading the configuration file: a missing one means the defaults, an unknown key is an error that names the nearest known one.
import { readFile } from 'node:fs/promises'
import { Config, fault, FaultError } from '@hearth/protocol'
import type { z } from 'zod'

/** The configuration with its defaults. Throws FaultError `bad_config`. */
export async function readConfig(path: string): Promise<Config> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Config.parse({})
    throw new FaultError(fault('bad_config', { path, where: 'the file', problem: `it cannot be read (${(error as Error).message})` }))
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new FaultError(fault('bad_config', { path, where: 'the file', problem: `it is not JSON (${(error as Error).message})` }))
  }
  const result = Config.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  throw new FaultError(fault('bad_config', { path, ...(issue === undefined ? { where: 'the file', problem: 'it has the wrong shape' } : said(issue)) }))
}

function said(issue: z.core.$ZodIssue): { where: string; problem: string } {
  if (issue.code === 'invalid_union') {
    // The member that it is nearest to was meant.
    const [meant] = issue.errors.toSorted((a, b) => a.length - b.length)[0] ?? []
    if (meant !== undefined) return said({ ...meant, path: [...issue.path, ...meant.path] })
  }
  if (issue.code !== 'unrecognized_keys') return { where: issue.path.join('.') || 'the file', problem: issue.message.replace(/\.$/, '') }
  const key = issue.keys[0] ?? ''
  const near = nearest(key, keysAt(issue.path.map(String)))
  return { where: [...issue.path, key].join('.'), problem: `there is no such key${near === null ? '' : `; did you mean '${near}'?`}` }
}

/** The keys the schema knows at a path; read from its defaults, which hold every key. */
function keysAt(path: readonly string[]): string[] {
  let here: unknown = Config.parse({})
  for (const part of path) here = typeof here === 'object' && here !== null ? (here as Record<string, unknown>)[part] : null
  return typeof here === 'object' && here !== null ? Object.keys(here) : []
}

/** The likeliest of the known words, or null when none is near (more than half of it would have to change). */
export function nearest(word: string, known: readonly string[]): string | null {
  const ranked = known.map((candidate) => ({ candidate, distance: editDistance(word.toLowerCase(), candidate.toLowerCase()) }))
    .toSorted((a, b) => a.distance - b.distance)
  const best = ranked[0]
  return best !== undefined && best.distance <= Math.ceil(Math.max(word.length, best.candidate.length) / 2) ? best.candidate : null
}

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 0; i < a.length; i += 1) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j += 1) {
      next.push(Math.min((next[j] ?? 0) + 1, (row[j + 1] ?? 0) + 1, (row[j] ?? 0) + (a[i] === b[j] ? 0 : 1)))
    }
    row = next
  }
  return row.at(-1) ?? 0
}
