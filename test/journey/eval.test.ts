// hearth eval in a whole Hearth: arms over tasks whose truth is known, what may be concluded from them, and that it stops, goes on and hides the judge as it says.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, describe, it } from 'node:test'
import { EvalRow, evalArms, EvalSummary, type EvalEvent, type UsageReport } from '@hearth/protocol'
import { Client } from '@hearth/protocol/client'
import { arms } from '../../packages/cli/src/commands/eval.ts'
import { Box } from './box.ts'
import { evaluatedIn, jobsOfEval, World } from './eval-world.ts'

describe('an evaluation', () => {
  let box: Box
  let world: World
  before(async () => {
    box = new Box()
    world = new World(mkdtempSync(join(box.home, 'tasks-')), ['py-csv-price', 'sh-awk-report'])
    await world.open()
    writeFileSync(join(box.home, 'key'), 'sk-test-Zq81LmX0pTr55vNwY2\n', { mode: 0o600 })
    box.configure(world.config(join(box.home, 'key')))
    await box.up()
  })
  after(async () => {
    const { stdout, stderr } = await box.hearth(['down'])
    await box.close()
    world.close()
    assert.match(stdout, /is gone/, stderr)
  })

  const socket = (): string => join(box.env['HEARTH_HOME'] ?? '', 'hearth.sock')
  const evaluated = (...words: string[]): ReturnType<typeof evaluatedIn> => evaluatedIn(box, words)
  const jobsOf = (id: string): ReturnType<typeof jobsOfEval> => jobsOfEval(box, id)
  /** A task whose judge wants the word right in f, and has a word of its own. */
  const task = (files: Record<string, string> = { f: 'wrong\n' }): string => {
    const folder = mkdtempSync(join(box.home, 'own-'))
    for (const part of ['start', 'hidden']) mkdirSync(join(folder, part))
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, 'start', name), content)
    writeFileSync(join(folder, 'hidden/check.sh'), '# the word of the judge is heliotrope\ngrep -q right f\n')
    writeFileSync(join(folder, 'task.json'), JSON.stringify({ about: 'a test', language: 'shell', prompt: 'make it right', check: null, answer: null }))
    return folder
  }
  const write = { calls: [{ name: 'write', arguments: { path: 'f', content: 'right\n' } }] }
  const finish = { calls: [{ name: 'finish', arguments: { answer: 'done' } }] }

  it('finds what is true of a world where advice always helps, and each row is a job with its money', async () => {
    const file = (name: string): string => join(box.home, name)
    const ran = await box.hearth(['eval', join(world.folder, 'sh-awk-report'), '--model', 'small', '--repeats', '2', '--arms', 'local,local-again,advise,random,oracle', '--rows', file('rows'), '--svg', file('eval.svg')])
    assert.equal(ran.code, 0, ran.stderr)
    const rows = readFileSync(file('rows'), 'utf8').trim().split('\n').map((line) => EvalRow.parse(JSON.parse(line)))
    assert.equal(rows.length, 10)
    const of = (arm: string): EvalRow[] => rows.filter((row) => row.arm === arm)
    const pair = ({ task: name, repeat }: EvalRow): string => `${name} ${repeat}`
    const failed = of('local').filter(({ solved }) => !solved).map(pair)
    assert.ok(failed.length > 0 && failed.length < 2, failed.join())
    assert.ok([...of('advise'), ...of('oracle')].every(({ solved }) => solved))
    for (const arm of ['advise', 'oracle']) assert.deepEqual(of(arm).filter(({ escalations }) => escalations > 0).map(pair).sort(), failed.toSorted())
    assert.equal(of('random').reduce((sum, { escalations }) => sum + escalations, 0) <= failed.length, true)
    assert.ok([...of('local'), ...of('local_again')].every(({ usdMicros }) => usdMicros === 0))
    const advised = of('advise').find(({ escalations }) => escalations > 0)
    const usage = await box.json<UsageReport>('usage', '--job', advised?.jobId ?? '')
    assert.ok(JSON.stringify(usage).includes(`"usdMicros":${advised?.usdMicros ?? NaN}`))
    const id = /evaluation (\w+): 10 jobs of 1 task in 5 arms/.exec(ran.stderr)?.[1] ?? ''
    const jobs = await jobsOf(id)
    assert.ok(of('advise').every(({ jobId }) => jobs.some((job) => job.id === jobId && job.request.tags['arm'] === 'advise' && job.request.class === 'batch')))
    // The same seed in all arms, so that they go the same way until one is helped.
    assert.equal(new Set(jobs.filter(({ request: { tags } }) => tags['arm'] !== 'local_again' && tags['repeat'] === '0').map(({ request: { seed } }) => seed)).size, 1)
    assert.match(ran.stdout, /^advise +100 % \(\d+-100\) +\$0\.00\d+ +\$0\.00\d+ +\S+ m?s +0\.\d\d +100 % +100 %/m)
    assert.match(ran.stdout, /^- 1 task is few: only large differences can show\.$/m)
    const svg = readFileSync(file('eval.svg'), 'utf8')
    for (const arm of ['local', 'local_again', 'advise', 'random', 'oracle']) assert.ok(svg.includes(`>${arm}</text>`), arm)
    assert.deepEqual(readdirSync(tmpdir()).filter((name) => name.startsWith('hearth-eval-') && readdirSync(join(tmpdir(), name)).length > 0), [])
  })

  it('says so when advice does not beat the same advice at random moments', async () => {
    world.helps = false
    const { done } = await evaluated(join(world.folder, 'sh-awk-report'), '--model', 'small', '--arms', 'local,advise,random')
    world.helps = true
    assert.deepEqual(EvalSummary.parse(done.summary), done.summary)
    const bought = done.rows.map(({ escalations }) => escalations)
    // What changed nothing twice is bought no third time, however fast the model says "done" again.
    assert.ok(Math.max(...bought) === 2, bought.join())
    assert.match(done.summary.verdict[1] ?? '', /^Advice does not beat the same amount of advice at random moments \(\+0 points, 95 % interval −\d+ to \+\d+\): on these tasks nothing shows that the signals choose their moments better than chance\.$/)
  })

  it('stops at its limit in money, and says how to go on', async () => {
    const { code, done, stderr } = await evaluated(world.folder, '--model', 'small', '--arms', 'frontier', '--max-usd', '0.045')
    assert.equal(code, 75)
    assert.match(done.stopped ?? '', /money/)
    assert.ok(done.rows.length < 2 && done.rows.every(({ usdMicros, solved }) => solved && usdMicros > 0 && usdMicros <= 45_000))
    assert.match(stderr, new RegExp(`'hearth eval --resume ${done.id}' goes on`))
  })

  it('keeps what was played when it is left, ends the job at work, and goes on', async () => {
    const hangs = box.script({ turns: [write, { text: 'well', hang: true }] })
    const [folder, left] = [task(), new AbortController()]
    let [id, job] = ['', '']
    for await (const event of new Client(socket()).stream<EvalEvent>('POST', '/api/eval', { folder, arms: ['local'], model: hangs, repeats: 2 }, left.signal)) {
      assert.notEqual(event.type, 'failed', JSON.stringify(event))
      if (event.type === 'begun') ({ id } = event)
      if (event.type === 'playing') {
        job = event.jobId
        left.abort()
      }
    }
    await box.until('the end of the job at work', async () => (await box.jobs()).find((one) => one.id === job)?.state === 'cancelled')
    writeFileSync(hangs.replace('scripted:', ''), JSON.stringify({ version: 1, turns: [write, finish] }))
    const first = await box.until('its end', async () => {
      const ran = await box.hearth(['eval', '--json', '--resume', id])
      return ran.code === 0 ? ran : null
    })
    const rows = first.stdout.split('\n').filter((line) => line.includes('"type":"row"'))
    assert.equal(rows.length, 2)
    const again = await evaluated('--resume', id)
    assert.deepEqual([again.events.filter(({ type }) => type === 'row').length, again.done.rows.length], [0, 2])
    assert.ok(again.done.rows.every(({ solved }) => solved))
  })

  it('never shows a job its judge, and the judge cannot be written to', async () => {
    const look = 'ls -a / /work; cat /check/check.sh; grep -rs heliotr[o]pe /work /tmp /home /root /var /check 2>/dev/null; echo end'
    const { done } = await evaluated(task(), '--model', box.script({ turns: [{ calls: [{ name: 'bash', arguments: { command: look } }] }, write, finish] }), '--arms', 'local')
    assert.deepEqual(done.rows.map(({ solved, outcome }) => [solved, outcome]), [[true, 'done_unverified']])
    const said = JSON.stringify(await box.events(done.rows[0]?.jobId ?? ''))
    assert.ok(!said.includes('heliotrope'), said)
  })

  it("makes tasks of the owner's finished jobs: their first state, their check, and the rules of their place", async () => {
    const folder = box.folder({ f: 'wrong\n' })
    assert.equal((await box.hearth(['project', 'add', folder, '--local-only', 'f'])).code, 0)
    const solver = box.script({ turns: [write, finish] })
    assert.equal((await box.job(['--model', solver, '--tag', 'kind=own', '--check', 'grep -q right f', 'make it right'], { cwd: folder })).code, 0)
    const idle = box.script({ turns: Array.from({ length: 12 }, () => finish) })
    const query = 'tag=kind:own,state=resolved,since=1h'
    const lazy = await evaluated('--from-jobs', query, '--arms', 'local', '--model', idle)
    assert.deepEqual(lazy.done.rows.map(({ solved }) => solved), [false])
    const able = await evaluated('--from-jobs', query, '--arms', 'local,advise', '--model', solver)
    assert.deepEqual(able.done.rows.map(({ solved }) => solved), [true, true])
    assert.equal(readFileSync(join(folder, 'f'), 'utf8'), 'right\n')
    for (const { request: asked } of await jobsOf(able.done.id)) assert.equal(asked.escalation?.dataClass, 'local-only')
  })

  it('refuses what cannot be compared, found or asked', async () => {
    for (const [words, said] of [
      [[world.folder, '--arms', 'random'], /'random' is made of what 'local' and 'advise' did, so it needs those arms too/], [[box.folder(), '--arms', 'local', '--model', 'small'], /no folder in it has a task\.json/],
      [['--from-jobs', 'tag=kind:none', '--arms', 'local', '--model', 'small'], /no finished job with checks fits/], [[world.folder, '--arms', 'magic'], /--arms takes a list of local, /],
      [['--resume', 'aaaaaaaaaaaa'], /There is no evaluation 'aaaaaaaaaaaa'/], [[world.folder, '--model', 'small', '--arms', 'stronger'], /needs the id of a local model/],
    ] as const) {
      const ran = await box.hearth(['eval', ...words])
      assert.notEqual(ran.code, 0)
      assert.match(ran.stderr, said)
    }
    assert.deepEqual(arms, evalArms)
  })

  it('says what is wrong with the tasks, and leaves out what is there twice', async () => {
    const right = JSON.stringify({ about: 'a test', language: 'shell', prompt: 'x', check: null, answer: null })
    const made = (files: Record<string, string>): string => {
      const folder = mkdtempSync(join(box.home, 'bad-'))
      for (const [name, content] of Object.entries(files)) {
        mkdirSync(join(folder, name, '..'), { recursive: true })
        writeFileSync(join(folder, name), content)
      }
      return folder
    }
    const said = async (...words: string[]): Promise<string> => {
      const ran = await box.hearth(['eval', ...words, '--arms', 'local', '--model', 'small'])
      assert.notEqual(ran.code, 0)
      return ran.stderr.split('\n')[0]?.replaceAll(box.home, '~').replace(/bad-\w+/, 'bad') ?? ''
    }
    assert.equal(await said('/nowhere'), 'hearth: /nowhere cannot be used: it does not exist.')
    assert.equal(await said(join(made({ f: '' }), 'f')), 'hearth: ~/bad/f cannot be used: it is a file; name a folder of tasks, or the folder of one.')
    assert.equal(await said(made({ 'task.json': right })), 'hearth: ~/bad cannot be used: it has no file hidden/check.sh, which decides whether the task is solved.')
    assert.equal(await said(made({ 'task.json': '{"prompt":3}', 'hidden/check.sh': '' })), 'hearth: ~/bad/task.json cannot be used: at about: invalid input: expected string, received undefined.')
    assert.equal(await said(made({ 'task.json': '[]', 'hidden/check.sh': '' })), 'hearth: ~/bad/task.json cannot be used: invalid input: expected object, received array.')
    assert.equal(await said(made({ 't/task.json/x': '' })), 'hearth: ~/bad/t/task.json cannot be used: it is a folder.')
    assert.equal(await said(made({ 'task.json': right, 'hidden/check.sh': '', start: '' })), 'hearth: ~/bad/start cannot be used: it is a file; it has to be the folder that the job is given.')
    assert.equal(await said('--from-jobs', 'limit=x'), "hearth: --from-jobs takes limit=N with N from 1 to 1000, not 'x'.")
    assert.equal(await said('--from-jobs', 'tag=k'), "hearth: --from-jobs takes a tag as tag=K:V, not 'tag=k'.")
    assert.match(await said('--from-jobs', 'state=fine'), /^hearth: The request is not valid at jobs\.state: invalid option: /)
    const twice = made({ 'a/task.json': right, 'a/hidden/check.sh': 'true' })
    symlinkSync('a', join(twice, 'b'))
    const { events } = await evaluated(twice, '--arms', 'local', '--model', box.script({ turns: [finish] }))
    assert.deepEqual(events.flatMap((event) => (event.type === 'begun' ? event.skipped : [])), [{ task: 'b', why: 'it is the same folder as a' }])
  })

  it('lets nobody but who administers the box say when a job asks, or name a job as one of an evaluation', async () => {
    const made = await box.hearth(['keys', 'add', 'plain', '--scope', 'jobs:write'])
    const key = /hearth_\w+/.exec(made.stdout + made.stderr)?.[0] ?? (made.stdout + made.stderr).split(/\s+/).find((word) => word.length > 40) ?? ''
    for (const more of [{ escalation: { askAt: [1] } }, { escalation: { untilTrigger: true } }, { tags: { eval: '7k2m9x4tq8wz' } }]) {
      const body = JSON.stringify({ prompt: 'x', cwd: box.folder(), model: 'small', ...more })
      const answer = await new Promise<{ status: number | undefined; said: string }>((resolve, reject) => {
        const sent = request({ agent: false, socketPath: socket(), method: 'POST', path: '/api/jobs', headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) } },
          (response) => void text(response).then((said) => resolve({ status: response.statusCode, said }), reject))
        sent.on('error', reject).end(body)
      })
      assert.equal(answer.status, 403, answer.said)
      assert.match(answer.said, /You may not (say when a job asks for help|name a job as one of an evaluation)/)
    }
  })
})
