// Starts a daemon of this checkout for a benchmark and stops it again. Measures only how long it took to be ready.
import { spawn } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export type Started = { pid: number; readyMs: number; stop(): Promise<void> }

/** Started as the launcher and the units start it, with kept compiled code. Resolves at the daemon's first line, {"ready":true,...}; rejects with what it said when it ends before. */
export async function startDaemon(root: string, env: NodeJS.ProcessEnv): Promise<Started> {
  const start = performance.now()
  const argv = ['--disable-warning=ExperimentalWarning', '--use-system-ca', '--heap-growing-percent=20', '--min-semi-space-size=8', '--max-semi-space-size=8', join(root, 'packages/daemon/src/main.ts'), 'serve']
  const child = spawn(join(root, 'node_modules/.bin/node'), argv, { env: { MALLOC_ARENA_MAX: '2', NODE_COMPILE_CACHE: join(tmpdir(), 'hearth-bench-compile'), ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => { said = (said + text).slice(-4000) })
  const gone = new Promise<void>((resolve) => child.on('exit', () => resolve()))
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.includes('"ready":true')) resolve()
    })
    child.on('error', reject)
    child.on('exit', (code) => reject(new Error(`the daemon ended before it was ready (exit ${code ?? 'by a signal'}): ${said}`)))
  })
  const readyMs = performance.now() - start
  return {
    pid: child.pid ?? 0,
    readyMs,
    async stop() {
      child.kill('SIGTERM')
      await gone
    },
  }
}
