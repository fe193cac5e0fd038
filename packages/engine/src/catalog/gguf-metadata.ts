// Owns reading a GGUF header's metadata: typed values by key. Holds only what a header is described by; caps every length before it is used.
import { Malformed, type BoundedReader } from './bounded-reader.ts'

// The longest known arrays are tokenizers: a few hundred thousand tokens and merges.
const caps = { keyBytes: 256, nameBytes: 64 * 1024, stringBytes: 16 * 2 ** 20, arrayLength: 4e6, arrayItems: 8e6 }

// Value types of the format, in the order of their numbers; strings and arrays have no fixed size.
const scalarBytes = [1, 1, 2, 2, 4, 4, 4, 1, null, null, 8, 8, 8] as const
export const stringType = 8
export const arrayType = 9

export type MetadataValue = string | number | boolean | number[]

/** Reads all metadata entries; keeps those a header is described by. */
export async function readMetadata(reader: BoundedReader, keyValueCount: number): Promise<Map<string, MetadataValue>> {
  const kept = new Map<string, MetadataValue>()
  const seen = new Set<string>()
  const items = { read: 0 }
  for (let i = 0; i < keyValueCount; i++) {
    const key = await readString(reader, caps.keyBytes, `the key of metadata entry ${i + 1} of ${keyValueCount}`)
    if (key === '') throw new Malformed(`metadata entry ${i + 1} has an empty key`)
    if (seen.has(key)) throw new Malformed(`the metadata key '${printable(key)}' occurs twice`)
    seen.add(key)
    const value = await readValue(reader, printable(key), kept.size < keptAtMost && isWanted(key), items)
    if (items.read > caps.arrayItems) throw new Malformed(`its arrays hold more than ${caps.arrayItems} strings`)
    if (value !== null) kept.set(key, value)
  }
  return kept
}

const wantedKeys = new Set([
  'general.architecture', 'general.name', 'general.license', 'general.file_type', 'general.alignment',
  'tokenizer.chat_template', 'tokenizer.ggml.tokens', 'split.count',
])

const wantedOfArchitecture = new RegExp('^[^.]+\\.(context_length|block_count|embedding_length|feed_forward_length|vocab_size|full_attention_interval|token_shift_count'
  + '|expert_(used_count|feed_forward_length|shared_feed_forward_length)|ssm\\.(state_size|conv_kernel|inner_size|group_count)|shortconv\\.l_cache|wkv\\.head_size|kda\\.head_dim'
  + '|attention\\.(head_count|head_count_kv|(key|value)_length(_mla|_swa)?|sliding_window|sliding_window_pattern|kv_lora_rank|shared_kv_layers|recurrent_layers))$')

// Some thirty keys of one architecture and eight general ones are wanted; a file with a hundred prefixes is hostile and gets no more memory.
const keptAtMost = 100

// Everything a header is described by. Other values are passed over without being held.
function isWanted(key: string): boolean {
  return wantedKeys.has(key) || wantedOfArchitecture.test(key)
}

/** One metadata value. Of an array of strings only the length is kept; an array of more than 1,024 numbers is not kept. Null: not wanted. */
async function readValue(reader: BoundedReader, key: string, wanted: boolean, strings: { read: number }): Promise<MetadataValue | null> {
  const what = `the value of '${key}'`
  if (!reader.has(4)) await reader.load(4, what)
  const type = reader.u32()
  if (type === stringType) {
    if (wanted) return await readString(reader, key === 'tokenizer.chat_template' ? caps.stringBytes : caps.nameBytes, what)
    if (!reader.has(8)) await reader.load(8, what)
    skipString(reader, what)
    return null
  }
  if (type !== arrayType) {
    const value = await readScalar(reader, type, what)
    return wanted ? value : null
  }
  if (!reader.has(12)) await reader.load(12, what)
  const itemType = reader.u32()
  const length = count(reader.u64(), caps.arrayLength, `items in '${key}'`)
  if (itemType === arrayType) throw new Malformed(`'${key}' is an array of arrays, which llama.cpp cannot read`)
  if (itemType === stringType) {
    strings.read += length
    for (let i = 0; i < length; i++) {
      if (!reader.has(8)) await reader.load(8, what)
      skipString(reader, what)
    }
    return wanted ? length : null
  }
  const itemBytes = scalarSize(itemType, what)
  if (!wanted || length > 1024) {
    reader.skip(itemBytes * length, what)
    return null
  }
  const items: number[] = []
  for (let i = 0; i < length; i++) items.push(Number(await readScalar(reader, itemType, what)))
  return items
}

/** Bytes of a number or boolean of this type. Throws Malformed when there is no such type. */
export function scalarSize(type: number, what: string): number {
  const size = scalarBytes[type]
  if (size === undefined || size === null) throw new Malformed(`${what} has the unknown type ${type}`)
  return size
}

export async function readScalar(reader: BoundedReader, type: number, what: string): Promise<number | boolean> {
  const size = scalarSize(type, what)
  if (!reader.has(size)) await reader.load(size, what)
  switch (type) {
    case 0: return reader.u8()
    case 1: return reader.i8()
    case 2: return reader.u16()
    case 3: return reader.i16()
    case 4: return reader.u32()
    case 5: return reader.i32()
    case 6: return reader.f32()
    case 7: {
      const value = reader.u8()
      if (value > 1) throw new Malformed(`${what} is a boolean with the value ${value}`)
      return value === 1
    }
    case 10: return Number(reader.u64())
    case 11: return Number(reader.i64())
    default: return reader.f64()
  }
}

/** Reads a string of at most `capBytes`. */
export async function readString(reader: BoundedReader, capBytes: number, what: string): Promise<string> {
  if (!reader.has(8)) await reader.load(8, what)
  const bytes = stringLength(reader, capBytes, what)
  if (!reader.has(bytes)) await reader.load(bytes, what)
  return reader.text(bytes)
}

/** Needs `has(8)`. Not async: a tokenizer has hundreds of thousands of strings, a hostile file tens of millions, and each await would cost more than the rest. */
export function skipString(reader: BoundedReader, what: string): void {
  reader.skip(stringLength(reader, caps.stringBytes, what), what)
}

function stringLength(reader: BoundedReader, capBytes: number, what: string): number {
  const low = reader.u32()
  const bytes = reader.u32() * 2 ** 32 + low
  if (bytes > capBytes) throw new Malformed(`${what} claims ${bytes} bytes, and at most ${capBytes} are read`)
  return bytes
}

/** Text of a file as it may stand in a sentence. */
export function printable(text: string): string {
  return text.slice(0, 80).replace(/[^\x20-\x7e]/g, '?')
}

/** A count as a number, refused over its cap. */
export function count(value: bigint, cap: number, what: string): number {
  if (value > BigInt(cap)) throw new Malformed(`it claims ${value} ${what}, and at most ${cap} are read`)
  return Number(value)
}
