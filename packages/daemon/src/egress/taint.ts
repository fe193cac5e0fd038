// Owns what a job has touched that makes its rules stricter, for as long as it lives: files that never leave, and words of strangers. Pure.
import type { EventOf, JobEvent, JobEventBody, ToolCall } from '@hearth/protocol'
import { posix } from 'node:path'
import { keptByProject, type PathLists } from './paths.ts'

export type Taint = {
  /** A file of the project's local-only list that the job read, wrote or named. A command may still read a file without naming it. */
  localFile: string | null
  /** What brought words of strangers into the job; null = nothing. */
  stranger: string | null
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
  readonly taint: Taint = { localFile: null, stranger: null }

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
      case 'opened': return this.#saw(event.instructions.map(({ path }) => path))
      case 'sub_step': return this.#saw(event.files ?? [])
      case 'tool_planned': return void this.#calls.set(`${course}/${event.call.id}`, event.call)
      case 'tool_unknown': case 'tool_result': {
        const key = `${course}/${event.callId}`
        const call = this.#calls.get(key)
        this.#calls.delete(key)
        return this.#result(event, call)
      }
      default: return
    }
  }

  #result(event: EventOf<'tool_result'> | EventOf<'tool_unknown'>, call: ToolCall | undefined): void {
    const result = event.type === 'tool_result' ? event : null
    if (result !== null) this.#saw([...(result.file === undefined ? [] : [result.file.path]), ...result.files ?? []])
    if (event.name === 'bash') {
      const words = call === undefined ? [] : wordsOf(call.arguments)
      this.#saw([...words, ...(this.#cwd === '.' ? [] : [this.#cwd, ...words.map((word) => posix.join(this.#cwd, word))])])
      this.#cwd = result?.cwd ?? this.#cwd
    }
    if (result?.cause !== 'refused') this.taint.stranger ??= this.#stranger(event.name, call)
  }

  #saw(paths: readonly string[]): void {
    this.taint.localFile ??= paths.find((path) => keptByProject(path, this.#lists)) ?? null
  }

  #stranger(tool: string, call: ToolCall | undefined): string | null {
    switch (tool) {
      // Answers that were written outside of the house.
      case 'fetch': return 'it read an address outside'
      case 'bash': return this.#facts.network ? 'its commands have a network' : null
      case 'mcp': {
        // One whose call is not known may have asked any of them.
        const name = call?.arguments['name']
        const server = typeof name === 'string' ? name.slice(0, name.indexOf('__')) : null
        if (server === null) return this.#facts.remoteServers.size > 0 ? 'it asked a server outside' : null
        return this.#facts.remoteServers.has(server) ? `it asked the server '${server}'` : null
      }
      default: return null
    }
  }
}

/** What in the texts of a command could be a path. */
function wordsOf(args: Readonly<Record<string, unknown>>): string[] {
  const texts = Object.values(args).filter((value) => typeof value === 'string')
  return [...new Set(texts.flatMap((text) => text.split(/[\s"'`=:;,|&<>(){}$]+/)).filter((word) => word !== '' && word !== '.' && !word.startsWith('-')).map((word) => word.replace(/^\/work\//, '')))].slice(0, 500)
}
