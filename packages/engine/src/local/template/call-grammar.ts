// Owns the grammar of a format's calls: what stands around the arguments, and how the arguments are written. Pure.
// A text between tags is bound by its type alone: lengths and the like are the caller's to check.
import { fault, type Fault, type JsonSchema, type ToolFormat, type ToolSpec } from '@hearth/protocol'
import type { Generate } from '../wire.ts'
import { grammarOf, grammarWith, literal, type Parts } from './grammar.ts'

type Format = Exclude<ToolFormat, 'none'>

/** `named`: the template writes Mistral's calls as NAME[ARGS]{…}. */
export type Writing = { format: Format; named: boolean }

/**
 * The grammar of calls. With `auto` it begins behind the format's opening tag, and tools whose schema cannot be compiled leave the calls
 * unconstrained: `auto` promises a parsed call, not an enforced one. `required` and a name promise it, so there they are a `bad_schema`.
 */
export function callGrammar(writing: Writing, tools: readonly ToolSpec[], choice: string): Generate['grammar'] | { fault: Fault } {
  const { format } = writing
  const auto = choice === 'auto'
  const offered = auto || choice === 'required' ? tools : tools.filter((tool) => tool.name === choice)
  const after = opening[format]
  if (auto && after === null) return null
  const grammar = build(writing, offered, auto)
  if ('fault' in grammar) return auto ? null : grammar
  return { gbnf: grammar.gbnf, after: auto ? after : null }
}

// What a grammar may wait for. Llama 3 writes a bare JSON object; harmony's recipient may be spoken of in an analysis.
const opening: Record<Format, string | null> = {
  hermes: '<tool_call>', mistral: '[TOOL_CALLS]', llama3: null, qwen_xml: '<tool_call>', glm: '<tool_call>', gemma4: '<|tool_call>', deepseek: '<｜tool▁call▁begin｜>', harmony: null,
}

function build({ format, named }: Writing, tools: readonly ToolSpec[], auto: boolean): { gbnf: string } | { fault: Fault } {
  switch (format) {
    case 'hermes': return grammarOf(objects(tools, 'arguments'), (call) => repeated(`ws ${call} ws ${literal('</tool_call>')}`, '<tool_call>', auto))
    case 'llama3': return grammarOf(objects(tools, 'parameters'), (call) => call)
    case 'mistral':
      if (named) return each(tools, auto, '[TOOL_CALLS]', (tool, parts, at) => `${literal(tool.name)} (${literal('[CALL_ID]')} [a-zA-Z0-9]{9})? ${literal('[ARGS]')} ${parts.value(tool.parameters, at)}`)
      return grammarOf(objects(tools, 'arguments'), (call) => {
        const list = `ws "[" ws ${call} ("," ws ${call})* ws "]"`
        return auto ? list : `${literal('[TOOL_CALLS]')} ${list}`
      })
    case 'deepseek': {
      const call = (tool: ToolSpec, parts: Parts, at: string): string => `${literal(`${tool.name}<｜tool▁sep｜>`)} ${parts.value(tool.parameters, at)} ${literal('<｜tool▁call▁end｜>')}`
      return each(tools, auto, '<｜tool▁call▁begin｜>', call, '<｜tool▁calls▁begin｜>', '<｜tool▁calls▁end｜>')
    }
    case 'harmony':
      return grammarWith(rootOf(tools), (parts) => {
        const thought = `(${literal('<|channel|>analysis<|message|>')} ${parts.until('<|end|>')} ${literal('<|start|>assistant')})?`
        const call = parts.rule(tools.map((tool, i) => `${literal(`${tool.name} <|constrain|>json<|message|>`)} ${parts.value(tool.parameters, placeOf(i))}`).join(' | '))
        return `${thought} ${literal('<|channel|>commentary to=functions.')} ${call}`
      })
    case 'qwen_xml':
      return each(tools, auto, '<tool_call>', (tool, parts, at) => `${literal(`\n<function=${tool.name}>\n`)} ${members(tool.parameters, at, parts, (key, schema, where) => (
        `${literal(`<parameter=${key}>\n`)} ${tagged(parts, schema, where, '\n</parameter>')} ${literal('\n')}`
      ))} ${literal('</function>\n</tool_call>')}`)
    case 'glm':
      return each(tools, auto, '<tool_call>', (tool, parts, at) => `${literal(`${tool.name}\n`)} ${members(tool.parameters, at, parts, (key, schema, where) => (
        `${literal(`<arg_key>${key}</arg_key>\n<arg_value>`)} ${tagged(parts, schema, where, '</arg_value>')} ${literal('\n')}`
      ))} ${literal('</tool_call>')}`)
    case 'gemma4':
      return each(tools, auto, '<|tool_call>', (tool, parts, at) => `${literal(`call:${tool.name}`)} ${gemma(parts, { type: 'object', ...tool.parameters }, at)} ${literal('<tool_call|>')}`)
    default: return format satisfies never
  }
}

function objects(tools: readonly ToolSpec[], key: string): JsonSchema {
  return {
    anyOf: tools.map((tool) => ({
      type: 'object', required: ['name', key], additionalProperties: false, properties: { name: { const: tool.name }, [key]: tool.parameters },
    })),
    ...rootOf(tools),
  }
}

/** References inside a tool's schema start at its own root; only a lone tool's can be kept. */
function rootOf(tools: readonly ToolSpec[]): JsonSchema {
  return tools.length === 1 && tools[0]?.parameters['$defs'] !== undefined ? { $defs: tools[0].parameters['$defs'] } : {}
}

const placeOf = (index: number): string => `#/anyOf/${index}/properties/arguments`

/** One call of any of the tools, then more of them; with `auto` the first opening tag is written already. */
function each(
  tools: readonly ToolSpec[], auto: boolean, tag: string, call: (tool: ToolSpec, parts: Parts, at: string) => string, before = '', behind = '',
): { gbnf: string } | { fault: Fault } {
  return grammarWith(rootOf(tools), (parts) => {
    const body = parts.rule(tools.map((tool, i) => call(tool, parts, placeOf(i))).join(' | '))
    const more = repeated(body, tag, auto)
    return `${before === '' || auto ? '' : `${literal(before)} `}${more}${behind === '' ? '' : ` ${literal(behind)}`}`
  })
}

function repeated(body: string, tag: string, auto: boolean): string {
  return auto ? `${body} (ws ${literal(tag)} ${body})*` : `${literal(tag)} ${body}`
}

/** The arguments in the order of the schema; what is not required may be left out. */
function members(schema: JsonSchema, at: string, parts: Parts, write: (key: string, schema: unknown, at: string) => string, between = ''): string {
  const properties = schema['properties'] ?? {}
  if (typeof properties !== 'object' || properties === null || Array.isArray(properties)) return parts.refuse('properties must be an object', at)
  const required: unknown[] = Array.isArray(schema['required']) ? schema['required'] : []
  const entries = Object.entries(properties)
  if (between === '') {
    return entries.map(([key, value]) => {
      const one = parts.rule(write(key, value, `${at}/properties/${key}`))
      return required.includes(key) ? one : `${one}?`
    }).join(' ')
  }
  // With something between members it matters whether any stands before.
  let head = '""'
  let tail = '""'
  for (const [key, value] of entries.toReversed()) {
    const here = `${parts.rule(write(key, value, `${at}/properties/${key}`))} ${tail}`
    const after = `${literal(between)} ${here}`
    head = parts.rule(required.includes(key) ? here : `${here} | ${head}`)
    tail = parts.rule(required.includes(key) ? after : `${after} | ${tail}`)
  }
  return head
}

/** A value in front of its closing tag: texts as they are, everything else as JSON. */
function tagged(parts: Parts, schema: unknown, at: string, end: string): string {
  const options = typeof schema === 'object' && schema !== null && 'enum' in schema ? schema.enum : null
  if (Array.isArray(options) && options.length > 0 && options.every((option) => typeof option === 'string')) return `(${options.map(literal).join(' | ')}) ${literal(end)}`
  return isText(schema) ? parts.until(end) : `${parts.value(schema, at)} ${literal(end)}`
}

function isText(schema: unknown): boolean {
  return typeof schema === 'object' && schema !== null && 'type' in schema && schema.type === 'string' && !('enum' in schema) && !('const' in schema)
}

const quote = '<|"|>'

function gemma(parts: Parts, schema: unknown, at: string): string {
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return parts.refuse('a schema must be an object', at)
  const node = schema as JsonSchema
  const options = node['enum'] ?? (node['const'] === undefined ? undefined : [node['const']])
  if (Array.isArray(options)) return parts.rule(options.map((option: unknown) => literal(typeof option === 'string' ? `${quote}${option}${quote}` : JSON.stringify(option))).join(' | '))
  switch (node['type']) {
    case 'string': return parts.rule(`${literal(quote)} ${parts.until(quote)}`)
    case 'integer': case 'number': case 'boolean': case 'null': return parts.value(node, at)
    case 'array': {
      const item = gemma(parts, node['items'] ?? {}, `${at}/items`)
      return parts.rule(`"[" (${item} ("," ${item})*)? "]"`)
    }
    case 'object': return parts.rule(`"{" ${members(node, at, parts, (key, value, where) => `${literal(`${key}:`)} ${gemma(parts, value, where)}`, ',')} "}"`)
    default: return parts.refuse('a value without a type is not supported in this format', at)
  }
}

/** What a choice needs before a grammar is made of it; null when it can be made. */
export function choiceProblem(choice: unknown, tools: readonly ToolSpec[]): Fault | null {
  const named = typeof choice === 'object' && choice !== null && 'name' in choice ? String(choice.name) : null
  if (named !== null && !tools.some((tool) => tool.name === named)) return fault('bad_request', { where: 'toolChoice', problem: `there is no tool '${named}' among the tools` })
  if (choice === 'required' && tools.length === 0) return fault('bad_request', { where: 'toolChoice', problem: 'a call is required but there are no tools' })
  return null
}
