// kill -9 at random moments while states are kept: nothing is broken, the next start goes on, and an undo leads to the state before the job.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { Config, JobEventBody, type Job, type JobEvent } from '@hearth/protocol'
import { createSandbox } from '@hearth/sandbox'
import { Workspaces } from '../../packages/daemon/src/workspace/workspaces.ts'

const root = realpathSync(mkdtempSync(join(tmpdir(), 'hearth-ws-kill-')))
after(() => rmSync(root, { recursive: true, force: true }))
const kills = 6

test(`${kills} kills in the middle of keeping`, async () => {
  const cwd = join(root, 'work')
  const stateDir = join(root, 'state')
  mkdirSync(cwd)
  for (let n = 0; n < 30; n++) writeFileSync(join(cwd, `f${n}`), `before ${n}\n`)
  execFileSync('/bin/sh', ['-c', 'git init -q . && git add -A && git -c user.name=a -c user.email=b commit -q -m one'], { cwd })
  const job: Job = {
    id: 'killed', state: 'running', verified: null, model: 'm', createdAt: 0, startedAt: 0, endedAt: null, lastSeq: 0, summary: null, fault: null, receipt: null, exitCode: null,
    request: { prompt: 'x', cwd, checks: [], model: null, maxSteps: null, maxTokens: null, timeoutSeconds: null, seed: null, class: 'job', result: 'in_place', tags: {}, idempotencyKey: null },
    principal: { id: 'p', kind: 'socket', origin: 'human', scopes: [], class: 'job' }, project: { id: cwd, path: cwd, dataClass: 'local-only', consent: 'never' },
  }
  const past: JobEventBody[] = []
  for (let round = 0; round < kills; round++) {
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'workspace-writer.ts'), JSON.stringify({ stateDir, job, past, from: past.length + 1 })], { stdio: ['ignore', 'pipe', 'pipe'] })
    let out = ''
    let err = ''
    const begun = new Promise<void>((resolve) => child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text
      if (out.includes('"step"')) resolve()
    }))
    child.stderr.setEncoding('utf8').on('data', (text: string) => { err += text })
    const gone = new Promise((resolve) => child.once('close', resolve))
    await Promise.race([begun, gone])
    // Anywhere within the first states that it keeps.
    await pause(Math.random() * 600)
    child.kill('SIGKILL')
    await gone
    // A line that was cut is an event that was not stored.
    past.push(...out.split('\n').slice(0, -1).map((line) => JobEventBody.parse(JSON.parse(line))))
    assert.equal(err, '', `round ${round}`)
  }
  const config = Config.parse({ sandbox: { limits: 'weak' } })
  const sandbox = createSandbox({ config: config.sandbox, stateDir, log: () => undefined })
  try {
    const workspaces = new Workspaces({ config, stateDir, sandbox: () => Promise.resolve(sandbox), log: (_level, what) => { throw new Error(what) } })
    const place = await workspaces.open(job, past, new AbortController().signal)
    assert.ok(!('fault' in place) && place.port !== null)
    past.push(...place.events, ...await place.deliver(past.length))
    const commits = past.filter((event) => event.type === 'committed').map(({ commit }) => commit)
    assert.equal(new Set(commits).size, commits.length, 'no state is told twice')
    assert.equal(execFileSync('git', ['fsck', '--no-dangling', '--full'], { env: { PATH: process.env['PATH'], GIT_DIR: join(stateDir, 'kept/killed/git'), GIT_ALTERNATE_OBJECT_DIRECTORIES: join(cwd, '.git/objects') }, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }), '')
    const events = past.map((event, index): JobEvent => ({ ...event, seq: index + 1, jobId: 'killed', at: 0 }))
    await workspaces.after.undo({ ...job, endedAt: 1 }, events, { toStep: 0, force: false, by: 'p' }, () => Promise.resolve())
    for (const name of readdirSync(cwd).filter((name) => name !== '.git')) assert.equal(readFileSync(join(cwd, name), 'utf8'), `before ${name.slice(1)}\n`)
  } finally {
    await sandbox.close()
  }
})
