// Calls that wait for a yes, with the real command, daemon and sandbox: without a terminal, on one, and on two at the same time.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { Box, root } from './box.ts'

const call = (name: string, args: Record<string, unknown>): { calls: { name: string; arguments: Record<string, unknown> }[] } => ({ calls: [{ name, arguments: args }] })

type Terminal = { text(): string; type(keys: string): void; shows(text: string, times?: number): Promise<void>; ended: Promise<number | null> }

describe('a job that asks', () => {
  let box: Box
  before(async () => { box = new Box(); await box.up() })
  after(() => box.close())

  const terminal = (cwd: string, words: string[]): Terminal => {
    const line = [join(root, 'node_modules/.bin/hearth'), ...words].map((word) => `'${word}'`).join(' ')
    const child = spawn('script', ['-qec', `stty cols 100 rows 30; ${line}`, '/dev/null'], { cwd, env: { ...box.env, TERM: 'xterm', NO_COLOR: '1' }, stdio: ['pipe', 'pipe', 'inherit'] })
    let text = ''
    const waiters = new Set<() => void>()
    const wake = (): void => waiters.forEach((check) => check())
    child.stdout.setEncoding('utf8').on('data', (piece: string) => { text += piece; wake() })
    const ended = new Promise<number | null>((resolve) => child.once('close', (code) => { resolve(code); wake() }))
    return {
      text: () => text, type: (keys) => void child.stdin.write(keys), ended,
      shows: (wanted, times = 1) => new Promise((resolve, reject) => {
        const check = (): void => {
          if (text.split(wanted).length > times) waiters.delete(check), resolve()
          else if (child.exitCode !== null) reject(new Error(`it ended without '${wanted}': ${text}`))
        }
        waiters.add(check)
        check()
      }),
    }
  }
  const two = (): string => box.script({ turns: [
    call('write', { path: 'a.txt', content: 'one\ntwo' }), call('bash', { command: `: ${'long '.repeat(40)}; echo three > b.txt` }), call('finish', { answer: 'both done' }),
  ] })

  it('without a terminal it waits, says how to answer, and can be answered from elsewhere', async () => {
    const cwd = box.folder()
    const model = box.script({ turns: [
      call('write', { path: 'a.txt', content: 'one\nsame\n' }), call('bash', { command: 'rm a.txt', timeout: 9 }), { ...call('finish', { answer: 'kept' }), expect: { contains: 'did not allow this call: keep it' } },
    ] })
    writeFileSync(join(cwd, 'a.txt'), 'nought\nsame\n')
    const ran = await box.hearth(['run', '--approve', '--model', model, 'change it'], { cwd })
    const id = ran.stderr.split('\n')[0] ?? ''
    const how = `job ${id} waits for an approval; allow it with 'hearth approve ${id}', refuse it with 'hearth approve ${id} --refuse --why TEXT'; 'hearth attach ${id}' then watches on\n`
    assert.deepEqual([ran.code, ran.stdout], [13, ''])
    assert.ok(ran.stderr.endsWith(`? May write be called? {"path":"a.txt","content":"one\\nsame\\n"}\nsuspended: waiting for an approval of write\n${how}`), ran.stderr)
    assert.equal(readFileSync(join(cwd, 'a.txt'), 'utf8'), 'nought\nsame\n')

    assert.match((await box.hearth(['approve'])).stdout, new RegExp(`^JOB +ASKED +MODEL +CALL\n${id} +\\d+ [sm] ago +scripted:.* write a.txt 9 bytes\n$`))
    const { waiting } = await box.json<{ waiting: { jobId: string; callId: string }[] }>('approve')
    assert.deepEqual(waiting.map(({ jobId }) => jobId), [id])
    const wrong = await box.hearth(['approve', id, '--call', 'other'])
    assert.deepEqual([wrong.code, wrong.stderr.split('\n')[0]], [65, `hearth: Job ${id} does not wait with the call other.`])
    const given = await box.hearth(['approve', id.slice(0, 6), '--call', waiting[0]?.callId ?? ''])
    assert.deepEqual([given.code, given.stdout], [0, `write a.txt 9 bytes over 12 bytes; 2 lines of 3 stay\n  │ - nought\n  │ + one\nallowed; 'hearth attach ${id}' watches on\n`])

    const attached = await box.hearth(['attach', id])
    assert.deepEqual([attached.code, attached.stderr.endsWith(how)], [13, true], attached.stderr)
    assert.equal(readFileSync(join(cwd, 'a.txt'), 'utf8'), 'one\nsame\n')
    const refused = await box.hearth(['approve', id, '--refuse', '--why', 'keep it'])
    assert.deepEqual([refused.code, refused.stdout], [0, `$ rm a.txt\n  with {"timeout":9}\nrefused; 'hearth attach ${id}' watches on\n`])
    const end = await box.hearth(['attach', id])
    assert.deepEqual([end.code, end.stdout], [0, 'kept\n'], end.stderr)
    assert.equal(existsSync(join(cwd, 'a.txt')), true)
    const late = await box.hearth(['approve', id])
    assert.deepEqual([late.code, late.stderr.split('\n')[0]], [65, `hearth: Job ${id} does not wait for an approval.`])
    assert.equal((await box.hearth(['approve'])).stdout, 'nothing waits for an approval\n')
    for (const words of [['approve', '--refuse'], ['approve', id, '--why', 'x']]) assert.equal((await box.hearth(words)).code, 64)
  })

  it('--json: the events on stdout up to the one that says it waits, exit 13', async () => {
    const { code, events, stderr } = await box.job(['--approve', '--model', two(), 'x'], { cwd: box.folder() })
    const last = events.at(-1)
    assert.deepEqual([code, last?.type === 'suspended' ? last.state : last?.type], [13, 'waiting_approval'])
    await box.hearth(['cancel', stderr.split('\n')[0] ?? ''])
  })

  it('on two terminals: both show the call, the first answer counts, the other is told', async () => {
    const cwd = box.folder()
    const first = terminal(cwd, ['run', '--approve', '--model', two(), 'x'])
    await first.shows('allow? y, n, or why not: ')
    assert.match(first.text(), /write a\.txt 7 bytes\r\n {2}│ \+ one\r\n {2}│ \+ two\r\n/)
    const id = /job (\w+)/.exec(first.text())?.[1] ?? ''
    const second = terminal(cwd, ['attach', id])
    await second.shows('allow? y, n, or why not: ')
    second.type('y\n')
    await first.shows('it was answered elsewhere')
    // The next call: now the first is faster.
    await Promise.all([first.shows('allow? y, n, or why not: ', 2), second.shows('allow? y, n, or why not: ', 2)])
    first.type('yes\n')
    await second.shows('it was answered elsewhere')
    assert.deepEqual(await Promise.all([first.ended, second.ended]), [0, 0])
    assert.match(first.text(), /\$ : (long ){40}; echo three > b\.txt\r\n/, 'also what is longer than the terminal is wide')
    assert.doesNotMatch(first.text(), /May write be called/)
    assert.equal(first.text().split('write a.txt').length, 2, 'the call is shown once')
    assert.deepEqual([readFileSync(join(cwd, 'a.txt'), 'utf8'), readFileSync(join(cwd, 'b.txt'), 'utf8')], ['one\ntwo', 'three\n'])
  })

  it('on a terminal: what was typed before the question is no answer, Ctrl-D leaves it waiting, other words refuse', async () => {
    const cwd = box.folder()
    const one = terminal(cwd, ['run', '--approve', '--model', box.script({ turns: [{ ...call('write', { path: 'a.txt', content: 'x' }), delayMs: 2000 }, { ...call('finish', { answer: 'ok' }), expect: { contains: 'call: not here' } }] }), 'x'])
    await one.shows('step 1')
    one.type('y\n')
    await one.shows('allow? y, n, or why not: ')
    one.type('\u0004')
    assert.equal(await one.ended, 13)
    const id = /job (\w+)/.exec(one.text())?.[1] ?? ''
    assert.match(one.text(), new RegExp(`left; the job waits for an approval; allow it with 'hearth approve ${id}'`))
    const again = terminal(cwd, ['attach', id])
    await again.shows('allow? y, n, or why not: ')
    again.type('not here\n')
    assert.equal(await again.ended, 0)
    assert.equal(existsSync(join(cwd, 'a.txt')), false)
  })
})
