// Owns finding GGUF models in the caches of other programs: Ollama's blobs with their manifests, a hub cache (llama.cpp, huggingface), plain files (LM Studio,
// llama.cpp's old cache). Reads only; never follows a link to a folder.
import { readdir, readFile, realpath, stat } from 'node:fs/promises'
import { basename, join, relative, sep } from 'node:path'
import { fault, FaultError, type FolderImportReply } from '@hearth/protocol'
import { z } from 'zod'
import { problemOf } from './durable.ts'

/** `name`: what the other program calls it. `slug`: an id made of that. */
export type Found = { name: string; slug: string; path: string }

const depthAtMost = 8
const entriesAtMost = 50_000

/** The models in a folder, first parts only. Throws FaultError `bad_file` when the folder cannot be read. */
export async function findModels(dir: string): Promise<{ kind: FolderImportReply['kind']; found: Found[] }> {
  try {
    if (!(await stat(dir)).isDirectory()) throw new FaultError(fault('bad_file', { path: dir, problem: 'it is not a folder' }))
    for (const root of [dir, join(dir, 'models')]) {
      const names: string[] = await readdir(root).catch(() => [])
      if (names.includes('manifests') && names.includes('blobs')) return { kind: 'ollama', found: await ollama(root) }
    }
    const files = (await walk(dir)).filter((path) => /\.gguf$/i.test(path) && !/(^|[-_.])(mmproj|imatrix)/i.test(basename(path)) && !/-(?!00001)\d{5}-of-\d{5}\.gguf$/i.test(path))
    const hub = files.some((path) => /(^|[\\/])models--[^\\/]+--[^\\/]+[\\/]snapshots[\\/]/.test(relative(dir, path)))
    const seen = new Set<string>()
    const found: Found[] = []
    for (const path of files) {
      const real = await realpath(path).catch(() => null)
      if (real === null || seen.has(real)) continue
      seen.add(real)
      const name = relative(dir, path).split(sep).filter((part) => part !== 'snapshots' && !/^[0-9a-f]{40}$/.test(part)).join('/').replace(/^models--/, '').replace('--', '/')
      found.push({ name, slug: slugOf(basename(path).replace(/\.gguf$/i, '').replace(/-00001-of-\d{5}$/, '')), path })
    }
    return { kind: hub ? 'hub' : 'files', found }
  } catch (error) {
    throw error instanceof FaultError ? error : new FaultError(fault('bad_file', { path: dir, problem: problemOf(error) }))
  }
}

const Manifest = z.object({ layers: z.array(z.object({ mediaType: z.string(), digest: z.string() })) })

/** manifests/HOST/NAMESPACE/NAME/TAG names the blob of each layer; the weights are the layer of the media type `…image.model`. */
async function ollama(root: string): Promise<Found[]> {
  const found: Found[] = []
  for (const path of await walk(join(root, 'manifests'))) {
    const parts = relative(join(root, 'manifests'), path).split(sep)
    const [name, tag] = parts.slice(-2)
    const text = await readFile(path, 'utf8').catch(() => '')
    let manifest: unknown = null
    try {
      manifest = JSON.parse(text)
    } catch {
      continue
    }
    const parsed = Manifest.safeParse(manifest)
    const digest = parsed.data?.layers.find((layer) => layer.mediaType.endsWith('.image.model'))?.digest
    if (digest === undefined || !/^sha256:[0-9a-f]{64}$/.test(digest) || name === undefined || tag === undefined) continue
    found.push({ name: `${name}:${tag}`, slug: slugOf(tag === 'latest' ? name : `${name}-${tag}`), path: join(root, 'blobs', digest.replace(':', '-')) })
  }
  return found
}

/** All files below a folder, sorted, with bounds: somebody will name `/`. */
async function walk(root: string): Promise<string[]> {
  const out: string[] = []
  let left = entriesAtMost
  const visit = async (dir: string, depth: number): Promise<void> => {
    const entries = await readdir(dir, { withFileTypes: true }).catch(() => [])
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (--left < 0) throw new FaultError(fault('bad_file', { path: root, problem: `it holds more than ${entriesAtMost} files; name the folder of the models itself` }))
      const path = join(dir, entry.name)
      if (entry.isDirectory()) {
        if (depth < depthAtMost) await visit(path, depth + 1)
      } else if (entry.isFile() || (entry.isSymbolicLink() && await stat(path).then((one) => one.isFile(), () => false))) out.push(path)
    }
  }
  await visit(root, 0)
  return out
}

function slugOf(text: string): string {
  return text.toLowerCase().replace(/[^a-z0-9._]+/g, '-').replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, '').slice(0, 70) || 'model'
}
