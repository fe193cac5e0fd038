// Owns what a tool is: its words for the model, how it may be repeated after a crash, and how it runs. Knows no particular tool.
import type { Fault, Idempotency, JobEventBody, Limits, NetworkGrant, Sandbox } from '@hearth/protocol'
import { z } from 'zod'
import type { Trouble } from '../observe/noise.ts'
import type { Background } from './background.ts'

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
  /** Bytes that the model is shown of an outcome at most. A tool that can choose what to leave out keeps below it. */
  shownBytes: number
  /** Everything that happened in this job so far: the only memory of a tool (see traces.ts). */
  past: readonly JobEventBody[]
  /** Processes that outlive their call. */
  background: Background
  /** What programs may reach. Absent = nothing. */
  network?: NetworkGrant
  /** The model has the tool write beside edit. Absent = yes. */
  writes?: boolean
  /** There is somebody outside who may be asked. Absent = nobody. */
  expert?: boolean
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
  /** First bytes of the output as they came, by which a binary one is told apart. */
  firstBytes?: Uint8Array
  /** Lines of errors of the whole output, when `text` is not the whole. */
  trouble?: Trouble | null
  /** Where the next shell command begins, relative to the folder; absent = as before. */
  cwd?: string
  /** The file that was read or written, as the call left it. */
  file?: { path: string; sha256: string }
  /** Other files of which lines stand in `text`. */
  files?: readonly string[]
  /** The sandbox could not run it at all: no result for the model, but the end of the run. */
  fault?: Fault
}

/** A `compare` call that was looked at but not done: what its file is, what it will be, and how to do it. */
export type Prepared = {
  /** sha256 of the file; null = absent or not readable. */
  before: string | null
  /** sha256 it will have; null = the call will be refused. */
  after: string | null
  /** The file itself, links followed, relative to the folder; null = there is none to be changed. */
  path: string | null
  run(): Promise<ToolOutcome>
}

export type Tool = {
  name: string
  description: string
  parameters: z.ZodObject
  /** Arguments offered to a model that makes one small JSON call a step; absent = the required ones. */
  simple?: readonly string[]
  idempotency: Idempotency
  /** For `compare` tools: looks without changing anything. */
  prepare?: (args: Record<string, unknown>, context: ToolContext) => Promise<Prepared>
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

type Words<S extends z.ZodObject> = { name: string; description: string; parameters: S; simple?: readonly (keyof z.infer<S> & string)[] }

/** Ties a tool's argument type to its schema; the loop has validated the arguments before `run`. */
export function defineTool<S extends z.ZodObject>(tool: Words<S> & { idempotency: Exclude<Idempotency, 'compare'>; run(args: z.infer<S>, context: ToolContext): Promise<ToolOutcome> }): Tool {
  const { run, ...rest } = tool
  return { ...rest, run: (args, context) => run(args as z.infer<S>, context) }
}

/** A tool that changes one file: `prepare` says what will come of it, and its `run` does it. */
export function defineFileTool<S extends z.ZodObject>(tool: Words<S> & { prepare(args: z.infer<S>, context: ToolContext): Promise<Prepared> }): Tool {
  const { prepare, ...rest } = tool
  return {
    ...rest, idempotency: 'compare',
    prepare: (args, context) => prepare(args as z.infer<S>, context),
    run: async (args, context) => (await prepare(args as z.infer<S>, context)).run(),
  }
}

export function refused(text: string): ToolOutcome {
  return { ok: false, exitCode: null, cause: 'refused', text, totalBytes: Buffer.byteLength(text), outputFile: null, wrote: false }
}

/** An answer that no program gave. */
export function answered(text: string): ToolOutcome {
  return { ok: true, exitCode: 0, cause: 'exited', text, totalBytes: Buffer.byteLength(text), outputFile: null, wrote: false }
}
