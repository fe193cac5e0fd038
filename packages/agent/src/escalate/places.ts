// Owns which files of the folder a text of a program names, and where in them: what an expert should see of the code. Pure.

export type Place = { path: string; line: number | null }

const placesAtMost = 6
// `path:12`, `path:12:3`, `path(12,3)`, `File "path", line 12`, `at path:12:3)`; a path has a dot or a slash in it.
const pythonPlace = /File "([^"\n]{1,300})", line (\d{1,7})/g
const plainPlace = /(?:^|[\s("'`[=])((?:\.{0,2}\/)?[\w@+.-]+(?:\/[\w@+.-]+)*)(?::(\d{1,7})|\((\d{1,7})[,)])/gm

/** Places in the order in which the text names them, the last ones first (an error stands at the end), at most six; only files of the folder. */
export function placesIn(text: string): Place[] {
  const found: (Place & { at: number })[] = []
  for (const match of text.matchAll(pythonPlace)) found.push({ at: match.index, path: match[1] ?? '', line: Number(match[2]) })
  for (const match of text.matchAll(plainPlace)) found.push({ at: match.index, path: match[1] ?? '', line: Number(match[2] ?? match[3]) })
  const places: Place[] = []
  for (const { path, line } of found.sort((a, b) => b.at - a.at)) {
    const inside = inFolder(path)
    if (inside === null || !/[./]/.test(inside)) continue
    if (!places.some((place) => place.path === inside && Math.abs((place.line ?? 0) - (line ?? 0)) < 10)) places.push({ path: inside, line })
    if (places.length === placesAtMost) break
  }
  return places
}

/** Words of a text that look like files of the folder, without a line: for what must be named, not for what is shown. */
export function pathsIn(text: string): string[] {
  const words = text.match(/[\w@+./-]{2,200}/g) ?? []
  return [...new Set(words.flatMap((word) => {
    const path = inFolder(word.replace(/[.,:]+$/, ''))
    return path !== null && /[A-Za-z]/.test(path) && /\/|\.[A-Za-z]/.test(path) ? [path] : []
  }))]
}

/** The path relative to the folder; null = it lies outside. */
export function inFolder(path: string): string | null {
  const inside = path.startsWith('/work/') ? path.slice('/work/'.length) : path.replace(/^(?:\.\/)+/, '')
  return inside === '' || inside.startsWith('/') || inside.startsWith('-') || inside.split('/').includes('..') ? null : inside
}
