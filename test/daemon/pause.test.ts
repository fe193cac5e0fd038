// A job that cannot go on without money: it waits, over restarts, until somebody gives some or its patience is over. Through the command line.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { BudgetReply, KeyList } from '@hearth/protocol'
import { daemonsOfThisFile, runToEnd, script } from './process.ts'

const { place, start } = daemonsOfThisFile()
const cli = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url))
const poor = script({ money: true })

test('whoever watches leaves with 12, a restart wakes nobody, and a resume with a budget lets it go on', async () => {
  const here = place()
  writeFileSync(join(here.home, 'config.json'), JSON.stringify({ escalation: { budget: { dayUsdMicros: 5_000_000 } } }))
  const first = await start(here)
  const run = await runToEnd(here, cli, ['run', '--cwd', here.work(), '--budget', '0.125', '--worth', '3', poor])
  const id = run.stderr.split('\n')[0] ?? ''
  assert.equal(run.code, 12)
  assert.equal(run.stderr.trim().split('\n').at(-1), `job ${id} waits for money; 'hearth budget ${id}' shows each limit that holds for it, 'hearth resume ${id}' asks again, with --budget USD or --worth USD for a larger one of its own`)
  await first.kill('SIGKILL')
  await start(here)
  const budget = async (...words: string[]): Promise<BudgetReply> => JSON.parse((await runToEnd(here, cli, ['budget', ...words, '--json'])).stdout) as BudgetReply
  const rows = (reply: BudgetReply): unknown[] => reply.rows.map(({ scope, period, limit }) => [scope, period, limit])
  const held = await budget(id)
  assert.deepEqual(rows(held), [['box', 'day', 5_000_000], ['job', 'job', 125_000]])
  assert.match((await runToEnd(here, cli, ['budget', id])).stdout, /job \S+ +job +\$0\.125000 +\$0\.00 +\$0\.125000 /)
  assert.equal(held.worth, 'A resolved job is worth $3.00, and its chance is 0.50 (0.50 is assumed and counts as 10 jobs): it may spend $1.50 in all')
  const resumed = await runToEnd(here, cli, ['resume', id.slice(0, 6), '--budget', '2.5', '--worth', '7'])
  assert.equal(resumed.code, 0, resumed.stderr)
  assert.match(resumed.stderr, /socket:\d+ let it go on, with \$2\.50 for the whole job, worth \$7\.00/)
  assert.deepEqual(rows(await budget(id)), [['box', 'day', 5_000_000], ['job', 'job', 2_500_000]])
  assert.match((await runToEnd(here, cli, ['budget', id])).stdout, /A resolved job is worth \$7\.00, .*it may spend \$3\.50 in all/s)
  const again = await runToEnd(here, cli, ['resume', id])
  assert.deepEqual([again.code, again.stderr.split('\n')[0]], [65, `hearth: Job ${id} is over.`])
  const shown = await runToEnd(here, cli, ['budget'])
  assert.deepEqual(shown.stdout.trimEnd().split('\n').map((line) => line.replaceAll(/ {2,}/g, ' | ').replace(/\d{4}-\d\d-\d\d/, 'DAY')), ['LIMIT OF | FOR | LEFT | SPENT | LIMIT', 'this box | DAY | $5.00 | $0.00 | $5.00 | ████████████████████ 100 %'])
})

test('one that waits too long ends as over_budget, by the start of the daemon too', async () => {
  const here = place()
  const first = await start(here)
  const { job } = await first.submit({ prompt: poor, cwd: here.work() })
  const paused = await first.until(job.id, 'suspended')
  await first.kill('SIGKILL')
  writeFileSync(join(here.home, 'config.json'), JSON.stringify({ escalation: { pauseSeconds: 0 } }))
  const second = await start(here)
  const [end] = await second.all(job.id, paused.seq)
  assert.match((await runToEnd(here, cli, ['why', job.id])).stdout, /over budget: its tokens or its money are used up/)
  assert.deepEqual(end?.type === 'ended' && [end.outcome, end.exitCode, end.fault?.message], ['over_budget', 12, 'The job waited 0 s for money and got none.'])
})

test('one that waits can be cancelled', async () => {
  const daemon = await start(place())
  const { job } = await daemon.submit({ prompt: poor, cwd: place().work() })
  const paused = await daemon.until(job.id, 'suspended')
  await daemon.client.call('POST', `/api/jobs/${job.id}/cancel`)
  assert.deepEqual((await daemon.all(job.id, paused.seq)).map((event) => event.type === 'ended' && event.outcome), ['cancelled'])
})

test('a key has limits of its own', async () => {
  const here = place()
  const daemon = await start(here)
  const made = await runToEnd(here, cli, ['keys', 'add', 'ci', '--budget', '2/day,0.25/job', '--budget', '3x/job,90x/month'])
  assert.equal(made.code, 0, made.stderr)
  const { keys } = await daemon.client.call<KeyList>('GET', '/api/keys')
  assert.deepEqual(keys[0]?.budget, { escalationUsdMicros: null, jobUsdMicros: 250_000, dayUsdMicros: 2_000_000, monthUsdMicros: null, jobCount: 3, dayCount: null, monthCount: 90 })
  const reply = await daemon.client.call<BudgetReply>('GET', '/api/budget')
  assert.deepEqual(reply.rows.map(({ scope, id, period, limit, left }) => [scope, id, period, limit, left]), [['principal', `key:${keys[0].id}`, 'day', 2_000_000, 2_000_000], ['principal', `key:${keys[0].id}`, 'month', 90, 90]])
  const wrong = await runToEnd(here, cli, ['keys', 'add', 'ci', '--budget', '5/week'])
  assert.deepEqual([wrong.code, wrong.stderr.split('\n')[0]], [64, "hearth: --budget takes 5/day, 20/month, 0.50/job, 0.10/escalation, 3x/job, 50x/day or 500x/month, not '5/week'."])
})
