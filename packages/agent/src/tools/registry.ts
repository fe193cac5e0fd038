// Owns the list of tools in its frozen order, and the schemas a model sees of them. The order is part of the prompt: it never changes within a job.
import type { JsonSchema, ToolSpec } from '@hearth/protocol'
import { z } from 'zod'
import { bash } from './bash.ts'
import { edit } from './edit.ts'
import { glob, grep, read, write } from './files.ts'
import { finish } from './finish.ts'
import type { Tool } from './tool.ts'

const all: readonly Tool[] = [bash, edit, finish, glob, grep, read, write]

/** The tools of a profile (null = all), sorted by name. `finish` is always there: without it a job could not end. */
export function toolsOf(names: readonly string[] | null): Tool[] {
  return all.filter((tool) => names === null || tool.name === 'finish' || names.includes(tool.name))
}

export function parametersOf(tool: Tool): JsonSchema {
  const { $schema: _, ...schema } = z.toJSONSchema(tool.parameters)
  return schema
}

export function specsOf(tools: readonly Tool[]): ToolSpec[] {
  return tools.map((tool) => ({ name: tool.name, description: tool.description, parameters: parametersOf(tool) }))
}
