// Owns what a header says about memory: bytes that one more token or one more sequence costs, by architecture. Pure; follows llama.cpp's own sizes
// (llama-hparams.cpp, llama-kv-cache-iswa.cpp, llama-memory-recurrent.cpp and the per-architecture rules of src/models).
import type { MetadataValue } from './gguf-metadata.ts'

/** Sizes for F16 keys and values, and F32 recurrent state. */
export type ModelShape = {
  blockCount: number
  embedding: number
  /** Columns that are computed at once in a feed-forward step: of all experts in use, with what they hand on. */
  feedForward: number
  vocabulary: number
  /** Cache of one token in layers that see the whole context. */
  tokenBytes: number
  /** Cache of one token in layers that see a window only, and that window; 0 and null when there are none. */
  windowTokenBytes: number
  windowTokens: number | null
  /** Recurrent state of one sequence, whatever its length. */
  stateBytes: number
}

type Windows = { every: number; denseFirst: boolean; tokens?: number }

// Which layers slide when the file does not say: of `every` layers one sees everything, the last or (denseFirst) the first of them.
const windows: Readonly<Record<string, Windows>> = {
  'gpt-oss': { every: 2, denseFirst: false }, gemma2: { every: 2, denseFirst: false }, gemma3: { every: 6, denseFirst: false }, gemma3n: { every: 5, denseFirst: false },
  gemma4: { every: 6, denseFirst: false }, cohere2: { every: 4, denseFirst: false }, cohere2moe: { every: 4, denseFirst: true }, exaone4: { every: 4, denseFirst: false },
  'exaone-moe': { every: 4, denseFirst: false }, llama4: { every: 4, denseFirst: false, tokens: 8192 }, olmo2: { every: 4, denseFirst: false }, afmoe: { every: 4, denseFirst: false },
  smallthinker: { every: 4, denseFirst: true }, plamo3: { every: 8, denseFirst: false }, mellum: { every: 4, denseFirst: false }, mimo2: { every: 6, denseFirst: false },
  step35: { every: 4, denseFirst: false },
}
const wholeRecurrent = new Set(['mamba', 'mamba2', 'rwkv6', 'rwkv6qwen2', 'rwkv7', 'arwkv7'])
const intervals = new Set(['qwen3next', 'qwen35', 'qwen35moe'])

/** The shape behind `architecture`'s keys; null when a key that its sizes need is missing. */
export function shapeOf(architecture: string, metadata: ReadonlyMap<string, MetadataValue>): ModelShape | null {
  const a = (key: string): string => `${architecture}.${key}`
  const number = (key: string): number | null => {
    const value = metadata.get(a(key))
    return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : null
  }
  const perLayer = (key: string, otherwise: number): ((layer: number) => number) => {
    const value = metadata.get(a(key))
    return (layer) => (Array.isArray(value) ? value[layer] ?? 0 : typeof value === 'number' ? value : otherwise)
  }
  const blockCount = number('block_count')
  const embedding = number('embedding_length')
  if (blockCount === null || embedding === null || blockCount > 4096) return null

  const heads = perLayer('attention.head_count', 0)
  const kvHeads = perLayer('attention.head_count_kv', heads(0))
  const perHead = heads(0) > 0 ? embedding / heads(0) : 0
  const keyLength = number('attention.key_length') ?? perHead
  // A latent cache (key_length_mla) holds what values are computed from inside the keys.
  const latent = number('attention.key_length_mla') !== null && number('attention.value_length_mla') !== null
  const valueLength = latent ? 0 : number('attention.value_length') ?? perHead
  const windowKeyLength = number('attention.key_length_swa') ?? keyLength
  const windowValueLength = number('attention.value_length_swa') ?? valueLength

  const isRecurrent = recurrentLayers(architecture, metadata, number, kvHeads, perLayer('feed_forward_length', 1))
  const both = architecture === 'falcon-h1'
  const sliding = slidingLayers(architecture, metadata.get(a('attention.sliding_window_pattern')), number('attention.sliding_window'))
  const ownCache = blockCount - (number('attention.shared_kv_layers') ?? 0)
  const stateOfLayer = stateBytes(embedding, heads(0), number)

  const shape: ModelShape = {
    blockCount, embedding, feedForward: computedColumns(embedding, number, perLayer('feed_forward_length', 0)),
    vocabulary: number('vocab_size') ?? tokens(metadata), tokenBytes: 0, windowTokenBytes: 0, windowTokens: sliding?.tokens ?? null, stateBytes: 0,
  }
  for (let layer = 0; layer < blockCount; layer++) {
    if (isRecurrent(layer)) shape.stateBytes += stateOfLayer
    if ((isRecurrent(layer) && !both) || layer >= ownCache) continue
    if (sliding?.isSliding(layer) === true) shape.windowTokenBytes += kvHeads(layer) * (windowKeyLength + windowValueLength) * 2
    else shape.tokenBytes += kvHeads(layer) * (keyLength + valueLength) * 2
  }
  if (shape.windowTokenBytes === 0) shape.windowTokens = null
  const sizes = [shape.tokenBytes, shape.windowTokenBytes, shape.stateBytes, shape.feedForward]
  return sizes.every((size) => Number.isSafeInteger(Math.ceil(size)) && size >= 0) && sizes.some((size) => size > 0) ? shape : null
}

function tokens(metadata: ReadonlyMap<string, MetadataValue>): number {
  const value = metadata.get('tokenizer.ggml.tokens')
  return typeof value === 'number' ? value : 0
}

/** Of a mixture: the experts in use beside each other, each with its row of output. */
function computedColumns(embedding: number, number: (key: string) => number | null, dense: (layer: number) => number): number {
  const used = number('expert_used_count')
  const expert = number('expert_feed_forward_length') ?? (used === null ? null : dense(0))
  return used === null || expert === null ? dense(0) : used * expert + Math.round(used * embedding / 2) + (number('expert_shared_feed_forward_length') ?? 0)
}

function slidingLayers(architecture: string, pattern: MetadataValue | undefined, tokens: number | null): { tokens: number; isSliding: (layer: number) => boolean } | null {
  const known = windows[architecture]
  const width = tokens ?? known?.tokens ?? null
  // An architecture that is not known to slide and names no pattern keeps everything, as the library then does.
  if (width === null || (known === undefined && pattern === undefined)) return null
  if (Array.isArray(pattern)) return { tokens: width, isSliding: (layer) => (pattern[layer] ?? 0) !== 0 }
  const every = typeof pattern === 'number' && pattern >= 0 ? pattern : known?.every ?? 1
  const denseFirst = known?.denseFirst ?? false
  return { tokens: width, isSliding: (layer) => every === 0 || (denseFirst ? layer % every !== 0 : layer % every < every - 1) }
}

function recurrentLayers(
  architecture: string, metadata: ReadonlyMap<string, MetadataValue>, number: (key: string) => number | null, kvHeads: (layer: number) => number, feedForward: (layer: number) => number,
): (layer: number) => boolean {
  if (architecture === 'falcon-h1' || wholeRecurrent.has(architecture)) return () => true
  const given = metadata.get(`${architecture}.attention.recurrent_layers`)
  if (Array.isArray(given)) return (layer) => (given[layer] ?? 0) !== 0
  if (intervals.has(architecture)) {
    const every = number('full_attention_interval') ?? 4
    return (layer) => (layer + 1) % every !== 0
  }
  if (number('ssm.state_size') === null && number('shortconv.l_cache') === null && number('kda.head_dim') === null) return () => false
  return (layer) => kvHeads(layer) === 0 && (architecture !== 'nemotron_h' || feedForward(layer) === 0)
}

/** F32 convolution and recurrent state of one layer and one sequence. */
function stateBytes(embedding: number, heads: number, number: (key: string) => number | null): number {
  const wkv = number('wkv.head_size')
  if (wkv !== null) return ((number('token_shift_count') ?? 2) * embedding + embedding * wkv) * 4
  const shortconv = number('shortconv.l_cache')
  if (shortconv !== null) return embedding * (shortconv - 1) * 4
  const convolution = (number('ssm.conv_kernel') ?? 1) - 1
  const kda = number('kda.head_dim')
  if (kda !== null) return (3 * (convolution || 3) * heads * kda + kda * kda * heads) * 4
  const inner = number('ssm.inner_size') ?? 0
  const state = number('ssm.state_size') ?? 0
  return (convolution * (inner + 2 * (number('ssm.group_count') ?? 0) * state) + state * inner) * 4
}
