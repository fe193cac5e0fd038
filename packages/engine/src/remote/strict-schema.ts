// Owns whether a JSON schema is of the subset that the OpenAI dialects enforce to the letter. Pure.
import { isObject } from '../foreign.ts'

/** Every object closed, and all its properties required; an object at the top. Others are sent as a wish. */
export function isStrict(schema: unknown): boolean {
  return isObject(schema) && schema['type'] === 'object' && closed(schema)
}

function closed(node: unknown): boolean {
  if (Array.isArray(node)) return node.every(closed)
  if (!isObject(node)) return true
  if ('oneOf' in node || 'allOf' in node) return false
  const properties = node['properties']
  if (node['type'] === 'object') {
    const names = isObject(properties) ? Object.keys(properties) : []
    const required: unknown = node['required'] ?? []
    if (node['additionalProperties'] !== false || !Array.isArray(required) || !names.every((name) => required.includes(name))) return false
  }
  return Object.values(node).every(closed)
}
