// What do the grep and glob tools cost in a repository of 200,000 files, sandbox included? Against git itself in the same folder, which has an index and no
// sandbox; and whether the daemon's own loop stands still meanwhile.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Background } from '@hearth/agent/tools/background'
import { glob } from '@hearth/agent/tools/glob'
import { grep } from '@hearth/agent/tools/grep'
import type { ToolContext } from '@hearth/agent/tools/tool'
import { Config } from '@hearth/protocol'
import { createSandbox } from '@hearth/sandbox'
import { against, type Benchmark, recorded, takeTurns } from './frame.ts'

const folders = 2000
const filesOfFolder = 100

export const search: Benchmark = {
  name: 'search',
  title: 'grep and glob in a repository of 200,000 files',
  async run({ cache, rounds, say }) {
    const repository = join(cache, 'repository-200000')
    if (!existsSync(join(repository, 'ready'))) {
      say('making the repository; this is done once')
      make(repository)
    }
    const home = mkdtempSync(join(tmpdir(), 'hearth-search-'))
    const sandbox = createSandbox({ config: Config.parse({ sandbox: { limits: 'weak' } }).sandbox, stateDir: join(home, 'state'), log: () => undefined })
    const context: ToolContext = {
      sandbox, workspace: repository, signal: new AbortController().signal, outputDir: home, callId: 'bench', onOutput: () => undefined, shownBytes: 12_000, past: [], background: new Background([], []),
      limits: { memoryBytes: 2 ** 30, pids: 64, wallMs: 120_000, outputBytes: 2 ** 26, tmpBytes: 2 ** 27, fileBytes: 2 ** 27 },
    }
    const timed = async (work: () => unknown): Promise<number> => {
      const begun = performance.now()
      await work()
      return performance.now() - begun
    }
    const git = (...args: string[]): Promise<number> => timed(() => execFileSync('git', ['-C', repository, ...args], { maxBuffer: 2 ** 28, stdio: ['ignore', 'pipe', 'ignore'] }))
    const tool = (run: typeof grep, args: Record<string, unknown>, expected: RegExp): Promise<number> => timed(async () => {
      const outcome = await run.run(args, context)
      if (!expected.test(outcome.text)) throw new Error(`unexpected answer: ${outcome.text.slice(0, 300)}`)
    })
    try {
      const delay = monitorEventLoopDelay({ resolution: 5 })
      const memory = process.memoryUsage().rss
      const words = await takeTurns(rounds, { ours: () => tool(grep, { pattern: 'needle \\w+' }, /^pkg\d+\/[^]*needle here/), theirs: () => git('grep', '-n', '-I', '-P', 'needle \\w+') })
      const names = await takeTurns(rounds, { ours: () => tool(glob, { pattern: '**/*7.ts' }, /\n\[\d+ of 20000 files; use a narrower pattern\]$/), theirs: () => git('ls-files', '-co', '--exclude-standard', '--', ':(glob)**/*7.ts') })
      delay.enable()
      const many = [await tool(grep, { pattern: 'value' }, /of more than \d+ matching lines/), await tool(glob, { pattern: '**' }, /of (?:more than )?\d+ files/)]
      delay.disable()
      return [
        against({ bench: 'search', figure: 'grep, 200,000 files, few matches', unit: 'ms', note: 'sandbox included' }, words.ours, { name: 'git grep with its index', samples: words.theirs }, null),
        against({ bench: 'search', figure: 'glob, 200,000 files', unit: 'ms', note: 'sandbox included' }, names.ours, { name: 'git ls-files -co with its index', samples: names.theirs }, null),
        recorded({ bench: 'search', figure: 'everything matches: grep, then glob', unit: 'ms', note: 'stopped after 8 MiB' }, many),
        recorded({ bench: 'search', figure: "the daemon's loop stood still meanwhile, at most", unit: 'ms', note: 'of the row above' }, [delay.max / 1e6]),
        recorded({ bench: 'search', figure: 'memory grew by', unit: 'MiB', note: 'of the process that asks' }, [(process.memoryUsage().rss - memory) / 2 ** 20]),
      ]
    } finally {
      await sandbox.close()
      rmSync(home, { recursive: true, force: true })
    }
  },
}

function make(repository: string): void {
  rmSync(repository, { recursive: true, force: true })
  for (let folder = 0; folder < folders; folder += 1) {
    const path = join(repository, `pkg${Math.floor(folder / 50)}`, `mod${folder % 50}`)
    mkdirSync(path, { recursive: true })
    for (let file = 0; file < filesOfFolder; file += 1) {
      const text = `export const value${file} = ${folder}\n`.repeat(10) + ((folder * filesOfFolder + file) % 997 === 1 ? 'a needle here\n' : '')
      writeFileSync(join(path, `file${file}.${file % 2 === 1 ? 'ts' : 'md'}`), text)
    }
  }
  writeFileSync(join(repository, '.gitignore'), 'dist/\n*.log\n/ready\n')
  execFileSync('git', ['init', '-q', repository])
  execFileSync('git', ['-C', repository, 'add', '-A'])
  execFileSync('git', ['-C', repository, '-c', 'user.name=bench', '-c', 'user.email=bench@localhost', 'commit', '-q', '-m', 'all'])
  writeFileSync(join(repository, 'ready'), '')
}
