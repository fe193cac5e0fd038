// The edit and write tools: what they change, what they refuse, what stays as it was. In the real sandbox.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { chmod, link, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { JobEventBody } from '@hearth/protocol'
import { call, finish, ofType, Workbench } from './workbench.ts'

let bench: Workbench
before(async () => { bench = await Workbench.open() })
after(() => bench.close())

const at = (name: string): string => join(bench.workspace, name)
const put = (name: string, content: string | Buffer): Promise<void> => writeFile(at(name), content)
const got = (name: string): Promise<string> => readFile(at(name), 'utf8')
const sha256 = (content: string | Buffer): string => createHash('sha256').update(content).digest('hex')

/** What the model is told of each call of one job. */
async function told(...calls: [string, Record<string, unknown>][]): Promise<string[]> {
  const { events } = await bench.run({ script: { turns: [...calls.map(([name, args]) => call(name, args)), finish(), finish(), finish()] } })
  return ofType(events, 'tool_result').filter((event) => event.name !== 'finish').map((event) => event.observation)
}
const edit = async (args: Record<string, unknown>): Promise<string> => (await told(['edit', args]))[0] ?? ''

describe('several edits in one call', () => {
  it('are all done, each looked for in the text as it was', async () => {
    await put('several.txt', 'a b c\nd\n')
    assert.equal(await edit({ path: 'several.txt', edits: [{ old: 'd', new: 'a' }, { old: 'a', new: 'x' }, { old: 'c', new: 'c\nc2' }] }), 'edited several.txt at lines 1, 2')
    assert.equal(await got('several.txt'), 'x b c\nc2\na\n')
  })
  it('are none of them done when one misses', async () => {
    await put('none.txt', 'one\ntwo\n')
    assert.equal(await edit({ path: 'none.txt', edits: [{ old: 'one', new: '1' }, { old: 'Two', new: '2' }] }),
      'edit 2 of 2: the old text does not occur in none.txt; nothing was changed. Nothing in it is like it\n(the file has 2 lines: write can replace it whole)')
    assert.equal(await got('none.txt'), 'one\ntwo\n')
  })
  it('may not overlap', async () => {
    await put('overlap.txt', 'abcdef\n')
    assert.equal(await edit({ path: 'overlap.txt', edits: [{ old: 'abcd', new: '1' }, { old: 'cdef', new: '2' }] }), 'two edits overlap; make them one')
    assert.equal(await got('overlap.txt'), 'abcdef\n')
  })
  it('may stand beside the simple form, which then counts once', async () => {
    await put('both.txt', 'a\nb\n')
    assert.equal(await edit({ path: 'both.txt', old: 'a', new: '1', edits: [{ old: 'a', new: '1' }, { old: 'b', new: '2' }] }), 'edited both.txt at lines 1, 2')
    assert.equal(await got('both.txt'), '1\n2\n')
  })
  it('need at least one', async () => {
    assert.equal(await edit({ path: 'both.txt' }), 'edit was not run: give old and new, or edits')
    assert.equal(await edit({ path: 'both.txt', old: '1' }), 'edit was not run: give old and new, or edits')
    assert.equal(await edit({ path: 'both.txt', edits: [] }), 'edit was not run: give old and new, or edits')
  })
})

describe('one edit', () => {
  it('replaces every occurrence when asked', async () => {
    await put('all.txt', 'aaaa b\nb\n')
    assert.equal(await edit({ path: 'all.txt', old: 'b', new: 'c', replace_all: true }), 'edited all.txt at lines 1, 2')
    assert.equal(await edit({ path: 'all.txt', old: 'aa', new: 'x', replace_all: true }), 'edited all.txt at line 1')
    assert.equal(await got('all.txt'), 'xx c\nc\n')
  })
  it('is refused when old and new are the same, or when it is already done', async () => {
    await put('done.txt', 'const value = 2\n')
    assert.equal(await edit({ path: 'done.txt', old: 'value', new: 'value' }), 'old and new are the same')
    assert.equal(await edit({ path: 'done.txt', old: 'const value = 1', new: 'const value = 2' }), 'the old text does not occur in done.txt; nothing was changed. The new text is already there, at line 1')
  })
  it('with an empty old text makes a file that is not there, fills an empty one, and else points to write', async () => {
    assert.equal(await edit({ path: 'made/new.txt', old: '', new: 'hello\n' }), 'wrote made/new.txt')
    assert.equal(await got('made/new.txt'), 'hello\n')
    await put('hollow.txt', '')
    assert.equal(await edit({ path: 'hollow.txt', old: '', new: 'x' }), 'wrote hollow.txt')
    assert.equal(await edit({ path: 'made/new.txt', old: '', new: 'bye\n' }), 'old is empty; made/new.txt has 1 line: use write to replace it whole')
  })
})

describe('a miss says in what the nearest text differs', () => {
  const cases: [string, string, string, string][] = [
    ['blanks before lines', '\tif (a) {\n\t\tb()\n\t}\n', '    if (a) {\n        b()\n    }', 'lines 1-3, which differs in the blanks before its lines (there: 1 tab, given: 4 spaces):\n1: \tif (a) {\n2: \t\tb()\n3: \t}'],
    ['quotes', "x = 'one'\n", 'x = "one"', "line 1, which differs in its quotes:\n1: x = 'one'"],
    ['blanks inside', 'a  =  1\n', 'a = 1', 'line 1, which differs in blanks inside its lines:\n1: a  =  1'],
    ['case', 'Hello World\nother\n', 'hello World', 'line 1, which differs in upper and lower case:\n1: Hello World'],
    ['a later line', 'one\ntwo\nthree\n', 'one\ntwo\nfour', 'lines 1-3, which differs in its words from line 3 of the old text on:\n1: one\n2: two\n3: three'],
  ]
  for (const [name, content, old, expected] of cases) {
    it(name, async () => {
      await put('miss.txt', content)
      const answer = await edit({ path: 'miss.txt', old, new: 'zzz' })
      assert.equal(answer.replace(/\n\(the file has \d+ lines?: write can replace it whole\)$/, ''), `the old text does not occur in miss.txt; nothing was changed. The nearest is ${expected}`)
      assert.equal(await got('miss.txt'), content)
    })
  }
})

describe('what can only be meant one way is taken', () => {
  const loose = '\n(matched without regard to line ends and invisible characters)'
  const cases: [string, string, { old: string; new: string }, string][] = [
    ['line feeds for a file with CRLF, which stays one', 'a\r\nb\r\nc\r\n', { old: 'a\nb', new: '1\n2\n3' }, '1\r\n2\r\n3\r\nc\r\n'],
    ['blanks at line ends', 'one  \ntwo\t\nthree\n', { old: 'one\ntwo\nthree', new: 'x' }, 'x\n'],
    ['a blank at the end of the old text', 'if (x) {\n  y\n}\n', { old: 'if (x) { ', new: 'if (z) {' }, 'if (z) {\n  y\n}\n'],
    ['zero-width characters that the model was not shown', 'pass\u200bword = 1\n', { old: 'password = 1', new: 'password = 2' }, 'password = 2\n'],
  ]
  for (const [name, content, change, expected] of cases) {
    it(name, async () => {
      await put('loose.txt', content)
      assert.equal(await edit({ path: 'loose.txt', ...change }), `edited loose.txt at line 1${loose}`)
      assert.equal(await got('loose.txt'), expected)
    })
  }
  it('but not when there are two', async () => {
    await put('two.txt', 'a \nb\na\t\nb\n')
    assert.match(await edit({ path: 'two.txt', old: 'a\nb', new: 'x' }), /^the old text occurs 2 times in two.txt \(lines 1, 3\)/)
  })
  it('and not when a blank would join two words', async () => {
    await put('join.txt', 'foobar\n')
    assert.match(await edit({ path: 'join.txt', old: 'foo ', new: 'x' }), /^the old text does not occur/)
  })
})

describe('the rest of a file stays to the byte', () => {
  const kept: [string, Buffer, Buffer][] = [
    ['byte order mark', Buffer.from('\ufeffone\r\ntwo'), Buffer.from('\ufeff1\r\n1b\r\ntwo')],
    ['no newline at the end', Buffer.from('one'), Buffer.from('1\n1b')],
    ['mixed line ends: those of most lines', Buffer.from('one\r\na\r\nb\n'), Buffer.from('1\r\n1b\r\na\r\nb\n')],
    ['UTF-16, little end first', Buffer.from('\ufeffone \u00e9\r\n', 'utf16le'), Buffer.from('\ufeff1\r\n1b \u00e9\r\n', 'utf16le')],
    ['UTF-16, big end first', Buffer.from('\ufeffone\n', 'utf16le').swap16(), Buffer.from('\ufeff1\n1b\n', 'utf16le').swap16()],
    ['Latin-1', Buffer.from('\u00e9\u00ff one', 'latin1'), Buffer.from('\u00e9\u00ff 1\n1b', 'latin1')],
  ]
  for (const [name, content, expected] of kept) {
    it(name, async () => {
      await put('kept.txt', content)
      assert.match(await edit({ path: 'kept.txt', old: 'one', new: '1\n1b' }), /^edited kept.txt at line 1$/)
      assert.deepEqual(await readFile(at('kept.txt')), expected)
    })
  }
  it('no half of a character of Shift-JIS is changed', async () => {
    // 0x83 0x5c is one character whose second byte is a backslash.
    const content = Buffer.concat([Buffer.from([0x83, 0x5c]), Buffer.from('n\n')])
    await put('sjis.txt', content)
    assert.match(await edit({ path: 'sjis.txt', old: '\\n', new: 'x' }), /may be half of a character/)
    assert.deepEqual(await readFile(at('sjis.txt')), content)
  })
  it('a binary file is refused', async () => {
    await put('bin', Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 1]))
    assert.equal(await edit({ path: 'bin', old: 'ELF', new: 'x' }), 'bin is a binary file; use bash to change it')
  })
  it('half a surrogate is refused', async () => {
    await put('half.txt', 'a\n')
    assert.equal(await edit({ path: 'half.txt', old: 'a', new: '\ud800' }), 'new holds half of a character (a lone surrogate)')
  })
  it('its rights stay, and a link stays a link', async () => {
    await put('run.sh', 'echo a\n')
    await chmod(at('run.sh'), 0o754)
    await symlink('run.sh', at('alias.sh'))
    assert.equal(await edit({ path: 'alias.sh', old: 'a', new: 'b' }), 'edited alias.sh at line 1')
    assert.equal((await stat(at('run.sh'))).mode & 0o777, 0o754)
    assert.equal(await got('run.sh'), 'echo b\n')
  })
  it('another name of the same file keeps the old text: a hard link may lead out of the folder', async () => {
    await put('inside.txt', 'old\n')
    await link(at('inside.txt'), join(bench.outputs, 'outside.txt'))
    await told(['edit', { path: 'inside.txt', old: 'old', new: 'new' }], ['write', { path: 'inside.txt', content: 'newer\n' }])
    assert.equal(await got('inside.txt'), 'newer\n')
    assert.equal(await readFile(join(bench.outputs, 'outside.txt'), 'utf8'), 'old\n')
  })
})

describe('a file that changed under the agent', () => {
  it('is still edited where the text is unique, and the model is told', async () => {
    await put('moved.txt', 'one\ntwo\n')
    assert.deepEqual((await told(['read', { path: 'moved.txt' }], ['bash', { command: 'echo three >> moved.txt' }], ['edit', { path: 'moved.txt', old: 'two', new: '2' }])).at(-1),
      'edited moved.txt at line 2\n(it had changed since you last saw it)')
  })
  it('is refused where it is not what was read', async () => {
    await put('gone.txt', 'one\ntwo\n')
    const answers = await told(['read', { path: 'gone.txt' }], ['bash', { command: 'echo other > gone.txt' }], ['edit', { path: 'gone.txt', old: 'two', new: '2' }])
    assert.match(answers.at(-1) ?? '', /^gone.txt changed since you last saw it; read it again. The old text does not occur in gone.txt; nothing was changed./)
  })
  it('is not taken for changed after the agent\'s own edits, in however many calls', async () => {
    await put('own.txt', 'a\nb\n')
    assert.deepEqual((await told(['read', { path: 'own.txt' }], ['edit', { path: 'own.txt', old: 'a', new: '1' }], ['edit', { path: './own.txt', old: 'b', new: '2' }], ['write', { path: '/work/own.txt', content: 'c' }])).slice(1),
      ['edited own.txt at line 1', 'edited ./own.txt at line 2', 'wrote /work/own.txt'])
  })
  it('is named when write replaces it', async () => {
    await put('over.txt', 'a\n')
    const answers = await told(['read', { path: 'over.txt' }], ['bash', { command: 'echo b > over.txt' }], ['write', { path: 'over.txt', content: 'c' }])
    assert.equal(answers.at(-1), 'wrote over.txt\n(it had changed since you last saw it; what was there is replaced)')
  })
})

describe('an edit that was cut off by a crash', () => {
  const script = { turns: [call('edit', { path: 'crash.txt', old: 'one', new: 'one one' }), finish()] }
  const cutOff = async (): Promise<JobEventBody[]> => {
    await put('crash.txt', 'one\n')
    const { events } = await bench.run({ script })
    return events.slice(0, events.findIndex((event) => event.type === 'tool_started') + 1)
  }
  it('tells beforehand what the file will be', async () => {
    const past = await cutOff()
    const [planned] = ofType(past, 'tool_planned')
    assert.deepEqual([planned?.before, planned?.after], [sha256('one\n'), sha256('one one\n')])
  })
  it('is done when it was not, and not done twice when it was', async () => {
    const past = await cutOff()
    await put('crash.txt', 'one\n')
    const again = await bench.run({ script, past })
    assert.equal(ofType(again.events, 'tool_result')[0]?.observation, 'edited crash.txt at line 1')
    const was = await bench.run({ script, past })
    assert.equal(ofType(was.events, 'tool_result')[0]?.observation, 'edit: done, before the machine was interrupted')
    assert.equal(await got('crash.txt'), 'one one\n')
  })
  it('is unknown when the file is neither', async () => {
    const past = await cutOff()
    await put('crash.txt', 'one, by somebody else\n')
    const { events } = await bench.run({ script, past })
    assert.equal(ofType(events, 'tool_unknown').length, 1)
    assert.equal(await got('crash.txt'), 'one, by somebody else\n')
  })
})

describe('paths that are no files', () => {
  before(async () => {
    await mkdir(at('folder'))
    await symlink('circle', at('circle'))
    await symlink('/etc/passwd', at('outside'))
    await symlink('nothing/there', at('dangling'))
  })
  const cases: [string, Record<string, unknown>, string, string][] = [
    ['edit', { old: 'a', new: 'b' }, 'folder', 'folder is a folder; use glob or bash ls'],
    ['write', { content: 'x' }, 'folder', 'folder is a folder'],
    ['edit', { old: 'a', new: 'b' }, 'circle', 'circle is a symbolic link that leads in a circle'],
    ['write', { content: 'x' }, 'circle', 'circle is a symbolic link that leads in a circle'],
    ['read', {}, 'circle', 'circle is a symbolic link that leads in a circle'],
    ['write', { content: 'x' }, 'outside', 'outside is outside of the folder /work; only files in it can be written'],
    ['read', {}, 'dangling', 'dangling is a symbolic link to nothing/there, and nothing is there'],
    ['write', { content: 'x' }, 'pipe', 'pipe is not a regular file'],
    ['edit', { old: 'a', new: 'b' }, 'pipe', 'pipe is not a regular file'],
    ['read', {}, 'pipe', 'pipe is not a regular file'],
    ['read', {}, 'socket', 'socket is not a regular file'],
    ['edit', { old: 'a', new: 'b' }, '/dev/null', '/dev/null is not a regular file'],
    ['write', { content: 'x' }, '/dev/null', '/dev/null is outside of the folder /work; only files in it can be written'],
  ]
  before(() => told(['bash', { command: `mkfifo pipe; python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('socket')"` }]))
  for (const [tool, args, path, expected] of cases) {
    it(`${tool} ${path}`, async () => assert.deepEqual(await told([tool, { path, ...args }]), [expected]))
  }
  it('a name that stands elsewhere is said', async () => {
    await mkdir(at('packages/one'), { recursive: true })
    await put('packages/one/unique-name.ts', 'x\n')
    assert.deepEqual(await told(['read', { path: 'src/unique-name.ts' }], ['edit', { path: 'unique-name.ts', old: 'x', new: 'y' }]),
      ['there is no file src/unique-name.ts; there is packages/one/unique-name.ts', 'there is no file unique-name.ts; there is packages/one/unique-name.ts'])
  })
  it('a name with newlines, quotes and blanks is a name', async () => {
    const path = ' a\n"$(touch evil)"\n'
    assert.deepEqual(await told(['write', { path, content: 'x y\n' }], ['edit', { path, old: 'x', new: 'z' }], ['read', { path }]), [`wrote ${path}`, `edited ${path} at line 1`, 'z y\n'])
    assert.equal(await got(path), 'z y\n')
    assert.ok(!(await readdir(bench.workspace)).includes('evil'))
  })
})

describe('a file that cannot be written', () => {
  it('because it is read-only keeps its text', async () => {
    await put('locked.txt', 'a\n')
    await chmod(at('locked.txt'), 0o444)
    assert.deepEqual(await told(['edit', { path: 'locked.txt', old: 'a', new: 'b' }], ['write', { path: 'locked.txt', content: 'b' }]),
      Array.from({ length: 2 }, () => 'locked.txt is read-only (mode 444); nothing was written'))
    assert.equal(await got('locked.txt'), 'a\n')
  })
  it('because it would be too large keeps its text and leaves nothing beside it', async () => {
    const small = await Workbench.open({ 'full.txt': 'a\n' })
    try {
      const { events } = await small.run({ limits: { fileBytes: 2 ** 20 }, script: { turns: [call('write', { path: 'full.txt', content: 'x'.repeat(2 ** 20 + 1) }), finish(), finish(), finish()], contextTokens: 4_000_000 }, profile: { maxCallTokens: 1_000_000 } })
      assert.match(ofType(events, 'tool_result')[0]?.observation ?? '', /^full.txt was not written: /)
      assert.equal(await readFile(join(small.workspace, 'full.txt'), 'utf8'), 'a\n')
      assert.deepEqual(await readdir(small.workspace), ['full.txt'])
    } finally {
      await small.close()
    }
  })
  it('because it is larger than what an edit holds is refused by its size', async () => {
    await put('large.txt', Buffer.alloc(8 * 2 ** 20 + 1, 'x\n'))
    assert.equal(await edit({ path: 'large.txt', old: 'a', new: 'b' }), 'large.txt is larger than 8 MiB; use bash to change it')
    await rm(at('large.txt'))
  })
})
