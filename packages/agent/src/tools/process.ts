// Owns the process tool: looks after what bash left running in the background. Starts nothing.
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { Running } from './background.ts'
import { outputPath, endNote, withNotes } from './run.ts'
import { defineTool, refused, type ToolContext, type ToolOutcome } from './tool.ts'
import { whyGone } from './traces.ts'

const defaultWaitSeconds = 30

export const processTool = defineTool({
  name: 'process',
  description: 'A background process: its new output, wait for its end, or stop it.',
  parameters: z.strictObject({
    handle: z.string().describe('e.g. p1'),
    action: z.enum(['output', 'wait', 'stop']),
    timeout: z.int().min(1).max(86_400).optional().describe('seconds to wait'),
  }),
  // After a crash there is no process any more, and the same question gets that answer.
  idempotency: 'pure',
  async run({ handle, action, timeout }, context) {
    const running = context.background.get(handle)
    if (running === null) return refused(missing(handle, context))
    if (action === 'stop') await running.stop()
    if (action === 'wait') await waited(running, Math.min(context.limits.wallMs, (timeout ?? defaultWaitSeconds) * 1000), context.signal)
    return told(running, context)
  },
})

async function waited(running: Running, ms: number, signal: AbortSignal): Promise<void> {
  const over = new AbortController()
  await Promise.race([running.ended, sleep(ms, null, { signal: AbortSignal.any([signal, over.signal]) }).catch(() => null)])
  over.abort()
}

function told(running: Running, context: ToolContext): ToolOutcome {
  const { text, lostBytes } = running.news()
  const { result, handle } = running
  const seconds = Math.round((performance.now() - running.begun) / 1000)
  const state = result === null ? `${handle} runs, ${seconds} s so far`
    : !result.ok ? `${handle} could not run: ${result.fault.message}`
      : `${handle} has ended: ${result.cause === 'cancelled' ? 'stopped' : (endNote(result, context.limits) ?? 'exit 0')}`
  const shown = lostBytes > 0 ? `[${lostBytes} bytes before are in output:${running.callId}]\n${text}` : text
  return {
    ok: true, exitCode: null, cause: 'exited', text: withNotes(shown, [state, ...(result?.ok === true ? result.refused ?? [] : [])]), totalBytes: Buffer.byteLength(text),
    outputFile: outputPath({ outputDir: context.outputDir, callId: running.callId }), wrote: true,
  }
}

function missing(handle: string, { background, past }: ToolContext): string {
  const name = handle.slice(0, 40)
  if (background.knew(name)) return `${name} is gone: ${whyGone(past, name)}. Start it anew with bash if it is needed`
  return `there is no process ${name}; ${background.handles.length === 0 ? 'none runs' : `there are ${background.handles.join(', ')}`}`
}
