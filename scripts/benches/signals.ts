// What it costs a turn to decide whether help is needed: everything that escalation looks at in the events, against one step of the starter model;
// and what a turn costs that is asked how likely the model found its own tokens.
import { effectDue } from '@hearth/agent/escalate/effect'
import { likelihoodOf } from '@hearth/agent/escalate/likelihood'
import { areActing, signalsNow } from '@hearth/agent/escalate/signals'
import { isCooling, lastResortDenied, lastWord, modesToTry, notNow, openOffer } from '@hearth/agent/escalate/state'
import { ModelRequest, type JobEventBody, type Model, type ModelRequestInput, type TokenProbability } from '@hearth/protocol'
import { benchHome, openEngine, timed } from './engine-parts.ts'
import { against, takeTurns, type Benchmark, type Row } from './frame.ts'

const lengths = [40, 400]
const repeats = 20
/** One turn in eight is asked, so this keeps the cost of all turns below one in a hundred. */
const askedAtMost = 1.08

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
            for (let n = 0; n < repeats; n += 1) {
              likelihoodOf(spelled)
              decide(events)
            }
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
      context.say('a call with the wish for likelihoods, and without')
      const said = new Set<string>()
      const call = async (likelihoods: boolean): Promise<number> => {
        const { text, msPerToken, likely } = await written(parts.model, likelihoods)
        if (likely !== likelihoods) throw new Error(`the wish for likelihoods was ${likelihoods}, and it was ${likely ? '' : 'not '}met`)
        said.add(text)
        return msPerToken
      }
      const speeds = await takeTurns(context.rounds, { asked: () => call(true), plain: () => call(false) })
      if (said.size > 1) throw new Error('the wish for likelihoods changed what is said')
      rows.push(against({ bench: 'signals', figure: 'a turn that is asked, one in eight', unit: 'ms/token', note: `a call in a grammar, ${[...said][0]?.length ?? 0} characters, the same in all` }, speeds.asked, { name: 'not asked', samples: speeds.plain }, { is: 'at most', ratio: askedAtMost }))
      return rows
    } finally {
      await parts.close()
      remove()
    }
  },
}

/** A call as json mode writes one, drawn with a temperature: what the library's own confidence would change. */
const asked: ModelRequestInput = {
  messages: [{ role: 'user', text: 'Write a short poem about the sea into poem.txt.' }], sampling: { temperature: 0.7, topP: 0.95, seed: 4 }, maxTokens: 120, sessionKey: 'call', purpose: 'bench',
  responseFormat: {
    type: 'json_schema', schema: { oneOf: ['write', 'append'].map((tool) => ({ type: 'object', properties: { tool: { const: tool }, text: { type: 'string', maxLength: 600 } }, required: ['tool', 'text'], additionalProperties: false })) },
  },
}

async function written(model: Model, likelihoods: boolean): Promise<{ text: string; msPerToken: number; likely: boolean }> {
  let text = ''
  let likely = false
  for await (const event of model.generate(ModelRequest.parse({ ...asked, likelihoods }), new AbortController().signal)) {
    if (event.type === 'failed') throw new Error(event.fault.message)
    if (event.type === 'text') {
      text += event.text
      likely ||= (event.probabilities ?? []).length > 0
    }
    if (event.type === 'done') return { text, likely, msPerToken: event.timings.decodeMs / event.usage.completionTokens }
  }
  throw new Error('the stream ended without done or failed')
}

/** The tokens of a call of the usual length. */
const spelled: TokenProbability[] = ['{"', 'tool', '":"', 'edit', '","', 'text', '":"', ...Array.from({ length: 50 }, (_, n) => ` word${n}`), '"}'].map((text) => ({ text, probability: 0.9, top: [] }))

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
      { type: 'turn', step: n + 1, model: 'm', text: 'I look at it.', toolCalls: [call], stop: 'tool_calls', usage, timings, likelihood: { names: { tokens: 2, lowest: 900, tenth: 900 }, values: { tokens: 40, lowest: 20, tenth: 300 } } },
      { type: 'tool_planned', step: n + 1, call, argsHash: `h${n}`, idempotency: 'unsafe', before: null },
      { type: 'tool_started', step: n + 1, callId: call.id },
      { type: 'tool_result', step: n + 1, callId: call.id, name, ok: name !== 'bash', exitCode: name === 'bash' ? 1 : 0, cause: 'exited', observation: name === 'bash' ? output : 'ok', totalBytes: 2000, outputFile: null, durationMs: 50, wrote: name !== 'read' },
    ]
  }).flat()
}
