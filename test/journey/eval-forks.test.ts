// hearth eval --fork in a whole Hearth: the local course is played once, and each arm goes on from where help would be asked for with the same bytes, files and kept states.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { EvalSummary, type EvalEvent, type EvalRow, type JobEvent } from '@hearth/protocol'
import { Client } from '@hearth/protocol/client'
import type { ScriptInput } from '@hearth/engine'
import { Box } from './box.ts'
import { evaluatedIn, jobsOfEval, World, type Heard } from './eval-world.ts'

describe('forks of an evaluation', () => {
  let box: Box
  let world: World
  before(async () => {
    box = new Box()
    world = new World(mkdtempSync(join(box.home, 'tasks-')), ['sh-errors-by-hour'])
    await world.open()
    writeFileSync(join(box.home, 'key'), 'sk-test-Zq81LmX0pTr55vNwY2\n', { mode: 0o600 })
    box.configure(world.config(join(box.home, 'key')))
    await box.up()
  })
  after(async () => {
    await box.close()
    world.close()
  })

  const evaluated = (...words: string[]): ReturnType<typeof evaluatedIn> => evaluatedIn(box, words)
  const jobsOf = (id: string): ReturnType<typeof jobsOfEval> => jobsOfEval(box, id)
  const rowOf = (rows: readonly EvalRow[], arm: string): EvalRow => rows.find((row) => row.arm === arm) ?? assert.fail(`no row of ${arm}`)
  const bash = (command: string, more: object = {}): ScriptInput['turns'][number] => ({ calls: [{ name: 'bash', arguments: { command, ...more } }] })
  const finish = { calls: [{ name: 'finish', arguments: { answer: 'done' } }] }
  const script = (...turns: ScriptInput['turns']): string => box.script({ turns })
  /** Its judge wants the word right in f; so does its check, unless it has none. */
  const task = (more: object = {}): string => {
    const folder = mkdtempSync(join(box.home, 'own-'))
    for (const part of ['start', 'hidden']) mkdirSync(join(folder, part))
    writeFileSync(join(folder, 'start/f'), 'wrong\n')
    writeFileSync(join(folder, 'hidden/check.sh'), 'grep -q right f\n')
    writeFileSync(join(folder, 'task.json'), JSON.stringify({ about: 'a test', language: 'shell', prompt: 'make it right', check: 'grep -q right f', answer: null, ...more }))
    return folder
  }
  const events = async (id: string | null): Promise<JobEvent[]> => box.events(id ?? '')
  const observed = async (id: string | null, step: number): Promise<string> => {
    const found = (await events(id)).find((event) => event.type === 'tool_result' && event.step === step)
    return found?.type === 'tool_result' ? found.observation : assert.fail(`no result of step ${step} in ${String(id)}`)
  }
  const hash = ({ messages }: Heard, less = 0): string => createHash('sha256').update(JSON.stringify(messages.slice(0, messages.length - less))).digest('hex')

  it('gives the model the same bytes in each arm, less what the arm appends, as the course that was never forked', async () => {
    const whole = await evaluated(world.folder, '--model', 'small', '--arms', 'local')
    const alone = new Map(world.heard.splice(0).map((heard) => [heard.seed ?? 0, heard]))
    const { done } = await evaluated(world.folder, '--model', 'small', '--fork', '--arms', 'local,advise,step')
    const [local, advise, step] = [rowOf(done.rows, 'local'), rowOf(done.rows, 'advise'), rowOf(done.rows, 'step')]
    const at = local.fork?.step ?? assert.fail('it never asks')
    assert.deepEqual([local.fork?.trigger, local.solved, advise.solved, step.solved], ['check_failed', false, true, true])
    // What it came to without a fork is what it comes to with one.
    const row = rowOf(whole.done.rows, 'local')
    assert.deepEqual([local.solved, local.outcome, local.steps, local.askedAt], [row.solved, row.outcome, row.steps, row.askedAt])
    const base = Math.min(...alone.keys()) - 1
    const heardAt = (n: number): Heard[] => world.heard.filter(({ seed }) => seed === base + n)
    for (let n = 1; n <= at; n += 1) assert.equal(heardAt(n).length, 1, `step ${n} was played once`)
    const [goesOn, advised] = heardAt(at + 1)
    const before = alone.get(base + at + 1) ?? assert.fail('the course is too short')
    assert.ok(goesOn !== undefined && advised !== undefined)
    assert.equal(hash(goesOn), hash(before))
    assert.equal(hash(advised, 1), hash(before))
    assert.match(advised.messages.at(-1)?.content ?? '', /^Advice of a stronger model/)
    // From the fork on, and whole.
    for (const one of done.rows) assert.ok(one.fork !== undefined && one.fork.seconds < one.seconds && one.fork.usdMicros === one.usdMicros, JSON.stringify(one))
    assert.ok(advise.usdMicros > 0 && local.usdMicros === 0)
    assert.deepEqual(advise.askedAt, [at])
    const jobs = await jobsOf(done.id)
    const course = jobs.filter(({ request: { tags } }) => tags['fork'] === undefined)
    assert.deepEqual(course.map(({ id, state }) => [id, state]), [[local.fork?.jobId, 'cancelled']])
    assert.ok(jobs.every(({ id, request: { tags } }) => id === course[0]?.id || tags['fork'] === course[0]?.id))
    assert.deepEqual(EvalSummary.parse(done.summary), done.summary)
    assert.deepEqual({ ...done.summary.forks, arms: [] }, { courses: 1, triggers: 1, needed: 1, missed: 0, unforked: 0, arms: [] })
    assert.deepEqual(done.summary.forks?.arms.map(({ arm, useful, gain }) => [arm, useful, gain?.value ?? null]), [['local', null, null], ['advise', 1, 1], ['step', 1, 1]])
    assert.equal(done.summary.verdict[1], 'Help would be asked for in 1 of 1 local courses. From 1 of these moments the local model alone fails.')
  })

  it('takes the folder as the course left it: ignored files, modes, links, pipes, times; and its kept states', async () => {
    const folder = task({ setup: 'printf "ignored\\nnode_modules\\n" > .gitignore && git init -q . && git add -A && git -c user.name=a -c user.email=a@b commit -qm start' })
    const make = 'echo half > f; echo own > ignored; chmod 640 ignored; ln -s ignored link; ln ignored hard; mkdir -p node_modules/x empty; echo y > node_modules/x/y; touch -d 2020-01-02T03:04:05Z old; head -c 3000000 /dev/zero > big; mkfifo pipe; printf "#!/bin/sh\\n" > run; chmod 755 run; echo n > "a b\tc"'
    const look = 'find . -path ./.git -prune -o -printf "%p %m %n %y %l " \\( -type f -printf "%s" -o -true \\) -printf "\\n" | sort; cat ignored f; stat -c %Y old; git status --porcelain | sort'
    const model = script(bash(make), finish, finish, bash(look), finish, finish)
    const alone = await evaluated(folder, '--model', model, '--arms', 'local')
    const { done } = await evaluated(folder, '--model', model, '--fork', '--arms', 'local,advise')
    const expected = await observed(rowOf(alone.done.rows, 'local').jobId, 4)
    assert.match(expected, /ignored 640 2 f/)
    for (const row of done.rows) {
      assert.equal(row.unforked, undefined)
      assert.equal(await observed(row.jobId, 4), expected)
      // The state of the new step follows on the states of the course.
      assert.deepEqual((await events(row.jobId)).filter(({ type }) => type === 'workspace').length, 1)
    }
    const offered = (await events(rowOf(done.rows, 'advise').jobId)).find((event) => event.type === 'escalation_offered')
    assert.match(offered?.type === 'escalation_offered' ? offered.packet.body : '', /-wrong\n\+half/)
  })

  it('says why it cannot fork, and plays from the start', async () => {
    const { done, events: told } = await evaluated(task(), '--model', script(bash('sleep 600', { background: true }), finish, finish, bash('echo right > f'), finish), '--fork', '--arms', 'local,advise')
    assert.deepEqual(told.flatMap((event) => (event.type === 'course' ? [[event.trigger, event.cannot]] : [])), [['check_failed', 'processes ran in the background there (p1)']])
    for (const row of done.rows) assert.deepEqual([row.solved, row.fork, row.unforked], [true, undefined, 'processes ran in the background there (p1)'])
    assert.deepEqual(done.summary.forks?.unforked, 1)
  })

  it('has one row for all arms where the course never comes to ask, and tells of those that fail so', async () => {
    const { done } = await evaluated(task({ check: null }), '--model', script(finish), '--fork', '--arms', 'local,advise,step')
    assert.equal(new Set(done.rows.map(({ jobId }) => jobId)).size, 1)
    assert.equal((await jobsOf(done.id)).length, 1)
    assert.deepEqual(done.rows.map(({ arm, solved, fork }) => [arm, solved, fork?.step, fork?.seconds]), ['local', 'advise', 'step'].map((arm) => [arm, false, null, 0]))
    assert.deepEqual([done.summary.forks?.missed, done.summary.arms.map(({ recall }) => recall)], [1, [0, 0, 0]])
    assert.equal(done.summary.verdict[1], 'Help would be asked for in 0 of 1 local courses. Of the 1 other 1 fails without a word.')
  })

  it('goes on alone where the model asks itself, and each arm answers its question in its way', async () => {
    const asks = { calls: [{ name: 'ask_expert', arguments: { question: 'how?', tried: 'nothing' } }] }
    const model = script(asks, bash('echo right > f'), finish)
    const { done } = await evaluated(task(), '--model', model, '--stronger', model, '--fork', '--arms', 'local,advise,stronger')
    assert.deepEqual(done.rows.map(({ arm, solved, fork, askedAt }) => [arm, solved, fork?.trigger, askedAt]), [['local', true, 'ask_expert', []], ['advise', true, 'ask_expert', [1]], ['stronger', true, 'ask_expert', []]])
    for (const arm of ['local', 'stronger']) assert.ok((await events(rowOf(done.rows, arm).jobId)).some((event) => event.type === 'nudge' && event.text.startsWith('Nobody can be asked now. Go on by yourself')))
    assert.deepEqual([done.summary.forks?.needed, done.summary.arms.find(({ arm }) => arm === 'advise')?.precision], [0, 0])
  })

  it('is over alone where guards had nothing left but help; a stronger model goes on with the whole ladder', async () => {
    const stuck = box.script({ loop: true, turns: [bash('echo still wrong; exit 1')] })
    // However many turns there are by then.
    const able = box.script({ loop: true, turns: [bash('echo right > f'), finish] })
    const { done } = await evaluated(task({ maxSteps: 100 }), '--model', stuck, '--stronger', able, '--fork', '--arms', 'local,stronger,step')
    const [local, stronger, step] = [rowOf(done.rows, 'local'), rowOf(done.rows, 'stronger'), rowOf(done.rows, 'step')]
    assert.ok(local.fork?.step != null && local.fork.step > 3, JSON.stringify(local))
    assert.deepEqual([local.solved, local.outcome, local.steps], [false, 'stuck', local.fork.step])
    assert.deepEqual([stronger.solved, stronger.outcome], [true, 'resolved'])
    assert.equal(step.askedAt?.[0], local.fork.step)
    const past = (await events(local.jobId)).filter(({ type }) => type === 'guard')
    assert.equal((await events(local.fork.jobId)).filter(({ type }) => type === 'guard').length, past.length)
    assert.ok(past.every((event) => event.type !== 'guard' || event.action !== 'escalate'))
  })

  it('forks a review where the model says that it is done', async () => {
    const { done } = await evaluated(task({ check: null }), '--model', script(bash('echo right > f'), finish, finish, finish), '--fork', '--arms', 'local,review')
    assert.deepEqual(done.rows.map(({ arm, solved, escalations, fork }) => [arm, solved, escalations > 0, fork?.trigger]), [['local', true, false, 'done'], ['review', true, true, 'done']])
  })

  it('goes on after a kill from the same course, and ends the job that was left', async () => {
    world.adviceMs = 60_000
    let [id, course] = ['', '']
    const client = new Client(join(box.env['HEARTH_HOME'] ?? '', 'hearth.sock'))
    const { pid } = await box.status()
    const left: string[] = []
    await assert.rejects(async () => {
      for await (const event of client.stream<EvalEvent>('POST', '/api/eval', { folder: world.folder, arms: ['local', 'advise'], model: 'small', fork: true }, new AbortController().signal)) {
        if (event.type === 'begun') ({ id } = event)
        if (event.type === 'course') course = event.jobId
        if (event.type === 'playing' && event.arm === 'advise') {
          left.push(event.jobId)
          process.kill(pid, 'SIGKILL')
        }
      }
      throw new Error('it ended')
    })
    world.adviceMs = 0
    const { done } = await evaluated('--resume', id)
    assert.deepEqual(done.rows.map(({ arm, solved, fork }) => [arm, solved, fork?.jobId]), [['local', false, course], ['advise', true, course]])
    const jobs = await jobsOf(id)
    assert.equal(jobs.find((job) => job.id === left[0])?.state, 'cancelled')
    assert.deepEqual(jobs.filter(({ request: { tags } }) => tags['fork'] === undefined).map((job) => job.id), [course])
    assert.equal(existsSync(join(box.env['HEARTH_HOME'] ?? '', 'state/evals', id, 'folders')), false)
    assert.deepEqual(readdirSync(tmpdir()).filter((name) => name.startsWith('hearth-eval-') && jobs.some(({ request: { cwd } }) => cwd.includes(name))), [])
  })

  it('refuses what has no fork', async () => {
    const refused = async (...words: string[]): Promise<string> => (await box.hearth(['eval', ...words])).stderr.split('\n')[0] ?? ''
    assert.equal(await refused(world.folder, '--fork', '--arms', 'plan', '--model', 'small'), 'hearth: The request is not valid at arms: none of these arms goes on from the moment at which help would be asked for; those that do are local, stronger, advise, step, rest, review.')
    assert.equal(await refused('--resume', 'aaaaaaaaaaaa', '--fork'), 'hearth: --resume goes on with what was asked for then; --fork cannot be changed.')
  })
})
