// What a job pays for its kept states in a repository of 200,000 files, against `git status` in it. The repository is made in a temporary folder and removed.
import { execFileSync } from 'node:child_process'
import { appendFileSync, chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Config, type Job } from '@hearth/protocol'
import { createSandbox } from '@hearth/sandbox'
import { Workspaces } from '../../packages/daemon/src/workspace/workspaces.ts'
import { against, takeTurns, within, type Benchmark } from './frame.ts'

const files = 200_000
const filesInFolder = 100
/** Peak above what the process had before, over all rounds. */
const memoryMiB = 64

export const workspace: Benchmark = {
  name: 'workspace',
  title: `Kept states of a job's folder with ${files.toLocaleString('en')} files, against git status`,
  async run({ rounds, say }) {
    const root = realpathSync(mkdtempSync(join(tmpdir(), 'hearth-bench-workspace-')))
    const config = Config.parse({ sandbox: { limits: 'weak' } })
    const sandbox = createSandbox({ config: config.sandbox, stateDir: join(root, 'state'), log: () => undefined })
    try {
      const folder = join(root, 'repository')
      say(`making ${files} files`)
      makeRepository(folder)
      const problems: string[] = []
      const workspaces = new Workspaces({ config, stateDir: join(root, 'state'), sandbox: () => Promise.resolve(sandbox), log: (_level, what, detail) => void problems.push(`${what}: ${String(detail?.['problem'])}`) })
      const signal = new AbortController().signal
      const opened = async (id: string) => {
        const place = await workspaces.open(jobIn(folder, id), [], signal)
        if ('fault' in place || place.port === null) throw new Error(`the job has no kept states: ${'fault' in place ? place.fault.message : problems.join('; ')}`)
        return place.port
      }
      const port = await opened('steps')
      const status = (): Promise<number> => timed(() => Promise.resolve(execFileSync('git', ['status', '--porcelain'], { cwd: folder, stdio: 'pipe', env: { PATH: process.env['PATH'] } })))
      let setUps = 0
      let steps = 0
      const memory = watchMemory()
      say('taking turns')
      const samples = await takeTurns(rounds, {
        status,
        setUp: () => timed(() => opened(`setup${setUps++ % 2}`)),
        unchanged: () => timed(async () => { if (await port.keep(1, 'bash') !== null) throw new Error('something changed') }),
        changed: () => {
          steps += 1
          appendFileSync(join(folder, `f${steps % 1000}/5.txt`), `step ${steps}\n`)
          writeFileSync(join(folder, `f${steps % 1000}/new-${steps}.txt`), 'new\n')
          return timed(async () => { if ((await port.keep(steps, 'edit'))?.files !== 2) throw new Error(`a step was not kept: ${problems.join('; ')}`) })
        },
      })
      const grew = memory()
      const theirs = { name: 'git status', samples: samples.status }
      const row = (figure: string, note: string) => ({ bench: 'workspace', figure, unit: 'ms', note })
      return [
        against(row('set-up of a job', 'copy of the index, first state, in the sandbox; the index is warm'), samples.setUp, theirs, { is: 'at most', ratio: 3 }),
        against(row('a step that changed nothing', 'git looks at every file again'), samples.unchanged, theirs, null),
        against(row('a step that changed two files', 'the same, then one commit'), samples.changed, theirs, null),
        within({ bench: 'workspace', figure: 'memory of the daemon', unit: 'MiB', note: 'largest growth of the process that asks, all rounds; git itself runs under the limit of the sandbox' }, [grew], { name: 'limit', value: memoryMiB }, { is: 'at most', ratio: 1 }),
      ]
    } finally {
      await sandbox.close()
      rmSync(root, { recursive: true, force: true })
    }
  },
}

function makeRepository(folder: string): void {
  mkdirSync(folder)
  for (let i = 0; i < files; i++) {
    const dir = join(folder, `f${Math.floor(i / filesInFolder)}`)
    if (i % filesInFolder === 0) mkdirSync(dir)
    writeFileSync(join(dir, `${i % filesInFolder}.txt`), `file ${i}\n`)
  }
  chmodSync(folder, 0o755)
  const git = (...words: string[]): void => void execFileSync('git', ['-c', 'user.name=bench', '-c', 'user.email=bench@localhost', '-c', 'gc.auto=0', '-c', 'core.looseCompression=0', ...words], { cwd: folder, stdio: 'pipe' })
  git('init', '-q', '.')
  // Above the threshold git streams into one pack: 200,000 loose objects would take minutes.
  git('-c', 'core.bigFileThreshold=1', 'add', '-A')
  git('commit', '-q', '-m', 'files')
  git('status')
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return performance.now() - start
}

/** The largest resident size above the present one, in MiB. */
function watchMemory(): () => number {
  const before = process.memoryUsage.rss()
  let most = before
  const timer = setInterval(() => { most = Math.max(most, process.memoryUsage.rss()) }, 50)
  return () => {
    clearInterval(timer)
    return (Math.max(most, process.memoryUsage.rss()) - before) / 2 ** 20
  }
}

function jobIn(cwd: string, id: string): Job {
  return {
    id, state: 'running', verified: null, model: 'm', createdAt: 0, startedAt: 0, endedAt: null, lastSeq: 0, summary: null, fault: null, receipt: null, exitCode: null,
    request: { prompt: 'x', cwd, checks: [], model: null, maxSteps: null, maxTokens: null, timeoutSeconds: null, seed: null, class: 'job', result: 'in_place', tags: {}, idempotencyKey: null },
    principal: { id: 'p', kind: 'socket', origin: 'human', scopes: [], class: 'job' }, project: { id: cwd, path: cwd, dataClass: 'local-only', consent: 'never' },
  }
}
