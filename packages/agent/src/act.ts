// Owns one tool call: validates it, writes the intent, runs it, writes the result. After a crash it decides what an intent without a result means.
import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import type { EventOf, Fault, JobEventBody, ToolCall } from '@hearth/protocol'
import { observationLimit, observed } from './observe.ts'
import { argumentsProblem, unknownTool } from './repair/fit.ts'
import { put, type Run } from './run.ts'
import { withNotes } from './tools/run.ts'
import { refused, type Tool, type ToolContext, type ToolOutcome } from './tools/tool.ts'
import { runningHandles, whyGone } from './tools/traces.ts'
import { answeredWrite } from './tools/write.ts'

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

  const context = contextOf(run, call)
  const plan = run.history.interrupted
  let perform = (): Promise<ToolOutcome> => tool.run(call.arguments, context)
  if (plan === null || plan.call.id !== call.id) {
    const prepared = await tool.prepare?.(call.arguments, context)
    if (prepared !== undefined) perform = () => prepared.run()
    const planned: JobEventBody = {
      type: 'tool_planned', step, call, argsHash: hashArguments(call), idempotency: tool.idempotency, before: prepared?.before ?? null,
      ...(prepared?.after == null ? {} : { after: prepared.after }),
    }
    // Two events, one wait: both go into the same commit, and nothing runs before it is on disk.
    await Promise.all([put(run, planned), put(run, { type: 'tool_started', step, callId: call.id })])
  } else if (!plan.started) {
    await put(run, { type: 'tool_started', step, callId: call.id })
  } else {
    const again = await repeat(plan, tool, context)
    if (again === null) {
      const unknown: Result = {
        type: 'tool_unknown', step, callId: call.id, name: call.name,
        observation: 'The machine was interrupted while this ran; its outcome is unknown and it is not run again. Look at the folder before you go on.',
      }
      await put(run, unknown)
      return unknown
    }
    perform = again
  }

  const begun = performance.now()
  const outcome = await perform()
  if (outcome.fault !== undefined) return { fault: outcome.fault }
  const result = resultEvent(run, call, step, outcome, performance.now() - begun)
  await put(run, result)
  return result
}

function contextOf(run: Run, call: ToolCall): ToolContext {
  const { step } = run.history
  let sent = 0
  return {
    sandbox: run.ports.sandbox, workspace: run.input.request.cwd, limits: run.input.limits, signal: run.patient, outputDir: run.input.outputDir, callId: call.id,
    shownBytes: observationLimit(run.ports.model.info.contextTokens), past: run.history.events, background: run.background, writes: run.tools.some(({ name }) => name === 'write'), expert: run.ports.expert != null && run.input.escalation?.askAt === undefined,
    ...(run.ports.network === undefined ? {} : { network: run.ports.network }),
    onOutput(text) {
      if (sent > sentCharacters || text === '') return
      sent += text.length
      void run.ports.emit({ type: 'tool_output', step, callId: call.id, text: sent <= sentCharacters ? text : `${text.slice(0, text.length - (sent - sentCharacters))}\n[... more output; all of it is kept with the result ...]\n` })
    },
  }
}

/**
 * How a call that an earlier run began is brought to its end; null = it may not be tried again. pure: it is run. unsafe: never. compare: it is run when the
 * file is as it was before, and it is over when the file is as it would leave it.
 */
async function repeat(plan: EventOf<'tool_planned'>, tool: Tool, context: ToolContext): Promise<(() => Promise<ToolOutcome>) | null> {
  switch (plan.idempotency) {
    case 'pure': return () => tool.run(plan.call.arguments, context)
    case 'unsafe': return null
    case 'compare': {
      const prepared = await tool.prepare?.(plan.call.arguments, context)
      if (prepared === undefined) return null
      const { path } = prepared
      const { after } = plan
      if (after !== undefined && prepared.before === after) {
        const done = answeredWrite(`${plan.call.name}: done, before the machine was interrupted`)
        return () => Promise.resolve(path === null ? done : { ...done, file: { path, sha256: after } })
      }
      return prepared.before === plan.before ? () => prepared.run() : null
    }
    default: return plan.idempotency satisfies never
  }
}

function resultEvent(run: Run, call: ToolCall, step: number, outcome: ToolOutcome, durationMs: number): EventOf<'tool_result'> {
  const { outputFile, firstBytes, trouble } = outcome
  const text = withNotes(outcome.text, run.background.takeLost().map((handle) => `the background process ${handle} is gone: ${whyGone(run.history.events, handle)}`))
  const { handles } = run.background
  return {
    type: 'tool_result', step, callId: call.id, name: call.name, ok: outcome.ok, exitCode: outcome.exitCode, cause: outcome.cause,
    observation: observed(text, {
      limit: observationLimit(run.ports.model.info.contextTokens), handle: outputFile === null ? null : basename(outputFile, '.txt'), chosen: outputFile === null,
      ...(firstBytes === undefined ? {} : { firstBytes }), ...(trouble === undefined ? {} : { whole: { bytes: outcome.totalBytes, trouble } }),
    }),
    totalBytes: outcome.totalBytes, outputFile, durationMs, wrote: outcome.wrote,
    ...(outcome.cwd === undefined ? {} : { cwd: outcome.cwd }),
    ...(outcome.file === undefined ? {} : { file: outcome.file }),
    ...(outcome.files === undefined || outcome.files.length === 0 ? {} : { files: [...outcome.files] }),
    ...(handles.join() === runningHandles(run.history.events).join() ? {} : { processes: handles }),
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
