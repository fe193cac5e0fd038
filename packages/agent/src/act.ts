// Owns one tool call: validates it, writes the intent, runs it, writes the result. After a crash it decides what an intent without a result means.
import { createHash } from 'node:crypto'
import type { EventOf, Fault, JobEventBody, ToolCall } from '@hearth/protocol'
import { observationLimit, observe } from './observe.ts'
import { argumentsProblem, unknownTool } from './repair/fit.ts'
import { put, type Run } from './run.ts'
import { hashOf } from './tools/files.ts'
import { refused, type Tool, type ToolContext, type ToolOutcome } from './tools/tool.ts'

/** Output of one call that is sent on, and stored, while it runs: for those who watch. All of it is in the call's file. */
const sentCharacters = 256 * 1024

type Result = EventOf<'tool_result'> | EventOf<'tool_unknown'>

/** Performs the pending call and returns its last event, which is on disk by then; or the fault of a sandbox that cannot start. */
export async function act(run: Run, call: ToolCall): Promise<Result | { fault: Fault }> {
  const { step } = run.history
  const tool = run.tools.find((candidate) => candidate.name === call.name)
  const problem = tool === undefined ? unknownTool(call.name, run.tools) : argumentsProblem(tool, call.arguments)
  if (tool === undefined || problem !== null) {
    const result = resultEvent(run, call, step, refused(problem ?? ''), 0)
    await put(run, result)
    return result
  }

  let sent = 0
  const context: ToolContext = {
    sandbox: run.ports.sandbox, workspace: run.input.request.cwd, limits: run.input.limits, signal: run.patient, outputDir: run.input.outputDir, callId: call.id,
    onOutput(text) {
      if (sent > sentCharacters || text === '') return
      sent += text.length
      void run.ports.emit({ type: 'tool_output', step, callId: call.id, text: sent <= sentCharacters ? text : `${text.slice(0, text.length - (sent - sentCharacters))}\n[... more output; all of it is kept with the result ...]\n` })
    },
  }
  const plan = run.history.interrupted
  if (plan === null || plan.call.id !== call.id) {
    const target = tool.target?.(call.arguments)
    const before = target === undefined ? null : await hashOf(target.path, context)
    const planned: JobEventBody = { type: 'tool_planned', step, call, argsHash: hashArguments(call), idempotency: tool.idempotency, before }
    // Two events, one wait: both go into the same commit, and nothing runs before it is on disk.
    await Promise.all([put(run, planned), put(run, { type: 'tool_started', step, callId: call.id })])
  } else if (!plan.started) {
    await put(run, { type: 'tool_started', step, callId: call.id })
  } else if (!(await mayRepeat(plan, tool, context))) {
    const unknown: Result = {
      type: 'tool_unknown', step, callId: call.id, name: call.name,
      observation: 'The machine was interrupted while this ran; its outcome is unknown and it is not run again. Look at the folder before you go on.',
    }
    await put(run, unknown)
    return unknown
  }

  const begun = performance.now()
  const outcome = await tool.run(call.arguments, context)
  if (outcome.fault !== undefined) return { fault: outcome.fault }
  const result = resultEvent(run, call, step, outcome, performance.now() - begun)
  await put(run, result)
  return result
}

/** pure: always. compare: when the file is as it was before, or already as it would be. unsafe: never. */
async function mayRepeat(plan: EventOf<'tool_planned'>, tool: Tool, context: ToolContext): Promise<boolean> {
  switch (plan.idempotency) {
    case 'pure': return true
    case 'unsafe': return false
    case 'compare': {
      const target = tool.target?.(plan.call.arguments)
      if (target === undefined) return false
      const now = await hashOf(target.path, context)
      return now === plan.before || (target.content !== null && now === createHash('sha256').update(target.content).digest('hex'))
    }
    default: return plan.idempotency satisfies never
  }
}

function resultEvent(run: Run, call: ToolCall, step: number, outcome: ToolOutcome, durationMs: number): EventOf<'tool_result'> {
  return {
    type: 'tool_result', step, callId: call.id, name: call.name, ok: outcome.ok, exitCode: outcome.exitCode, cause: outcome.cause,
    observation: observe(outcome.text, observationLimit(run.ports.model.info.contextTokens), outcome.outputFile === null ? null : call.id),
    totalBytes: outcome.totalBytes, outputFile: outcome.outputFile, durationMs, wrote: outcome.wrote,
  }
}

/** sha256 of the name and the arguments with sorted keys, so that the same call has the same hash however it was written. */
function hashArguments(call: ToolCall): string {
  return createHash('sha256').update(JSON.stringify([call.name, sorted(call.arguments)])).digest('hex')
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, inner]) => [key, sorted(inner)]))
}
