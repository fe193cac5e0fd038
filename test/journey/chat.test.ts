// hearth chat as a person and as a pipe meet it: the real command on a real terminal, the real daemon, sandbox and loop, a script as model.
import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, before, describe, it } from 'node:test'
import { Seller } from '../fixtures/seller.ts'
import { Box, root } from './box.ts'

const script = '/usr/bin/script'
const say = (text: string): { text: string } => ({ text })
const call = (name: string, args: Record<string, unknown>): { calls: { name: string; arguments: Record<string, unknown> }[] } => ({ calls: [{ name, arguments: args }] })
const turns = [say('Hello! What shall I do?'), call('write', { path: 'a.txt', content: 'one\n' }), call('finish', { answer: 'a.txt is written.' }), say('You are welcome.')]

/** The command on a terminal of its own, made by script(1). */
class Terminal {
  readonly child: ChildProcess
  readonly ended: Promise<number | null>
  #text = ''
  #seen = 0
  readonly #waiters = new Set<() => void>()

  constructor(box: Box, words: string[], cwd: string) {
    if (!existsSync(script)) throw new Error(`${script} is missing: install util-linux (bsdutils)`)
    const command = [join(root, 'node_modules/.bin/hearth'), 'chat', ...words].map((word) => `'${word}'`).join(' ')
    this.child = spawn(script, ['-qfec', command, '/dev/null'], { cwd, env: { ...box.env, TERM: 'xterm', NO_COLOR: '1' }, stdio: 'pipe' })
    this.child.stdout?.setEncoding('utf8').on('data', (piece: string) => {
      this.#text += piece
      for (const check of this.#waiters) check()
    })
    this.ended = new Promise((resolve) => this.child.once('close', (code) => {
      resolve(code)
      for (const check of this.#waiters) check()
    }))
  }

  type(keys: string): void {
    this.child.stdin?.write(keys)
  }

  /** Waits until the screen says it, after what was waited for before. */
  sees(wanted: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        const at = this.#text.indexOf(wanted, this.#seen)
        if (at >= 0) {
          this.#seen = at + wanted.length
          this.#waiters.delete(check)
          resolve()
        } else if (this.child.exitCode !== null) {
          reject(new Error(`it ended without '${wanted}': ${JSON.stringify(this.#text.slice(this.#seen))}`))
        }
      }
      this.#waiters.add(check)
      check()
    })
  }

  async close(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.ended
  }
}

let box: Box
const open = new Set<Terminal>()
before(async () => { box = new Box(); await box.up() })
after(() => box.close())
afterEach(async () => { for (const terminal of open) await terminal.close(); open.clear() })

function terminal(cwd: string, ...words: string[]): Terminal {
  const made = new Terminal(box, words, cwd)
  open.add(made)
  return made
}

describe('through a pipe', () => {
  it('each line is a message: answers on stdout, the rest on stderr', async () => {
    const cwd = box.folder()
    const { code, stdout, stderr } = await box.hearth(['chat', '--model', box.script({ turns })], { cwd, input: 'hi\n\nwrite it\n/diff\n/undo\n/nope\nthanks\n' })
    // The patch of /diff stands between the answers as `hearth diff` prints it into a pipe.
    assert.match(stdout, /^Hello! What shall I do\?\na\.txt is written\.\ndiff --git a\/a\.txt b\/a\.txt\nnew file mode [^]*\n\+one\n1 file put back to after step 1\nYou are welcome\.\n$/)
    assert.equal(code, 0)
    assert.match(stderr, /^> hi\n/)
    assert.match(stderr, /write a\.txt 4 bytes\n {2}│ \+ one\n/)
    assert.match(stderr, /There is no command \/nope\./)
    assert.equal(existsSync(join(cwd, 'a.txt')), false)
    const [job] = await box.jobs()
    assert.equal(job?.state, 'paused')
  })

  it('goes on after the daemon was killed, with --resume; --json gives the events', async () => {
    const cwd = box.folder()
    const model = box.script({ turns })
    assert.equal((await box.hearth(['chat', '-q', '--model', model], { cwd, input: 'hi\n' })).stdout, 'Hello! What shall I do?\n')
    process.kill((await box.status()).pid, 'SIGKILL')
    await box.until('a daemon is there again', async () => (await box.hearth(['up'])).code === 0)
    const { code, stdout } = await box.hearth(['chat', '--resume', '--json'], { cwd, input: 'write it\n' })
    const types = stdout.split('\n').filter((line) => line !== '').map((line) => (JSON.parse(line) as { type: string }).type)
    assert.equal(code, 0)
    assert.deepEqual([types[0], types.at(-1)], ['said', 'suspended'])
    assert.equal(readFileSync(join(cwd, 'a.txt'), 'utf8'), 'one\n')
  })

  it('a task that is over is taken up again from a step, with its files', async () => {
    const cwd = box.folder()
    const model = box.script({ turns: [call('write', { path: 'a.txt', content: '1' }), call('write', { path: 'b.txt', content: '2' }), call('finish', { answer: 'both' })] })
    const { events } = await box.job(['--cwd', cwd, '--model', model, 'write both'])
    const id = events[0]?.jobId ?? ''
    const other = box.script({ turns: [{ ...say('-') }, { ...say('Only a, then.'), expect: { contains: 'leave it at that' } }] })
    const { code, stdout, stderr } = await box.hearth(['chat', '-q', '--fork', id, '--step', '1', '--files', '--model', other], { cwd, input: 'leave it at that\n' })
    assert.deepEqual([code, stdout], [0, 'Only a, then.\n'], stderr)
    assert.deepEqual([existsSync(join(cwd, 'a.txt')), existsSync(join(cwd, 'b.txt'))], [true, false])
    assert.equal((await box.jobs()).find((job) => job.id === id)?.state, 'done_unverified')
  })

  it('exit codes: 1 for a turn that failed, 64 for a wrong line, a sentence for a chat that is not there', async () => {
    const cwd = box.folder()
    const failing = box.script({ turns: [{ fault: { code: 'shutting_down' } }] })
    const failed = await box.hearth(['chat', '--model', failing], { cwd, input: 'hi\n' })
    assert.equal(failed.code, 1)
    assert.match(failed.stderr, /the model failed: /)
    const approve = await box.hearth(['chat', '--approve'], { cwd, input: 'hi\n' })
    assert.equal(approve.code, 64)
    assert.match(approve.stderr, /--approve needs a terminal: without one nobody can answer\./)
    const none = await box.hearth(['chat', '--resume'], { cwd: box.folder(), input: 'hi\n' })
    assert.notEqual(none.code, 0)
    assert.match(none.stderr, /no chat of .* that waits/)
  })
})

describe('on a terminal', () => {
  it('approves and refuses, takes pastes and long lines, and leaves', async () => {
    const cwd = box.folder()
    const model = box.script({ turns: [
      { ...call('write', { path: 'a.txt', content: 'one\n' }), expect: { contains: 'first\nsecond line\nthird' } }, call('bash', { command: 'echo hi > b.txt' }),
      { ...say('Then not.'), expect: { contains: 'not in this folder' } },
    ] })
    const seen = terminal(cwd, '--approve', '--model', model)
    await seen.sees('› ')
    seen.type('\u001b[200~first\nsecond line\u001b[201~\\\rthird\r')
    await seen.sees('allow? y, n, or why not: ')
    assert.equal(existsSync(join(cwd, 'a.txt')), false)
    seen.type('y\r')
    await seen.sees('$ echo hi > b.txt')
    await seen.sees('allow? y, n, or why not: ')
    seen.type('not in this folder\r')
    await seen.sees('Then not.')
    await seen.sees('› ')
    seen.type('\u0004')
    await seen.sees('the chat waits: hearth chat --resume ')
    assert.equal(await seen.ended, 0)
    assert.deepEqual([existsSync(join(cwd, 'a.txt')), existsSync(join(cwd, 'b.txt'))], [true, false])
  })

  it('shows what would leave the box when the model asks an expert, and sends it after a yes', async () => {
    const seller = new Seller(() => 'Look at line 3.\nGO ON')
    await seller.open()
    const asking = new Box()
    try {
      writeFileSync(join(asking.home, 'key'), 'sk-chat-1234567890abcdef\n', { mode: 0o600 })
      asking.configure({
        sandbox: { limits: 'weak' }, storage: { refuseBelowBytes: 1024 },
        escalation: {
          consent: 'ask', budget: { dayUsdMicros: 5_000_000 },
          providers: [{ id: 'shop', kind: 'compatible', url: `http://127.0.0.1:${seller.port}/v1`, keyFile: join(asking.home, 'key'), models: [{ id: 'far', model: 'far-1', contextTokens: 100_000, maxOutputTokens: 4000, prices: [{ from: '2026-01-01', input: 1, cacheRead: 1, cacheWrite: 1, output: 1 }] }] }],
        },
      })
      const model = asking.script({ turns: [call('ask_expert', { question: 'Where is it wrong?', tried: 'reading' }), say('Line 3 it is.')] })
      const seen = new Terminal(asking, ['--model', model], asking.folder())
      open.add(seen)
      await seen.sees('› ')
      seen.type('find it\r')
      await seen.sees('far at 127.0.0.1')
      await seen.sees('Where is it wrong?')
      await seen.sees('allow? y, n, or why not: ')
      assert.equal(seller.heard.length, 0)
      seen.type('y\r')
      await seen.sees('Line 3 it is.')
      assert.equal(seller.heard.length, 1)
      await seen.sees('› ')
      seen.type('\u0004')
      assert.equal(await seen.ended, 0)
    } finally {
      await asking.close()
      seller.close()
    }
  })

  it('Ctrl-C stops a turn; the chat is resumed, forked and given another model', async () => {
    const cwd = box.folder()
    const model = box.script({ turns: [{ text: 'A long story', hang: true }, { ...say('I stopped.'), expect: { contains: 'what now' } }] })
    const first = terminal(cwd, '--model', model)
    await first.sees('› ')
    first.type('tell me\r')
    await first.sees('A long story')
    first.type('\u0003')
    await first.sees('interrupted by socket:')
    await first.sees('› ')
    first.type('\u0003')
    await first.sees('Ctrl-C again, Ctrl-D or /quit leaves')
    first.type('\u0003')
    assert.equal(await first.ended, 0)
    const second = terminal(cwd, '--resume')
    await second.sees('tell me')
    await second.sees('A long story')
    await second.sees('› ')
    second.type('what now\r')
    await second.sees('I stopped.')
    await second.sees('› ')
    const other = box.script({ turns: [say('-'), say('-'), { ...say('I am another.'), expect: { contains: 'who are you' } }] })
    second.type(`/model ${other}\r`)
    await second.sees('goes on with scripted:')
    await second.sees('› ')
    second.type('who are you\r')
    await second.sees('I am another.')
    await second.sees('› ')
    second.type('/quit\r')
    assert.equal(await second.ended, 0)
    assert.equal((await box.jobs()).filter((job) => job.request.cwd === cwd && job.state === 'paused').length, 2)
  })

  it('words typed while it works are told it at its next step', async () => {
    const cwd = box.folder()
    const model = box.script({ turns: [call('bash', { command: 'while [ ! -e go ]; do sleep 0.05; done' }), { ...say('I heard it.'), expect: { contains: 'by the way' } }] })
    const seen = terminal(cwd, '--model', model)
    await seen.sees('› ')
    seen.type('wait for it\r')
    await seen.sees('running')
    seen.type('by the way\r')
    await box.until('the words are stored', async () => (await box.events((await box.jobs())[0]?.id ?? '')).some((event) => event.type === 'said'))
    writeFileSync(join(cwd, 'go'), '')
    await seen.sees('I heard it.')
    await seen.sees('› ')
    seen.type('\u0004')
    assert.equal(await seen.ended, 0)
  })
})
