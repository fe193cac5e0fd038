// The shell and what it leaves behind: its folder, its background processes, its outputs. In the real sandbox.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { JobEventBody } from '@hearth/protocol'
import { call, finish, ofType, type Options, Workbench } from './workbench.ts'

let bench: Workbench
before(async () => {
  bench = await Workbench.open()
  await mkdir(join(bench.workspace, 'sub/deep'), { recursive: true })
})
after(() => bench.close())

type Made = [string, Record<string, unknown>]
const script = (...calls: Made[]): Options => ({ script: { turns: [...calls.map(([name, args]) => call(name, args)), finish(), finish(), finish()] } })
const results = (events: JobEventBody[]): string[] => ofType(events, 'tool_result').filter((event) => event.name !== 'finish').map((event) => event.observation)
const told = async (...calls: Made[]): Promise<string[]> => results((await bench.run(script(...calls))).events)
const bash = (command: string, more: Record<string, unknown> = {}): Made => ['bash', { command, ...more }]

/** Processes of this machine whose command line holds the word. */
const alive = (word: string): number => readdirSync('/proc').filter((pid) => /^\d+$/.test(pid)).filter((pid) => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(word)
  } catch {
    return false
  }
}).length

describe('the folder of the shell', () => {
  it('lasts from call to call, and is told', async () => {
    assert.deepEqual(await told(bash('cd sub && pwd'), bash('pwd; cd deep'), bash('pwd'), bash('cd /work'), bash('pwd')),
      ['/work/sub\n(in sub)', '/work/sub\n(in sub/deep)', '/work/sub/deep\n(in sub/deep)', '(in /work)', '/work\n'])
  })
  it('lasts when the command fails, exits, or sets -e', async () => {
    assert.deepEqual(await told(bash('cd sub; exit 4'), bash('set -e; cd deep; false; echo never'), bash('pwd')), ['(exit 4)\n(in sub)', '(exit 1)\n(in sub/deep)', '/work/sub/deep\n(in sub/deep)'])
  })
  it('stays as it was when the shell is replaced or killed', async () => {
    assert.deepEqual(await told(bash('cd sub'), bash('cd /work; exec true'), bash('cd /work; kill -9 $$'), bash('pwd')), ['(in sub)', '(in sub)', '(killed by SIGKILL)\n(in sub)', '/work/sub\n(in sub)'])
  })
  it('that is gone is the workspace again, and the model is told', async () => {
    assert.deepEqual(await told(bash('mkdir lost; cd lost'), ['bash', { command: 'rmdir /work/lost' }], bash('pwd'), bash('pwd')),
      ['(in lost)', '(in lost)', '/work\n(the folder lost is gone: this ran in /work)', '/work\n'])
  })
  it('outside of the workspace does not last: it is another one for each call', async () => {
    assert.deepEqual(await told(bash('cd /tmp; touch x; ls'), bash('pwd')), ['x\n(/tmp is outside of the folder: the next command begins in /work)', '/work\n'])
  })
  it('is known to a resumed job, and is not the file tools\' business', async () => {
    const job = script(bash('cd sub'), bash('touch here'), ['write', { path: 'root.txt', content: 'x' }])
    const whole = await bench.run({ ...job, abortAt: { when: (event) => event.type === 'tool_result', cause: { kind: 'suspend', reason: 'test' } } })
    assert.equal(ofType(whole.events, 'tool_result')[0]?.cwd, 'sub')
    await bench.run({ ...job, past: JSON.parse(JSON.stringify(whole.events)) as JobEventBody[] })
    assert.deepEqual(readdirSync(join(bench.workspace, 'sub')), ['deep', 'here'])
    assert.equal(await readFile(join(bench.workspace, 'root.txt'), 'utf8'), 'x')
  })
  it('is not where paths of the other tools begin, and a miss says so', async () => {
    const answers = await told(bash('cd sub'), ['read', { path: 'deep/nope' }], ['grep', { pattern: 'x', path: 'deep' }])
    const note = '\n(paths are relative to /work; the shell is in sub)'
    assert.deepEqual(answers.slice(1), [`there is no file deep/nope${note}`, `there is no deep${note}`])
  })
  it('with a newline in its name works too', async () => {
    assert.deepEqual(await told(bash("mkdir $'a\\nb'; cd $'a\\nb'; touch f"), bash('ls'), bash('cd ..; rm -r a*')), ['(in a\\nb)', 'f\n(in a\\nb)', '(in /work)'])
  })
  it('cannot be forged to lie outside by what a command writes', async () => {
    assert.deepEqual(await told(bash('for fd in /proc/self/fd/*; do printf "at /work/../etc\\0" >> $fd 2> /dev/null; done; exec true'), bash('pwd')).then((all) => all.at(-1)), '/work\n')
  })
})

describe('a command', () => {
  it('is stopped after its own time', async () => {
    assert.deepEqual(await told(bash('echo begun; sleep 30', { timeout: 1 })), ['begun\n(stopped: longer than 1 s)'])
  })
  it('is stopped after the job\'s time however much it asks for', async () => {
    const { events } = await bench.run({ ...script(bash('sleep 30', { timeout: 1000 })), limits: { wallMs: 500 } })
    assert.deepEqual(results(events), ['(stopped: longer than 0.5 s)'])
  })
  it('that forks and leaves children leaves none', async () => {
    const word = `hearth-left-${process.pid}`
    await told(bash(`setsid bash -c 'exec -a ${word} sleep 100' & for i in 1 2 3; do (exec -a ${word} sleep 100) & done; echo done`))
    assert.equal(alive(word), 0)
  })
  it('that forks without end is stopped', async () => {
    const { events } = await bench.run(script(bash('f() { f | f & }; f; sleep 20')))
    assert.match(results(events)[0] ?? '', /\(stopped: more than 64 processes\)$/)
  })
  it('that fills its /tmp is told so by the system, and the next one finds it empty', async () => {
    const [full, next] = await told(bash('head -c 64M /dev/zero > /tmp/x; echo "code $?"; df --output=used /tmp | tail -n 1'), bash('ls /tmp'))
    assert.match(full ?? '', /No space left on device\ncode 1\n/)
    assert.equal(next, '')
  })
})

describe('a background process', () => {
  it('is started, watched, waited for', async () => {
    assert.deepEqual(await told(bash('echo up; while [ ! -e go ]; do sleep 0.05; done; echo went; exit 3', { background: true }), bash('touch go'), ['process', { handle: 'p1', action: 'wait' }], ['process', { handle: 'p1', action: 'output' }]),
      ['up\n(p1 runs in the background)', '', 'went\n(p1 has ended: exit 3)', '(p1 has ended: exit 3)'])
  })
  it('that fails at once says so', async () => {
    assert.deepEqual(await told(bash('nonesuch', { background: true })), ['bash: line 1: nonesuch: command not found\n(p1 has ended: exit 127)'])
  })
  it('is stopped with all it started, and its whole output is kept', async () => {
    const word = `hearth-server-${process.pid}`
    const { events } = await bench.run(script(bash(`seq 1 3; (exec -a ${word} sleep 100) & exec -a ${word} sleep 100`, { background: true }), ['process', { handle: 'p1', action: 'stop' }], ['process', { handle: 'p1', action: 'stop' }]))
    const all = ofType(events, 'tool_result').filter((event) => event.name !== 'finish')
    assert.deepEqual(all.map((event) => event.observation), ['1\n2\n3\n(p1 runs in the background)', '(p1 has ended: stopped)', '(p1 has ended: stopped)'])
    assert.deepEqual(all.map((event) => event.processes), [['p1'], [], undefined])
    assert.equal(await readFile(all[1]?.outputFile ?? '', 'utf8'), '1\n2\n3\n')
    assert.equal(alive(word), 0)
  })
  it('is gone with the job, whatever the job\'s end', async () => {
    const word = `hearth-stray-${process.pid}`
    const stray = bash(`trap '' TERM; exec -a ${word} sleep 100`, { background: true })
    await bench.run(script(stray, stray))
    assert.equal(alive(word), 0, 'done')
    await bench.run({ ...script(stray, bash('sleep 100')), abortAt: { when: (event) => event.type === 'tool_result', cause: { kind: 'cancel', by: 'the owner' } } })
    assert.equal(alive(word), 0, 'cancelled')
  })
  it('that an earlier run of the job started is gone, and the model is told once', async () => {
    const job = script(bash('sleep 100', { background: true }), bash('echo next'), ['process', { handle: 'p1', action: 'output' }], bash('sleep 100', { background: true }))
    const first = await bench.run({ ...job, abortAt: { when: (event) => event.type === 'tool_result', cause: { kind: 'suspend', reason: 'test' } } })
    const second = await bench.run({ ...job, past: JSON.parse(JSON.stringify(first.events)) as JobEventBody[] })
    assert.deepEqual(results(second.events), [
      'next\n(the background process p1 is gone: the daemon was started again meanwhile)',
      'p1 is gone: the daemon was started again meanwhile. Start it anew with bash if it is needed', '(p2 runs in the background)',
    ])
    assert.deepEqual(ofType(second.events, 'tool_result').map((event) => event.processes), [[], undefined, ['p2']])
  })
  it('ended with its turn where a conversation only went on', async () => {
    const job = script(bash('sleep 100', { background: true }), bash('echo next'), ['process', { handle: 'p1', action: 'output' }])
    const first = await bench.run({ ...job, abortAt: { when: (event) => event.type === 'tool_result', cause: { kind: 'suspend', reason: 'test' } } })
    const past = (end: JobEventBody): JobEventBody[] => [...JSON.parse(JSON.stringify(first.events)) as JobEventBody[], end]
    const told = async (end: JobEventBody): Promise<string[]> => results((await bench.run({ ...job, past: past(end) })).events)
    assert.deepEqual(await told({ type: 'suspended', reason: 'waiting for you', state: 'paused' }), [
      'next\n(the background process p1 is gone: it ended with the turn that it was started in)',
      'p1 is gone: it ended with the turn that it was started in. Start it anew with bash if it is needed',
    ])
    assert.match((await told({ type: 'suspended', reason: 'the daemon was stopped' }))[0] ?? '', /the daemon was started again meanwhile/)
  })
  it('keeps to its limits, and there are four at most', async () => {
    const { events } = await bench.run({ ...script(...Array.from({ length: 5 }, (_, index) => bash(`sleep 100${index}`, { background: true })), ['process', { handle: 'p9', action: 'output' }]) })
    assert.deepEqual(results(events).slice(3), ['(p4 runs in the background)', '4 background processes run already (p1, p2, p3, p4); stop one with process', 'there is no process p9; there are p1, p2, p3, p4'])
    const many = await bench.run(script(bash('f() { f | f & }; f; sleep 20', { background: true }), ['process', { handle: 'p1', action: 'wait' }]))
    assert.match(results(many.events).join('\n'), /\(p1 has ended: stopped: more than 64 processes\)$/)
  })
  it('is waited for no longer than asked', async () => {
    assert.match((await told(bash('sleep 100', { background: true }), ['process', { handle: 'p1', action: 'wait', timeout: 1 }])).at(-1) ?? '', /^\(p1 runs, [12] s so far\)$/)
  })
  it('is reached over a socket in the folder, not over the network: that is its own', async () => {
    await writeFile(join(bench.workspace, 'serve.py'), `import socket, sys
s = socket.socket(socket.AF_UNIX if sys.argv[1] == 'unix' else socket.AF_INET)
s.bind('door' if sys.argv[1] == 'unix' else ('127.0.0.1', 8123))
s.listen()
print('listening', flush=True)
while True:
    c, _ = s.accept()
    c.recv(4096)
    c.send(b'HTTP/1.0 200 OK\\r\\n\\r\\nhello')
    c.close()
`)
    const both = await told(bash('python3 serve.py inet & until curl -s http://127.0.0.1:8123; do sleep 0.05; done'),
      bash('exec python3 serve.py unix', { background: true }), bash('until curl -s --unix-socket door http://x/; do sleep 0.05; done'),
      bash('exec python3 serve.py inet', { background: true }), bash('curl -sS --max-time 2 http://127.0.0.1:8123'))
    assert.match(both[0] ?? '', /hello/)
    assert.equal(both[2], 'hello')
    assert.match(both[4] ?? '', /\(exit 7\)$/)
  })
})
