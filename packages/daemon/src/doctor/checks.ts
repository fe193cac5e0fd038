// Decides what is well and what is not: pure functions of facts. Gathers nothing, prints nothing.
import { gapsOfBox, gapsOfModel, gapsOfProvider, priceAt, type Config, type ModelRow, type PackageRow, type SandboxReport, type WorkerStatus } from '@hearth/protocol'
import { versionFault } from '../store/db.ts'
import { fail, gib, ok, warn, type Check } from './verdict.ts'

/** A folder or file of the daemon as it was found; `mode` are the permission bits. */
export type PathFact = { name: string; path: string; exists: boolean; uid: number; mode: number; writable: boolean }

export type Facts = {
  node: string
  sqlite: string
  uid: number
  /** integrity_check's lines; null when there is no database yet; a string when it cannot be opened. */
  database: readonly string[] | string | null
  folders: readonly PathFact[]
  socket: PathFact
  freeBytes: number
  sandbox: SandboxReport
  models: readonly ModelRow[] | string
  defaultModel: string | null
  workers: readonly WorkerStatus[]
  memory: { totalBytes: number; availableBytes: number } | null
  /** v2: one unified tree; v1: the old controllers; hybrid: both. */
  cgroups: { kind: 'v2' | 'v1' | 'hybrid' | 'none'; controllers: readonly string[]; writable: boolean }
  /** Whether git is where the sandbox looks for it. */
  git: boolean
  userns: { maxNamespaces: number | null; debianSwitch: number | null; apparmorRestricts: number | null }
  /** Why the key of a provider cannot be used, by its id; null = it can. */
  keys: ReadonlyMap<string, string | null>
  /** What was paid for ahead; empty where no daemon runs, because only its ledger knows what was drawn. */
  packages: readonly PackageRow[]
  /** Milliseconds since 1970: prices are of days. */
  now: number
}

const nodeLeast = 24

/** All checks, in the order a person would look: what cannot work at all comes first. */
export function examine(facts: Facts, config: Config): Check[] {
  return [
    node(facts), sqlite(facts), database(facts), ...facts.folders.map((folder) => folderCheck(folder, facts.uid)), socket(facts),
    disk(facts, config), memory(facts), cgroups(facts), userns(facts), sandbox(facts, config), git(facts), engineSandbox(config), goldenCheck(config), defaultModel(facts), ...facts.workers.map(worker), ...providers(facts, config), ...facts.packages.map(packageCheck),
  ]
}

function node({ node: version }: Facts): Check {
  return Number(version.replace(/^v/, '').split('.')[0]) >= nodeLeast ? ok('node', version)
    : fail('node', `${version} is too old`, 'Start the daemon with node_modules/.bin/node of this installation.')
}

function sqlite({ sqlite: version }: Facts): Check {
  const old = versionFault(version, 'hearth.db')
  return old === null ? ok('sqlite', version) : fail('sqlite', old.message, 'Start the daemon with node_modules/.bin/node of this installation.')
}

function database({ database: lines }: Facts): Check {
  if (lines === null) return ok('database', 'not made yet')
  if (typeof lines === 'string') return fail('database', lines, 'Restore a backup, or move the file away to begin anew.')
  return lines.length === 1 && lines[0] === 'ok' ? ok('database', 'integrity_check: ok')
    : fail('database', `integrity_check: ${lines.slice(0, 3).join('; ')}`, 'Stop the daemon, copy hearth.db and its -wal away, and restore a backup.')
}

function folderCheck({ name, path, exists, uid, mode, writable }: PathFact, self: number): Check {
  const title = `folder ${name}`
  if (!exists) return ok(title, `${path} is made at the first start`)
  if (!writable) return fail(title, `${path} cannot be written`, `Give it to the user of the daemon: chown ${self} ${path}`)
  if (uid !== self) return warn(title, `${path} belongs to uid ${uid}, the daemon is ${self}`, `Give it to the user of the daemon: chown ${self} ${path}`)
  return (mode & 0o022) === 0 ? ok(title, path) : warn(title, `others may write to ${path}`, `Close it: chmod go-w ${path}`)
}

function socket({ socket: { path, exists, mode } }: Facts): Check {
  if (!exists) return ok('socket', `${path} is made at the start`)
  return (mode & 0o077) === 0 ? ok('socket', path) : fail('socket', `others may use ${path}`, `Close it: chmod 600 ${path}`)
}

function disk({ freeBytes }: Facts, config: Config): Check {
  const needed = config.storage.refuseBelowBytes
  if (freeBytes < needed) return fail('disk', `${gib(freeBytes)} free; new jobs need ${gib(needed)}`, 'Free some space, or lower storage.refuseBelowBytes.')
  return freeBytes < needed * 2 ? warn('disk', `${gib(freeBytes)} free`, `New jobs are refused below ${gib(needed)}; free some space.`) : ok('disk', `${gib(freeBytes)} free`)
}

function memory({ memory: found }: Facts): Check {
  if (found === null) return warn('memory', '/proc/meminfo cannot be read', 'Mount /proc.')
  const detail = `${gib(found.availableBytes)} of ${gib(found.totalBytes)} available`
  return found.availableBytes < 2 ** 30 ? warn('memory', detail, 'Less than 1 GiB is available; a model may not load.') : ok('memory', detail)
}

function cgroups({ cgroups: { kind, controllers, writable } }: Facts): Check {
  const detail = kind === 'none' ? 'no control groups are mounted' : `${kind}, controllers ${controllers.join(' ') || 'none'}${writable ? ', writable' : ', not writable'}`
  return kind !== 'none' && writable && controllers.includes('memory') && controllers.includes('pids') ? ok('cgroups', detail)
    : warn('cgroups', detail, 'Limits on memory and processes need a delegated group (systemd: Delegate=memory pids), root on cgroup v1, or "sandbox": {"limits": "weak"}.')
}

function userns({ userns: { maxNamespaces, debianSwitch, apparmorRestricts }, uid }: Facts): Check {
  const detail = `max_user_namespaces ${maxNamespaces ?? 'unknown'}, unprivileged_userns_clone ${debianSwitch ?? 'absent'}, apparmor_restrict_unprivileged_userns ${apparmorRestricts ?? 'absent'}`
  if (maxNamespaces === 0) return warn('user namespaces', detail, 'Allow them: sysctl user.max_user_namespaces=15000')
  if (uid !== 0 && debianSwitch === 0) return warn('user namespaces', detail, 'Allow them: sysctl kernel.unprivileged_userns_clone=1')
  if (uid !== 0 && apparmorRestricts === 1) return warn('user namespaces', detail, 'Give bwrap an AppArmor profile that allows userns, or: sysctl kernel.apparmor_restrict_unprivileged_userns=0')
  return ok('user namespaces', detail)
}

function sandbox({ sandbox: report }: Facts, config: Config): Check {
  const detail = `${report.detail} (limits: ${report.limits})`
  if (!report.available) return fail('sandbox', report.fault?.message ?? detail, report.fault?.remedy ?? 'Install bubblewrap.')
  return config.sandbox.limits === 'weak' || report.limits === 'weak' ? warn('sandbox', detail, 'Limits are weak: set sandbox.limits to "strict" where control groups are available.') : ok('sandbox', detail)
}

function git({ git: found }: Facts): Check {
  return found ? ok('git', 'jobs can be shown as a diff and undone') : warn('git', 'it is not installed: jobs work in place, without diff and undo', 'Install it: apt-get install git (Debian, Ubuntu) or dnf install git (Fedora).')
}

function engineSandbox(config: Config): Check {
  return config.engine.sandbox === 'bwrap' ? ok('engine sandbox', 'the engine worker runs in bubblewrap')
    : warn('engine sandbox', 'the engine worker runs unconfined', 'Set engine.sandbox to "bwrap".')
}

function goldenCheck(config: Config): Check {
  return config.engine.goldenCheck === 'on' ? ok('engine check', 'each engine must continue known texts rightly before it serves')
    : warn('engine check', 'an engine that gives wrong tokens would serve them', 'Set engine.goldenCheck to "on".')
}

function defaultModel({ models, defaultModel: id }: Facts): Check {
  if (typeof models === 'string') return fail('model', models, 'Reinstall: models.json must be readable.')
  const row = models.find((model) => model.id === id)
  if (row === undefined || !row.installed) {
    const name = row?.id ?? id
    return warn('model', name === null ? 'no model is installed' : `${name} is not installed`, name === null ? "Run 'hearth models pull'." : `Run 'hearth models pull ${name}'.`)
  }
  return row.problem === null ? ok('model', `${row.id}${row.bytes === null ? '' : `, ${gib(row.bytes)}`}`)
    : fail('model', `${row.id}: ${row.problem}`, `Run 'hearth models pull ${row.id}'.`)
}

/** One line for each; what is missing before anything is bought from it, one thing after the other. */
function providers({ keys, now }: Facts, { escalation }: Config): Check[] {
  return escalation.providers.map((provider) => {
    const name = `provider ${provider.id}`
    const [gap] = [
      ...gapsOfProvider(provider, keys.get(provider.id) ?? null), ...provider.models.flatMap((model) => gapsOfModel(model, now)),
      ...provider.models.slice(0, 1).flatMap((model) => gapsOfBox(escalation, priceAt(model.prices, now))),
    ]
    return gap === undefined ? ok(name, `its key can be used, ${provider.models.length === 1 ? 'its model has a price' : `its ${provider.models.length} models have prices`}; 'hearth provider test ${provider.id}' asks whether it answers`)
      : warn(name, gap.what.replace(/\.$/, ''), gap.remedy)
  })
}

function worker({ model, state, restarts, lastFault, distrusted }: WorkerStatus): Check {
  const detail = `${state}, ${restarts} restarts${lastFault === null ? '' : `, last: ${lastFault}`}`
  if (distrusted !== undefined && state !== 'broken') return warn(`worker ${model}`, `${state}; ${distrusted}`, `Update the driver or use another engine build, then run 'hearth models reset ${model}'; what came instead of the right tokens is in the log.`)
  if (state === 'broken') return fail(`worker ${model}`, detail, `Find the cause in the log, then run 'hearth models reset ${model}'.`)
  return state === 'failed' ? warn(`worker ${model}`, detail, 'It is started again by itself.') : ok(`worker ${model}`, detail)
}

function packageCheck({ id, left, amount, warnings }: PackageRow): Check {
  return warnings.length === 0 ? ok(`package ${id}`, `${Math.floor(left / amount * 100)} % left`)
    : warn(`package ${id}`, warnings.map((one) => one.replace(/\.$/, '')).join('; '), "'hearth budget' has its figures. Renew it or take it out in escalation.packages.")
}
