// read page by page, and the tools that only write words: plan and ask_expert. In the real sandbox.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { currentPlan, expertQuestions } from '@hearth/agent/tools/traces'
import { call, finish, ofType, type Options, type Ran, Workbench } from './workbench.ts'

let bench: Workbench
before(async () => { bench = await Workbench.open() })
after(() => bench.close())

type Made = [string, Record<string, unknown>]
const run = (calls: Made[], more: Partial<Options> = {}): Promise<Ran> => bench.run({ ...more, script: { turns: [...calls.map(([name, args]) => call(name, args)), finish(), finish(), finish()], ...more.script } })
const told = async (...calls: Made[]): Promise<string[]> => ofType((await run(calls)).events, 'tool_result').filter((event) => event.name !== 'finish').map((event) => event.observation)
const put = (name: string, content: string | Buffer): Promise<void> => writeFile(join(bench.workspace, name), content)

describe('read', () => {
  it('shows as many whole lines as fit, and where to go on; the pages together are the file', async () => {
    const text = Array.from({ length: 2000 }, (_, index) => `line ${index + 1} ${'.'.repeat(index % 40)}\n`).join('')
    await put('long.txt', text)
    let all = ''
    for (let offset: number | null = 1; offset !== null;) {
      const [page = ''] = await told(['read', { path: 'long.txt', offset }])
      assert.ok(Buffer.byteLength(page) <= 12_000)
      const next: RegExpExecArray | null = /\n\[lines (\d+)-(\d+) of 2000; go on with offset (\d+)\]$/.exec(page)
      if (next !== null) assert.deepEqual([Number(next[1]), Number(next[2])], [offset, Number(next[3]) - 1])
      all += next === null ? page : `${page.slice(0, next.index)}\n`
      offset = next === null ? null : Number(next[3])
    }
    assert.equal(all, text)
  })
  it('keeps small windows in mind', async () => {
    const { events } = await run([['read', { path: 'long.txt' }]], { script: { turns: [call('read', { path: 'long.txt' }), finish()], contextTokens: 4096 } })
    const observation = ofType(events, 'tool_result')[0]?.observation ?? ''
    assert.ok(Buffer.byteLength(observation) <= 820, `${Buffer.byteLength(observation)} bytes`)
    assert.match(observation, /^line 1 [^]*\n\[lines 1-\d+ of 2000; go on with offset \d+\]$/)
  })
  it('says so when there is no such line, or when one line is too long', async () => {
    await put('one.txt', `${'word '.repeat(20_000)}\nend\n`)
    const [beyond, long = '', end] = await told(['read', { path: 'long.txt', offset: 3000 }], ['read', { path: 'one.txt' }], ['read', { path: 'one.txt', offset: 2 }])
    assert.equal(beyond, '[the file has 2000 lines]')
    assert.match(long, /\n\[line 1 is longer than fits here; see parts of it with bash and cut -c\]$/)
    assert.equal(end, 'end\n')
  })
  it('shows UTF-16 as text, and says when a file is not UTF-8', async () => {
    await put('wide.txt', Buffer.from('\ufeffone \u00e9\r\ntwo\r\n', 'utf16le'))
    await put('latin.txt', Buffer.from('caf\u00e9\n', 'latin1'))
    assert.deepEqual(await told(['read', { path: 'wide.txt' }], ['read', { path: 'latin.txt' }]), ['one \u00e9\ntwo\n', 'caf\ufffd\n[it is not UTF-8: some characters are shown as \ufffd]'])
  })
  it('names what a binary file is', async () => {
    await put('picture', Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), Buffer.alloc(100)]))
    assert.deepEqual(await told(['read', { path: 'picture' }]), ['picture is a binary file (PNG image, 108 bytes)'])
  })
  it('reads a kept output page by page', async () => {
    const { events } = await run([['bash', { command: 'seq 1 20000' }]])
    const id = ofType(events, 'tool_result')[0]?.callId
    const [first = '', next = '', none] = await told(['read', { path: `output:${id}` }], ['read', { path: `output:${id}`, offset: 19_999 }], ['read', { path: 'output:nope' }])
    assert.match(first, /^1\n2\n[^]*\n\[lines 1-(\d+); go on with offset \d+\]$/)
    assert.equal(next, '19999\n20000')
    assert.equal(none, 'there is no output nope')
  })
})

it('write makes no file of a name that ends like a folder', async () => {
  assert.deepEqual(await told(['write', { path: 'some/folder/', content: '' }]), ['some/folder/ names a folder; folders are made with the files in them'])
})

describe('plan', () => {
  it('answers with the whole list in one form, however it was written', async () => {
    const { events } = await run([['plan', { list: '- [x] look\n* [X] think\n2. [>] change it\n[ ] test\n\n  check again  ' }], ['plan', { list: '[x] look\n[x] change it\n[x] test' }]])
    assert.deepEqual(ofType(events, 'tool_result').filter((event) => event.name === 'plan').map((event) => event.observation),
      ['[x] look\n[x] think\n[>] change it\n[ ] test\n[ ] check again\n2 of 5 done', '[x] look\n[x] change it\n[x] test\n3 of 3 done'])
    assert.equal(currentPlan(events), '[x] look\n[x] change it\n[x] test\n3 of 3 done')
  })
  it('is bounded', async () => {
    const [many, long, empty] = await told(['plan', { list: 'x\n'.repeat(21) }], ['plan', { list: 'y'.repeat(300) }], ['plan', { list: ' \n- [ ]\n' }])
    assert.equal(many, 'the plan has 21 steps; 20 are the most: put some together')
    assert.equal(long, `[ ] ${'y'.repeat(200)}...\n0 of 1 done`)
    assert.equal(empty, 'the plan is empty; give one step a line')
  })
})

it('ask_expert is written down, counted, and answered that there is none; the third time it is refused', async () => {
  const ask: Made = ['ask_expert', { question: 'How?', tried: 'all' }]
  const { events } = await run([ask, ['bash', { command: 'true' }], ['ask_expert', { question: 'How else?', tried: 'more', files: ['a.ts'] }], ['ask_expert', { question: 'Really?', tried: 'enough' }]])
  const answers = ofType(events, 'tool_result').filter((event) => event.name === 'ask_expert').map((event) => event.observation)
  const none = 'No expert is configured. Your question is written down for the owner. Go on by yourself: try another way, or call finish and say what is missing.'
  assert.deepEqual(answers, [none, none, 'you asked twice already, and there is no expert; go on by yourself, or call finish and say what is missing'])
  assert.equal(expertQuestions(events), 3)
  assert.deepEqual(ofType(events, 'tool_planned')[0]?.call.arguments, { question: 'How?', tried: 'all' })
})
