// Owns how one request is put to one model: which prompt, which grammar, which reader of calls. Pure; refuses what the model cannot do.
import { fault, type Fault, type ModelRequest, type ToolFormat } from '@hearth/protocol'
import { callGrammar, choiceProblem } from './call-grammar.ts'
import type { CallReader } from './call-reader.ts'
import { callReader } from './calls.ts'
import { schemaGrammar } from './grammar.ts'
import { harmonyTokens } from './harmony.ts'
import { isOpened, ThinkingReader, thinkingOf } from './reasoning.ts'
import type { ChatTemplate, Prompt } from './render.ts'
import type { Generate } from '../wire.ts'

export type Plan = {
  prompt: Prompt
  grammar: Generate['grammar']
  stopAtJson: boolean
  visible: string[]
  /** Null when the completion is plain text. */
  reader: CallReader | null
}

// The tokens of a format that its reader has to see.
const visible: Record<ToolFormat, readonly string[]> = {
  none: [], hermes: ['<tool_call>', '</tool_call>'], mistral: ['[TOOL_CALLS]', '[ARGS]', '[CALL_ID]'], llama3: ['<|python_tag|>'], qwen_xml: ['<tool_call>', '</tool_call>'],
  glm: ['<tool_call>', '</tool_call>', '<arg_key>', '</arg_key>', '<arg_value>', '</arg_value>'], gemma4: ['<|tool_call>', '<tool_call|>', '<|"|>'],
  deepseek: ['<｜tool▁calls▁begin｜>', '<｜tool▁calls▁end｜>', '<｜tool▁call▁begin｜>', '<｜tool▁call▁end｜>', '<｜tool▁sep｜>'], harmony: harmonyTokens,
}

export function planRequest(request: ModelRequest, format: ToolFormat, template: ChatTemplate): Plan | { fault: Fault } {
  const named = typeof request.toolChoice === 'object' ? request.toolChoice.name : null
  const tools = request.toolChoice === 'none' ? [] : request.tools
  const problem = choiceProblem(request.toolChoice, tools)
  if (problem !== null) return { fault: problem }
  const past = request.messages.some((message) => message.role === 'assistant' && (message.toolCalls?.length ?? 0) > 0)
  if (format === 'none' && (tools.length > 0 || past)) return { fault: fault('unsupported', { what: 'Calling tools natively' }) }
  const structured = request.responseFormat.type === 'json_schema' ? request.responseFormat.schema : null
  if (structured !== null && tools.length > 0) return { fault: fault('unsupported', { what: 'A JSON schema together with tools' }) }

  const prompt = template.render(request.messages, tools, request.reasoning)
  if ('fault' in prompt) return prompt
  if (structured !== null) {
    const grammar = schemaGrammar(structured)
    if ('fault' in grammar) return grammar
    return { prompt, grammar: { gbnf: grammar.gbnf, after: null }, stopAtJson: true, visible: [], reader: null }
  }
  const calling = format !== 'none' && tools.length > 0
  const thinking = format === 'harmony' ? null : thinkingOf(template.source)
  // Harmony's channels have to be told apart even where no tool is offered.
  const calls = format !== 'none' && (calling || format === 'harmony') ? callReader(format, tools) : null
  // A call that is required leaves no room for thoughts, also where the prompt has opened them.
  const opened = thinking !== null && isOpened(prompt.text, thinking) && !(calling && request.toolChoice !== 'auto')
  const reader = thinking === null ? calls : new ThinkingReader(thinking, opened, calls)
  const seen = [...(calls === null ? [] : visible[format]), ...(thinking?.tokens ?? [])]
  if (!calling) return { prompt, grammar: null, stopAtJson: false, visible: seen, reader }
  const grammar = callGrammar({ format, named: template.source.includes('[ARGS]') }, tools, request.toolChoice === 'auto' ? 'auto' : named ?? 'required')
  if (grammar !== null && 'fault' in grammar) return grammar
  return { prompt, grammar, stopAtJson: false, visible: seen, reader }
}
