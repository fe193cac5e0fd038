// Owns the endpoints of the local network as a person sees them, and asking one whether it answers. Generates nothing.
import { fault, type Door, type EndpointConfig, type EndpointRow } from '@hearth/protocol'
import { isObject, shown } from '../foreign.ts'
import { CompatibleModel } from './compatible.ts'
import { readKey } from './key-file.ts'

const checkMs = 3000
const answerChars = 1_000_000

/** One row each, in the order of the configuration. With `check` each is asked for its models, all at once, for at most `withinMs`. */
export async function endpointRows(endpoints: readonly EndpointConfig[], door: Door, check: boolean, withinMs = checkMs): Promise<EndpointRow[]> {
  return await Promise.all(endpoints.map(async (endpoint) => {
    const { id, contextTokens, profile, countsAsLocal } = new CompatibleModel({ endpoint, door, log: () => undefined }).info
    const row: EndpointRow = {
      id, place: 'lan', countsAsLocal: countsAsLocal ?? false, url: endpoint.url, model: endpoint.model, key: endpoint.keyFile !== null, contextTokens, toolMode: profile.toolMode,
    }
    return check ? { ...row, check: await asked(endpoint, door, withinMs) } : row
  }))
}

async function asked(endpoint: EndpointConfig, door: Door, withinMs: number): Promise<NonNullable<EndpointRow['check']>> {
  const read = await readKey(endpoint.keyFile)
  if ('how' in read) return { ok: false, detail: fault('endpoint_auth', { endpoint: endpoint.id, how: read.how }).message, ms: 0 }
  const startedAt = performance.now()
  const said = (ok: boolean, detail: string): NonNullable<EndpointRow['check']> => ({ ok, detail, ms: Math.round(performance.now() - startedAt) })
  try {
    const answer = await listing(endpoint, door, withinMs, null, read.key)
    if (answer.status === 401 || answer.status === 403) return said(false, `it does not let us in (status ${answer.status})`)
    if (answer.status !== 200) return said(false, `it answers with status ${answer.status}`)
    const names = namesOf((await answer.text()).slice(0, answerChars))
    if (names === null) return said(false, 'its list of models cannot be read')
    return names.includes(endpoint.model) ? said(true, 'answers') : said(false, `it answers and does not list '${shown(endpoint.model)}'`)
  } catch (error) {
    return said(false, problemOf(error, withinMs))
  }
}

/** Why nobody answers there, asked for a job and without its key; null = somebody does, whatever it says. */
export async function unreachable(endpoint: EndpointConfig, door: Door, jobId: string, withinMs = checkMs): Promise<string | null> {
  try {
    await (await listing(endpoint, door, withinMs, jobId, null)).body?.cancel()
    return null
  } catch (error) {
    return problemOf(error, withinMs)
  }
}

function listing({ url }: EndpointConfig, door: Door, withinMs: number, jobId: string | null, key: string | null): ReturnType<Door['fetch']> {
  return door.fetch(`${url.replace(/\/+$/, '')}/models`, {
    purpose: 'lan-endpoint', jobId, signal: AbortSignal.timeout(withinMs), headers: { accept: 'application/json', ...(key === null ? {} : { authorization: `Bearer ${key}` }) },
  })
}

function namesOf(text: string): string[] | null {
  try {
    const value: unknown = JSON.parse(text)
    const data = isObject(value) ? value['data'] : null
    return Array.isArray(data) ? data.flatMap((model: unknown) => (isObject(model) && typeof model['id'] === 'string' ? [model['id']] : [])) : null
  } catch {
    return null
  }
}

function problemOf(error: unknown, withinMs: number): string {
  if (error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError')) return `no answer in ${withinMs / 1000} s`
  const code = (error as NodeJS.ErrnoException).code
  return code === 'ECONNREFUSED' ? 'nobody listens there' : code === 'ENOTFOUND' || code === 'EAI_AGAIN' ? 'its name is not known here'
    : code === 'EHOSTUNREACH' || code === 'ENETUNREACH' ? 'that machine cannot be reached' : shown(error instanceof Error ? error.message : String(error))
}
