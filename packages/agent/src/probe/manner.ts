// Owns the questions that tell how a model works with files and tools of the agent's own, put as the agent puts them. Pure; asks nobody.
import type { AgentProfile, ModelRequestInput } from '@hearth/protocol'
import { jsonMode } from '../modes/json.ts'
import type { Mode, ModeOptions } from '../modes/mode.ts'
import { nativeMode } from '../modes/native.ts'
import { argumentsProblem } from '../repair/fit.ts'
import { edit, editsOf } from '../tools/edit.ts'
import { finish } from '../tools/finish.ts'
import { applyEdits } from '../tools/match.ts'
import { needed, toolsOf } from '../tools/registry.ts'
import type { Tool } from '../tools/tool.ts'
import { write } from '../tools/write.ts'
import type { Answered } from './ask.ts'

type ToolMode = AgentProfile['toolMode']
type Heard = Extract<Answered, { ok: true }>
export type Question = { name: string; request: ModelRequestInput; judge(answer: Heard): string | null }

// Enough for the longest file below, written whole; so little that strings are bounded in json mode, where a tiny model may never end one.
const callTokens = 256

/** One step of the agent with these tools. `judge`: what is wrong with the call; null = right. */
function step(name: string, toolMode: ToolMode, tools: readonly Tool[], task: string, judge: (call: { name: string; arguments: Record<string, unknown> }) => string | null): Question {
  const options: ModeOptions = { tools, examples: [], callTokens, prompt: null, keepsThoughts: false, network: false }
  const mode: Mode = toolMode === 'json' ? jsonMode(options) : nativeMode(options)
  return {
    name, request: { messages: mode.opening(task, [], null), ...mode.asked(), maxTokens: callTokens },
    judge({ text, calls, malformed, stop }) {
      const understood = mode.understand({ text, calls, malformed: malformed === null ? null : { text, problem: malformed }, cut: stop === 'max_tokens' }, 1)
      if (understood.type === 'malformed') return understood.problem
      const call = understood.type === 'calls' ? understood.calls[0] : undefined
      if (call === undefined) return `no call, but words: ${text.trim().slice(0, 80)}`
      const tool = tools.find((each) => each.name === call.name)
      return tool === undefined ? `called ${call.name}, which was not offered` : argumentsProblem(tool, call.arguments) ?? judge(call)
    },
  }
}

type Change = { name: string; path: string; task: string; before: string; after: string }

const program = `import json

def load(path):
    if path is None:
        return None
    return json.load(open(path))

def save(path, data):
    if path is None:
        return None
    json.dump(data, open(path, "w"))
`
const changes: readonly Change[] = [
  { name: 'a setting', path: 'server.ini', task: 'Change the port to 9090.', before: '[server]\nhost = localhost\nport = 8080\nlog = on\n', after: '[server]\nhost = localhost\nport = 9090\nlog = on\n' },
  // The text to replace stands there twice: the edit has to name what is around it.
  { name: 'one of two alike', path: 'store.py', task: 'Let load return {} and not None when path is None. Leave save as it is.', before: program, after: program.replace('return None', 'return {}') },
  { name: 'a line between', path: 'days.txt', task: 'Put a line with Wednesday where it belongs.', before: 'Monday\nTuesday\nThursday\nFriday\n', after: 'Monday\nTuesday\nWednesday\nThursday\nFriday\n' },
]

/** Files to be changed by replacing text in them, and the same ones by writing them whole. */
export function editQuestions(toolMode: ToolMode): Question[] {
  const same = (found: string, wanted: string): string | null => (found.trimEnd() === wanted.trimEnd() ? null : `left ${JSON.stringify(found.slice(0, 120))}`)
  return changes.flatMap(({ name, path, task, before, after }) => {
    const asked = `The file ${path} is:\n${before}\n${task}`
    return [
      step(`edit: ${name}`, toolMode, [edit, finish], asked, ({ name: called, arguments: args }) => {
        if (called !== 'edit') return `called ${called} and not edit`
        const edits = editsOf(args)
        if (edits === null) return 'an edit without old and new'
        const applied = applyEdits(before, edits, args['replace_all'] === true, path)
        return applied.ok ? same(applied.text, after) : applied.problem
      }),
      step(`write: ${name}`, toolMode, [finish, write], asked, ({ name: called, arguments: args }) =>
        (called === 'write' ? same(typeof args['content'] === 'string' ? args['content'] : '', after) : `called ${called} and not write`)),
    ]
  })
}

const lookups = [
  { name: 'a file', task: 'Look at the file notes.txt.', holds: ['notes.txt'] },
  { name: 'a word', task: 'Find the lines that hold the word LIGHTHOUSE in the files of this folder.', holds: ['lighthouse'] },
] as const

/** How many of the agent's tools are offered at once, few first; the last is all of them. */
export const toolCounts: readonly number[] = [4, 7, toolsOf({ tools: null }).length]

/** The same easy questions with ever more tools. Which tool is taken does not matter as long as the call is one and names what it is about. */
export function toolQuestions(toolMode: ToolMode): Question[] {
  return toolCounts.flatMap((count) => lookups.map(({ name, task, holds }) => step(`${count} tools: ${name}`, toolMode, toolsOf({ tools: null, maxTools: count }), task, ({ name: called, arguments: args }) => {
    const said = JSON.stringify(args).toLowerCase()
    return called !== 'finish' && needed.includes(called) && holds.every((word) => said.includes(word)) ? null : `called ${called} with ${said.slice(0, 120)}`
  })))
}

// What begins somebody else's turn: a role on a line of its own, or a mark of a template that should have ended the answer.
const ownTurn = /\n[ \t]*(User|Human|Question|Task|Result|Observation|System|Assistant):|<\|(?:im_start|im_end|eot_id|end|endoftext|user|assistant)\|>|<(?:start|end)_of_turn>|\[\/?INST\]|<\/s>/

/** The text at which an answer should have ended, because it goes on with somebody else's turn; null = it does not. */
export function goesOnAt(text: string): string | null {
  const found = ownTurn.exec(text)
  return found === null ? null : found[1] === undefined ? found[0] : `\n${found[1]}:`
}

/** Questions with short answers: who says more than the answer goes on by itself. */
export const shortQuestions: readonly Question[] = ['What is the capital of France? Answer with one word.', 'Say good morning.', 'Name one colour.'].map((text) => ({
  name: `alone: ${text.split(/[.?]/)[0]?.toLowerCase() ?? ''}`, request: { messages: [{ role: 'user', text }], maxTokens: 160 },
  judge: ({ text: said, stop }) => {
    const at = goesOnAt(said)
    return at !== null ? `it goes on by itself at ${JSON.stringify(at)}` : stop === 'max_tokens' ? 'it did not end within 160 tokens' : null
  },
}))

/** The same question without a word of thinking, without it and with it. */
export const thinkingQuestions = ([undefined, 'off', 'on'] as const).map((reasoning) => ({
  asked: reasoning ?? 'byItself' as const, name: `thoughts: ${reasoning ?? 'by itself'}`,
  request: { messages: [{ role: 'user', text: 'Which is more, 17 or 71? Answer with the number.' }], maxTokens: 256, ...(reasoning === undefined ? {} : { reasoning }) } satisfies ModelRequestInput,
}))
