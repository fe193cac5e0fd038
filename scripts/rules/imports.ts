// The rules about imports: arrows between packages, owners of libraries, who may read the environment, dependencies that agree.
import { posix } from 'node:path'
import { arrows, entryPrograms, owners } from './table.ts'
import { parse, type Syntax } from './syntax.ts'
import { isCode, packageOf, type Tree, type Violation } from './tree.ts'

const scope = '@hearth/'

/** Every code file with its syntax; parsed once for all rules. */
export function syntaxOf(tree: Tree): Map<string, Syntax> {
  return new Map(tree.files.filter(isCode).map((file) => [file, parse(file, tree.read(file))]))
}

export function importArrows(all: ReadonlyMap<string, Syntax>): Violation[] {
  return eachImport(all, (file, specifier) => {
    const from = packageOf(file)
    if (from === null) return null
    const to = specifier.startsWith(scope) ? specifier.slice(scope.length).split('/')[0] ?? '' : targetPackage(file, specifier)
    if (to === null || to === from) return specifier.startsWith(scope) ? `a package does not import itself as '${specifier}'; use a relative path` : null
    if (specifier.startsWith('.')) return `'${specifier}' leaves the package; import '${scope}${to}', if the table allows it`
    const allowed = arrows[from]
    if (allowed === undefined) return `packages/${from} has no row in scripts/rules/table.ts; decide what it may import`
    return allowed.includes(to) ? null : `${from} may not import ${to}; it may import ${allowed.join(', ') || 'none of our packages'}`
  })
}

export function libraryOwners(all: ReadonlyMap<string, Syntax>): Violation[] {
  return eachImport(all, (file, specifier) => {
    const owner = owners.find(({ library }) => library.endsWith('/') ? specifier.startsWith(library) : specifier === library || specifier.startsWith(`${library}/`))
    if (owner === undefined || owner.only.some((place) => place.endsWith('/') ? file.startsWith(place) : file === place)) return null
    return `only ${owner.only.join(', ')} may import '${specifier}'`
  })
}

export function importEndings(all: ReadonlyMap<string, Syntax>): Violation[] {
  return eachImport(all, (_file, specifier) =>
    !specifier.startsWith('.') || /\.(ts|mts|mjs|json|css)$/.test(specifier) ? null : `'${specifier}' must end in .ts`)
}

export function processUses(all: ReadonlyMap<string, Syntax>): Violation[] {
  return [...all].filter(([file]) => packageOf(file) !== null && posix.basename(file) !== 'main.ts' && !entryPrograms.includes(file))
    .flatMap(([file, syntax]) => syntax.processUses.map(({ what, line }) => (
      { file: `${file}:${line}`, problem: `only a main.ts uses ${what}; take the value as an argument, return a result` })))
}

type Manifest = { name?: string; dependencies?: Record<string, string>; devDependencies?: Record<string, string> }

/** A package names what it imports and imports what it names. */
export function dependenciesAgree(tree: Tree, all: ReadonlyMap<string, Syntax>): Violation[] {
  const manifests = tree.files.filter((file) => /^packages\/[^/]+\/package\.json$/.test(file))
  return manifests.flatMap((manifest) => {
    const folder = `${posix.dirname(manifest)}/`
    const declared = Object.keys((JSON.parse(tree.read(manifest)) as Manifest).dependencies ?? {})
    const own = [...all].filter(([file]) => file.startsWith(folder))
    const used = new Map<string, string>()
    for (const [file, syntax] of own) {
      for (const { specifier, line } of syntax.imports) {
        const library = libraryOf(specifier)
        if (library !== null && !used.has(library)) used.set(library, `${file}:${line}`)
      }
    }
    const missing = [...used].filter(([library]) => !declared.includes(library)).map(([library, where]) => (
      { file: where, problem: `'${library}' is not among the dependencies of ${manifest}` }))
    // A package without any source yet owes nothing.
    const idle = own.length === 0 ? [] : declared.filter((library) => !used.has(library)).map((library) => (
      { file: manifest, problem: `'${library}' is not imported by any file of the package; remove it`, ...(library.startsWith(scope) ? { warning: true as const } : {}) }))
    return [...missing, ...idle]
  })
}

/** Every library anywhere has its line of reason. */
export function librariesExplained(tree: Tree): Violation[] {
  const page = 'docs/decisions/libraries.md'
  const text = tree.files.includes(page) ? tree.read(page) : ''
  return tree.files.filter((file) => /^(packages\/[^/]+\/)?package\.json$/.test(file)).flatMap((file) => {
    const manifest = JSON.parse(tree.read(file)) as Manifest
    const libraries = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies }).filter((name) => !name.startsWith(scope))
    return libraries.filter((name) => !text.includes(`\`${name}\``)).map((name) => (
      { file, problem: `'${name}' has no line in ${page}; say there in one line why it is worth having` }))
  })
}

function eachImport(all: ReadonlyMap<string, Syntax>, judge: (file: string, specifier: string) => string | null): Violation[] {
  return [...all].flatMap(([file, syntax]) => syntax.imports.flatMap(({ specifier, line }) => {
    const problem = judge(file, specifier)
    return problem === null ? [] : [{ file: `${file}:${line}`, problem }]
  }))
}

/** The package a relative import reaches; null when it stays outside packages/. */
function targetPackage(file: string, specifier: string): string | null {
  return specifier.startsWith('.') ? packageOf(`${posix.join(posix.dirname(file), specifier)}/`) : null
}

/** `@scope/name` or `name` of a bare import; null for Node's own modules and relative paths. */
function libraryOf(specifier: string): string | null {
  if (specifier.startsWith('.') || specifier.startsWith('/') || specifier.startsWith('node:')) return null
  return specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/')
}
