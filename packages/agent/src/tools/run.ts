// Owns how a tool's program is run in the sandbox and how its result becomes a ToolOutcome. Decides no limits of its own.
import { join } from 'node:path'
import type { RunResult } from '@hearth/protocol'
import type { ToolContext, ToolOutcome } from './tool.ts'

const captureBytes = 2 * 2 ** 20
/** Enough to name the kind of a binary output. */
const firstBytesKept = 64

export type Program = {
  argv: readonly string[]
  stdin?: string | Uint8Array
  /** The program cannot change the workspace. */
  readOnly: boolean
  /** Keep the full output on disk and send it on as it comes: only what it writes to stdout, when `words` is set. */
  shown?: boolean
  /** stderr carries words from the tool's own script to the tool, and no output. */
  words?: boolean
  /** Shorter than the job's own limit. */
  wallMs?: number
  env?: Readonly<Record<string, string>>
  /** It has the job's network, when there is one. */
  network?: boolean
  /** Gets stdout as it comes. */
  onBytes?: (chunk: Uint8Array) => void
  signal?: AbortSignal
}

export function runProgram(program: Program, context: ToolContext): Promise<RunResult> {
  const decoder = new TextDecoder()
  const { stdin, env, shown, words, onBytes } = program
  return context.sandbox.run({
    argv: program.argv,
    workspace: context.workspace,
    readOnly: program.readOnly,
    ...(stdin === undefined ? {} : { stdin }),
    ...(env === undefined ? {} : { env }),
    ...(program.network === true && context.network !== undefined ? { network: context.network } : {}),
    limits: program.wallMs === undefined ? context.limits : { ...context.limits, wallMs: Math.min(context.limits.wallMs, program.wallMs) },
    captureBytes: onBytes === undefined || shown === true ? captureBytes : 4096,
    ...(shown === true ? { outputFile: outputPath(context) } : {}),
    ...(shown === true && words === true ? { outputOf: 'stdout' } : {}),
    ...(shown === true || onBytes !== undefined
      ? {
          onOutput: (stream, chunk) => {
            if (words === true && stream === 'stderr') return
            onBytes?.(chunk)
            if (shown === true) context.onOutput(decoder.decode(chunk, { stream: true }))
          },
        }
      : {}),
  }, program.signal ?? context.signal)
}

/** Keeps the first bytes of a stream. */
export function beginning(): { take(chunk: Uint8Array): void; bytes(): Uint8Array } {
  let kept = new Uint8Array(0)
  return {
    take(chunk) {
      if (kept.length < firstBytesKept) kept = Buffer.concat([kept, chunk.subarray(0, firstBytesKept - kept.length)])
    },
    bytes: () => kept,
  }
}

export function outputPath(context: Pick<ToolContext, 'outputDir' | 'callId'>): string {
  return join(context.outputDir, `${context.callId}.txt`)
}

/** The outcome of a run: its output, then one line for each way it did not end well. */
export function outcomeOf(result: RunResult, context: ToolContext, wrote: boolean, keepsFile: boolean): ToolOutcome {
  if (!result.ok) return { ok: false, exitCode: null, cause: result.fault.code, text: result.fault.message, totalBytes: 0, outputFile: null, wrote: false, fault: result.fault }
  const output = [result.stdout.text, result.stderr.text].filter((text) => text !== '').join('\n')
  const note = endNote(result, context.limits)
  const totalBytes = result.stdout.totalBytes + result.stderr.totalBytes
  return {
    ok: result.cause === 'exited' && result.exitCode === 0,
    exitCode: result.exitCode,
    cause: result.cause,
    text: withNotes(output, [...(note === null ? [] : [note]), ...(result.refused ?? [])]),
    totalBytes,
    outputFile: keepsFile ? outputPath(context) : null,
    wrote,
  }
}

/** The harness's own words after an output, in parentheses on lines of their own. */
export function withNotes(output: string, notes: readonly string[]): string {
  const said = notes.map((note) => `(${note})`).join('\n')
  return said === '' ? output : output === '' ? said : `${output.replace(/\n$/, '')}\n${said}`
}

/** How a run did not end well; null = it did. */
export function endNote(result: Extract<RunResult, { ok: true }>, limits: ToolContext['limits']): string | null {
  switch (result.cause) {
    case 'exited':
      if (result.signal !== null) return `killed by ${result.signal}`
      return result.exitCode === 0 ? null : `exit ${result.exitCode}`
    case 'timeout': return `stopped: longer than ${limits.wallMs / 1000} s`
    case 'memory': return `stopped: more than ${Math.round(limits.memoryBytes / 2 ** 20)} MiB of memory`
    case 'pids': return `stopped: more than ${limits.pids} processes`
    case 'output': return `stopped: more than ${Math.round(limits.outputBytes / 2 ** 20)} MiB of output`
    case 'cancelled': return 'cancelled'
    default: return result.cause satisfies never
  }
}
