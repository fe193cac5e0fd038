// The rule about circles: no file of packages/ comes back to itself by imports, be they of types only. Whoever reads one file of a circle has to read them all.
import { posix } from 'node:path'
import type { Syntax } from './syntax.ts'
import { packageOf, type Violation } from './tree.ts'

/** The shortest circle of each file, each circle once. Circles through several packages cannot be: the table of arrows has none. */
export function importCircles(all: ReadonlyMap<string, Syntax>): Violation[] {
  const imports = new Map([...all].filter(([file]) => packageOf(file) !== null).map(([file, syntax]) => [
    file, syntax.imports.filter(({ specifier }) => specifier.startsWith('.')).map(({ specifier }) => posix.join(posix.dirname(file), specifier)),
  ]))
  const named = new Set<string>()
  return [...imports.keys()].flatMap((file) => {
    const circle = named.has(file) ? null : circleThrough(file, imports)
    if (circle === null) return []
    for (const one of circle) named.add(one)
    return [{ file, problem: `comes back to itself: ${[...circle, file].join(' -> ')}; move what several of them need to where it belongs` }]
  })
}

/** Breadth first, so the first way back is the shortest. */
function circleThrough(start: string, imports: ReadonlyMap<string, readonly string[]>): string[] | null {
  const importer = new Map<string, string>()
  const reached = [start]
  for (const file of reached) {
    for (const next of imports.get(file) ?? []) {
      if (next === start) return wayTo(file, importer)
      if (importer.has(next)) continue
      importer.set(next, file)
      reached.push(next)
    }
  }
  return null
}

function wayTo(file: string, importer: ReadonlyMap<string, string>): string[] {
  const before = importer.get(file)
  return before === undefined ? [file] : [...wayTo(before, importer), file]
}
