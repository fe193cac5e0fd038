// Owns how one request is put to one model: which prompt, which grammar, which reader of calls. Pure; refuses what the model cannot do.
import { fault, type Fault, type ModelRequest, type ToolFormat, type ToolSpec } from '@hearth/protocol'
import { callReader, type CallReader } from './calls.ts'
import { grammarOf, literal, schemaGrammar } from './grammar.ts'
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

type Format = Exclude<ToolFormat, 'none'>
const visible: Record<Format, string[]> = {
  hermes: ['<tool_call>', '</tool_call>'], mistral: ['[TOOL_CALLS]', '[ARGS]', '[CALL_ID]'], llama3: ['<|python_tag|>'],
}

export function planRequest(request: ModelRequest, format: ToolFormat, template: ChatTemplate): Plan | { fault: Fault } {
  const named = typeof request.toolChoice === 'object' ? request.toolChoice.name : null
  const tools = request.toolChoice === 'none' ? [] : request.tools
  if (named !== null && !tools.some((tool) => tool.name === named)) {
    return { fault: fault('bad_request', { where: 'toolChoice', problem: `there is no tool '${named}' among the tools` }) }
  }
  if (request.toolChoice === 'required' && tools.length === 0) {
    return { fault: fault('bad_request', { where: 'toolChoice', problem: 'a call is required but there are no tools' }) }
  }
  const past = request.messages.some((message) => message.role === 'assistant' && (message.toolCalls?.length ?? 0) > 0)
  if (format === 'none' && (tools.length > 0 || past)) return { fault: fault('unsupported', { what: 'Calling tools natively' }) }
  const structured = request.responseFormat.type === 'json_schema' ? request.responseFormat.schema : null
  if (structured !== null && tools.length > 0) return { fault: fault('unsupported', { what: 'A JSON schema together with tools' }) }

  const prompt = template.render(request.messages, tools)
  if ('fault' in prompt) return prompt
  if (structured !== null) {
    const grammar = schemaGrammar(structured)
    if ('fault' in grammar) return grammar
    return { prompt, grammar: { gbnf: grammar.gbnf, after: null }, stopAtJson: true, visible: [], reader: null }
  }
  if (format === 'none' || tools.length === 0) return { prompt, grammar: null, stopAtJson: false, visible: [], reader: null }
  const grammar = toolGrammar(format, tools, request.toolChoice === 'auto' ? 'auto' : named ?? 'required')
  if (grammar !== null && 'fault' in grammar) return grammar
  return { prompt, grammar, stopAtJson: false, visible: visible[format], reader: callReader(format, tools.map((tool) => tool.name)) }
}

/**
 * The grammar of calls. With `auto` it begins behind the format's opening tag, and tools whose schema cannot be compiled leave the calls
 * unconstrained: `auto` promises a parsed call, not an enforced one. `required` and a name promise it, so there they are a `bad_schema`.
 */
function toolGrammar(format: Format, tools: readonly ToolSpec[], choice: string): Generate['grammar'] | { fault: Fault } {
  const auto = choice === 'auto'
  const offered = auto || choice === 'required' ? tools : tools.filter((tool) => tool.name === choice)
  // Llama 3 writes a bare JSON object: there is no tag to wait for.
  if (auto && format === 'llama3') return null
  const key = format === 'llama3' ? 'parameters' : 'arguments'
  const schema = {
    anyOf: offered.map((tool) => ({
      type: 'object', required: ['name', key], additionalProperties: false, properties: { name: { const: tool.name }, [key]: tool.parameters },
    })),
    // References inside a tool's schema start at its own root; only a lone tool's can be kept.
    ...(offered.length === 1 && offered[0]?.parameters['$defs'] !== undefined ? { $defs: offered[0].parameters['$defs'] } : {}),
  }
  const grammar = grammarOf(schema, (call) => shape(format, call, auto))
  if ('fault' in grammar) return auto ? null : grammar
  return { gbnf: grammar.gbnf, after: auto ? opening[format] : null }
}

const opening: Record<Format, string> = { hermes: '<tool_call>', mistral: '[TOOL_CALLS]', llama3: '' }

function shape(format: Format, call: string, auto: boolean): string {
  switch (format) {
    case 'hermes': {
      const body = `ws ${call} ws ${literal('</tool_call>')}`
      return auto ? `${body} (ws ${literal('<tool_call>')} ${body})*` : `${literal('<tool_call>')} ${body}`
    }
    case 'mistral': {
      const list = `ws "[" ws ${call} ("," ws ${call})* ws "]"`
      return auto ? list : `${literal('[TOOL_CALLS]')} ${list}`
    }
    case 'llama3': return call
    default: return format satisfies never
  }
}
