// Owns how the agent speaks with a model that the catalogue does not know, from its chat template alone. Pure.
import type { AgentProfile, ToolFormat } from '@hearth/protocol'

/**
 * The way a template writes tool calls, by its markers: harmony's channels, Gemma's `<|tool_call>`, Mistral's `[TOOL_CALLS]`, `<tool_call>` with tags
 * inside (Qwen `<function=`, GLM `<arg_key>`) or with JSON (Hermes, Qwen 3, Granite 4), DeepSeek's separators, Llama 3's `<|python_tag|>` or ipython role.
 */
export function toolFormatOf(template: string | null): ToolFormat {
  if (template === null || !/\btools\b/.test(template)) return 'none'
  if (template.includes('<|channel|>') && template.includes('<|message|>')) return 'harmony'
  if (template.includes('<|tool_call>call:')) return 'gemma4'
  if (template.includes('[TOOL_CALLS]')) return 'mistral'
  if (template.includes('<tool_call>')) return template.includes('<function=') ? 'qwen_xml' : template.includes('<arg_key>') ? 'glm' : 'hermes'
  if (template.includes('<｜tool▁sep｜>')) return 'deepseek'
  if (template.includes('<|python_tag|>') || template.includes('ipython')) return 'llama3'
  return 'none'
}

/** Native tools when the template has them; else one JSON object a step, without examples: a bank suits the model it was made for. */
export function profileFor(format: ToolFormat): AgentProfile {
  return { toolMode: format === 'none' ? 'json' : 'native', tools: null, fewShot: null, sampling: {}, maxCallTokens: 1024 }
}
