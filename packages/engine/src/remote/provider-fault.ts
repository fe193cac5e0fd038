// Owns which fault an answer of a provider is, by its status, its code and its words. Pure.
import { fault, type Fault } from '@hearth/protocol'
import { isObject, shown } from '../foreign.ts'
import { bodyMessage, overflowOf } from './compatible-wire.ts'

/** `url`: that was asked; null = it answered and failed later. */
export type Refused = { provider: string; model: string; contextTokens: number; url: string | null; status: number; text: string; location: string | null; waitMs: number | null }

// Statuses of what comes as an event, once the stream has begun and its status is 200.
const statusOfType: Readonly<Record<string, number>> = {
  invalid_request_error: 400, authentication_error: 401, billing_error: 402, permission_error: 403, not_found_error: 404, rate_limit_error: 429, rate_limit_exceeded: 429,
  timeout_error: 504, overloaded_error: 529, service_unavailable: 503,
}
const money = /credit[_ ]balance|insufficient[_ ](quota|balance|credits?|funds)|(spend|usage|hard)_limit|spend(ing)? limit|billing_|exceeded your current quota|payment required/i
const tooLong = /context_length_exceeded|prompt is too long|context (length|window|limit|size)|maximum context|input tokens exceed/i
const declined = /content[_ ](filter|policy)|content_policy|moderation|flagged/i

/** An answer that is not 200. */
export function faultOfRefusal(refused: Refused): Fault {
  const { provider, model, status, text } = refused
  const how = `status ${status}, ${said(text)}`
  const waitSeconds = refused.waitMs === null ? null : Math.ceil(refused.waitMs / 1000)
  if (status >= 300 && status < 400) return fault('provider_redirect', { provider, to: shown(refused.location ?? 'somewhere') })
  // Money first: its errors wear the statuses of others, 429 and 400 among them.
  if (status === 402 || (status < 500 && money.test(text))) return fault('provider_billing', { provider, how })
  if (status === 429) return fault('provider_rate_limited', { provider, how, waitSeconds })
  if (status === 503 || status === 529) return fault('provider_overloaded', { provider, how, waitSeconds })
  if (status === 408 || status === 504) return fault('provider_silent', { provider, how })
  if (status === 403 && declined.test(text)) return fault('provider_refused', { provider, how })
  if (status === 401) return fault('provider_auth', { provider, how, remedy: `Put a key that is good there into the file that keyFile names; 'hearth provider test ${provider}' tries it.` })
  if (status === 403) return fault('provider_auth', { provider, how, remedy: 'Look on its own pages what this key may do, for which models, and from which countries and addresses.' })
  if (status === 407) return fault('provider_auth', { provider, how, remedy: 'A proxy stands between that wants a login, and Hearth has none for it: let this machine go out to that address directly.' })
  if (/model_not_found/.test(text) || (status === 404 && /model/i.test(text))) return fault('provider_model', { provider, model, how })
  if ((status === 404 || status === 405) && refused.url !== null) {
    return fault('provider_rejected', { provider, how: `nothing for us is at ${refused.url} (${how})`, remedy: 'Check url and kind of its entry: the url stands without /v1 for anthropic, and with it for openai and compatible.' })
  }
  if (status >= 400 && status < 500) {
    if (tooLong.test(text)) return overflow(text, refused.contextTokens, `'${model}' at '${provider}'`)
    return declined.test(text) ? fault('provider_refused', { provider, how }) : fault('provider_rejected', { provider, how })
  }
  return status >= 500 ? fault('provider_failed', { provider, how }) : fault('provider_garbled', { provider, how })
}

/** An error that came as an event. */
export function faultOfEvent(error: unknown, about: { provider: string; model: string; contextTokens: number }): Fault {
  const inner = isObject(error) && isObject(error['error']) ? error['error'] : error
  const named = isObject(inner) ? [inner['code'], inner['type']] : []
  const status = named.map((name) => (typeof name === 'number' && name >= 400 && name < 600 ? name : typeof name === 'string' ? statusOfType[name] : undefined)).find((found) => found !== undefined)
  const text = JSON.stringify(inner) ?? String(inner)
  if (status === undefined && !money.test(text) && !tooLong.test(text)) return fault('provider_failed', { provider: about.provider, how: `in the middle of its answer it says '${bodyMessage(text)}'` })
  return faultOfRefusal({ ...about, url: null, status: status ?? 400, text, location: null, waitMs: null })
}

/** What it says, in quotes; of a web page its title, and of nothing that. */
function said(text: string): string {
  if (text.trim() === '') return 'and not a word'
  if (!/^\s*<(!doctype|html)/i.test(text)) return `'${bodyMessage(text)}'`
  const title = shown(/<title[^>]*>([^<]*)/i.exec(text)?.[1] ?? '')
  return title === '' ? 'a web page' : `a web page, '${title}'`
}

function overflow(text: string, contextTokens: number, of: string): Fault {
  const found = /(\d+) tokens? > (\d+)/.exec(text) ?? /limit of (\d+) tokens\D+?resulted in (\d+)/i.exec(text)
  if (found === null) {
    const counts = overflowOf(text)
    return fault('context_overflow', { promptTokens: counts?.prompt ?? null, contextTokens: counts?.context ?? contextTokens, of })
  }
  const [one, other] = [Number(found[1]), Number(found[2])]
  return fault('context_overflow', { promptTokens: Math.max(one, other), contextTokens: Math.min(one, other), of })
}

/** Milliseconds to wait from Retry-After (seconds or a date) or retry-after-ms; null = not said, or no time. */
export function waitOf(headers: Headers, now: number): number | null {
  const exact = headers.get('retry-after-ms')
  const said = headers.get('retry-after')
  const wait = exact !== null ? Number(exact) : said === null || said.trim() === '' ? Number.NaN : /^[\d.]+$/.test(said.trim()) ? Number(said) * 1000 : Date.parse(said) - now
  return Number.isFinite(wait) ? Math.max(0, wait) : null
}
