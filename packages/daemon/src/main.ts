// The daemon's program: environment and arguments in, exit code out. The only file here that reads process.env or exits.
import { enableCompileCache } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { resolvePaths } from '@hearth/protocol/paths'

const usage = 'Usage: main.ts serve [--exit-when-idle SECONDS] | main.ts doctor [--json]\n'
const graceMs = 20_000

process.umask(0o077)
const paths = resolvePaths(process.env, process.getuid?.() ?? 0)
// Before anything heavy is imported: the second start then neither strips types nor compiles.
enableCompileCache(join(paths.cache, 'compile'))
const root = fileURLToPath(new URL('../../..', import.meta.url))

// A disk that is full or a reader that went away costs the log, not the daemon: an error on these would be logged, and be the next error.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)

const { makeLog } = await import('./log.ts')
const { exitOf, fault, faultFrom, FaultError } = await import('@hearth/protocol/fault')
const log = makeLog((line) => process.stderr.write(line))

/** Says the cause as one JSON line and ends with its code. */
function die(error: unknown): never {
  const cause = faultFrom(error)
  if (cause.code === 'internal' && error instanceof Error) log('error', 'an internal fault', { problem: error.stack ?? error.message })
  process.stderr.write(`${JSON.stringify({ error: cause })}\n`)
  process.exit(exitOf(cause))
}

async function runServe(words: readonly string[]): Promise<void> {
  const [option, value, ...rest] = words
  const seconds = option === undefined ? null : Number(value)
  if (rest.length > 0 || (option !== undefined && option !== '--exit-when-idle') || (seconds !== null && !(seconds > 0))) {
    throw new FaultError(fault('usage', { problem: usage.trim() }))
  }
  const [{ serve }, { readConfig }, { composeParts }] = await Promise.all([import('./serve.ts'), import('./settings.ts'), import('./compose.ts')])
  const config = await readConfig(paths.config)
  let signals = 0
  const asked = new Promise<{ reason: string; broken: boolean }>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        signals += 1
        if (signals > 1) process.exit(0)
        resolve({ reason: signal, broken: false })
      })
    }
  })
  const daemon = await serve({
    config, paths, root, idleExitSeconds: seconds, log, credentials: process.env['CREDENTIALS_DIRECTORY'] ?? null,
    makeParts: (store) => composeParts({ config, paths, store, log, node: process.execPath, root, env: process.env }),
  })
  const crashed = new Promise<{ reason: string; broken: boolean }>((resolve) => {
    for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
      process.on(event, (error: unknown) => {
        log('error', event, { problem: error instanceof Error ? error.stack ?? error.message : String(error) })
        resolve({ reason: event, broken: true })
      })
    }
  })
  process.stdout.write(`${JSON.stringify({ ready: true, socket: paths.socket, pid: process.pid })}\n`)
  log('info', 'ready', { socket: paths.socket, startedInMs: Math.round(performance.now()) })
  const { reason, broken } = await Promise.race([asked, daemon.wish, crashed])
  log('info', 'stopping', { reason })
  // Whatever hangs: a service manager waits 30 s, then it kills what should have been closed.
  setTimeout(() => {
    log('error', 'the stop took too long')
    process.exit(1)
  }, graceMs + 6000).unref()
  await daemon.stop(broken ? 1000 : graceMs)
  log('info', 'stopped')
  process.exit(broken ? 1 : 0)
}

async function runDoctor(words: readonly string[]): Promise<void> {
  if (words.length > 1 || (words[0] !== undefined && words[0] !== '--json')) throw new FaultError(fault('usage', { problem: usage.trim() }))
  const [{ doctorAlone, printReport }, { readConfig }, { composeParts }] = await Promise.all([import('./doctor/doctor.ts'), import('./settings.ts'), import('./compose.ts')])
  const config = await readConfig(paths.config)
  const noEgress = { egress: () => Promise.reject(new Error('doctor sends nothing')) }
  const parts = composeParts({ config, paths, store: noEgress, log: () => undefined, node: process.execPath, root, env: process.env })
  const report = await doctorAlone({ config, paths, parts })
  process.stdout.write(words[0] === '--json' ? `${JSON.stringify(report)}\n` : printReport(report))
  await parts.close()
  process.exit(report.ok ? 0 : 1)
}

const [command, ...words] = process.argv.slice(2)
const work = command === 'serve' ? runServe(words) : command === 'doctor' ? runDoctor(words)
  : Promise.reject(new FaultError(fault('usage', { problem: usage.trim() })))
await work.catch(die)
