// Owns the names of models on the wire: an id of this box, an alias of the configuration, or `hearth` for the default. Never another model
// than the one that was named.
import { fault, type Fault, type Model, type ModelRow, type Principal } from '@hearth/protocol'
import { mayUse } from '../../auth/limits.ts'
import type { Api } from '../api.ts'

export const defaultName = 'hearth'

/** The model behind a name, as far as this principal may use it. The answer's `model` is its id, so that an alias hides nothing. */
export async function modelFor(api: Api, principal: Principal, name: string): Promise<{ ok: true; model: Model } | { ok: false; fault: Fault }> {
  const asked = name === '' ? defaultName : name
  const id = asked === defaultName ? await api.parts.defaultModel() : aliasOf(api, asked) ?? asked
  if (id === null) return { ok: false, fault: fault('engine_unavailable', { why: 'no model is installed' }) }
  const denied = { ok: false as const, fault: fault('not_allowed', { what: `use the model '${asked}' with this key` }) }
  // A script is a file of this box: it is not even opened for a key that does not name it.
  if (id.startsWith('scripted:') && !mayUse(principal, id, asked)) return denied
  const found = await api.parts.model(id)
  if (found.ok && !mayUse(principal, found.model.info.id, asked)) return denied
  const { engine, escalation } = api.config
  if (escalation.dataClass === 'local-only' && engine.endpoints.some((endpoint) => endpoint.id === id && !endpoint.local)) {
    return { ok: false, fault: fault('not_bought', { why: `The model '${asked}' is on another machine, and the configuration of this box says local-only.`, remedy: 'Use a model of this box, or say in engine.endpoints that the machine counts as it.' }) }
  }
  return found
}

/** What `/v1/models` lists: what can be asked now, by every name it has. */
export async function namesFor(api: Api, principal: Principal): Promise<{ name: string; row: ModelRow }[]> {
  const rows = (await (await api.parts.shelf()).list()).filter((row) => row.installed && row.problem === null)
  const byId = new Map(rows.map((row) => [row.id, row]))
  const others = [[defaultName, await api.parts.defaultModel()] as const, ...Object.entries(api.config.models.aliases)]
  const named = [...rows.map((row) => ({ name: row.id, row })), ...others.flatMap(([name, id]) => {
    const row = id === null ? undefined : byId.get(id)
    return row === undefined ? [] : [{ name, row }]
  })]
  return named.filter(({ name, row }) => mayUse(principal, row.id, name))
}

function aliasOf(api: Api, name: string): string | null {
  const { aliases } = api.config.models
  return Object.hasOwn(aliases, name) ? aliases[name] ?? null : null
}
