// Owns what a skill is: a folder with a SKILL.md whose front matter names and describes it. Listed by a line, read on demand; a skill is text and is never run by itself.
import { basename } from 'node:path'
import { parse } from 'yaml'
import { harmless } from '../observe.ts'

export type Skill = { name: string; description: string; path: string }

const lineCharacters = 240

/** The skill of a folder from the text of its SKILL.md; null when it has no front matter with a description. A name that is none becomes the folder's. */
export function skillFrom(path: string, text: string): Skill | null {
  const front = /^\ufeff?---[ \t]*\r?\n([\s\S]*?)\r?\n---[ \t]*(\r?\n|$)/.exec(text)?.[1]
  if (front === undefined) return null
  let value: unknown
  try {
    // No aliases: a few of them can stand for gigabytes.
    value = parse(front, { maxAliasCount: 0 })
  } catch {
    return null
  }
  if (typeof value !== 'object' || value === null) return null
  const field = (key: string): string => {
    const found: unknown = (value as Record<string, unknown>)[key]
    return typeof found === 'string' ? harmless(found).replace(/\s+/g, ' ').trim() : ''
  }
  const name = /^[A-Za-z0-9][\w-]{0,63}$/.test(field('name')) ? field('name') : basename(path).replace(/[^\w-]/g, '-').slice(0, 64)
  const description = field('description').slice(0, lineCharacters)
  return description === '' || name === '' ? null : { name, description, path }
}
