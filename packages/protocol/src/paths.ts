// Owns where things lie: XDG for a user, /etc /var/lib /run for the system service, one folder under HEARTH_HOME. Pure; creates nothing.
import { createHash } from 'node:crypto'
import { join } from 'node:path'

export type Paths = {
  config: string
  /** Database, lock, logs, full tool outputs. */
  state: string
  models: string
  cache: string
  socket: string
  kind: 'home' | 'user' | 'system'
}

type Env = Readonly<Record<string, string | undefined>>

// sun_path holds 108 bytes with its NUL.
const socketPathLimit = 107

/**
 * Folders for this environment. `HEARTH_HOME` puts all under one folder, `HEARTH_MODELS` only the models;
 * `HEARTH_SYSTEM=1` (set by the system unit) chooses /etc, /var/lib and /run; else XDG with its defaults.
 */
export function resolvePaths(env: Env, uid: number): Paths {
  const set = (name: string): string | null => {
    const value = env[name]
    return value !== undefined && value.startsWith('/') ? value : null
  }
  const found = place(set, env, uid)
  const models = set('HEARTH_MODELS')
  return { ...found, models: models ?? found.models, socket: shortSocket(found.socket, uid) }
}

function place(set: (name: string) => string | null, env: Env, uid: number): Paths {
  const home = set('HEARTH_HOME')
  if (home !== null) {
    return {
      kind: 'home', config: join(home, 'config.json'), state: join(home, 'state'), models: join(home, 'models'),
      cache: join(home, 'cache'), socket: join(home, 'hearth.sock'),
    }
  }
  if (env['HEARTH_SYSTEM'] === '1') {
    return {
      kind: 'system', config: '/etc/hearth/config.json', state: '/var/lib/hearth', models: '/var/lib/hearth/models',
      cache: '/var/cache/hearth', socket: '/run/hearth/hearth.sock',
    }
  }
  const userHome = set('HOME') ?? `/tmp/hearth-${uid}`
  const runtime = set('XDG_RUNTIME_DIR')
  const state = join(set('XDG_STATE_HOME') ?? join(userHome, '.local/state'), 'hearth')
  return {
    kind: 'user',
    config: join(set('XDG_CONFIG_HOME') ?? join(userHome, '.config'), 'hearth/config.json'),
    state,
    models: join(set('XDG_DATA_HOME') ?? join(userHome, '.local/share'), 'hearth/models'),
    cache: join(set('XDG_CACHE_HOME') ?? join(userHome, '.cache'), 'hearth'),
    socket: runtime === null ? join(state, 'hearth.sock') : join(runtime, 'hearth/hearth.sock'),
  }
}

/** A socket path too long for the kernel moves to a folder of ours under /tmp, named by a hash of the wanted path. */
function shortSocket(path: string, uid: number): string {
  if (Buffer.byteLength(path) <= socketPathLimit) return path
  return join(`/tmp/hearth-${uid}`, createHash('sha256').update(path).digest('hex').slice(0, 16), 'hearth.sock')
}
