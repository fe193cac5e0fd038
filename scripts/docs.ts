// Writes the generated parts of the documents from the schemas and tables of the protocol. `--write` rewrites them; without it drift is listed.
// A part stands between `<!-- generated: NAME -->` and `<!-- /generated -->`; everything around it is written by hand.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BuildManifest, Catalog, commandExits, Config, faultTable, HardwareSnapshot, Job, JobEventBody, JobRequest, LedgerEntry, outcomeTable, Receipt } from '@hearth/protocol'
import { doctorOfBoxes } from './hardware-docs.ts'
import { fieldTable, markdownTable, unionTables } from './rules/schema-text.ts'
import { readTree, type Tree, type Violation } from './rules/tree.ts'

/** Name of a generated part -> its text today. */
export const parts: Readonly<Record<string, () => string>> = {
  config: () => fieldTable(Config, true),
  outcomes: () => markdownTable(['outcome', 'exit code', 'verified', 'means'],
    Object.entries(outcomeTable).map(([name, row]) => [`\`${name}\``, String(row.exit), String(row.verified), row.means])),
  'command-exits': () => markdownTable(['exit code', 'name'], Object.entries(commandExits).map(([name, exit]) => [String(exit), words(name)])),
  faults: () => markdownTable(['code', 'origin', 'exit code', 'HTTP status'],
    Object.entries(faultTable).map(([code, row]) => [`\`${code}\``, row.origin, String(row.exit), String(row.http)])),
  'build-manifest': () => fieldTable(BuildManifest, false),
  'models-json': () => fieldTable(Catalog, true),
  'job-request': () => fieldTable(JobRequest, true),
  job: () => fieldTable(Job, false),
  events: () => unionTables(JobEventBody, 'type'),
  receipt: () => fieldTable(Receipt, false),
  ledger: () => fieldTable(LedgerEntry, false),
  'hardware-doctor': () => doctorOfBoxes,
  'hardware-snapshot': () => fieldTable(HardwareSnapshot, false),
}

/** Documents that must exist and hold these parts. */
export const required: readonly { file: string; part: string }[] = [
  { file: 'docs/config.md', part: 'config' },
  { file: 'docs/exit-codes.md', part: 'outcomes' },
  { file: 'docs/exit-codes.md', part: 'command-exits' },
  { file: 'docs/exit-codes.md', part: 'faults' },
]

const block = /<!-- generated: ([a-z-]+) -->\n([\s\S]*?)<!-- \/generated -->/g

/** The text of a document with every generated part renewed; an unknown name is an error. */
export function renewed(text: string, made: Readonly<Record<string, () => string>> = parts): string {
  return text.replace(block, (_whole, name: string) => {
    const part = made[name]
    if (part === undefined) throw new Error(`there is no generated part '${name}'; known: ${Object.keys(made).join(', ')}`)
    return `<!-- generated: ${name} -->\n${part()}\n<!-- /generated -->`
  })
}

/** Parts that differ from their schema, required documents or parts that are missing. */
export function documentsDrift(tree: Tree, made = parts, wanted = required): Violation[] {
  const documents = tree.files.filter((file) => file.endsWith('.md'))
  const missing = wanted.filter(({ file, part }) => !documents.includes(file) || !tree.read(file).includes(`<!-- generated: ${part} -->`))
    .map(({ file, part }) => ({ file, problem: `must hold the generated part '${part}'` }))
  const drifted = documents.flatMap((file): Violation[] => {
    const text = tree.read(file)
    try {
      if (renewed(text, made) === text) return []
      const stale = [...text.matchAll(block)].filter(([whole]) => renewed(whole, made) !== whole).map((found) => found[1])
      return [{ file, problem: `differs from the schema in: ${stale.join(', ')}; run 'node_modules/.bin/node scripts/docs.ts --write'` }]
    } catch (error) {
      return [{ file, problem: error instanceof Error ? error.message : String(error) }]
    }
  })
  return [...missing, ...drifted]
}

function words(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
}

if (import.meta.main) {
  const root = join(import.meta.dirname, '..')
  const tree = readTree(root)
  if (process.argv.includes('--write')) {
    for (const file of tree.files.filter((one) => one.endsWith('.md'))) {
      const before = readFileSync(join(root, file), 'utf8')
      const after = renewed(before)
      if (after !== before) {
        writeFileSync(join(root, file), after)
        console.log(`docs: wrote ${file}`)
      }
    }
  }
  const drift = documentsDrift(readTree(root))
  for (const one of drift) console.log(`${one.file}: ${one.problem}`)
  process.exitCode = drift.length === 0 ? 0 : 1
}
