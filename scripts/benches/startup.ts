// How long the command and the daemon take to start, and the memory of an idle daemon, against a bare Node doing nothing.
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { startDaemon } from './daemon.ts'
import { against, takeTurns, type Benchmark } from './frame.ts'

export const startup: Benchmark = {
  name: 'startup',
  title: 'Start-up and idle memory',
  async run({ root, rounds, say }) {
    const node = join(root, 'node_modules/.bin/node')
    const home = mkdtempSync(join(tmpdir(), 'hearth-bench-'))
    mkdirSync(join(home, 'models'))
    const env = { ...process.env, HEARTH_HOME: home, HEARTH_MODELS: join(home, 'models') }
    try {
      say(`hearth version and node -e 0, ${rounds} pairs`)
      const command = await takeTurns(rounds, {
        hearth: () => untilExit(join(root, 'node_modules/.bin/hearth'), ['version'], env),
        node: () => untilExit(node, ['-e', '0'], env),
      })
      say(`daemon until ready and node -e 0, ${rounds} pairs`)
      const daemon = await takeTurns(rounds, {
        hearth: async () => {
          const started = await startDaemon(root, env)
          await started.stop()
          return started.readyMs
        },
        node: () => untilExit(node, ['-e', '0'], env),
      })
      say(`memory of the idle daemon and of an idle node, ${rounds} pairs`)
      const memory = await takeTurns(rounds, {
        hearth: async () => {
          const started = await startDaemon(root, env)
          const bytes = await settledBytes(started.pid)
          await started.stop()
          return bytes / 1e6
        },
        node: async () => {
          const child = spawn(node, ['-e', 'setInterval(() => {}, 1e9)'], { stdio: 'ignore' })
          const gone = new Promise((resolve) => child.on('exit', resolve))
          const bytes = await settledBytes(child.pid ?? 0)
          child.kill()
          await gone
          return bytes / 1e6
        },
      })
      return [
        against({ bench: 'startup', figure: 'hearth version', unit: 'ms', note: 'by the launcher, until its exit' },
          command.hearth, { name: 'node -e 0', samples: command.node }, { is: 'at most', ratio: 4 }),
        against({ bench: 'startup', figure: 'daemon ready', unit: 'ms', note: 'no model installed, state folder exists; until its first line' },
          daemon.hearth, { name: 'node -e 0', samples: daemon.node }, { is: 'at most', ratio: 15 }),
        against({ bench: 'startup', figure: 'idle daemon RSS', unit: 'MB', note: 'the daemon and all its children, one second after ready' },
          memory.hearth, { name: 'idle node', samples: memory.node }, { is: 'at most', ratio: 3 }),
      ]
    } finally {
      rmSync(home, { recursive: true, force: true })
    }
  },
}

function untilExit(file: string, argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const start = performance.now()
  return new Promise((resolve, reject) => {
    const child = spawn(file, argv, { env, stdio: 'ignore' })
    child.on('error', reject)
    child.on('exit', (code) => {
      if (code === 0) resolve(performance.now() - start)
      else reject(new Error(`${file} ${argv.join(' ')} ended with ${code ?? 'a signal'}`))
    })
  })
}

/** Resident bytes of a process with its descendants, once it had a second to come to rest. */
async function settledBytes(pid: number): Promise<number> {
  await pause(1000)
  return family(pid).reduce((sum, one) => sum + residentBytes(one), 0)
}

function family(pid: number): number[] {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim().split(' '))
  return [pid, ...children.filter((one) => one !== '').flatMap((one) => family(Number(one)))]
}

function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? NaN) * 1024
}
