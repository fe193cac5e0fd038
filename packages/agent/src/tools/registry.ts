// Owns the list of tools in its frozen order, and the schemas a model sees of them. The order is part of the prompt: it never changes within a job.
import type { AgentProfile, JsonSchema, ToolSpec } from '@hearth/protocol'
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

/** Where whole files cannot be written, a new one has to come from somewhere. */
const onlyEdit: Tool = { ...edit, description: `${edit.description} An empty old makes a new file.` }

/** From the most needed to the least: what `maxTools` leaves out comes from the end, and what has no place here goes before that. docs/tools.md has the same list. */
export const needed: readonly string[] = ['finish', 'bash', 'read', 'edit', 'write', 'grep', 'glob', 'skill', 'mcp', 'fetch', 'explore', 'plan', 'process', 'ask_expert']

/** Names of the tools that are always there, before a profile chooses. */
export const builtIn: readonly string[] = [...all.map(({ name }) => name), 'explore']

type Choice = Pick<AgentProfile, 'tools' | 'editFormat' | 'maxTools'>

/** The names of `there` that a profile offers. `finish` is always among them: without it a job could not end. */
export function offeredNames({ tools, editFormat, maxTools }: Choice, there: readonly string[]): string[] {
  const other = editFormat === 'edit' ? 'write' : editFormat === 'write' ? 'edit' : null
  const place = (name: string): number => (needed.includes(name) ? needed.indexOf(name) : needed.length)
  return there.filter((name) => name === 'finish' || (name !== other && (tools === null || tools.includes(name)))).toSorted((a, b) => place(a) - place(b)).slice(0, maxTools)
}

/** The tools that a profile offers of the built-in ones and `further` ones, sorted by name. */
export function toolsOf(profile: Choice, further: readonly Tool[] = []): Tool[] {
  const there = [...all, ...further]
  const names = new Set(offeredNames(profile, there.map(({ name }) => name)))
  return there.filter(({ name }) => names.has(name)).map((tool) => (tool === edit && profile.editFormat === 'edit' ? onlyEdit : tool)).toSorted((a, b) => (a.name < b.name ? -1 : 1))
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
