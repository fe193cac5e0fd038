// Owns the adapter of the port Sandbox: what this box can enforce, and one checked run. Never runs anything outside bubblewrap.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, realpathSync, statSync, accessSync, constants, existsSync } from 'node:fs'
import { join, posix, resolve as absolute } from 'node:path'
import { promisify } from 'node:util'
import { fault, faultFrom, type Config, type Fault, type RunResult, type RunSpec, type Sandbox, type SandboxReport } from '@hearth/protocol'
import { findBwrap, sandboxArgs } from './bubblewrap.ts'
import { watchDeviceNodes } from './device-nodes.ts'
import { guardGit, unguarded } from './git-guard.ts'
import { noVeil, veilOver } from './hidden.ts'
import { makeIdentity, type Identity } from './identity.ts'
import { launchCommand } from './launch.ts'
import type { Limiter } from './limiter.ts'
import { findLimiter } from './limits.ts'
import { makePipes, type Pipes } from './pipes.ts'
import { bwrapMissing, tooOld } from './probe.ts'
import { insideArgs, proxyEnv, withForwarder } from './proxy-inside.ts'
import type { Resolve } from './proxy-dial.ts'
import type { Proxy } from './proxy.ts'
import { firstExtraFd, superviseRun } from './run.ts'

const execFileAsync = promisify(execFile)
/** A box that could run a sandbox will for a while; one that could not is asked again soon, because its owner may just be repairing it. */
const probeKeptMs = { good: 60_000, bad: 3_000 } as const

export type SandboxOptions = {
  config: Config['sandbox']
  /** The daemon's own folder: never seen inside, and the place of the few files made for it. */
  stateDir: string
  log(line: string): void
  /** Where cgroups are mounted; for tests. */
  cgroupRoot?: string
  /** The bubblewrap to start; found in the system's folders when not given. */
  bwrap?: string
  /** Addresses of a name for runs with a network; the system's when not given. */
  resolve?: Resolve
}

type Ready = { bwrap: string; version: string; limiter: Limiter; identity: Identity; restoreDevices: () => string[]; stateDir: string; pipes: Pipes }

/**
 * The sandbox of this box. Ends what a killed daemon's sandboxes left, at once. `close` gives the control groups back; call it when no run is left.
 */
export function createSandbox(options: SandboxOptions): Sandbox & { close(): Promise<void> } {
  const { config, log } = options
  const cgroupRoot = options.cgroupRoot ?? '/sys/fs/cgroup'
  let limiter: Promise<Limiter | { why: string }> | null = null
  let pipes: Pipes | null = null
  let restoreDevices: (() => string[]) | null = null
  let identity: Identity | null = null
  let probe: { until: number; result: Promise<Ready | { fault: Fault; kind: SandboxReport['limits'] }> } | null = null

  const findLimits = async (): Promise<Limiter | { why: string }> => {
    const found = await findLimiter({ config, cgroupRoot, key: createHash('sha256').update(absolute(options.stateDir)).digest('hex').slice(0, 12), log })
    if (!('open' in found)) limiter = null
    return found
  }

  const prepare = async (): Promise<Ready | { fault: Fault; kind: SandboxReport['limits'] }> => {
    try {
      const limits = await (limiter ??= findLimits())
      const kind = 'open' in limits ? limits.kind : 'none'
      const bwrap = findBwrap(options.bwrap)
      if (bwrap === null) return { fault: fault('sandbox_unavailable', bwrapMissing), kind }
      const { stdout } = await execFileAsync(bwrap, ['--version'], { env: {} })
      const old = tooOld(stdout)
      if (old !== null) return { fault: fault('sandbox_unavailable', old), kind }
      if (!existsSync('/usr/bin/prlimit')) return { fault: fault('sandbox_unavailable', { why: 'prlimit is not installed (no /usr/bin/prlimit)', remedy: 'Install util-linux.' }), kind }
      if (!('open' in limits)) return { fault: fault('limits_unavailable', limits), kind }
      mkdirSync(options.stateDir, { recursive: true, mode: 0o700 })
      const stateDir = realpathSync(options.stateDir)
      const folder = join(stateDir, 'sandbox')
      const ready: Ready = { bwrap, version: stdout.trim(), limiter: limits, identity: (identity ??= makeIdentity(join(folder, 'etc'))), restoreDevices: (restoreDevices ??= watchDeviceNodes()), stateDir, pipes: (pipes ??= makePipes(join(folder, 'pipes'))) }
      const empty = join(folder, 'empty')
      mkdirSync(empty, { recursive: true })
      const tried = await runReady(ready, config, log, options.resolve, {
        argv: ['true'], workspace: empty, readOnly: true, captureBytes: 4096,
        limits: { memoryBytes: config.memoryBytes, pids: config.pids, wallMs: 10_000, outputBytes: 65_536, tmpBytes: config.tmpBytes, fileBytes: config.fileBytes },
      }, new AbortController().signal)
      if (!tried.ok) return { fault: tried.fault, kind }
      if (tried.exitCode !== 0) return { fault: fault('sandbox_unavailable', { why: `a trial run of 'true' ended with ${tried.cause} ${tried.exitCode ?? tried.signal ?? ''}: ${tried.stderr.text.trim()}`, remedy: 'Raise the sandbox limits in the configuration, or repair what it complains of.' }), kind }
      return ready
    } catch (error) {
      const { code, path } = error as NodeJS.ErrnoException
      const problem = error instanceof Error ? error.message : String(error)
      return { fault: code !== undefined && path !== undefined ? fault('cannot_create', { path, problem }) : faultFrom(error), kind: 'none' }
    }
  }

  const ready = (): Promise<Ready | { fault: Fault; kind: SandboxReport['limits'] }> => {
    if (probe !== null && performance.now() < probe.until) return probe.result
    const made = { until: performance.now() + probeKeptMs.good, result: prepare() }
    probe = made
    made.result.then((found) => {
      if ('fault' in found) made.until = performance.now() + probeKeptMs.bad
    }, () => {})
    return made.result
  }

  return {
    async report() {
      const found = await ready()
      if ('fault' in found) return { available: false, limits: found.kind, detail: found.fault.message, fault: found.fault }
      return { available: true, limits: found.limiter.kind, detail: `${found.version}; limits by ${found.limiter.detail}`, fault: null }
    },
    async run(spec, signal) {
      try {
        const found = await ready()
        return 'fault' in found ? { ok: false, fault: found.fault } : await runReady(found, config, log, options.resolve, spec, signal)
      } catch (error) {
        return { ok: false, fault: faultFrom(error) }
      }
    },
    async close() {
      const found = limiter === null ? null : await limiter
      if (found !== null && 'open' in found) await found.close()
      pipes?.close()
      pipes = null
      identity = null
      limiter = null
      probe = null
    },
  }
}

/** One run, checked and cleaned up after. May throw on a refusal of the kernel; the caller turns that into a fault. */
async function runReady(ready: Ready, config: Config['sandbox'], log: (line: string) => void, resolve: Resolve | undefined, spec: RunSpec, signal: AbortSignal): Promise<RunResult> {
  const place = checkPlace(spec, ready.stateDir)
  if ('fault' in place) return { ok: false, fault: place.fault }
  const { workspace, chdir } = place
  const bad = badArguments(spec)
  if (bad !== null) return { ok: false, fault: bad }
  const group = ready.limiter.open(spec.limits)
  let guard = unguarded
  let proxy: Proxy | null = null
  let veil = noVeil
  try {
    const hidden = spec.hidden ?? []
    veil = veilOver(workspace, hidden.filter((path) => !path.startsWith('/')), spec.readOnly === true)
    const made = spec.readOnly === true ? unguarded : guardGit(workspace)
    if ('fault' in made) return { ok: false, fault: made.fault }
    guard = made
    if (spec.network !== undefined) proxy = await (await import('./proxy.ts')).openProxy(join(ready.stateDir, 'sandbox', 'proxy'), place.runAs, { grant: spec.network, log, ...(resolve === undefined ? {} : { resolve }) })
    const socket = proxy?.path ?? null
    const args = sandboxArgs({
      workspace, readOnly: spec.readOnly === true, chdir, guards: guard.args(firstExtraFd + ready.identity.count), veil: veil.args(firstExtraFd + ready.identity.count + guard.count),
      mounts: (spec.mounts ?? []).filter(({ to }) => !hidden.includes(to)), hidden: [ready.stateDir],
      readOnlyPaths: config.readOnlyPaths, identity: ready.identity.args(firstExtraFd), tmpBytes: spec.limits.tmpBytes, asRoot: process.getuid?.() === 0 && place.runAs === null, env: socket === null ? spec.env ?? {} : { ...proxyEnv, ...spec.env },
      ...(socket === null ? {} : { network: insideArgs(socket) }),
      ids: spec.ownIds === true ? place.runAs ?? { uid: process.getuid?.() ?? 1000, gid: process.getgid?.() ?? 1000 } : { uid: 1000, gid: 1000 },
    })
    const command = launchCommand({ bwrap: ready.bwrap, args, enter: group.enter, rlimits: group.rlimits, fileBytes: spec.limits.fileBytes, runAs: place.runAs, argv: socket === null ? spec.argv : withForwarder(spec.argv) })
    const result = await superviseRun({ spec, command, pipes: ready.pipes, extra: () => [...ready.identity.open(), ...made.hand(), ...veil.hand()], group, log }, signal)
    const refused = proxy?.refusals() ?? []
    return result.ok && refused.length > 0 ? { ...result, refused } : result
  } finally {
    // Before the answer: what the run has sent is on disk.
    await proxy?.close()
    await group.remove()
    for (const path of ready.restoreDevices()) log(`sandbox: a sandboxed program changed the rights of ${path}; they were put back`)
    for (const path of veil.close()) log(`sandbox: ${path} was removed in ${workspace} while it was being hidden from a run; the empty file in its place was removed too`)
    for (const name of guard.after()) log(`sandbox: ${name} was made by a sandboxed program in ${workspace} and removed, because git would obey it`)
  }
}

/** The workspace by its real path and the working directory as the sandbox names it. */
function checkPlace(spec: RunSpec, stateDir: string): { workspace: string; chdir: string; runAs: { uid: number; gid: number } | null } | { fault: Fault } {
  const refuse = (problem: string) => ({ fault: fault('bad_cwd', { path: spec.workspace, problem }) })
  let workspace: string
  let owner: { uid: number; gid: number }
  try {
    workspace = realpathSync(spec.workspace)
    const found = statSync(workspace)
    if (!found.isDirectory()) return refuse('it is not a folder')
    owner = { uid: found.uid, gid: found.gid }
    accessSync(workspace, constants.R_OK | constants.X_OK)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    return refuse(code === 'ENOENT' ? 'it does not exist' : code === 'EACCES' ? 'it may not be read' : String(error))
  }
  if (workspace === '/') return refuse('it is the root of the file system')
  if (workspace === stateDir) return refuse("it is the daemon's own folder")
  const chdir = posix.join('/work', spec.cwd ?? '.')
  if (posix.isAbsolute(spec.cwd ?? '.') || (chdir !== '/work' && !chdir.startsWith('/work/'))) return refuse(`the working directory '${spec.cwd ?? ''}' leads out of it`)
  // uid 0 without capabilities may not write what another user owns, and what it made there would not be theirs.
  const runAs = process.getuid?.() === 0 && owner.uid !== 0 ? owner : null
  return { workspace, chdir, runAs }
}

const takenNames: ReadonlySet<string> = new Set(['/work', '/usr', '/bin', '/sbin', '/lib', '/proc', '/dev', '/etc', '/tmp', '/sys', '/run', '/var', '/root', '/home', '/proxy'])

function badArguments(spec: RunSpec): Fault | null {
  const bad = (where: string, problem: string): Fault => fault('bad_request', { where, problem })
  if (spec.argv.length === 0 || spec.argv[0] === '') return bad('argv', 'it names no program')
  if (spec.argv.some((word) => word.includes('\0'))) return bad('argv', 'it holds a NUL character')
  for (const { to } of spec.mounts ?? []) {
    // Anywhere else it would cover what every program inside relies on.
    if (!/^\/[a-z][a-z-]*$/.test(to) || takenNames.has(to)) return bad('mounts', `'${to}' is not a free name at the root`)
  }
  for (const [name, value] of Object.entries(spec.env ?? {})) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name) || value.includes('\0')) return bad('env', `'${name}' is not a usable variable`)
  }
  return null
}
