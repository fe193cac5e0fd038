// Owns the reading of git's NUL-separated lists. Pure. A path is bytes; here it is a string of one character a byte (latin1), so nothing of it is lost.

export type Path = string

/** A path for a person: UTF-8, with what is not UTF-8 replaced. */
export function shown(path: Path): string {
  return Buffer.from(path, 'latin1').toString('utf8')
}

/** Paths as the standard input of a program that reads them NUL-separated. */
export function listOf(paths: readonly Path[]): Buffer {
  return Buffer.from(paths.map((path) => `${path}\0`).join(''), 'latin1')
}

export type Found = {
  /** Tracked and different on disk. */
  changed: Path[]
  /** Tracked and not there any more. */
  gone: Path[]
  /** Not tracked and not ignored. */
  added: Path[]
  /** Folders that are repositories of their own and are not looked into. */
  nested: Path[]
}

/** `git status --porcelain=v2 -z --no-renames`. */
export function readStatus(out: Buffer): Found {
  const found: Found = { changed: [], gone: [], added: [], nested: [] }
  for (const record of out.toString('latin1').split('\0')) {
    if (record.startsWith('? ')) {
      const path = record.slice(2)
      if (path.endsWith('/')) found.nested.push(path)
      else found.added.push(path)
    } else if (record.startsWith('1 ')) {
      // 1 XY sub mH mI mW hH hI path
      const list = record[3] === 'D' ? found.gone : found.changed
      list.push(record.split(' ').slice(8).join(' '))
    } else if (record.startsWith('u ')) {
      // u XY sub m1 m2 m3 mW h1 h2 h3 path
      found.changed.push(record.split(' ').slice(10).join(' '))
    }
  }
  return found
}

/** One path that differs between two kept states. A mode of 000000 means that it is not there. */
export type Difference = { path: Path; oldMode: string; newMode: string; oldId: string; newId: string }

/** `git diff-tree -r -z --raw --no-renames`. */
export function readDifferences(out: Buffer): Difference[] {
  const fields = out.toString('latin1').split('\0')
  const found: Difference[] = []
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const [oldMode = '', newMode = '', oldId = '', newId = ''] = (fields[i] ?? '').replace(/^:/, '').split(' ')
    found.push({ path: fields[i + 1] ?? '', oldMode, newMode, oldId, newId })
  }
  return found
}

/** The input of `git update-index -z --index-info` that gives these paths their new (or, `back`, their old) state. Removals come first: a file may take a folder's place. */
export function indexInfo(differences: readonly Difference[], back = false): Buffer {
  const gone: string[] = []
  const there: string[] = []
  for (const one of differences) {
    const [mode, id] = back ? [one.oldMode, one.oldId] : [one.newMode, one.newId]
    if (mode === '000000') gone.push(`0 ${'0'.repeat(id.length)}\t${one.path}\0`)
    else there.push(`${mode} ${id}\t${one.path}\0`)
  }
  return Buffer.from([...gone, ...there].join(''), 'latin1')
}

export type Count = { path: Path; added: number | null; removed: number | null }

/** `git diff-tree -r -z --numstat --no-renames`; null for a binary file. */
export function readCounts(out: Buffer): Count[] {
  return out.toString('latin1').split('\0').flatMap((record) => {
    const [, added, removed, path] = /^(\d+|-)\t(\d+|-)\t([^]+)$/.exec(record) ?? []
    const number = (text: string | undefined): number | null => (text === undefined || text === '-' ? null : Number(text))
    return path === undefined ? [] : [{ path, added: number(added), removed: number(removed) }]
  })
}

/** Lines over all files; a binary file has none. */
export function linesOf(counts: readonly Count[]): { added: number; removed: number } {
  return { added: counts.reduce((total, { added }) => total + (added ?? 0), 0), removed: counts.reduce((total, { removed }) => total + (removed ?? 0), 0) }
}
