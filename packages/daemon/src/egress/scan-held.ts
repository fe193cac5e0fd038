// Owns the list of what this daemon must never say: keys of providers and endpoints, tokens, and the owner's own words. Reads files anew each time they
// changed; keeps them in memory only, and tells nobody but the scanner.
import { readFile, stat } from 'node:fs/promises'
import type { Config } from '@hearth/protocol'
import { KnownTexts, type Known } from './scan-known.ts'

const largestFile = 1_000_000

export class HeldSecrets {
  readonly #config: Config
  readonly #more: () => Promise<readonly Known[]>
  readonly #read = new Map<string, { stamp: string; text: string }>()
  #made: { sign: string; texts: KnownTexts } | null = null

  /** `more`: secrets that stand in no file of the configuration (the key of packets, logins). */
  constructor(config: Config, more: () => Promise<readonly Known[]> = () => Promise.resolve([])) {
    this.#config = config
    this.#more = more
  }

  /** All that is held now. Throws the file system's error when a file of the configuration is there and cannot be read: what is in it is then unknown, and nothing may leave. */
  async texts(): Promise<KnownTexts> {
    const known: Known[] = [...await this.#more(), ...literals(this.#config)]
    for (const { kind, path, lines } of filesOf(this.#config)) {
      const text = await this.#textOf(path)
      for (const value of lines ? text.split(/\r?\n/) : [text]) if (value.trim() !== '') known.push({ kind, value: value.trim() })
    }
    const sign = JSON.stringify(known)
    if (this.#made?.sign !== sign) this.#made = { sign, texts: new KnownTexts(known) }
    return this.#made.texts
  }

  /** '' for a file that is not there. */
  async #textOf(path: string): Promise<string> {
    try {
      const { mtimeMs, size, ino } = await stat(path)
      const stamp = `${mtimeMs} ${size} ${ino}`
      const last = this.#read.get(path)
      if (last?.stamp === stamp) return last.text
      if (size > largestFile) throw new Error(`${path} holds ${size} bytes, and a file of secrets ${largestFile} at most`)
      const text = await readFile(path, 'utf8')
      this.#read.set(path, { stamp, text })
      return text
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
      throw error
    }
  }
}

type HeldFile = { kind: string; path: string; lines: boolean }

function filesOf({ engine, escalation, models, agent }: Config): HeldFile[] {
  const one = (kind: string, path: string | null): HeldFile[] => (path === null ? [] : [{ kind, path, lines: false }])
  return [
    ...escalation.providers.flatMap(({ keyFile }) => one('provider-key', keyFile)), ...engine.endpoints.flatMap(({ keyFile }) => one('endpoint-key', keyFile)), ...one('hub-token', models.hubTokenFile),
    ...Object.values(agent.mcpServers).flatMap((server) => ('command' in server ? [] : [
      ...one('mcp-token', server.tokenFile), ...one('mcp-secret', server.oauth.clientSecretFile), ...Object.values(server.headerFiles).flatMap((path) => one('mcp-header', path)),
    ])),
    ...(escalation.denyFile === null ? [] : [{ kind: 'denied', path: escalation.denyFile, lines: true }]),
  ]
}

// A switch or a path in the environment of a server is none.
const least = 8

function literals({ agent }: Config): Known[] {
  return Object.values(agent.mcpServers).flatMap((server) => ('command' in server ? Object.values(server.env) : [...new URL(server.url).searchParams.values()]))
    .filter((value) => value.length >= least && !/^(?:\/|https?:\/\/[^@]*$|[a-z]+$)/i.test(value)).map((value) => ({ kind: 'mcp-secret', value }))
}
