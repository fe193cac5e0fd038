// Owns logging in at MCP servers as the SDK does it: discovery, registration, code with PKCE, renewal. Keeps nothing, opens nothing, prints nothing.
import {
  auth, exchangeAuthorization, extractWWWAuthenticateParams, LATEST_PROTOCOL_VERSION, OAuthError, refreshAuthorization, validateAuthorizationResponseIssuer,
  type FetchLike, type OAuthClientProvider, type OAuthDiscoveryState, type OAuthTokens, type StoredOAuthClientInformation,
} from '@modelcontextprotocol/client'
import { isSecure } from '@hearth/protocol'
import { z } from 'zod'

/** What is kept of a login. `expiresAt`: milliseconds since 1970, null = not said. `renewal` is for `renewLogin` alone; null = it cannot be renewed. */
export type Login = { token: string; expiresAt: number | null; renewal: unknown }

export type LoginOptions = {
  /** Of the MCP server. */
  url: string
  /** As whom; null = the login server is asked for an id. */
  client: { id: string; secret: string | null } | null
  scope: string | null
  /** Where the browser is sent back to. */
  redirect: string
  state: string
  fetch: FetchLike
  /** Milliseconds since 1970. */
  now(): number
}

export type LoginBegun = {
  /** The page on which the person agrees. */
  page: URL
  /** Takes what the browser brought back; its `state` was compared already. Throws Error with a sentence. */
  finish(brought: URLSearchParams): Promise<Login>
}

// What this client says first; here it is only a question to which "not without a login" is the answer.
const hello = JSON.stringify({ jsonrpc: '2.0', id: 0, method: 'initialize', params: { protocolVersion: LATEST_PROTOCOL_VERSION, capabilities: {}, clientInfo: { name: 'hearth', version: '1' } } })

/** Finds out where the login is and begins it. Null = the server lets everybody in. Throws Error with a sentence. */
export async function beginLogin({ url, client, scope, redirect, state, fetch, now }: LoginOptions): Promise<LoginBegun | null> {
  const asked = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }, body: hello })
  await asked.body?.cancel()
  if (asked.ok) return null
  if (asked.status !== 401) throw new Error(`it answers HTTP ${asked.status} where a login would be asked for`)
  const challenge = extractWWWAuthenticateParams(asked)

  let [page, verifier, found, registered, resource]: [URL | null, string | null, OAuthDiscoveryState | undefined, StoredOAuthClientInformation | undefined, string | undefined] = [null, null, undefined, undefined, undefined]
  const provider: OAuthClientProvider = {
    redirectUrl: redirect,
    clientMetadata: { client_name: 'Hearth', redirect_uris: [redirect], grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], token_endpoint_auth_method: 'none' },
    state: () => state,
    clientInformation: (context) => registered ?? (client === null ? undefined : {
      client_id: client.id, ...(client.secret === null ? {} : { client_secret: client.secret }), ...(context === undefined ? {} : { issuer: context.issuer }),
    }),
    saveClientInformation: (information) => { registered = information },
    tokens: () => undefined,
    saveTokens: () => undefined,
    redirectToAuthorization: (to) => { page = to },
    saveCodeVerifier: (code) => { verifier = code },
    codeVerifier: () => verifier ?? '',
    saveDiscoveryState: (discovered) => { found = discovered },
    discoveryState: () => found,
    saveResourceUrl: (named: string) => { resource = named },
  }
  const resourceMetadataUrl = challenge.resourceMetadataUrl
  const wanted = scope ?? challenge.scope
  await auth(provider, { serverUrl: url, fetchFn: fetch, ...(resourceMetadataUrl === undefined ? {} : { resourceMetadataUrl }), ...(wanted === undefined ? {} : { scope: wanted }) })
  return begun(page, verifier, found, await provider.clientInformation(found === undefined ? undefined : { issuer: issuerOf(found) }), resource, { url, redirect, fetch, now })
}

function begun(page: URL | null, verifier: string | null, found: OAuthDiscoveryState | undefined, client: StoredOAuthClientInformation | undefined, named: string | undefined, { url, redirect, fetch, now }: Pick<LoginOptions, 'url' | 'redirect' | 'fetch' | 'now'>): LoginBegun {
  if (page === null || verifier === null || found === undefined || client === undefined) throw new Error('the login server names no page to log in on')
  if (!isSecure(page)) throw new Error('the page to log in on is not https')
  // A server that does not describe itself is its own resource (RFC 8707): the token is asked for it in either case.
  const resource = named ?? new URL(url).href
  page.searchParams.set('resource', resource)
  const { authorizationServerUrl: server, authorizationServerMetadata: metadata } = found
  return {
    page,
    async finish(brought) {
      const iss = brought.get('iss') ?? undefined
      validateAuthorizationResponseIssuer({ iss, expectedIssuer: metadata?.issuer, issParameterSupported: metadata?.authorization_response_iss_parameter_supported === true })
      const code = brought.get('code')
      // Whoever sends the browser back can write anything here; only a plain word is repeated.
      if (code === null) throw new Error(`the login was refused (${/^[a-z_]{1,40}$/.exec(brought.get('error') ?? '')?.[0] ?? 'without a reason'})`)
      const tokens = await exchangeAuthorization(server, {
        clientInformation: client, authorizationCode: code, codeVerifier: verifier, redirectUri: redirect, resource, fetchFn: fetch, ...(metadata === undefined ? {} : { metadata }), ...(iss === undefined ? {} : { iss }),
      }).catch((error: unknown) => { throw saidPlainly(error) })
      return loginOf(tokens, { server, metadata, client, resource }, now())
    },
  }
}

// A login server that does not describe itself has no metadata, and JSON keeps no key for that.
const Renewal = z.object({ server: z.string(), metadata: z.unknown().optional(), client: z.object({ client_id: z.string() }).loose(), resource: z.string(), refreshToken: z.string() })

/** A fresh login for one that is over or soon will be. Null = it cannot be renewed, now or ever; throws Error when the login server cannot be asked. */
export async function renewLogin({ renewal }: Login, fetch: FetchLike, now: () => number): Promise<Login | null> {
  const kept = Renewal.safeParse(renewal)
  if (!kept.success) return null
  const { server, client, resource, refreshToken } = kept.data
  // As the SDK itself checked it when the login began.
  const metadata = kept.data.metadata as OAuthDiscoveryState['authorizationServerMetadata']
  try {
    const tokens = await refreshAuthorization(server, { clientInformation: client, refreshToken, resource, fetchFn: fetch, ...(metadata === undefined ? {} : { metadata }) })
    return loginOf(tokens, { server, metadata, client, resource }, now())
  } catch (error) {
    if (error instanceof OAuthError && final.has(error.code)) return null
    throw saidPlainly(error)
  }
}

/** Answers (RFC 6749, 5.2; RFC 8707) after which the same renewal is never taken. Any other one, HTTP 429 for one, may be of the moment, and the login is kept. */
const final: ReadonlySet<string> = new Set(['invalid_grant', 'invalid_client', 'unauthorized_client', 'unsupported_grant_type', 'invalid_scope', 'invalid_target', 'invalid_request'])

/** The SDK's errors hold the answer word for word, and a server may say again what it was sent: a token, the secret of a client. */
function saidPlainly(error: unknown): unknown {
  if (error instanceof OAuthError) return new Error(`its login server gives no token (${/^HTTP \d{3}/.exec(error.message)?.[0] ?? /^[a-z_]{1,40}$/.exec(error.code)?.[0] ?? 'without a reason'})`)
  return error instanceof Error && /^\$?ZodError$/.test(error.name) ? new Error('its login server gives no token') : error
}

function loginOf(tokens: OAuthTokens, renewal: Omit<z.infer<typeof Renewal>, 'refreshToken' | 'metadata'> & { metadata: unknown }, now: number): Login {
  return {
    token: tokens.access_token, expiresAt: tokens.expires_in === undefined ? null : now + tokens.expires_in * 1000,
    renewal: tokens.refresh_token === undefined ? null : { ...renewal, refreshToken: tokens.refresh_token },
  }
}

function issuerOf({ authorizationServerMetadata: metadata, authorizationServerUrl }: OAuthDiscoveryState): string {
  return metadata?.issuer ?? authorizationServerUrl
}
