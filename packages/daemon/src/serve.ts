// Owns the daemon's life: claim, open, recover, listen, and the same backwards. Reads no environment and never exits.
import { join } from 'node:path'
import { fault, scopes, type Config, type Paths, type Principal, type SandboxReport } from '@hearth/protocol'
import { credentialOf } from './auth/credential.ts'
import { Keys } from './auth/keys.ts'
import { runDoctor } from './doctor/doctor.ts'
import { ChatsOutside } from './egress/chats-outside.ts'
import { heldSecrets, makeExperts } from './egress/expert-parts.ts'
import { Packets } from './egress/packets.ts'
import { keptKey } from './egress/packets-key.ts'
import { createDoor } from './egress/door.ts'
import { Trials } from './egress/trial.ts'
import type { Api } from './http/api.ts'
import { makeApp, type Who } from './http/app.ts'
import { listen } from './http/listen.ts'
import { Loopback } from './http/loopback.ts'
import { Chats } from './http/openai/chats.ts'
import { Conversations } from './http/openai/conversations.ts'
import { Transfers } from './http/transfers.ts'
import type { Log } from './log.ts'
import type { Parts } from './parts.ts'
import { EnergyMeter } from './meter/energy.ts'
import { whatIsLeft } from './meter/left.ts'
import { Feed } from './queue/feed.ts'
import { Intake, usableFolder, type Guarded } from './queue/intake.ts'
import { Projects } from './projects.ts'
import { endLongPauses } from './queue/pauses.ts'
import { Room } from './queue/room.ts'
import { Runner } from './queue/runner.ts'
import { claim, databasePath, makeFolders } from './state-dir.ts'
import { Store } from './store/store.ts'
import { LoginDesk } from './mcp/desk.ts'
import { FolderServerStore } from './mcp/folder-servers.ts'
import { Logins } from './mcp/logins.ts'
import { RemoteServers } from './mcp/remote.ts'
import { Workspaces } from './workspace/workspaces.ts'

export type ServeOptions = {
  config: Config
  paths: Paths
  /** The folder of this installation. */
  root: string
  idleExitSeconds: number | null
  /** systemd's folder of credentials; absent or null = there is none. */
  credentials?: string | null
  log: Log
  makeParts(store: Store): Parts
}

export type Daemon = {
  /** Resolves with the reason when the daemon wants to end: asked by a request, idle, or broken. */
  readonly wish: Promise<{ reason: string; broken: boolean }>
  /** Stops in order. After `graceMs` what still runs is left for the next start to pick up. */
  stop(graceMs: number): Promise<void>
}

const sandboxReportMs = 60_000
const pauseEveryMs = 60_000

/** Starts the daemon; resolves when it answers on its socket. Throws FaultError, with nothing left open. */
export async function serve(options: ServeOptions): Promise<Daemon> {
  const { config, paths, root, idleExitSeconds, log } = options
  makeFolders(paths)
  const lock = claim(paths)
  const undo: (() => unknown)[] = [() => lock.release()]
  try {
    const store = await Store.open(databasePath(paths))
    undo.push(() => store.close())
    const wish = Promise.withResolvers<{ reason: string; broken: boolean }>()
    store.onBroken = (problem) => wish.resolve({ reason: `the database failed: ${problem}`, broken: true })

    const parts = options.makeParts(store)
    undo.push(() => parts.close())
    const feed = new Feed(store.read)
    const guarded = guardedPlaces(paths, root)
    const workspaces = new Workspaces({ config, stateDir: paths.state, sandbox: () => parts.sandbox(), log })
    const folderServers = new FolderServerStore(paths.state)
    const mcpLogins = new Logins(paths.state)
    const projects = new Projects({ store, config })
    const door = createDoor((entry) => store.egress(entry))
    const packetKey = keptKey(paths.state, options.credentials ?? null)
    const held = heldSecrets(config, packetKey, mcpLogins)
    const packets = new Packets({ store, key: packetKey, bodyDays: config.escalation.bodyDays })
    const remoteServers = new RemoteServers({ servers: config.agent.mcpServers, logins: mcpLogins, door, packets, held: () => held.texts(), placeholderKey: async () => (await packetKey()).placeholders })
    const energy = new EnergyMeter({ reader: async () => (await import('@hearth/engine/hardware/power')).findPowerReader() })
    energy.watch()
    undo.push(() => energy.close())
    const experts = makeExperts({ store, config, parts, projects, energy, packets, held, door, log, packetKey })
    const runner = new Runner({ experts, workspaces, energy, folderServers, remoteServers, store, feed, parts, config, log, outputs: join(paths.state, 'outputs'), usable: (path) => usableFolder(path, guarded) })
    const transfers = new Transfers()
    const intake = new Intake({ sells: (id) => experts.sells(id), store, runner, parts, config, stateDir: paths.state, guarded })
    const sandboxReport = kept(async () => (await parts.sandbox()).report(), sandboxReportMs)
    const uid = process.getuid?.() ?? 0
    const principal: Principal = { id: `socket:${uid}`, kind: 'socket', origin: 'human', scopes: [...scopes], class: 'interactive' }
    const keys = new Keys({ store, log })
    const chats = new Chats(config.http.maxInFlight)
    const outside = new ChatsOutside({
      config, store, packets, held, energy, door, placeholderKey: async () => (await packetKey()).placeholders,
      lan: async (endpoint, through) => new (await import('@hearth/engine')).CompatibleModel({ endpoint, door: through, log: (line) => log('info', line, { from: 'engine' }) }),
    })
    const conversations = new Conversations()
    // On the socket a request without a key is its owner's; one with a key is the key's, there as on the loopback listener.
    const whoOn = (owner: Principal | null): Who => (request) => {
      const credential = credentialOf((name) => request.headers.get(name), request.url)
      switch (credential.type) {
        case 'none': return owner ?? fault('unauthorized', {})
        case 'key': return keys.check(credential.value) ?? fault('unauthorized', {})
        case 'refused': return credential.fault
        default: return credential satisfies never
      }
    }
    const api: Api = {
      keys, packets, trials: new Trials({ config, store, packets, held, door, log }), outside, chats, conversations, listener: { get state() { return loopback.state }, settled: () => loopback.want(keys.usable()) },
      store, runner, intake, feed, parts, workspaces, projects, energy, folderServers, logins: new LoginDesk({ servers: config.agent.mcpServers, folderServers, logins: mcpLogins, remote: remoteServers }), transfers, config, paths, idleExitSeconds, sandboxReport, startedAt: Date.now(),
      doctor: () => runDoctor({ config, paths, parts, sandboxReport, packages: () => whatIsLeft(store, config.escalation, null, (path) => projects.of(path), Date.now()).packages }),
      shutdown: (by) => wish.resolve({ reason: `${by} asked for it`, broken: false }),
    }
    const ours = makeApp(api, whoOn(principal), log)
    const theirs = makeApp(api, whoOn(null), log)
    const loopback = new Loopback(config.http.port, (request, on) => theirs.fetch(request, on), log)
    const socket = await listen(paths.socket, (request, on) => ours.fetch(request, on))
    keys.onChange = () => void loopback.want(keys.usable())
    await loopback.want(keys.usable())
    const room = new Room({ store, log, tell: (full) => runner.room(full) })
    undo.push(() => room.close())
    runner.recover()
    const prune = (): void => void workspaces.keeper.prune((id) => store.read.job(id)?.endedAt, Date.now())
      .catch((error: unknown) => log('warn', 'old kept states could not be removed', { problem: String(error) }))
    setImmediate(prune)
    const dropBodies = (): void => void packets.prune().catch((error: unknown) => log('warn', 'bodies of old packets could not be removed', { problem: String(error) }))
    setImmediate(dropBodies)
    const dropping = setInterval(dropBodies, 3_600_000).unref()
    const endPauses = (): void => endLongPauses(store.read.query, config.escalation.pauseSeconds, Date.now(), (id, end) => {
      runner.endWaiting(id, end)?.catch((error: unknown) => log('warn', 'a job that waited too long could not be ended', { job: id, problem: String(error) }))
    })
    endPauses()
    const pausing = setInterval(endPauses, pauseEveryMs).unref()
    const pruning = setInterval(prune, 3_600_000).unref()
    // A daemon that ends soon again is not asked to hold models. Others load them when they have said that they are ready.
    const loading = new AbortController()
    if (idleExitSeconds === null) setImmediate(() => void parts.loaded.preload(loading.signal))

    const busy = (): boolean => runner.running + runner.waiting + runner.suspended + transfers.count + socket.connections() + loopback.connections > 0
    const idle = idleExitSeconds === null ? null : watchIdle(busy, idleExitSeconds * 1000, () => wish.resolve({ reason: `idle for ${idleExitSeconds} s`, broken: false }))
    return {
      wish: wish.promise,
      async stop(graceMs) {
        if (idle !== null) clearInterval(idle)
        clearInterval(pruning)
        clearInterval(dropping)
        clearInterval(pausing)
        room.close()
        loading.abort()
        await runner.stop(graceMs)
        feed.close()
        await transfers.close()
        keys.onChange = null
        await Promise.all([socket.close(), loopback.want(false)])
        await parts.close()
        await store.close()
        lock.release()
      },
    }
  } catch (error) {
    for (const step of undo.toReversed()) await step()
    throw error
  }
}

/** Folders that hold what the daemon trusts. A job that could write there could change the daemon, its models or its own record. */
function guardedPlaces(paths: Paths, root: string): Guarded[] {
  return [
    { path: paths.state, what: "the daemon's state folder", inside: true },
    { path: paths.models, what: 'the folder of the models', inside: true },
    { path: paths.cache, what: "the daemon's cache", inside: true },
    { path: paths.config, what: "the daemon's configuration", inside: true },
    { path: paths.socket, what: "the daemon's socket", inside: true },
    { path: join(root, 'packages'), what: 'the program that this daemon runs from', inside: true },
    { path: join(root, 'node_modules'), what: 'the program that this daemon runs from', inside: true },
  ]
}

/** Keeps a good answer for a while, so that asking often costs nothing. A bad one is asked again: somebody may just have mended it. */
function kept(ask: () => Promise<SandboxReport>, forMs: number): () => Promise<SandboxReport> {
  let last: { at: number; report: SandboxReport } | null = null
  return async () => {
    if (last !== null && last.report.available && Date.now() - last.at < forMs) return last.report
    last = { at: Date.now(), report: await ask() }
    return last.report
  }
}

function watchIdle(busy: () => boolean, afterMs: number, then: () => void): NodeJS.Timeout {
  let since = Date.now()
  return setInterval(() => {
    if (busy()) since = Date.now()
    else if (Date.now() - since >= afterMs) then()
  }, Math.min(1000, Math.max(50, afterMs / 4)))
}
