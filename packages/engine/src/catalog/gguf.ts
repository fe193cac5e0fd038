// Owns the check of a GGUF header before any native code sees the file: GGUF v2 and v3, little endian.
// Reads the header only, in bounded pieces; never the weights, so damage inside them is found by the sha256 (verify.ts).
import { open, type FileHandle } from 'node:fs/promises'
import { fault, type Fault } from '@hearth/protocol/fault'
import { BoundedReader, Malformed } from './bounded-reader.ts'
import { count, printable, readMetadata, readString, type MetadataValue } from './gguf-metadata.ts'
import { shapeOf, type ModelShape } from './gguf-shape.ts'
import { tensorTypes } from './gguf-types.ts'

/** What a header says. Null: it does not say, or it cannot be derived. */
export type GgufHeader = {
  version: number
  fileBytes: number
  headerBytes: number
  /** Empty in the later parts of a split model: only the first one says what it is. */
  architecture: string
  name: string | null
  license: string | null
  /** Trained context window. */
  contextTokens: number | null
  blockCount: number | null
  chatTemplate: string | null
  /** Size of the tokenizer's vocabulary. */
  tokenizerTokens: number | null
  /** llama.cpp's number of the overall quantization (general.file_type). */
  fileType: number | null
  tensorCount: number
  /** Sum of the elements of all tensors of this file. */
  parameters: number
  /** F16 keys and values of all blocks, one sequence; null for architectures whose cache is not plain attention. */
  kvBytesPerToken: number | null
  /** Files the model is split into; 1 when it is whole. */
  splitCount: number
  /** Bytes of all tensors of this file. */
  tensorBytes: number
  /** Of them in formats that llama.cpp copies into another layout for a CPU, beside the mapped file. */
  repackedBytes: number
  /** Of the tensors those that hold all experts of a mixture; a token reads `usedExperts` of `experts` of them. */
  expertBytes: number
  /** Experts of a mixture and how many a token passes; null when it is none, and in the later parts of a split model. */
  experts: { count: number; used: number } | null
  /** What tokens and sequences cost; null when the header does not say, and in the later parts of a split model. */
  shape: ModelShape | null
}

export type GgufResult = { ok: true; header: GgufHeader } | { ok: false; fault: Fault }

const MiB = 2 ** 20
const caps = { keyValues: 1e5, tensors: 1e5, headerBytes: 256 * MiB, alignment: MiB }

/**
 * Reads and checks the header of `path`. A file that is cut, damaged in its header or of another kind is `bad_gguf` with the precise problem;
 * one that cannot be opened is `bad_file`. Never throws; memory stays within a few MiB for a real file and under 64 MiB for a hostile one.
 */
export async function readGguf(path: string): Promise<GgufResult> {
  let file: FileHandle
  try {
    file = await open(path, 'r')
  } catch (error) {
    return { ok: false, fault: fault('bad_file', { path, problem: openProblem(error) }) }
  }
  try {
    const stat = await file.stat()
    if (!stat.isFile()) return { ok: false, fault: fault('bad_file', { path, problem: 'it is not a regular file' }) }
    return { ok: true, header: await parse(new BoundedReader(file, stat.size, caps.headerBytes), stat.size) }
  } catch (error) {
    if (error instanceof Malformed) return { ok: false, fault: fault('bad_gguf', { path, problem: error.message }) }
    return { ok: false, fault: fault('bad_file', { path, problem: openProblem(error) }) }
  } finally {
    await file.close()
  }
}

function openProblem(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'ENOENT') return 'there is no such file'
  if (code === 'EACCES') return 'it may not be read'
  return error instanceof Error ? error.message : String(error)
}

async function parse(reader: BoundedReader, fileBytes: number): Promise<GgufHeader> {
  if (fileBytes < 24) throw new Malformed(`it has only ${fileBytes} bytes`)
  await reader.load(24, 'the header')
  const magic = reader.u32()
  if (magic !== 0x46554747) throw new Malformed(`it does not begin with the letters GGUF but with the bytes ${hex(magic)}`)
  const version = reader.u32()
  if (version !== 0 && (version & 0xffff) === 0) throw new Malformed('it is big-endian, and only little-endian files are read here')
  if (version !== 2 && version !== 3) throw new Malformed(`it has GGUF version ${version}, and only 2 and 3 are known`)
  const tensorCount = count(reader.u64(), caps.tensors, 'tensors')
  const keyValueCount = count(reader.u64(), caps.keyValues, 'metadata entries')
  const metadata = await readMetadata(reader, keyValueCount)

  const alignment = metadata.get('general.alignment') ?? 32
  if (typeof alignment !== 'number' || !Number.isInteger(Math.log2(alignment)) || alignment > caps.alignment) {
    throw new Malformed(`its alignment ${String(alignment)} is not a power of two up to ${caps.alignment}`)
  }
  const tensors = await readTensors(reader, tensorCount, alignment)
  const headerBytes = reader.position
  const dataStart = Math.ceil(headerBytes / alignment) * alignment
  if (tensors.last !== null && dataStart + tensors.endBytes > fileBytes) {
    throw new Malformed(`tensor '${tensors.last}' ends at byte ${dataStart + tensors.endBytes} and the file at ${fileBytes}`)
  }
  const header = describe(metadata)
  if (tensorCount === 0 && header.splitCount === 1) throw new Malformed('it has no tensors')
  return { version, fileBytes, headerBytes, tensorCount, parameters: tensors.parameters, tensorBytes: tensors.endBytes, repackedBytes: tensors.repackedBytes, expertBytes: tensors.expertBytes, ...header }
}

function hex(word: number): string {
  return [0, 8, 16, 24].map((shift) => ((word >>> shift) & 0xff).toString(16).padStart(2, '0')).join(' ')
}

type TensorSummary = { parameters: number; endBytes: number; repackedBytes: number; expertBytes: number; last: string | null }

// Q4_0, Q2_K, Q4_K, IQ4_NL, MXFP4 (ggml-cpu/repack.cpp on x86); embeddings are looked up and stay as they are.
const repackedTypes = new Set([2, 10, 12, 20, 39])

/** Checks every tensor as llama.cpp does: known type, whole blocks, data laid out one after the other, aligned, without a gap or an overlap. */
async function readTensors(reader: BoundedReader, tensorCount: number, alignment: number): Promise<TensorSummary> {
  const names = new Set<string>()
  const summary: TensorSummary = { parameters: 0, endBytes: 0, repackedBytes: 0, expertBytes: 0, last: null }
  let nextOffset = 0
  for (let i = 0; i < tensorCount; i++) {
    const where = `the entry of tensor ${i + 1} of ${tensorCount}`
    // llama.cpp holds names in 64 bytes with their NUL.
    const raw = await readString(reader, 63, `the name of tensor ${i + 1} of ${tensorCount}`)
    const name = printable(raw)
    if (names.has(raw)) throw new Malformed(`tensor '${name}' occurs twice`)
    names.add(raw)
    if (!reader.has(4)) await reader.load(4, where)
    const dimensions = reader.u32()
    if (dimensions < 1 || dimensions > 4) throw new Malformed(`tensor '${name}' has ${dimensions} dimensions`)
    if (!reader.has(dimensions * 8 + 12)) await reader.load(dimensions * 8 + 12, where)
    const row = reader.u64()
    let values = row
    for (let d = 1; d < dimensions; d++) values *= reader.u64()
    if (values <= 0n || values > BigInt(Number.MAX_SAFE_INTEGER)) throw new Malformed(`tensor '${name}' claims ${values} values`)
    const typeId = reader.u32()
    const type = tensorTypes.get(typeId)
    if (type === undefined) throw new Malformed(`tensor '${name}' has the unknown type ${typeId}`)
    if (Number(row) % type.blockValues !== 0) throw new Malformed(`tensor '${name}' has rows of ${row} values, which are not whole ${type.name} blocks of ${type.blockValues}`)
    const offset = reader.u64()
    if (offset !== BigInt(nextOffset)) throw new Malformed(`tensor '${name}' lies at offset ${offset}, and ${nextOffset} was expected`)
    const bytes = Number(values) / type.blockValues * type.blockBytes
    summary.parameters += Number(values)
    summary.endBytes = nextOffset + bytes
    summary.last = name
    if (repackedTypes.has(typeId) && dimensions > 1 && name !== 'token_embd.weight') summary.repackedBytes += bytes
    if (/_exps\./.test(name)) summary.expertBytes += bytes
    nextOffset = Math.ceil(summary.endBytes / alignment) * alignment
    if (nextOffset > Number.MAX_SAFE_INTEGER) throw new Malformed(`tensor '${name}' ends beyond any file`)
  }
  return summary
}

type Described = Omit<GgufHeader, 'version' | 'fileBytes' | 'headerBytes' | 'tensorCount' | 'parameters' | 'tensorBytes' | 'repackedBytes' | 'expertBytes'>

function describe(metadata: Map<string, MetadataValue>): Described {
  const splitCount = metadata.get('split.count')
  const isLaterPart = typeof splitCount === 'number' && splitCount > 1 && !metadata.has('general.architecture')
  const architecture = isLaterPart ? '' : metadata.get('general.architecture')
  if (typeof architecture !== 'string' || (architecture === '' && !isLaterPart)) throw new Malformed('it does not name its architecture (general.architecture)')
  const text = (key: string): string | null => {
    const value = metadata.get(key)
    return typeof value === 'string' && value !== '' ? value : null
  }
  const number = (key: string): number | null => {
    const value = metadata.get(key)
    return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : null
  }
  return {
    architecture: printable(architecture),
    name: text('general.name'),
    license: text('general.license'),
    contextTokens: number(`${architecture}.context_length`),
    blockCount: number(`${architecture}.block_count`),
    chatTemplate: text('tokenizer.chat_template'),
    tokenizerTokens: number('tokenizer.ggml.tokens'),
    fileType: number('general.file_type'),
    kvBytesPerToken: kvBytesPerToken(architecture, metadata, number),
    splitCount: number('split.count') ?? 1,
    experts: expertsOf(number(`${architecture}.expert_count`), number(`${architecture}.expert_used_count`)),
    shape: shapeOf(architecture, metadata),
  }
}

function expertsOf(count: number | null, used: number | null): GgufHeader['experts'] {
  return count === null || used === null || used > count ? null : { count, used }
}

/**
 * blocks x KV heads x (key length + value length) x 2 bytes (F16). Null when blocks differ in kind: recurrent state (ssm),
 * a sliding window, or a latent cache (kv_lora_rank) hold something else than this formula says.
 */
function kvBytesPerToken(architecture: string, metadata: Map<string, MetadataValue>, number: (key: string) => number | null): number | null {
  const a = `${architecture}.attention.`
  for (const key of metadata.keys()) {
    if (key === `${architecture}.ssm.state_size` || key === `${a}sliding_window` || key === `${a}kv_lora_rank`) return null
  }
  const blocks = number(`${architecture}.block_count`)
  const heads = number(`${a}head_count`)
  const embedding = number(`${architecture}.embedding_length`)
  const perHead = heads !== null && embedding !== null ? embedding / heads : null
  const keyLength = number(`${a}key_length`) ?? perHead
  const valueLength = number(`${a}value_length`) ?? perHead
  const given = metadata.get(`${a}head_count_kv`) ?? heads
  if (blocks === null || keyLength === null || valueLength === null) return null
  const kvHeads = Array.isArray(given) ? given.reduce((sum, each) => sum + each, 0) : typeof given === 'number' ? given * blocks : 0
  const bytes = kvHeads * (keyLength + valueLength) * 2
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : null
}
