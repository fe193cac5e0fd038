// grep and glob: which files they see, in which words they answer, what they leave out. In the real sandbox, with git's walk.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { pathExpression, withoutBraces } from '@hearth/agent/tools/walk'
import { call, finish, ofType, Workbench } from './workbench.ts'

let bench: Workbench
const files: Record<string, string> = {
  '.gitignore': '*.log\n/build/\n!keep.log\n!.shown\n', 'a.txt': 'needle one\nother\nneedle two\n', 'noise.log': 'needle\n', 'keep.log': 'needle kept\n',
  'build/out.txt': 'needle\n', 'src/deep/x.ts': 'const needle = 1\n', 'src/deep/y.js': 'needle(\n', 'src/.gitignore': '*.tmp\n!important.tmp\n', 'src/z.tmp': 'needle\n',
  'src/important.tmp': 'needle\n', '.hidden/h.txt': 'needle\n', '.shown': 'needle shown\n', 'node_modules/m/index.js': 'needle\n', 'with space.txt': 'needle\n', 'empty.ts': '',
  'inner/sub.ts': 'needle inner\n', 'inner/.gitignore': 'skipped.ts\n', 'inner/skipped.ts': 'needle\n', 'src/build/kept.txt': 'needle\n',
}
before(async () => {
  bench = await Workbench.open()
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(bench.workspace, dirname(name)), { recursive: true })
    await writeFile(join(bench.workspace, name), text)
  }
  await writeFile(join(bench.workspace, 'blob.bin'), Buffer.concat([Buffer.from('needle'), Buffer.alloc(10)]))
  await symlink('/etc', join(bench.workspace, 'way-out'))
  execFileSync('git', ['init', '-q', join(bench.workspace, 'inner')])
})
after(() => bench.close())

async function observe(name: string, args: Record<string, unknown>): Promise<string> {
  const { events } = await bench.run({ script: { turns: [call(name, args), finish(), finish(), finish()] } })
  return ofType(events, 'tool_result')[0]?.observation ?? 'no result'
}
const names = async (args: Record<string, unknown>): Promise<string[]> => (await observe('grep', { pattern: 'needle', mode: 'files', ...args })).split('\n')
const seen = ['.shown', 'a.txt', 'inner/sub.ts', 'keep.log', 'src/build/kept.txt', 'src/deep/x.ts', 'src/deep/y.js', 'src/important.tmp', 'with space.txt']

describe('grep', () => {
  it('sees what no .gitignore names, nested and negated ones, and inner repositories; not hidden files, node_modules, binaries', async () => {
    assert.deepEqual((await names({})).toSorted(), seen)
  })
  it('sees the same in a repository, and reads nothing of its configuration', async () => {
    execFileSync('git', ['init', '-q', bench.workspace])
    await writeFile(join(bench.workspace, '.git/info/exclude'), 'with*\n')
    execFileSync('git', ['-C', bench.workspace, 'config', 'core.fsmonitor', 'touch /work/evil; false'])
    execFileSync('git', ['-C', bench.workspace, 'config', 'core.excludesFile', '/nothing'])
    assert.deepEqual((await names({})).toSorted(), seen.filter((name) => name !== 'with space.txt'))
  })
  it('sees everything but binaries and .git when asked', async () => {
    assert.deepEqual((await names({ all: true })).toSorted(), [...seen, '.hidden/h.txt', 'build/out.txt', 'inner/skipped.ts', 'node_modules/m/index.js', 'noise.log', 'src/z.tmp'].toSorted())
  })
  it('searches a folder or a file that is named, even an ignored or hidden one', async () => {
    assert.deepEqual(await names({ path: 'src' }), ['src/build/kept.txt', 'src/deep/x.ts', 'src/deep/y.js', 'src/important.tmp'])
    assert.deepEqual(await names({ path: '/work/node_modules' }), ['node_modules/m/index.js'])
    assert.deepEqual(await names({ path: '.hidden/h.txt' }), ['.hidden/h.txt'])
    assert.deepEqual(await names({ path: 'noise.log' }), ['noise.log'])
    assert.deepEqual(await names({ path: 'with space.txt' }), ['with space.txt'])
  })
  it('keeps to names that are asked for', async () => {
    assert.deepEqual(await names({ include: '*.{ts,js}' }), ['inner/sub.ts', 'src/deep/x.ts', 'src/deep/y.js'])
    assert.deepEqual(await names({ include: 'src/**/*.js' }), ['src/deep/y.js'])
  })
  it('answers each file with its lines, and lines around them', async () => {
    assert.equal(await observe('grep', { pattern: 'needle', path: 'a.txt' }), 'a.txt\n1:needle one\n3:needle two')
    assert.equal(await observe('grep', { pattern: 'two', path: 'a.txt', context: 1 }), 'a.txt\n2-other\n3:needle two')
    assert.equal(await observe('grep', { pattern: 'needle', include: 'a.txt', mode: 'count' }), 'a.txt:2')
  })
  it('knows Perl expressions', async () => {
    assert.equal(await observe('grep', { pattern: '(?i)NEEDLE\\s+(?=two)\\w{3}\\b' }), 'a.txt\n3:needle two')
  })
  it('takes what is no expression as it stands', async () => {
    assert.equal(await observe('grep', { pattern: 'needle(' }), 'src/deep/y.js\n1:needle(\n(no valid expression, missing closing parenthesis: searched as plain text)')
  })
  it('says what is not there', async () => {
    assert.equal(await observe('grep', { pattern: 'x', path: 'nope' }), 'there is no nope')
    assert.equal(await observe('grep', { pattern: 'absent text' }), 'no match\n(hidden and ignored files were left out; all: true searches them too)')
    assert.equal(await observe('grep', { pattern: 'absent text', all: true }), 'no match')
  })
  it('does not follow a link out of the folder', async () => {
    assert.equal(await observe('grep', { pattern: 'hearth', include: 'passwd', all: true }), 'no match')
  })
  it('runs nothing that a pattern or a name says', async () => {
    assert.match(await observe('grep', { pattern: '$(touch evil)`touch evil`', path: '.', include: '*; touch evil' }), /^no match/)
    assert.match(await observe('grep', { pattern: '--open-files-in-pager=touch' }), /^no match/)
    assert.match(await observe('grep', { pattern: 'x', path: '--help' }), /^there is no --help/)
    assert.equal(await observe('glob', { pattern: 'evil' }), 'no match\n(hidden and ignored files were left out; all: true lists them too)')
  })
  it('says how much of a large answer it shows, and keeps to the bound', async () => {
    const many = await Workbench.open(Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`f${String(index).padStart(2, '0')}.txt`, 'a hit\n'.repeat(100)])))
    try {
      const { events } = await many.run({ script: { turns: [call('grep', { pattern: 'hit' }), call('grep', { pattern: '.', mode: 'files' }), finish()] } })
      const [lines, files] = ofType(events, 'tool_result').map((event) => event.observation)
      assert.ok(Buffer.byteLength(lines ?? '') <= 12_000)
      assert.match(lines ?? '', /^f00\.txt\n1:a hit\n[^]*\n\[300 of 4000 matching lines in 40 files; narrow it by path, include or pattern, or ask for mode files\]$/)
      assert.equal(lines?.split('f00.txt')[1]?.split('f01.txt')[0]?.trim().split('\n').length, 60)
      assert.equal(files?.split('\n').length, 40)
    } finally {
      await many.close()
    }
  })
  it('cuts a line that never ends, and stops a search that finds without end', async () => {
    const { events } = await bench.run({ script: { turns: [
      call('bash', { command: "head -c 3000000 /dev/zero | tr '\\0' y > long.txt; for i in $(seq 40); do seq 1 100000 > n$i.txt; done" }),
      call('grep', { pattern: 'yyy', path: 'long.txt' }), call('grep', { pattern: '^', include: 'n*.txt' }), call('bash', { command: 'rm n*.txt long.txt' }), finish(),
    ] } })
    const [, long, endless] = ofType(events, 'tool_result').map((event) => event.observation)
    assert.match(long ?? '', /^long\.txt\n1:y{398}$/)
    assert.match(endless ?? '', /\n\[300 of more than \d+ matching lines in \d+ files; narrow it/)
  })
})

describe('glob', () => {
  const none = 'no match\n(hidden and ignored files were left out; all: true lists them too)'
  const cases: [string, Record<string, unknown>, string][] = [
    ['a name in every folder', { pattern: '*.ts' }, 'empty.ts\ninner/sub.ts\nsrc/deep/x.ts'],
    ['a path', { pattern: 'src/*/*.{ts,js}' }, 'src/deep/x.ts\nsrc/deep/y.js'],
    ['folders crossed', { pattern: './src/**/*.js' }, 'src/deep/y.js'],
    ['from the root', { pattern: '/work/*.txt' }, 'a.txt'],
    ['everything below', { pattern: 'src/' }, 'src/build/kept.txt\nsrc/deep/x.ts\nsrc/deep/y.js\nsrc/important.tmp'],
    ['a class and a mark', { pattern: '[a-b].tx?' }, 'a.txt'],
    ['hidden when named', { pattern: '.hidden/*' }, '.hidden/h.txt'],
    ['ignored when asked', { pattern: '*.log', all: true }, 'keep.log\nnoise.log'],
    ['not ignored', { pattern: '*.log' }, 'keep.log'],
    ['an inner repository by its own rules', { pattern: 'inner/**' }, 'inner/sub.ts'],
    ['node_modules when named', { pattern: 'node_modules/**' }, 'node_modules/m/index.js'],
    ['a folder', { pattern: 'src' }, 'src is a folder; src/** lists it'],
    ['above the folder', { pattern: '../*' }, 'glob lists files of the folder only; use bash ls for others'],
    ['nothing', { pattern: 'nope-*' }, none],
    ['an expression is no pattern', { pattern: '(a|b).txt' }, none],
  ]
  for (const [name, args, expected] of cases) it(name, async () => assert.equal(await observe('glob', args), expected))
  it('says how many there are', async () => {
    await observe('bash', { command: 'mkdir -p many && cd many && seq -f "file-%g.dat" 1 3000 | xargs touch' })
    const answer = await observe('glob', { pattern: '*.dat' })
    assert.match(answer, /^many\/file-1\.dat\nmany\/file-10\.dat\n[^]*\n\[500 of 3000 files; use a narrower pattern\]$/)
  })
})

it('patterns become expressions', () => {
  assert.deepEqual(withoutBraces('a.{ts,tsx}'), ['a.ts', 'a.tsx'])
  assert.deepEqual(withoutBraces('{a,b}/{c,d}'), ['a/c', 'a/d', 'b/c', 'b/d'])
  assert.deepEqual(withoutBraces('{a,{b,c}}').toSorted(), ['a', 'b', 'c'])
  assert.deepEqual(withoutBraces('a{b'), ['a{b'])
  const endless = `{${','.repeat(2 ** 20)}`
  assert.deepEqual(withoutBraces(endless), [endless], 'in less than the lifetime of a job')
  const meets = (pattern: string, path: string): boolean => new RegExp(pathExpression(pattern), 's').test(path)
  for (const [pattern, path, expected] of [
    ['*.ts', 'a/b.ts', true], ['*.ts', 'b.tsx', false], ['a/*.ts', 'a/b/c.ts', false], ['a/**/c.ts', 'a/c.ts', true], ['a/**', 'a/b/c', true], ['**/x', 'x', true],
    ['a?c', 'a/c', false], ['[!a]x', 'bx', true], ['[!a]x', 'ax', false], ['a[', 'a[', true], ['a.b', 'axb', false], ['\\*', '*', true], ['\\*', 'a', false], ['a**b', 'a/x/b', true],
  ] as const) assert.equal(meets(pattern, path), expected, `${pattern} ${path}`)
})
