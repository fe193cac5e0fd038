// Owns what a scripted model answers to a request, as data: which turn, what it must find there, what it says. Pure but for the JSON schema compiler.
import { fault, type Fault, type ModelRequest, type StopReason, type ToolCall } from '@hearth/protocol'
import { z } from 'zod'
import type { Script, ScriptAnswer, ScriptTurn } from './script.ts'

/** What is said: pieces in order. Text is streamed; a call is one piece. */
export type Piece = { type: 'text' | 'reasoning'; text: string } | { type: 'tool_call'; call: ToolCall } | { type: 'malformed_call'; text: string; problem: string }
export type Spoken = { pieces: Piece[]; stop: StopReason }

/** The turn for a request: as many assistant messages as it holds have been answered before. A counter in memory would not survive a restart. */
export function turnFor(script: Script, request: ModelRequest): { number: number; turn: ScriptTurn | null } {
  const answered = request.messages.filter((message) => message.role === 'assistant').length
  const index = script.loop ? answered % script.turns.length : answered
  return { number: answered + 1, turn: script.turns[index] ?? null }
}

/** Why the request is not what the turn expects; null when it is. */
export function unexpected(answer: ScriptAnswer, request: ModelRequest): string | null {
  const { expect } = answer
  const last = request.messages.at(-1)
  if (expect === undefined || last === undefined) return null
  if (expect.lastRole !== undefined && last.role !== expect.lastRole) return `expects the last message to be of the ${expect.lastRole}, and it is of the ${last.role}`
  for (const text of [expect.contains ?? []].flat()) {
    if (!last.text.includes(text)) return `expects the last message to contain ${quoted(text)}, and it is ${quoted(last.text)}`
  }
  for (const text of [expect.lacks ?? []].flat()) {
    if (last.text.includes(text)) return `expects the last message not to contain ${quoted(text)}, and it is ${quoted(last.text)}`
  }
  const offered = request.tools.map((tool) => tool.name)
  for (const name of expect.tools ?? []) {
    if (!offered.includes(name)) return `expects the tool '${name}', and the request offers ${offered.length === 0 ? 'none' : offered.join(', ')}`
  }
  return null
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text)
}

/** What the answer says to this request, or why it cannot: a JSON schema is obeyed or refused, and so is a tool choice. */
export function speak(answer: ScriptAnswer, number: number, request: ModelRequest, path: string): Spoken | Fault {
  const said = speech(answer, number, request, path)
  if ('code' in said || answer.reasoning === undefined) return said
  return { ...said, pieces: [{ type: 'reasoning', text: answer.reasoning }, ...said.pieces] }
}

function speech(answer: ScriptAnswer, number: number, request: ModelRequest, path: string): Spoken | Fault {
  const refuse = (problem: string): Fault => fault('script_mismatch', { path, problem: `turn ${number} ${problem}` })
  const calls = answer.calls ?? []
  if (request.responseFormat.type === 'json_schema') {
    if (answer.malformed !== undefined) return { pieces: [{ type: 'text', text: answer.malformed }], stop: answer.stop ?? 'end' }
    if (answer.fault !== undefined || answer.hang === true) return { pieces: texts(answer.text), stop: 'end' }
    if (calls.length > 1) return refuse(`has ${calls.length} calls, and the request asks for one JSON object`)
    const call = calls[0]
    const text = call === undefined ? answer.text ?? '' : JSON.stringify({ tool: call.name, ...call.arguments })
    const problem = schemaProblem(request.responseFormat.schema, text)
    if (problem === null) return { pieces: [{ type: 'text', text }], stop: answer.stop ?? 'end' }
    return typeof problem === 'string' ? refuse(`does not fit the JSON schema of the request: ${problem}`) : problem
  }
  const mayCall = request.tools.length > 0 && request.toolChoice !== 'none'
  if (answer.malformed !== undefined) {
    const broken: Piece = mayCall
      ? { type: 'malformed_call', text: answer.malformed, problem: 'the tool call is not valid JSON with a name and arguments' }
      : { type: 'text', text: answer.malformed }
    return { pieces: [...texts(answer.text), broken], stop: answer.stop ?? 'end' }
  }
  if (calls.length > 0 && !mayCall) return refuse(`calls '${calls[0]?.name ?? ''}', and the request offers no tools`)
  const ends = answer.fault !== undefined || answer.hang === true
  if (request.toolChoice === 'required' && calls.length === 0 && !ends) return refuse('calls no tool, and the request requires one')
  const { toolChoice } = request
  if (typeof toolChoice === 'object' && !ends && !calls.every((call) => call.name === toolChoice.name)) return refuse(`does not call '${toolChoice.name}', which the request requires`)
  if (typeof toolChoice === 'object' && !ends && calls.length === 0) return refuse(`calls no tool, and the request requires '${toolChoice.name}'`)
  return {
    pieces: [
      ...texts(answer.text),
      ...calls.map((call, n): Piece => ({ type: 'tool_call', call: { id: `call_${number}_${n + 1}`, name: call.name, arguments: call.arguments } })),
    ],
    stop: answer.stop ?? (calls.length > 0 ? 'tool_calls' : 'end'),
  }
}

function texts(text: string | undefined): Piece[] {
  return text === undefined || text === '' ? [] : [{ type: 'text', text }]
}

const compiled = new Map<string, z.ZodType | Fault>()

/** Null: the text is JSON that fits. A sentence: it does not. A fault: the schema cannot be checked. */
function schemaProblem(schema: Record<string, unknown>, text: string): string | Fault | null {
  const key = JSON.stringify(schema)
  let checker = compiled.get(key)
  if (checker === undefined) {
    try {
      checker = z.fromJSONSchema(schema)
    } catch (error) {
      checker = fault('bad_schema', { problem: error instanceof Error ? error.message : String(error) })
    }
    if (compiled.size >= 64) compiled.clear()
    compiled.set(key, checker)
  }
  if (!('safeParse' in checker)) return checker
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return `${quoted(text)} is not JSON`
  }
  const result = checker.safeParse(value)
  if (result.success) return null
  const issue = result.error.issues[0]
  return `${issue === undefined || issue.path.length === 0 ? quoted(text) : `'${issue.path.join('.')}'`}: ${issue?.message ?? 'refused'}`
}
