// What it costs a turn to decide whether help is needed: everything that escalation looks at in the events, against one step of the starter model.
import { effectDue } from '@hearth/agent/escalate/effect'
import { areActing, signalsNow } from '@hearth/agent/escalate/signals'
import { isCooling, lastResortDenied, lastWord, modesToTry, notNow, openOffer } from '@hearth/agent/escalate/state'
import type { JobEventBody } from '@hearth/protocol'
import { benchHome, openEngine, timed } from './engine-parts.ts'
import { against, takeTurns, type Benchmark, type Row } from './frame.ts'

const lengths = [40, 400]
const repeats = 20

export const signals: Benchmark = {
  name: 'signals',
  title: 'Deciding after each turn whether help is needed',
  async run(context) {
    const { home, remove } = benchHome()
    const parts = await openEngine(context, home, { threads: 1, contextTokens: 2048, sequences: 1 })
    try {
      const rows: Row[] = []
      for (const length of lengths) {
        const events = job(length)
        let asked = 0
        const taken = await takeTurns(context.rounds, {
          decision: () => {
            const start = performance.now()
            for (let n = 0; n < repeats; n += 1) decide(events)
            return Promise.resolve((performance.now() - start) / repeats)
          },
          // The shortest step there is: everything but the last observation is reused, and the answer is one small call.
          step: async () => (await timed(parts.model, {
            messages: [{ role: 'system', text: 'You do tasks in a folder.' }, { role: 'user', text: `Task: look around.\n${'Result: a line of a file that was read before.\n'.repeat(20)}Result: ${asked++}` }],
            maxTokens: 24, sessionKey: 'bench', purpose: 'bench', sampling: { temperature: 0 },
          })).ms,
        })
        rows.push(against({ bench: 'signals', figure: `after ${length} turns`, unit: 'ms', note: `${events.length} events` }, taken.decision, { name: 'a short step of the starter', samples: taken.step }, { is: 'at most', ratio: 0.01 }))
      }
      return rows
    } finally {
      await parts.close()
      remove()
    }
  },
}

/** What the loop asks of escalation at the edge of a step. */
function decide(events: readonly JobEventBody[]): boolean {
  const open = openOffer(events) !== null || lastWord(events) !== null || lastResortDenied(events) !== null || isCooling(events)
  const found = signalsNow(events, { medianSeconds: 1 })
  return effectDue(events, false) !== null || open || (areActing(found) && modesToTry(events, ['advise', 'step'], found).length > 0 && notNow(events) === null)
}

/** Reading, editing and failing tests in turn, with outputs of the usual length. */
function job(turns: number): JobEventBody[] {
  const usage = { promptTokens: 4000, reusedTokens: 3800, completionTokens: 60 }
  const timings = { queuedMs: 0, prefillMs: 100, decodeMs: 900, ttftMs: 100, totalMs: 1000 }
  const output = `${'    at Object.<anonymous> (src/some/file.js:10:4) expected 3 and got 4\n'.repeat(30)}# pass 40\n# fail 3\n(exit 1)`
  return Array.from({ length: turns }, (_, n): JobEventBody[] => {
    const name = (['read', 'edit', 'bash'] as const)[n % 3] ?? 'bash'
    const call = { id: `c${n}`, name, arguments: name === 'bash' ? { command: 'npm test' } : { path: `src/file${n % 7}.js` } }
    return [
      { type: 'step', step: n + 1 },
      { type: 'turn', step: n + 1, model: 'm', text: 'I look at it.', toolCalls: [call], stop: 'tool_calls', usage, timings },
      { type: 'tool_planned', step: n + 1, call, argsHash: `h${n}`, idempotency: 'unsafe', before: null },
      { type: 'tool_started', step: n + 1, callId: call.id },
      { type: 'tool_result', step: n + 1, callId: call.id, name, ok: name !== 'bash', exitCode: name === 'bash' ? 1 : 0, cause: 'exited', observation: name === 'bash' ? output : 'ok', totalBytes: 2000, outputFile: null, durationMs: 50, wrote: name !== 'read' },
    ]
  }).flat()
}
