// The rules about files: length, header comment, names, re-exports, and words that must not be in a tracked file.
import { basename, extname } from 'node:path'
import type { Syntax } from './syntax.ts'
import { lineLimits, longFiles, vagueNames } from './table.ts'
import { isCode, packageOf, type Tree, type Violation } from './tree.ts'

export function fileLengths(tree: Tree): Violation[] {
  return tree.files.filter((file) => isCode(file) && !longFiles.some((exempt) => exempt.test(file))).flatMap((file): Violation[] => {
    const lines = tree.read(file).trimEnd().split('\n').length
    if (lines > lineLimits.fail) return [{ file, problem: `has ${lines} lines, the limit is ${lineLimits.fail}; give one of its thoughts a file of its own` }]
    return lines > lineLimits.warn ? [{ file, problem: `has ${lines} lines; over ${lineLimits.fail} fails`, warning: true }] : []
  })
}

export function headerComments(tree: Tree): Violation[] {
  const source = tree.files.filter((file) => isCode(file) && (packageOf(file) !== null || file.startsWith('scripts/')))
  return source.flatMap((file) => {
    const lines = tree.read(file).split('\n')
    const first = lines[0]?.startsWith('#!') === true ? lines[1] : lines[0]
    return first?.startsWith('// ') === true || first?.startsWith('/**') === true ? []
      : [{ file, problem: 'must open with one to three comment lines: what it owns and what it never does' }]
  })
}

export function fileNames(tree: Tree): Violation[] {
  return tree.files.filter((file) => isCode(file)).flatMap((file) => {
    const vague = file.split('/').map((part) => basename(part, extname(part))).find((part) => vagueNames.test(part))
    return vague === undefined ? [] : [{ file, problem: `'${vague}' says nothing; name the file after what it owns` }]
  })
}

export function reExports(all: ReadonlyMap<string, Syntax>): Violation[] {
  return [...all].filter(([file, syntax]) => syntax.onlyReExports && basename(file) !== 'index.ts')
    .map(([file]) => ({ file, problem: 'only re-exports; that is for a package\'s index.ts, import the real file instead' }))
}

// The host of a package registry or of its mirror: any host with one of these words as a part. No host is named here.
const registryWords = 'registry|npmjs|yarnpkg|pypi|pythonhosted|artifactory|nexus|jfrog'
const unwanted: readonly { pattern: RegExp; problem: string }[] = [
  {
    pattern: new RegExp(`\\b(?:https?://(?:[a-z0-9-]+[.-])*(?:${registryWords})\\b[a-z0-9.-]*|(?:[a-z0-9-]+\\.)*(?:${registryWords})\\.(?:org|com|io|net|dev)\\b)`, 'i'),
    problem: 'names the host of a package registry; the machine\'s own settings decide that',
  },
  {
    pattern: /(?:^|[\s"'`=:(])(?:\/home\/(?!(?:you|user|me|owner|someone|alice|bob|hearth|runner)\b)[a-z_][a-z0-9_-]*\/|\/Users\/[A-Za-z]|\/root\/\.(?:cache|config|local)\b)/m,
    problem: 'holds the absolute home path of one machine; use a relative path, $HOME or an example name such as /home/you',
  },
]

export function foreignPlaces(tree: Tree): Violation[] {
  return tree.files.filter((file) => isText(file)).flatMap((file) => tree.read(file).split('\n').flatMap((line, index) => unwanted
    .filter(({ pattern }) => pattern.test(line))
    .map(({ problem }) => ({ file: `${file}:${index + 1}`, problem }))))
}

function isText(file: string): boolean {
  return isCode(file) || /\.(json|jsonl|md|sh|service|socket|conf|svg|txt|yml|yaml)$/.test(file) || extname(file) === ''
}
