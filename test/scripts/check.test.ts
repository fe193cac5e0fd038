// Each house rule is shown to fail once, on a small broken tree written for it, and to pass on the tree with the fault removed.
import assert from 'node:assert/strict'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { documentsDrift, parts, renewed } from '../../scripts/docs.ts'
import { importCircles } from '../../scripts/rules/circles.ts'
import { fileLengths, fileNames, foreignPlaces, headerComments, reExports } from '../../scripts/rules/files.ts'
import { dependenciesAgree, importArrows, importEndings, librariesExplained, libraryOwners, processUses, syntaxOf } from '../../scripts/rules/imports.ts'
import { installSize } from '../../scripts/rules/size.ts'
import { readTree, type Tree, type Violation } from '../../scripts/rules/tree.ts'

function tree(t: TestContext, files: Record<string, string>): Tree {
  const root = mkdtempSync(join(tmpdir(), 'rules-'))
  t.after(() => rmSync(root, { recursive: true, force: true }))
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, file)), { recursive: true })
    writeFileSync(join(root, file), text)
  }
  return readTree(root)
}

const lines = (found: readonly Violation[]): string[] => found.map((one) => `${one.warning === true ? 'warning: ' : ''}${one.file}: ${one.problem}`)

test('an import that breaks the table fails, in whatever form it is written', (t) => {
  const broken = syntaxOf(tree(t, {
    'packages/agent/src/a.ts': "import type { Worker } from '@hearth/engine/local/worker'\n",
    'packages/sandbox/src/b.ts': "export type B = import('@hearth/daemon').Daemon\n",
    'packages/cli/src/c.ts': "export const c = () => import('../../daemon/src/main.ts')\n",
    'packages/engine/src/d.ts': "// import '@hearth/agent'\nimport '@hearth/protocol'\nexport const text = \"import '@hearth/agent'\"\n",
    'packages/daemon/src/e.ts': "export { x } from '@hearth/agent'\n",
  }))
  assert.deepEqual(lines(importArrows(broken)), [
    'packages/agent/src/a.ts:1: agent may not import engine; it may import protocol',
    "packages/cli/src/c.ts:1: '../../daemon/src/main.ts' leaves the package; import '@hearth/daemon', if the table allows it",
    'packages/sandbox/src/b.ts:1: sandbox may not import daemon; it may import protocol',
  ])
})

test('a circle of imports fails and is named, also when a type closes it', (t) => {
  const files = {
    'packages/agent/src/list.ts': "export const list = { a: () => import('./tools/a.ts') }\n",
    'packages/agent/src/tools/a.ts': "import type { Tool } from '../tool.ts'\nexport type A = Tool\n",
    'packages/agent/src/tool.ts': "export type { List as Tool } from './list.ts'\n",
    // Leads into the circle and is no part of it.
    'packages/agent/src/main.ts': "import { list } from './list.ts'\nimport { b } from './b.ts'\nb(list)\n",
    'packages/agent/src/b.ts': "export type B = import('./c.ts').C\n",
    'packages/agent/src/c.ts': "import { b } from './b.ts'\nimport '@hearth/protocol'\n",
    'packages/agent/src/self.ts': "import { self } from './self.ts'\n",
    // Only packages/ is read as a house.
    'test/agent/x.ts': "import './y.ts'\n",
    'test/agent/y.ts': "import './x.ts'\n",
  }
  const said = (circle: string): string => `comes back to itself: ${circle}; move what several of them need to where it belongs`
  assert.deepEqual(lines(importCircles(syntaxOf(tree(t, files)))), [
    `packages/agent/src/b.ts: ${said('packages/agent/src/b.ts -> packages/agent/src/c.ts -> packages/agent/src/b.ts')}`,
    `packages/agent/src/list.ts: ${said('packages/agent/src/list.ts -> packages/agent/src/tools/a.ts -> packages/agent/src/tool.ts -> packages/agent/src/list.ts')}`,
    `packages/agent/src/self.ts: ${said('packages/agent/src/self.ts -> packages/agent/src/self.ts')}`,
  ])
  const parted = { ...files, 'packages/agent/src/tool.ts': 'export type Tool = object\n', 'packages/agent/src/c.ts': 'export type C = object\n', 'packages/agent/src/self.ts': 'export const self = 1\n' }
  assert.deepEqual(importCircles(syntaxOf(tree(t, parted))), [])
})

test('a library outside its owner fails', (t) => {
  const broken = syntaxOf(tree(t, {
    'packages/engine/src/local/worker.ts': "import { getLlama } from 'node-llama-cpp'\n",
    'packages/engine/src/local/other.ts': "const llama = await import('node-llama-cpp')\n",
    'packages/daemon/src/store/db.ts': "import { DatabaseSync } from 'node:sqlite'\n",
    'packages/daemon/src/queue/peek.ts': "const sqlite = process.getBuiltinModule('node:sqlite')\n",
    'packages/cli/src/serve.ts': "import { Hono } from 'hono/tiny'\n",
    'test/daemon/read.test.ts': "import { DatabaseSync } from 'node:sqlite'\n",
  }))
  assert.deepEqual(lines(libraryOwners(broken)), [
    "packages/cli/src/serve.ts:1: only packages/daemon/src/ may import 'hono/tiny'",
    "packages/daemon/src/queue/peek.ts:1: only packages/daemon/src/store/db.ts, test/ may import 'node:sqlite'",
    "packages/engine/src/local/other.ts:1: only packages/engine/src/local/worker.ts, test/engine/, scripts/benches/raw-library.ts may import 'node-llama-cpp'",
  ])
})

test('the environment and the exit belong to main.ts', (t) => {
  const broken = syntaxOf(tree(t, {
    'packages/cli/src/main.ts': "process.exit(Number(process.env['CODE']))\n",
    'packages/cli/src/a.ts': 'export const home = process.env.HOME\n',
    'packages/cli/src/b.ts': "import { exit } from 'node:process'\nexit(1)\n",
    'packages/cli/src/c.ts': 'const { env } = globalThis.process\nexport const text = "process.env"\n',
    'packages/engine/src/local/worker.ts': 'process.exit(1)\n',
  }))
  const rest = 'take the value as an argument, return a result'
  assert.deepEqual(lines(processUses(broken)), [
    `packages/cli/src/a.ts:1: only a main.ts uses process.env; ${rest}`,
    `packages/cli/src/b.ts:1: only a main.ts uses process.exit; ${rest}`,
    `packages/cli/src/c.ts:1: only a main.ts uses process.env; ${rest}`,
  ])
})

test('dependencies that do not agree with the imports fail', (t) => {
  const broken = tree(t, {
    'packages/daemon/package.json': '{"dependencies":{"hono":"4.13.19","ws":"8.0.0"}}',
    'packages/daemon/src/a.ts': "import { Hono } from 'hono'\nimport { z } from 'zod/mini'\nimport 'node:fs'\n",
    'docs/decisions/libraries.md': '| `hono` | daemon | reason |\n',
  })
  assert.deepEqual(lines(dependenciesAgree(broken, syntaxOf(broken))), [
    "packages/daemon/src/a.ts:2: 'zod' is not among the dependencies of packages/daemon/package.json",
    "packages/daemon/package.json: 'ws' is not imported by any file of the package; remove it",
  ])
  assert.deepEqual(lines(librariesExplained(broken)), [
    "packages/daemon/package.json: 'ws' has no line in docs/decisions/libraries.md; say there in one line why it is worth having",
  ])
})

test('a file that passes its limit fails, one that comes near warns, a test may be long', (t) => {
  const long = (count: number): string => '// line\n'.repeat(count)
  const broken = tree(t, {
    'packages/cli/src/far.ts': long(401), 'packages/cli/src/near.ts': long(251), 'packages/cli/src/fine.ts': long(250), 'test/cli/a.test.ts': long(900),
  })
  assert.deepEqual(lines(fileLengths(broken)), [
    'packages/cli/src/far.ts: has 401 lines, the limit is 400; give one of its thoughts a file of its own',
    'warning: packages/cli/src/near.ts: has 251 lines; over 400 fails',
  ])
})

test('a file without its purpose, with a vague name, of re-exports only, or with an import without .ts fails', (t) => {
  const broken = tree(t, {
    'packages/cli/src/bare.ts': "import './fine'\n",
    'packages/cli/src/utils/text.ts': '// Owns text.\n',
    'packages/cli/src/fine.ts': '#!/usr/bin/env node\n// Owns what is fine.\nexport const fine = 1\n',
    'packages/cli/src/barrel.ts': "// Passes on.\nexport * from './fine.ts'\n",
    'packages/cli/src/index.ts': "// The package's face.\nexport * from './fine.ts'\n",
  })
  const syntax = syntaxOf(broken)
  assert.deepEqual(lines(headerComments(broken)), ['packages/cli/src/bare.ts: must open with one to three comment lines: what it owns and what it never does'])
  assert.deepEqual(lines(fileNames(broken)), ["packages/cli/src/utils/text.ts: 'utils' says nothing; name the file after what it owns"])
  assert.deepEqual(lines(reExports(syntax)), ["packages/cli/src/barrel.ts: only re-exports; that is for a package's index.ts, import the real file instead"])
  assert.deepEqual(lines(importEndings(syntax)), ["packages/cli/src/bare.ts:1: './fine' must end in .ts"])
})

test('the host of a registry and the home of a machine fail', (t) => {
  // The names are put together here, so that this file keeps the rule itself.
  const host = ['registry', 'example', 'org'].join('.')
  const index = ['py', 'pi.org'].join('')
  const broken = tree(t, {
    'package-lock.json': `{"resolved": "https://${host}/zod"}\n`,
    'docs/a.md': `pip download from ${index}\n`,
    'docs/b.md': `see ${['', 'home', 'somebody', 'work'].join('/')}\n`,
    'docs/fine.md': 'type: pypi; a registry of models; /home/you/work; $HOME/.cache\n',
  })
  assert.deepEqual(foreignPlaces(broken).map((one) => one.file), ['docs/a.md:1', 'docs/b.md:1', 'package-lock.json:1'])
})

test('an install over its size fails and names what is large', (t) => {
  const { root } = tree(t, { 'package.json': '{}' })
  cpSync(join(import.meta.dirname, '../../scripts'), join(root, 'node_modules/@some/scripts'), { recursive: true })
  writeFileSync(join(root, 'node_modules/big'), Buffer.alloc(3e6))
  assert.deepEqual(lines(installSize(root, 2e6)), [
    'node_modules: a production install has 3 MB, the limit is 2 MB; largest: big 3 MB, @some/scripts 0 MB',
  ])
  assert.deepEqual(installSize(root, 4e6), [])
})

test('a documented shape that drifts fails until it is written again', (t) => {
  const page = '# Configuration\n\n<!-- generated: config -->\n<!-- /generated -->\n'
  const wanted = [{ file: 'docs/config.md', part: 'config' }]
  const right = renewed(page)
  assert.match(right, /\| `engine\.sequences` \| integer 1 to 64 \| `4` \| conversations held at the same time \|/)
  assert.deepEqual(documentsDrift(tree(t, { 'docs/config.md': right }), parts, wanted), [])
  const remedy = "run 'node_modules/.bin/node scripts/docs.ts --write'"
  assert.deepEqual(lines(documentsDrift(tree(t, { 'docs/config.md': right.replace('`4`', '`5`') }), parts, wanted)), [
    `docs/config.md: differs from the schema in: config; ${remedy}`])
  assert.deepEqual(lines(documentsDrift(tree(t, {}), parts, wanted)), ["docs/config.md: must hold the generated part 'config'"])
  assert.deepEqual(lines(documentsDrift(tree(t, { 'docs/a.md': '<!-- generated: nonsense -->\n<!-- /generated -->\n' }), parts, [])), [
    `docs/a.md: there is no generated part 'nonsense'; known: ${Object.keys(parts).join(', ')}`])
})
