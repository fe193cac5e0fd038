// Owns the format of a scripted model: the schema of its JSON file, reading it, and what the schema alone cannot refuse.
// docs/scripted-model.md lists the same keys; a test holds the two together.
import { readFile, stat } from 'node:fs/promises'
import { fault, faultTable, stopReasons, type Fault, type FaultCode } from '@hearth/protocol'
import { z } from 'zod'

const Delay = z.int().min(0).max(86_400_000)
const Rate = z.number().positive().max(100_000)

export const ScriptCall = z.strictObject({
  name: z.string().min(1).describe('tool'),
  arguments: z.record(z.string(), z.unknown()).default({}).describe('its arguments'),
})

const Texts = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)])

export const Expectation = z.strictObject({
  contains: Texts.optional().describe('text, or a list of texts, that the last message must contain'),
  lacks: Texts.optional().describe('text, or a list of texts, that the last message must not contain'),
  lastRole: z.enum(['system', 'user', 'assistant', 'tool']).optional().describe('role of the last message'),
  tools: z.array(z.string()).optional().describe('names of tools that the request must offer'),
})

const answerKeys = {
  reasoning: z.string().min(1).optional().describe('what the model thinks before it says that'),
  text: z.string().optional().describe('what the model says'),
  calls: z.array(ScriptCall).min(1).max(64).optional().describe('tool calls, after the text'),
  malformed: z.string().optional().describe('a broken tool call, word for word; it stands in place of `calls`'),
  fault: z.strictObject({
    code: z.string().refine((code) => Object.hasOwn(faultTable, code), 'there is no such fault code').describe('a code of docs/exit-codes.md'),
    detail: z.record(z.string(), z.unknown()).default({}).describe('what the sentence of that fault needs'),
  }).optional().describe('the turn ends in this failure, after its text'),
  hang: z.boolean().optional().describe('true: after its text the turn says nothing more until it is cancelled'),
  delayMs: Delay.optional().describe('milliseconds before the first token, as a long prompt would take'),
  tokensPerSecond: Rate.optional().describe('speed of this turn; default: that of the script'),
  stop: z.enum(stopReasons).exclude(['cancelled']).optional().describe('stop reason; default: tool_calls after calls, else end'),
  usage: z.strictObject({
    promptTokens: z.int().min(0).optional().describe('tokens of the prompt'),
    reusedTokens: z.int().min(0).optional().describe('of these, already in the cache'),
    completionTokens: z.int().min(0).optional().describe('tokens of the answer'),
  }).optional().describe('token counts to report in place of the counted ones'),
  expect: Expectation.optional().describe('what the request must look like; when it does not, the turn fails and says so'),
}

const hasAnswer = (turn: { text?: unknown; calls?: unknown; malformed?: unknown; fault?: unknown; hang?: unknown }): boolean =>
  turn.text !== undefined || turn.calls !== undefined || turn.malformed !== undefined || turn.fault !== undefined || turn.hang === true
const oneEnd = (turn: { calls?: unknown; malformed?: unknown; fault?: unknown; hang?: unknown }): boolean =>
  [turn.calls !== undefined || turn.malformed !== undefined, turn.fault !== undefined, turn.hang === true].filter(Boolean).length <= 1
  && !(turn.calls !== undefined && turn.malformed !== undefined)
const needsAnswer = 'needs at least one of text, calls, malformed, fault, hang'
const needsOneEnd = 'may have only one of calls, malformed, fault, hang'

export const ScriptAnswer = z.strictObject(answerKeys).refine(hasAnswer, needsAnswer).refine(oneEnd, needsOneEnd)
export type ScriptAnswer = z.infer<typeof ScriptAnswer>

export const ScriptTurn = z.strictObject({
  ...answerKeys,
  first: z.array(ScriptAnswer).min(1).max(100).optional()
    .describe('answers to the first requests for this turn, one each, before the turn itself: a failure that goes away when it is tried again'),
}).refine(hasAnswer, needsAnswer).refine(oneEnd, needsOneEnd)
export type ScriptTurn = z.infer<typeof ScriptTurn>

export const Script = z.strictObject({
  version: z.literal(1).describe('version of this format'),
  about: z.string().optional().describe('a line for people'),
  contextTokens: z.int().min(64).max(100_000_000).default(32_768).describe('context window; a longer prompt is refused'),
  toolMode: z.enum(['native', 'json']).default('native').describe('how the agent asks for tools: native tool calls, or one JSON object a step'),
  tokensPerSecond: Rate.optional().describe('speed of every turn; default: as fast as it is read'),
  loop: z.boolean().default(false).describe('true: after the last turn comes the first again'),
  turns: z.array(ScriptTurn).min(1).max(100_000).describe('one for each answer of the model, in order'),
})
export type Script = z.infer<typeof Script>
export type ScriptInput = z.input<typeof Script>

const largestBytes = 64 * 2 ** 20

/** Reads and checks a script. A file that cannot be read, is not JSON or breaks the schema is `bad_script` with the place. */
export async function readScript(path: string): Promise<{ ok: true; script: Script } | { ok: false; fault: Fault }> {
  const refuse = (problem: string): { ok: false; fault: Fault } => ({ ok: false, fault: fault('bad_script', { path, problem }) })
  let text: string
  try {
    const found = await stat(path)
    if (!found.isFile()) return refuse('it is not a regular file')
    if (found.size > largestBytes) return refuse(`it has ${found.size} bytes, and at most ${largestBytes} are read`)
    text = await readFile(path, 'utf8')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    return refuse(code === 'ENOENT' ? 'there is no such file' : code === 'EACCES' ? 'it may not be read' : String(error))
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return refuse(`it is not JSON (${error instanceof Error ? error.message : String(error)})`)
  }
  return checkScript(value, path)
}

/** Checks a value against the schema and the rules beside it; `path` stands in the sentence. */
export function checkScript(value: unknown, path: string): { ok: true; script: Script } | { ok: false; fault: Fault } {
  const parsed = Script.safeParse(value)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    const where = issue === undefined || issue.path.length === 0 ? '' : `${issue.path.map((part) => typeof part === 'number' ? `[${part}]` : `.${String(part)}`).join('').replace(/^\./, '')}: `
    return { ok: false, fault: fault('bad_script', { path, problem: `${where}${issue?.message ?? 'it does not fit the schema'}` }) }
  }
  for (const [index, turn] of parsed.data.turns.entries()) {
    for (const [place, answer] of [[`turns[${index}]`, turn], ...(turn.first ?? []).map((each, n) => [`turns[${index}].first[${n}]`, each] as const)] as const) {
      const problem = problemOf(answer)
      if (problem !== null) return { ok: false, fault: fault('bad_script', { path, problem: `${place}.${problem}` }) }
    }
  }
  return { ok: true, script: parsed.data }
}

function problemOf(answer: ScriptAnswer): string | null {
  const call = answer.calls?.findIndex((each) => Object.hasOwn(each.arguments, 'tool')) ?? -1
  if (call >= 0) return `calls[${call}].arguments: 'tool' names the tool in json mode and cannot be an argument`
  if (answer.fault !== undefined && scriptedFault(answer.fault) === null) return `fault.detail: the sentence of '${answer.fault.code}' needs other fields`
  return null
}

/** The fault that a turn names; null when its detail lacks what the sentence needs. */
export function scriptedFault(named: { code: string; detail: Record<string, unknown> }): Fault | null {
  let missing = false
  const detail = new Proxy(named.detail, {
    get(target, key) {
      missing ||= !Object.hasOwn(target, key)
      return target[String(key)]
    },
  })
  try {
    const made = fault(named.code as FaultCode, detail as never)
    // What a sentence can do without leaves no trace in it.
    const sentence = `${made.message} ${made.remedy}`
    return sentence.includes('NaN') || (missing && sentence.includes('undefined')) ? null : made
  } catch {
    return null
  }
}
