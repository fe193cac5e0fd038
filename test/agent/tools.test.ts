// The tools in the real sandbox, and what the model sees of what they say.
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { call, finish, ofType, Workbench } from './workbench.ts'

let bench: Workbench
before(async () => {
  bench = await Workbench.open({
    'three.txt': 'one\ntwo\nthree\n', 'twice.txt': 'same\nsame\n', 'deep.ts': 'export const wanted = 1\n', 'empty.txt': '', 'newlines.txt': '\n\n',
    'a file.txt': 'with a space\n', '-n': 'a dash\n',
  })
  await writeFile(join(bench.workspace, 'binary.bin'), Buffer.from([0, 1, 2, 255, 0, 10]))
})
after(() => bench.close())

async function observe(name: string, args: Record<string, unknown>): Promise<string> {
  const { events } = await bench.run({ script: { turns: [call(name, args), finish(), finish(), finish()] } })
  return ofType(events, 'tool_result')[0]?.observation ?? 'no result'
}

describe('read', () => {
  const cases: [string, Record<string, unknown>, string][] = [
    ['a whole file', { path: 'three.txt' }, 'one\ntwo\nthree\n'],
    ['some lines', { path: 'three.txt', offset: 2, limit: 1 }, 'two\n'],
    ['an empty file', { path: 'empty.txt' }, ''],
    ['only newlines', { path: 'newlines.txt' }, '\n\n'],
    ['a name with a space', { path: 'a file.txt' }, 'with a space\n'],
    ['a name like an option', { path: '-n' }, 'a dash\n'],
    ['nothing there', { path: 'nope' }, 'there is no file nope'],
    ['a folder', { path: '.' }, '. is a folder; use glob or bash ls'],
    ['a binary', { path: 'binary.bin' }, 'binary.bin is a binary file (unknown kind, 6 bytes)'],
    ['the machine\'s passwords', { path: '/etc/shadow' }, 'there is no file /etc/shadow'],
    ['above the folder', { path: '../../etc/hostname' }, 'there is no file ../../etc/hostname'],
    ['a device', { path: '/dev/zero' }, '/dev/zero is not a regular file'],
    ['an output that is none', { path: 'output:../../state/hearth' }, 'there is no output ../../state/hearth'],
  ]
  for (const [name, args, expected] of cases) it(name, async () => assert.equal(await observe('read', args), expected))
})

describe('write', () => {
  it('makes folders and keeps the text to the byte', async () => {
    assert.equal(await observe('write', { path: 'new/deep/file.txt', content: 'ä\r\n"$x`\\' }), 'wrote new/deep/file.txt')
    assert.equal(await readFile(join(bench.workspace, 'new/deep/file.txt'), 'utf8'), 'ä\r\n"$x`\\')
  })
  it('cannot write outside the folder', async () => {
    for (const path of ['/usr/hearth-was-here', '/tmp/x', '../x', '/work/../etc/x']) {
      assert.equal(await observe('write', { path, content: 'x' }), `${path} is outside of the folder /work; only files in it can be written`)
    }
  })
})

describe('edit', () => {
  it('replaces one exact piece', async () => {
    assert.equal(await observe('edit', { path: 'three.txt', old: 'two\nth', new: '$& 2\nTH' }), 'edited three.txt at line 2')
    assert.equal(await readFile(join(bench.workspace, 'three.txt'), 'utf8'), 'one\n$& 2\nTHree\n')
    await writeFile(join(bench.workspace, 'three.txt'), 'one\ntwo\nthree\n')
  })
  it('says how often an unclear piece occurs', async () => {
    assert.equal(await observe('edit', { path: 'twice.txt', old: 'same', new: 'x' }), 'the old text occurs 2 times in twice.txt (lines 1, 2); give more of its surroundings, or set replace_all')
  })
  it('answers a miss with the nearest text', async () => {
    assert.equal(await observe('edit', { path: 'deep.ts', old: 'export let wanted = 1', new: 'x' }),
      'the old text does not occur in deep.ts; nothing was changed. The nearest is line 1, which differs in its words:\n1: export const wanted = 1\n(the file has 1 line: write can replace it whole)')
  })
  it('needs a file', async () => {
    assert.equal(await observe('edit', { path: 'nope', old: 'a', new: 'b' }), 'there is no file nope')
  })
})

describe('grep and glob', () => {
  const noMatch = 'no match\n(hidden and ignored files were left out; all: true'
  it('grep answers each file with its lines', async () => assert.equal(await observe('grep', { pattern: 'wan+ted' }), 'deep.ts\n1:export const wanted = 1'))
  it('grep finds nothing', async () => assert.equal(await observe('grep', { pattern: 'zzz', include: '*.ts' }), `${noMatch} searches them too)`))
  it('glob crosses folders', async () => assert.equal(await observe('glob', { pattern: '**/*.ts' }), 'deep.ts'))
  it('glob keeps a name with a space whole', async () => assert.equal(await observe('glob', { pattern: 'a *.txt' }), 'a file.txt'))
  it('glob runs nothing', async () => assert.equal(await observe('glob', { pattern: '$(touch evil)' }), `${noMatch} lists them too)`))
})

describe('bash', () => {
  it('shows both streams in their order, and the exit code', async () => {
    assert.equal(await observe('bash', { command: 'echo a; echo b >&2; echo c; exit 7' }), 'a\nb\nc\n(exit 7)')
  })
  it('has no network', async () => {
    assert.match(await observe('bash', { command: 'exec 3<>/dev/tcp/127.0.0.1/22' }), /unreachable|refused|\(exit 1\)/)
  })
})

describe('an observation', () => {
  it('is made harmless', async () => {
    assert.equal(await observe('bash', { command: String.raw`printf 'a\033[31mred\033[0m\033]0;title\007 \342\200\256flip\342\200\213 50%%\r100%%\nend\000\n'` }), '100%\nend\n')
  })
  it('is cut to head and tail, and the whole can be read by its handle', async () => {
    const { events, requests } = await bench.run({
      script: { turns: [call('bash', { command: 'seq 1 200000' }), call('read', { path: 'output:c1', offset: 99_999, limit: 2 }), finish()], contextTokens: 32_768 },
    }).then(async (ran) => {
      const id = ofType(ran.events, 'tool_result')[0]?.callId
      return bench.run({ script: { turns: [call('bash', { command: 'seq 1 200000' }), call('read', { path: `output:${id}`, offset: 99_999, limit: 2 }), finish()] } })
    })
    const [first, second] = ofType(events, 'tool_result')
    assert.ok(Buffer.byteLength(first?.observation ?? '') < 12_300)
    assert.match(first?.observation ?? '', /^1\n2\n3\n[^]*\n\[\.\.\. \d+ bytes left out; read output:\S+ for all of it \.\.\.\]\n[^]*\n199999\n200000\n$/)
    assert.equal(first?.totalBytes, 1_288_895)
    assert.equal(second?.observation, '99999\n100000')
    assert.equal(requests.length, 3)
  })
})
