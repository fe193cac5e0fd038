// Owns the list of tools in its frozen order, and the schemas a model sees of them. The order is part of the prompt: it never changes within a job.
import type { JsonSchema, ToolSpec } from '@hearth/protocol'
import { z } from 'zod'
import { askExpert } from './ask-expert.ts'
import { bash } from './bash.ts'
import { edit } from './edit.ts'
import { finish } from './finish.ts'
import { glob } from './glob.ts'
import { grep } from './grep.ts'
import { plan } from './plan.ts'
import { processTool } from './process.ts'
import { read } from './read.ts'
import type { Tool } from './tool.ts'
import { write } from './write.ts'

const all: readonly Tool[] = [askExpert, bash, edit, finish, glob, grep, plan, processTool, read, write]

/** The tools of a profile (null = all), sorted by name. `finish` is always there: without it a job could not end. */
export function toolsOf(names: readonly string[] | null): Tool[] {
  return all.filter((tool) => names === null || tool.name === 'finish' || names.includes(tool.name))
}

export function parametersOf(tool: Tool): JsonSchema {
  const { $schema: _, ...schema } = z.toJSONSchema(tool.parameters)
  return schema
}

/** What a model that is shown schemas reads of them: no bounds, which cost tokens and are checked anyway. */
export function specsOf(tools: readonly Tool[]): ToolSpec[] {
  return tools.map((tool) => ({ name: tool.name, description: tool.description, parameters: brief(parametersOf(tool)) as JsonSchema }))
}

const bounds = new Set(['minimum', 'maximum', 'exclusiveMinimum', 'minLength', 'maxLength', 'maxItems', 'additionalProperties'])

function brief(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(brief)
  if (typeof schema !== 'object' || schema === null) return schema
  return Object.fromEntries(Object.entries(schema).filter(([key, value]) => !bounds.has(key) || typeof value === 'object' || (key === 'additionalProperties' && value === true)).map(([key, value]) => [key, key === 'properties' ? briefly(value) : brief(value)]))
}

/** Names of arguments are no keywords. */
function briefly(properties: unknown): unknown {
  return Object.fromEntries(Object.entries(properties as Record<string, unknown>).map(([key, value]) => [key, brief(value)]))
}
