// Owns what a job has touched that makes its rules stricter, for as long as it lives: files that never leave, and words of strangers. Pure.
import type { EventOf, JobEvent, JobEventBody, ToolCall } from '@hearth/protocol'
import { posix } from 'node:path'
import { keptByProject, type PathLists } from './paths.ts'

export type Taint = {
  /** A file of the project's local-only list that the job read, wrote or named; commands of any other job see none of them (withheld.ts). */
  localFile: string | null
  /** The same of the owner's own list (escalation.neverPaths). */
  ownerFile: string | null
  /** What brought words of strangers into the job, a sentence's end by its source: `fetch`, `network`, `server`, or `server NAME`. */
  strangers: ReadonlyMap<string, string>
}

/** The first stranger whose words are in the job; null = there is none. `but`: an MCP server that does not count. */
export function strangerIn({ strangers }: Taint, but: string | null = null): string | null {
  return [...strangers].find(([source]) => source !== `server ${but}`)?.[1] ?? null
}

/** `remoteServers`: MCP servers that are reached over a network. `network`: the job's commands have one; what they fetch is not seen. */
export type Facts = { network: boolean; remoteServers: ReadonlySet<string> }

/** Reads a job's events in order, each once: what a job touched never goes away. */
export class TaintReader {
  readonly #lists: PathLists
  readonly #facts: Facts
  readonly #calls = new Map<string, ToolCall>()
  /** Where the next shell command begins. */
  #cwd = '.'
  readonly #strangers = new Map<string, string>()
  readonly taint: Taint = { localFile: null, ownerFile: null, strangers: this.#strangers }

  constructor(lists: PathLists, facts: Facts) {
    this.#lists = lists
    this.#facts = facts
  }

  read(events: readonly (JobEvent | JobEventBody)[]): Taint {
    for (const event of events) {
      if (event.type === 'remote') this.#one(event.event as JobEventBody, event.id)
      else this.#one(event, '')
    }
    return this.taint
  }

  #one(event: JobEvent | JobEventBody, course: string): void {
    switch (event.type) {
      case 'started': return event.localFiles === 'shown' ? this.#show() : undefined
      case 'accepted': return event.request.checks.forEach((command) => this.#named([command]))
      case 'opened': return this.#saw(event.instructions.map(({ path }) => path))
      case 'sub_step': return this.#saw(event.files ?? [])
      case 'check': return this.#named([event.command])
      case 'tool_planned': {
        this.#calls.set(`${course}/${event.call.id}`, event.call)
        return this.#planned(event.call)
      }
      case 'tool_unknown': case 'tool_result': {
        const key = `${course}/${event.callId}`
        const call = this.#calls.get(key)
        this.#calls.delete(key)
        return this.#result(event, call)
      }
      default: return
    }
  }

  /** Its commands see every file, and what they read is not known. */
  #show(): void {
    if (this.#lists.localOnly.length > 0) this.taint.localFile ??= 'the local-only files of its folder'
  }

  /** Before it runs: what a call names it may read, and what it may send must be judged by that. */
  #planned({ name, arguments: args }: ToolCall): void {
    const { path } = args
    if (typeof path === 'string') this.#saw([inFolder(path)])
    if (name === 'bash' || name === 'mcp') this.#named(textsIn(args))
  }

  #result(event: EventOf<'tool_result'> | EventOf<'tool_unknown'>, call: ToolCall | undefined): void {
    const result = event.type === 'tool_result' ? event : null
    if (result !== null) this.#saw([...(result.file === undefined ? [] : [result.file.path]), ...result.files ?? []])
    if (event.name === 'bash') {
      this.#cwd = result?.cwd ?? this.#cwd
      if (this.#cwd !== '.') this.#saw([this.#cwd])
    }
    if (result?.cause !== 'refused') this.#heard(event.name, call)
  }

  #named(texts: readonly string[]): void {
    const words = wordsOf(texts)
    this.#saw(this.#cwd === '.' ? words : [...words, ...words.map((word) => posix.join(this.#cwd, word))])
  }

  #saw(paths: readonly string[]): void {
    this.taint.localFile ??= paths.find((path) => keptByProject(path, this.#lists)) ?? null
    this.taint.ownerFile ??= paths.find((path) => keptByProject(path, { ...this.#lists, localOnly: this.#lists.owner })) ?? null
  }

  #heard(tool: string, call: ToolCall | undefined): void {
    const tell = (source: string, what: string): void => void (this.#strangers.has(source) || this.#strangers.set(source, what))
    switch (tool) {
      // Answers that were written outside of the house.
      case 'fetch': return tell('fetch', 'it read an address outside')
      case 'bash': return this.#facts.network ? tell('network', 'its commands have a network') : undefined
      case 'mcp': {
        // One whose call is not known may have asked any of them.
        const name = call?.arguments['name']
        const server = typeof name === 'string' ? name.slice(0, name.indexOf('__')) : null
        if (server === null) return this.#facts.remoteServers.size > 0 ? tell('server', 'it asked a server outside') : undefined
        return this.#facts.remoteServers.has(server) ? tell(`server ${server}`, `it asked the server '${server}'`) : undefined
      }
      default: return
    }
  }
}

/** Every text of a value, names too. */
function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  return typeof value === 'object' && value !== null ? Object.entries(value).flatMap(([name, one]) => [...(Array.isArray(value) ? [] : [name]), ...textsIn(one)]) : []
}

const inFolder = (path: string): string => path.replace(/^\/work\//, '')

/** What in the texts of a command could be a path. */
function wordsOf(texts: readonly string[]): string[] {
  return [...new Set(texts.flatMap((text) => text.split(/[\s"'`=:;,|&<>(){}$]+/)).filter((word) => word !== '' && word !== '.' && !word.startsWith('-')).map(inFolder))].slice(0, 500)
}
