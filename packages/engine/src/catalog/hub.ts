// Owns what the model hub says of a repository: its commit, its files, their sizes and sha256. Fetches no weights and writes nothing.
// API shapes: GET api/models/REPO/revision/REV -> {sha}; GET api/models/REPO/tree/SHA?recursive=true -> entries, further pages by the Link header.
import { readFile, stat } from 'node:fs/promises'
import { fault, FaultError, type Door, type ModelFile } from '@hearth/protocol'
import { z } from 'zod'
import { SourceProblem } from './download.ts'
import { problemOf } from './durable.ts'

/** `url`: the hub or a mirror of it. `tokenFile`: read at each use, never kept. */
export type Hub = { url: string; tokenFile: string | null }

export type Asking = { hub: Hub; door: Door; signal: AbortSignal; stallMs: number }

export type Reference = { repo: string; quant: string | null; revision: string | null }
export type HubFile = { path: string; bytes: number; sha256: string | null }

const referenceShape = /^hf:([A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*?)(?::([A-Za-z0-9][\w.-]{0,60}))?(?:@([A-Za-z0-9][\w./-]{0,100}))?$/

/** `hf:ORG/REPO[:QUANT][@REVISION]`. Throws FaultError `bad_request`. */
export function parseReference(text: string): Reference {
  const found = referenceShape.exec(text)
  if (found?.[1] === undefined) throw new FaultError(fault('bad_request', { where: 'the name of the model', problem: 'it is not like hf:ORG/REPO:QUANT or hf:ORG/REPO:QUANT@REVISION' }))
  return { repo: found[1], quant: found[2] ?? null, revision: found[3] ?? null }
}

/** Where a file's bytes are. */
export function addressOf(hub: Hub, repo: string, revision: string | null, path: string): string {
  return `${base(hub)}/${repo}/resolve/${revision ?? 'main'}/${path.split('/').map(encodeURIComponent).join('/')}`
}

/** The headers that let us in; a token is given to the hub's own host only (the door drops it when it follows a redirect elsewhere). */
export async function headersOf(hub: Hub): Promise<Record<string, string>> {
  const { tokenFile } = hub
  if (tokenFile === null) return {}
  try {
    const { mode } = await stat(tokenFile)
    if ((mode & 0o077) !== 0) throw new FaultError(fault('bad_file', { path: tokenFile, problem: 'it holds a token and others may read it; run chmod 600 on it' }))
    const token = (await readFile(tokenFile, 'utf8')).trim()
    if (!/^[\x21-\x7e]{1,500}$/.test(token)) throw new FaultError(fault('bad_file', { path: tokenFile, problem: 'it does not hold one token on one line' }))
    return { authorization: `Bearer ${token}` }
  } catch (error) {
    throw error instanceof FaultError ? error : new FaultError(fault('bad_file', { path: tokenFile, problem: problemOf(error) }))
  }
}

const Commit = z.object({ sha: z.string().regex(/^[0-9a-f]{40}$/) })
const Tree = z.array(z.object({
  type: z.string(), path: z.string().max(1000), size: z.number().int().min(0),
  lfs: z.object({ oid: z.string(), size: z.number().int().min(0) }).nullish(),
}))

const pagesAtMost = 20
const answerBytesAtMost = 16 * 2 ** 20

/** The files of a repository at one commit. Throws SourceProblem when the hub does not say. */
export async function listRepository(reference: Reference, asking: Asking): Promise<{ revision: string; files: HubFile[] }> {
  const api = `${base(asking.hub)}/api/models/${reference.repo}`
  const commit = reference.revision !== null && /^[0-9a-f]{40}$/.test(reference.revision) ? reference.revision
    : understood(Commit, (await askJson(`${api}/revision/${encodeURIComponent(reference.revision ?? 'main')}`, asking)).value, asking.hub).sha
  const files: HubFile[] = []
  let next: string | null = `${api}/tree/${commit}?recursive=true`
  for (let page = 0; next !== null; page++) {
    if (page === pagesAtMost) throw new SourceProblem(`${hostOf(asking.hub)}: ${reference.repo} has too many files`)
    const answer: { value: unknown; next: string | null } = await askJson(next, asking)
    for (const entry of understood(Tree, answer.value, asking.hub)) {
      if (entry.type !== 'file') continue
      const sha256 = entry.lfs == null ? null : entry.lfs.oid.replace(/^sha256:/, '')
      files.push({ path: entry.path, bytes: entry.lfs?.size ?? entry.size, sha256: sha256 !== null && /^[0-9a-f]{64}$/.test(sha256) ? sha256 : null })
    }
    next = answer.next
  }
  return { revision: commit, files }
}

function understood<T>(shape: z.ZodType<T>, value: unknown, hub: Hub): T {
  const parsed = shape.safeParse(value)
  if (!parsed.success) throw new SourceProblem(`${hostOf(hub)}: its answer has another form than was expected`)
  return parsed.data
}

async function askJson(url: string, { hub, door, signal, stallMs }: Asking): Promise<{ value: unknown; next: string | null }> {
  const host = hostOf(hub)
  const headers = await headersOf(hub)
  let response: Response
  let text: string
  try {
    response = await door.fetch(url, { purpose: 'model-download', jobId: null, signal: AbortSignal.any([signal, AbortSignal.timeout(stallMs)]), headers: { accept: 'application/json', ...headers } })
    text = await readAtMost(response, host)
  } catch (error) {
    if (error instanceof FaultError || error instanceof SourceProblem || signal.aborted) throw error
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
    throw new SourceProblem(`${host}: ${cause instanceof Error ? cause.message : String(cause)}`)
  }
  const { status } = response
  if (status === 401 || status === 403) {
    throw new SourceProblem(`${host}: it does not show this repository to ${hub.tokenFile === null ? 'strangers, or it does not exist; a token goes into the file that models.hubTokenFile names' : 'the owner of our token'}`)
  }
  if (status === 404) throw new SourceProblem(`${host}: there is no such repository or revision`)
  if (status !== 200) throw new SourceProblem(`${host}: the server answers HTTP ${status}`)
  try {
    return { value: JSON.parse(text), next: nextOf(response.headers.get('link'), url) }
  } catch {
    throw new SourceProblem(`${host}: its answer is not JSON`)
  }
}

async function readAtMost(response: Response, host: string): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.length
    if (bytes > answerBytesAtMost) throw new SourceProblem(`${host}: its answer is larger than ${answerBytesAtMost / 2 ** 20} MiB`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** The next page, if it lies on the same host. */
function nextOf(link: string | null, url: string): string | null {
  const found = /<([^>]+)>\s*;\s*rel="?next"?/.exec(link ?? '')?.[1]
  if (found === undefined) return null
  const next = new URL(found, url)
  return next.origin === new URL(url).origin ? next.href : null
}

function base(hub: Hub): string {
  return hub.url.replace(/\/+$/, '')
}

export function hostOf(hub: Hub): string {
  return new URL(hub.url).host
}

const partName = /^(.*)-(\d{5})-of-(\d{5})$/

/**
 * The files of one quantization, the first part first. Without a wished one: the only one there is, else Q4_K_M. Projectors (mmproj) and
 * importance matrices are no models. Throws FaultError `bad_request` that lists what there is.
 */
export function chooseFiles(repo: string, quant: string | null, files: readonly HubFile[]): HubFile[] {
  const groups = new Map<string, HubFile[]>()
  for (const file of files) {
    if (!/\.gguf$/i.test(file.path) || /(^|[-_./])(mmproj|imatrix)/i.test(file.path)) continue
    const stem = file.path.replace(/\.gguf$/i, '')
    const key = partName.exec(stem)?.[1] ?? stem
    groups.set(key, [...groups.get(key) ?? [], file])
  }
  const refuse = (problem: string): FaultError => new FaultError(fault('bad_request', { where: `hf:${repo}`, problem }))
  const names = [...groups.keys()]
  if (names.length === 0) throw refuse('it has no GGUF files')
  const wanted = quant ?? (names.length === 1 ? null : 'Q4_K_M')
  const fits = wanted === null ? names : names.filter((name) => isQuant(name, wanted))
  fits.sort((a, b) => a.length - b.length || (a < b ? -1 : 1))
  const [chosen] = fits
  if (chosen === undefined) throw refuse(`it has no ${wanted ?? ''} file, only ${names.map(lastOf).sort().slice(0, 40).join(', ')}`)
  const parts = (groups.get(chosen) ?? []).sort((a, b) => (a.path < b.path ? -1 : 1))
  const total = Number(partName.exec((parts[0]?.path ?? '').replace(/\.gguf$/i, ''))?.[3] ?? 1)
  if (parts.length !== total) throw refuse(`${lastOf(chosen)} has ${parts.length} of its ${total} parts`)
  return parts
}

/** NAME-Q4_K_M, NAME.Q4_K_M or Q4_K_M/…; a longer name of the same ending (UD-Q4_K_M) fits when nothing shorter does. */
function isQuant(name: string, quant: string): boolean {
  const wanted = quant.toLowerCase()
  const lower = name.toLowerCase()
  return lower.split('/').slice(0, -1).includes(wanted) || lower === wanted || ['-', '.', '_', '/'].some((mark) => lower.endsWith(mark + wanted))
}

function lastOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** A file of a repository as the catalogue would name it. Its name in the models folder is the last part of its path. */
export function asModelFile(repo: string, revision: string, file: HubFile): ModelFile {
  return { name: lastOf(file.path), bytes: file.bytes, sha256: file.sha256, sources: [{ type: 'hf', repo, revision, path: file.path }] }
}

/** An id for what people asked for: the repository's name and the quantization. */
export function idFor(repo: string, files: readonly HubFile[]): string {
  const stem = lastOf(files[0]?.path ?? repo).replace(/\.gguf$/i, '').replace(partName, '$1')
  return stem.toLowerCase().replace(/[^a-z0-9._]+/g, '-').replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, '').slice(0, 80) || 'model'
}
