// Owns how the agent speaks with a model that the catalogue does not know, from its chat template alone. Pure.
import type { AgentProfile, ToolFormat } from '@hearth/protocol'

/**
 * The way a template writes tool calls, by its markers: Hermes and Qwen `<tool_call>` with JSON inside, Mistral `[TOOL_CALLS]`,
 * Llama 3 `<|python_tag|>` or the ipython role. `<tool_call>` with XML inside (`<function=`, `<arg_key>`) is another format, which nobody here reads.
 */
export function toolFormatOf(template: string | null): ToolFormat {
  if (template === null || !/\btools\b/.test(template)) return 'none'
  if (template.includes('[TOOL_CALLS]')) return 'mistral'
  if (template.includes('<tool_call>')) return /<function=|<arg_key>/.test(template) ? 'none' : 'hermes'
  if (template.includes('<|python_tag|>') || template.includes('ipython')) return 'llama3'
  return 'none'
}

/** Native tools when the template has them; else one JSON object a step, without examples: a bank suits the model it was made for. */
export function profileFor(format: ToolFormat): AgentProfile {
  return { toolMode: format === 'none' ? 'json' : 'native', tools: null, fewShot: null, sampling: {}, maxCallTokens: 1024 }
}
