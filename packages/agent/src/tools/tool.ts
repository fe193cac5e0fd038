// Owns what a tool is: its words for the model, how it may be repeated after a crash, and how it runs. Knows no particular tool.
import type { Fault, Idempotency, Limits, Sandbox } from '@hearth/protocol'
import { z } from 'zod'

export type ToolContext = {
  sandbox: Sandbox
  /** Host folder, seen by the tools as /work. */
  workspace: string
  limits: Limits
  signal: AbortSignal
  /** Host folder for full outputs, unseen by the tools; the file of a call is OUTPUT_DIR/CALL_ID.txt. */
  outputDir: string
  callId: string
  onOutput(text: string): void
}

/** What came of a call. `text` is the whole captured text; trimming for the model comes later (observe.ts). */
export type ToolOutcome = {
  ok: boolean
  exitCode: number | null
  /** `exited`, a RunCause, or `refused` when the tool itself said no. */
  cause: string
  text: string
  totalBytes: number
  /** Full text on this box when it is longer than what was captured or shown. */
  outputFile: string | null
  wrote: boolean
  /** The sandbox could not run it at all: no result for the model, but the end of the run. */
  fault?: Fault
}

export type Tool = {
  name: string
  description: string
  parameters: z.ZodObject
  idempotency: Idempotency
  /** For `compare` tools: the path whose hash tells whether the call took effect, and the content it would have then (null = unknown). */
  target?: (args: Record<string, unknown>) => { path: string; content: string | null }
  run(args: Record<string, unknown>, context: ToolContext): Promise<ToolOutcome>
}

// execve(2) takes 128 KiB for one word of a command line, its end included.
const wordBytes = 100_000

/** A text that becomes a word of a command line. The refusals are for the model: a kernel's refusal would end the job. */
export function commandWord(): z.ZodString {
  return z.string().min(1)
    .refine((text) => !text.includes('\0'), { error: 'it holds a NUL character' })
    .refine((text) => Buffer.byteLength(text) <= wordBytes, { error: `it is longer than ${wordBytes} bytes; write a file and run that` })
}

/** Ties a tool's argument type to its schema; the loop has validated the arguments before `run`. */
export function defineTool<S extends z.ZodObject>(tool: {
  name: string
  description: string
  parameters: S
  idempotency: Idempotency
  target?: (args: z.infer<S>) => { path: string; content: string | null }
  run(args: z.infer<S>, context: ToolContext): Promise<ToolOutcome>
}): Tool {
  const { target, run, ...rest } = tool
  return {
    ...rest,
    ...(target === undefined ? {} : { target: (args) => target(args as z.infer<S>) }),
    run: (args, context) => run(args as z.infer<S>, context),
  }
}

export function refused(text: string): ToolOutcome {
  return { ok: false, exitCode: null, cause: 'refused', text, totalBytes: Buffer.byteLength(text), outputFile: null, wrote: false }
}
