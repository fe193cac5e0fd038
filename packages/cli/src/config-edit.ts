// Owns changing the owner's configuration file: one value at one place, every other byte as it was. Knows no setting; refuses what is not JSON.
import { chownSync, closeSync, fchmodSync, fsyncSync, lstatSync, mkdirSync, openSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync, type Stats } from 'node:fs'
import { dirname } from 'node:path'
import { fault, FaultError } from '@hearth/protocol/fault'

/** `at`: keys of objects, and indexes of lists; the index behind the last one adds to the list. What is not there yet is made. */
export type Edit = { at: readonly (string | number)[]; value: unknown }

type Item = { key: string | null; from: number; start: number; end: number }
type Container = { open: number; close: number; items: Item[] }

const loneLineFeed = /(?<!\r)\n/
const blank = /\s*/y
const scalar = /"(?:[^"\\]|\\.)*"|[^\s,\]}]+/y

/** The text with the edits, one after the other. `text`: valid JSON, an object. */
export function edited(text: string, edits: readonly Edit[]): string {
  const made = edits.reduce((before, { at, value }) => set(before, skipBlank(before, 0), at, value, ''), text)
  // Where every line of the owner's ends so, the new ones do.
  return text.includes('\r\n') && !loneLineFeed.test(text) ? made.replaceAll(new RegExp(loneLineFeed, 'g'), '\r\n') : made
}

function set(text: string, start: number, at: readonly (string | number)[], value: unknown, indent: string): string {
  const [step, ...rest] = at
  if (step === undefined) return text.slice(0, start) + written(value, indent) + text.slice(endOf(text, start))
  const box = containerAt(text, start)
  const found = typeof step === 'number' ? box.items[step] : box.items.findLast(({ key }) => key === step)
  const lead = box.items[0] === undefined ? null : leadOf(text, box.items[0].from)
  if (found !== undefined) return set(text, found.start, rest, value, lead ?? indent)
  const inner = lead ?? (box.items.length === 0 ? `${indent}  ` : null)
  const made = rest.reduceRight<unknown>((inside, key) => (typeof key === 'number' ? [inside] : { [key]: inside }), value)
  const words = `${typeof step === 'string' ? `${JSON.stringify(step)}: ` : ''}${inner === null ? JSON.stringify(made) : written(made, inner)}`
  const last = box.items.at(-1)
  if (last !== undefined) return `${text.slice(0, last.end)},${inner === null ? ' ' : `\n${inner}`}${words}${text.slice(last.end)}`
  return `${text.slice(0, box.open + 1)}\n${inner ?? ''}${words}\n${indent}${text.slice(box.close)}`
}

function written(value: unknown, indent: string): string {
  return JSON.stringify(value, null, 2).replaceAll('\n', `\n${indent}`)
}

/** What stands before it on its line, when that is blank; null = it shares its line. */
function leadOf(text: string, at: number): string | null {
  const line = text.slice(text.lastIndexOf('\n', at - 1) + 1, at)
  return text.lastIndexOf('\n', at - 1) >= 0 && line.trim() === '' ? line : null
}

function skipBlank(text: string, at: number): number {
  blank.lastIndex = at
  blank.exec(text)
  return blank.lastIndex
}

/** The end of the value that begins there. */
function endOf(text: string, at: number): number {
  const first = text[at]
  if (first === '{' || first === '[') return containerAt(text, at).close + 1
  scalar.lastIndex = at
  scalar.exec(text)
  return scalar.lastIndex
}

function containerAt(text: string, open: number): Container {
  const isObject = text[open] === '{'
  const items: Item[] = []
  let at = skipBlank(text, open + 1)
  while (at < text.length && text[at] !== '}' && text[at] !== ']') {
    const from = at
    let key: string | null = null
    if (isObject) {
      const end = endOf(text, at)
      key = JSON.parse(text.slice(at, end)) as string
      at = skipBlank(text, skipBlank(text, end) + 1)
    }
    const end = endOf(text, at)
    items.push({ key, from, start: at, end })
    at = skipBlank(text, end)
    if (text[at] === ',') at = skipBlank(text, at + 1)
  }
  return { open, close: at, items }
}

export type ConfigFile = { path: string; text: string; value: unknown }

/** The file as it is; a missing one is an empty object. Throws FaultError `bad_config`. */
export function readConfigFile(path: string): ConfigFile {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { path, text: '{}\n', value: {} }
    throw new FaultError(fault('bad_config', { path, where: 'the file', problem: `it cannot be read (${(error as Error).message})` }))
  }
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('it holds no object')
    return { path, text, value }
  } catch (error) {
    throw new FaultError(fault('bad_config', { path, where: 'the file', problem: `it is not JSON (${(error as Error).message}), so nothing was changed in it` }))
  }
}

/** Puts the new text there when the file still is what was read; `first` is done before it, when no other command can come in between. Throws FaultError `conflict`, `cannot_create`. */
export function rewriteConfig({ path, text: read }: ConfigFile, text: string, first: () => void): void {
  writeWhole(path, text, 0o600, path, () => {
    if (readConfigFile(path).text !== read) throw new FaultError(fault('conflict', { problem: `${path} was changed while this command ran, so nothing was written; run it again.` }))
    first()
  })
}

/**
 * Puts a file there whole or not at all; a link is followed, and the mode of a file that is there stays. Whose it is stays too, and a new one is whose `like` is: root may
 * write what a daemon of another user has to read. `ready`: called when nobody else can write it. Throws FaultError `cannot_create`.
 */
export function writeWhole(path: string, text: string, mode: number, like: string, ready: () => void = () => undefined): void {
  try {
    const found = statSync(path, { throwIfNoEntry: false })
    const owner = found ?? ownerOf(like)
    makeFolder(dirname(path), owner)
    if (found === undefined && lstatSync(path, { throwIfNoEntry: false }) !== undefined) throw new Error('it is a link that leads nowhere')
    if (found !== undefined && (found.mode & 0o222) === 0) throw new Error('it is read-only; chmod u+w lets it be changed')
    const target = found === undefined ? path : realpathSync(path)
    const beside = `${target}.new`
    const file = openAlone(beside)
    try {
      ready()
      writeFileSync(file, text)
      own(beside, owner)
      fchmodSync(file, found === undefined ? mode : found.mode & 0o777)
      fsyncSync(file)
      renameSync(beside, target)
    } catch (error) {
      rmSync(beside, { force: true })
      throw error
    } finally {
      closeSync(file)
    }
  } catch (error) {
    if (error instanceof FaultError) throw error
    throw new FaultError(fault('cannot_create', { path, problem: error instanceof Error ? error.message : String(error) }))
  }
}

function openAlone(path: string): number {
  try {
    return openSync(path, 'wx', 0o600)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    throw new Error(`another command writes it just now, or was ended while it did: then remove ${path}`, { cause: error })
  }
}

/** Of the file, else of the nearest folder above it. */
function ownerOf(path: string): Stats {
  return statSync(path, { throwIfNoEntry: false }) ?? ownerOf(dirname(path))
}

function makeFolder(path: string, owner: Stats): void {
  const first = mkdirSync(path, { recursive: true, mode: 0o700 })
  if (first === undefined) return
  for (let folder = path; folder.length >= first.length; folder = dirname(folder)) own(folder, owner)
}

/** Only root can give something away. */
function own(path: string, { uid, gid }: Stats): void {
  if (process.getuid?.() === 0) chownSync(path, uid, gid)
}
