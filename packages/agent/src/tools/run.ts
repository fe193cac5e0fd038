// Owns how a tool's program is run in the sandbox and how its result becomes a ToolOutcome. Decides no limits of its own.
import { join } from 'node:path'
import type { RunResult } from '@hearth/protocol'
import type { ToolContext, ToolOutcome } from './tool.ts'

const captureBytes = 2 * 2 ** 20

export type Program = {
  argv: readonly string[]
  stdin?: string
  /** The program cannot change the workspace. */
  readOnly: boolean
  /** Keep the full output on disk and send it on as it comes. */
  shown?: boolean
}

export function runProgram(program: Program, context: ToolContext): Promise<RunResult> {
  const decoder = new TextDecoder()
  return context.sandbox.run({
    argv: program.argv,
    workspace: context.workspace,
    readOnly: program.readOnly,
    ...(program.stdin === undefined ? {} : { stdin: program.stdin }),
    limits: context.limits,
    captureBytes,
    ...(program.shown === true
      ? { outputFile: outputPath(context), onOutput: (_stream, chunk) => context.onOutput(decoder.decode(chunk, { stream: true })) }
      : {}),
  }, context.signal)
}

export function outputPath(context: Pick<ToolContext, 'outputDir' | 'callId'>): string {
  return join(context.outputDir, `${context.callId}.txt`)
}

/** The outcome of a run: its output, then one line for each way it did not end well. */
export function outcomeOf(result: RunResult, context: ToolContext, wrote: boolean, keepsFile: boolean): ToolOutcome {
  if (!result.ok) return { ok: false, exitCode: null, cause: result.fault.code, text: result.fault.message, totalBytes: 0, outputFile: null, wrote: false, fault: result.fault }
  const output = [result.stdout.text, result.stderr.text].filter((text) => text !== '').join('\n')
  const note = endNote(result, context)
  const totalBytes = result.stdout.totalBytes + result.stderr.totalBytes
  return {
    ok: result.cause === 'exited' && result.exitCode === 0,
    exitCode: result.exitCode,
    cause: result.cause,
    text: note === null ? output : output === '' ? note : `${output.replace(/\n$/, '')}\n${note}`,
    totalBytes,
    outputFile: keepsFile ? outputPath(context) : null,
    wrote,
  }
}

function endNote(result: Extract<RunResult, { ok: true }>, context: ToolContext): string | null {
  const limits = context.limits
  switch (result.cause) {
    case 'exited':
      if (result.signal !== null) return `(killed by ${result.signal})`
      return result.exitCode === 0 ? null : `(exit ${result.exitCode})`
    case 'timeout': return `(stopped: longer than ${limits.wallMs / 1000} s)`
    case 'memory': return `(stopped: more than ${Math.round(limits.memoryBytes / 2 ** 20)} MiB of memory)`
    case 'pids': return `(stopped: more than ${limits.pids} processes)`
    case 'output': return `(stopped: more than ${Math.round(limits.outputBytes / 2 ** 20)} MiB of output)`
    case 'cancelled': return '(cancelled)'
    default: return result.cause satisfies never
  }
}
