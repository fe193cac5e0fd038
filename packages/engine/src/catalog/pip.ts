// Owns asking the machine's own pip: where a package's file lies, and, when the direct way fails, fetching it. Installs nothing, knows no host name.
// pip honours the machine's index settings, proxies and certificates; we read none of them.
import { spawn } from 'node:child_process'
import { mkdir, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { FaultError, type TransferEvent } from '@hearth/protocol'
import { z } from 'zod'
import { SourceProblem } from './download.ts'
import { Progress } from './progress.ts'
import { cancelledBy } from './verify.ts'

export type PipTask = { python: string; package: string; version: string; /** Existing private folder for its temporary files. */ work: string; signal: AbortSignal }

/** A file's address (https: or file:) and its sha256 when pip knows it. */
export type PipAnswer = { url: string; sha256: string | null }

// pip's documentation, "Installation Report", version 1.
const Report = z.looseObject({
  install: z.array(z.looseObject({
    download_info: z.looseObject({ url: z.string(), archive_info: z.looseObject({ hashes: z.record(z.string(), z.string()).optional() }).optional() }),
  })).min(1),
})

// An index that is slow to answer five times over, and a wheel that pip fetches for its metadata.
const reportLimitMs = 600_000

/** Where pip would take the file from. Throws SourceProblem with a sentence when it cannot say. */
export async function askPip(task: PipTask): Promise<PipAnswer> {
  const { python, version, work, signal } = task
  const limited = AbortSignal.any([signal, AbortSignal.timeout(reportLimitMs)])
  const result = await runPip(python, [
    'install', '--dry-run', '--ignore-installed', '--no-deps', '--no-build-isolation', '--only-binary', ':all:', '--report', '-', '--quiet', `${task.package}==${version}`,
  ], work, limited)
  if (signal.aborted) throw new FaultError(cancelledBy(signal))
  if (result.exitCode !== 0) throw new SourceProblem(pipProblem(result, task))
  try {
    const info = Report.parse(JSON.parse(result.stdout)).install[0]?.download_info
    const sha256 = info?.archive_info?.hashes?.['sha256'] ?? null
    if (info !== undefined && URL.canParse(info.url)) return { url: info.url, sha256 }
  } catch {
    // A pip that prints something else than its documented report is told below.
  }
  throw new SourceProblem(`pip of ${python} gave no readable report`)
}

/** Lets pip fetch the wheel into `work` itself; returns its path. Progress is the growth of pip's own temporary file. */
export async function* pipDownload(task: PipTask, file: string): AsyncGenerator<TransferEvent, string> {
  const { python, version, work, signal } = task
  const dest = join(work, 'wheel')
  await mkdir(dest, { recursive: true, mode: 0o700 })
  yield { type: 'source', file, source: `pip download ${task.package}==${version}`, totalBytes: null, resumedBytes: 0 }
  const running = runPip(python, ['download', '--no-deps', '--no-cache-dir', '--only-binary', ':all:', '--quiet', '--dest', dest, `${task.package}==${version}`], work, signal)
  const progress = new Progress(file, 0, null)
  for (let over = false; !over;) {
    over = await Promise.race([running.then(() => true), sleep(250, false)])
    yield progress.now(await largestWheel(work))
  }
  const result = await running
  if (signal.aborted) throw new FaultError(cancelledBy(signal))
  if (result.exitCode !== 0) throw new SourceProblem(pipProblem(result, task))
  const wheel = (await readdir(dest)).find((name) => name.endsWith('.whl'))
  if (wheel === undefined) throw new SourceProblem(`pip fetched no wheel of ${task.package}==${version}`)
  return join(dest, wheel)
}

async function largestWheel(work: string): Promise<number> {
  let largest = 0
  for (const entry of await readdir(work, { recursive: true, withFileTypes: true }).catch(() => [])) {
    if (!entry.isFile() || !entry.name.endsWith('.whl')) continue
    largest = Math.max(largest, await stat(join(entry.parentPath, entry.name)).then((found) => found.size, () => 0))
  }
  return largest
}

type PipResult = { exitCode: number | null; stdout: string; stderr: string }

/** Runs `python -m pip`; all its temporary files go to `work`. Ends with its whole process group when the signal is aborted. */
function runPip(python: string, args: readonly string[], work: string, signal: AbortSignal): Promise<PipResult> {
  return new Promise((resolve) => {
    // env(1) adds to the environment that pip needs to see whole (its settings, proxies), which nobody here reads.
    const child = spawn('env', [`TMPDIR=${work}`, 'PIP_NO_INPUT=1', 'PIP_DISABLE_PIP_VERSION_CHECK=1', python, '-m', 'pip', ...args], { stdio: ['ignore', 'pipe', 'pipe'], detached: true, cwd: work })
    const texts = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => { texts[name] = (texts[name] + text).slice(-4 * 2 ** 20) })
    }
    const abort = (): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
      } catch {
        // It is gone already.
      }
    }
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
    const end = (exitCode: number | null): void => {
      signal.removeEventListener('abort', abort)
      resolve({ exitCode, ...texts })
    }
    child.once('error', (error) => {
      texts.stderr += error.message
      end(127)
    })
    child.once('close', end)
  })
}

/** pip's failure as one clause, by what it prints; its last line otherwise. */
function pipProblem({ exitCode, stderr }: PipResult, { python, package: name, version }: PipTask): string {
  if (exitCode === 127 || exitCode === 126) return `${python} is not installed`
  if (/No module named '?pip/.test(stderr)) return `${python} has no pip`
  if (/no such option/.test(stderr)) return `pip of ${python} is too old to say where a file lies`
  if (/CERTIFICATE_VERIFY_FAILED|SSLError/.test(stderr)) return 'pip does not accept the certificate of its package index'
  if (/NewConnectionError|NameResolutionError|Temporary failure in name resolution|ConnectTimeout|ConnectionError|ProxyError|Max retries exceeded/.test(stderr)) return 'pip cannot reach its package index'
  if (/No space left on device/.test(stderr)) return 'the disk is full'
  if (/401|403 Client Error/.test(stderr)) return 'the package index refused pip'
  // Without retries pip says the same for an index that has none and one that it could not reach.
  if (/from versions: none/.test(stderr)) return `pip finds no ${name}: its package index has none or cannot be reached`
  if (/No matching distribution|Could not find a version/.test(stderr)) return `pip finds no ${name}==${version}: its package index has other versions only`
  const last = stderr.trim().split('\n').at(-1)?.replace(/^ERROR: /, '') ?? ''
  // An address may carry a password.
  return `pip ended with ${exitCode === null ? 'a signal' : `code ${exitCode}`}${last === '' ? '' : ` (${last.replace(/\/\/[^@/\s]*@/g, '//').slice(0, 300)})`}`
}
