// Runs every rule over the tree and prints one line a rule, with each violation below it. Exit 1 when any rule is broken.
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { documentsDrift } from './docs.ts'
import { importCircles } from './rules/circles.ts'
import { fileLengths, fileNames, foreignPlaces, headerComments, reExports } from './rules/files.ts'
import { dependenciesAgree, importArrows, importEndings, librariesExplained, libraryOwners, processUses, syntaxOf } from './rules/imports.ts'
import { folderBytes, installSize, megabytes, withProductionInstall } from './rules/size.ts'
import { readTree, type Violation } from './rules/tree.ts'
import { wordsOf } from './words.ts'

const root = join(import.meta.dirname, '..')
const { values } = wordsOf('check', { options: { size: { type: 'boolean', default: false } } })
const tree = readTree(root)
let broken = 0

function report(rule: string, violations: readonly Violation[]): void {
  const failures = violations.filter((one) => one.warning !== true)
  console.log(failures.length === 0 ? `ok    ${rule}` : `FAIL  ${rule}`)
  for (const one of violations) console.log(`      ${one.warning === true ? 'warning: ' : ''}${one.file}: ${one.problem}`)
  broken += failures.length
}

/** A tool of its own with its own output: its lines are the violations. */
async function tool(rule: string, argv: readonly string[]): Promise<void> {
  try {
    await promisify(execFile)(process.execPath, argv, { cwd: root, maxBuffer: 2 ** 26 })
    report(rule, [])
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    report(rule, [{ file: argv[0] ?? '', problem: `\n${(stdout + stderr).trimEnd()}` }])
  }
}

if (values.size) {
  await withProductionInstall(tree, (installed) => report(`a production install has ${megabytes(folderBytes(join(installed, 'node_modules')))}`, installSize(installed)))
} else {
  const syntax = syntaxOf(tree)
  report('imports follow the table', importArrows(syntax))
  report('no file imports itself in a circle', importCircles(syntax))
  report('named libraries have one owner', libraryOwners(syntax))
  report('relative imports end in .ts', importEndings(syntax))
  report('only main.ts uses process.env and process.exit', processUses(syntax))
  report('dependencies agree with imports', dependenciesAgree(tree, syntax))
  report('every library has its reason', librariesExplained(tree))
  report('files keep their limits', fileLengths(tree))
  report('files open with their purpose', headerComments(tree))
  report('names say something', fileNames(tree))
  report('no re-export files', reExports(syntax))
  report('no registry host, no home path of a machine', foreignPlaces(tree))
  report('documents agree with the schemas', documentsDrift(tree))
  // The types are checked by what changed since the last run here. The lint has no such memory: its rules read types of other files.
  await Promise.all([
    tool('types', ['node_modules/typescript/bin/tsc', '--noEmit', '-p', '.']),
    tool('lint', ['node_modules/eslint/bin/eslint.js', '.']),
  ])
}
if (broken > 0) console.log(`check: ${broken} violation(s)`)
process.exitCode = broken === 0 ? 0 : 1
