// Owns the house rules as data: which package may import which, who owns a library, which files are exempt and why.

/** Package -> our packages it may import. */
export const arrows: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  engine: ['protocol'],
  sandbox: ['protocol'],
  agent: ['protocol'],
  daemon: ['protocol', 'engine', 'sandbox', 'agent'],
  cli: ['protocol'],
  web: ['protocol'],
}

/** Library (or a family ending in /) -> the path, or folder ending in /, that alone may import it. */
export const owners: readonly { library: string; only: readonly string[] }[] = [
  // In tests it is the oracle for our grammars, in a benchmark the peer.
  { library: 'node-llama-cpp', only: ['packages/engine/src/local/worker.ts', 'test/engine/', 'scripts/benches/raw-library.ts'] },
  { library: 'node:sqlite', only: ['packages/daemon/src/store/db.ts', 'test/'] },
  { library: 'openai', only: ['packages/engine/src/', 'test/'] },
  { library: '@anthropic-ai/', only: ['packages/engine/src/', 'test/'] },
  { library: 'systeminformation', only: ['packages/engine/src/'] },
  { library: '@modelcontextprotocol/', only: ['packages/agent/src/', 'test/'] },
  { library: 'hono', only: ['packages/daemon/src/'] },
  { library: '@hono/', only: ['packages/daemon/src/'] },
  { library: 'ws', only: ['packages/daemon/src/', 'test/'] },
  { library: 'preact', only: ['packages/web/src/'] },
]

/** Entry programs beside the packages' main.ts: they are started as processes or threads of their own and may end themselves. */
export const entryPrograms: readonly string[] = [
  'packages/engine/src/local/worker.ts',
  'packages/daemon/src/store/writer.ts',
]

export const lineLimits = { warn: 250, fail: 400 }

/** Tests, tables and grammars may be long: they are read by looking up, not from top to end. */
export const longFiles: readonly RegExp[] = [/^test\//, /\/grammars\//, /\/banks\//, /-table\.ts$/, /\.(css|gbnf)$/]

export const vagueNames = /^(utils?|helpers?|common|misc)$/

/** Bytes of a production install: `npm ci --omit=dev --ignore-scripts`. */
export const installLimitBytes = 550e6
