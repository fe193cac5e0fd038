// Owns reading from a GGUF file what its own prompt needs: template, control tokens, kind of tokenizer. Reads the header only; runs without a model.
// The native worker asks the library for this; a llama-server does not list its vocabulary.
import { open } from 'node:fs/promises'
import { BoundedReader, Malformed } from '../catalog/bounded-reader.ts'
import { arrayType, readScalar, readString, scalarSize, skipString, stringType } from '../catalog/gguf-metadata.ts'
import type { Inspection } from '../local/wire.ts'

export type Vocabulary = {
  inspection: Inspection
  /** SentencePiece: it puts a blank before every text it is given. */
  sentencePiece: boolean
  /** The file has prediction heads (MTP). */
  heads: boolean
}

const headerBytesAtMost = 512 * 2 ** 20
const arrayAtMost = 4e6
const [keyBytes, textBytes] = [256, 16 * 2 ** 20]
const wanted = /^(general\.architecture|tokenizer\.(chat_template|ggml\.(model|tokens|token_type|bos_token_id|eos_token_id))|[^.]+\.(context_length|nextn_predict_layers))$/

// Values of tokenizer.ggml.token_type in llama.cpp's include/llama.h.
const unknownType = 2
const controlType = 3
/** llama.cpp makes control tokens of these texts whatever the file says (src/llama-vocab.cpp, "control-looking token"). */
const alwaysControl = new Set([
  '<|eot_id|>', '<|im_end|>', '<|end|>', '<|return|>', '<|call|>', '<|flush|>', '<|calls|>', '<end_of_turn>', '<|endoftext|>', '</s>', '<|eom_id|>', '<EOT>', '_<EOT>',
  '[EOT]', '[EOS]', '<|end_of_text|>', '<end_of_utterance>', '<eos>', '<turn|>', '<|tool_response>', '<｜end▁of▁sentence｜>', '[e~[',
  '<|fim_prefix|>', '<fim-prefix>', '<fim_prefix>', '<｜fim▁begin｜>', '<PRE>', '▁<PRE>', '<|code_prefix|>', '<|prefix|>',
  '<|fim_suffix|>', '<fim-suffix>', '<fim_suffix>', '<｜fim▁hole｜>', '<SUF>', '▁<SUF>', '<|code_suffix|>', '<|suffix|>',
  '<|fim_middle|>', '<fim-middle>', '<fim_middle>', '<｜fim▁end｜>', '<MID>', '▁<MID>', '<|code_middle|>', '<|middle|>',
  '<|fim_pad|>', '<fim-pad>', '<fim_pad>', '<PAD>', '[PAD]', '<|fim_repo|>', '<|repo_name|>', '<fim-repo>', '<REPO>', '<reponame>', '<|file_sep|>',
])

type Value = string | number | string[] | number[]

/** Throws Malformed when the header is not one; a part of a split model is read as itself. */
export async function readVocabulary(path: string): Promise<Vocabulary> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    const values = await readHeader(new BoundedReader(file, size, headerBytesAtMost))
    return vocabularyOf(values)
  } finally {
    await file.close()
  }
}

async function readHeader(reader: BoundedReader): Promise<Map<string, Value>> {
  await reader.load(24, 'the header')
  if (reader.text(4) !== 'GGUF') throw new Malformed('it does not begin with GGUF')
  reader.u32()
  reader.u64()
  const count = Number(reader.u64())
  const values = new Map<string, Value>()
  for (let i = 0; i < count; i++) {
    const key = await readString(reader, keyBytes, 'a key')
    const value = await readValue(reader, wanted.test(key), key)
    if (value !== null) values.set(key, value)
  }
  return values
}

async function readValue(reader: BoundedReader, keep: boolean, key: string): Promise<Value | null> {
  if (!reader.has(4)) await reader.load(4, key)
  const type = reader.u32()
  if (type === stringType && keep) return await readString(reader, textBytes, key)
  if (type === stringType) {
    if (!reader.has(8)) await reader.load(8, key)
    skipString(reader, key)
    return null
  }
  if (type !== arrayType) return Number(await readScalar(reader, type, `'${key}'`))
  if (!reader.has(12)) await reader.load(12, key)
  const itemType = reader.u32()
  const length = Number(reader.u64())
  if (length > arrayAtMost) throw new Malformed(`'${key}' claims ${length} items`)
  if (itemType === stringType) {
    const items: string[] = []
    for (let i = 0; i < length; i++) {
      if (keep) items.push(await readString(reader, textBytes, key))
      else {
        if (!reader.has(8)) await reader.load(8, key)
        skipString(reader, key)
      }
    }
    return keep ? items : null
  }
  const what = `an item of '${key}'`
  const size = scalarSize(itemType, what)
  if (!keep) {
    reader.skip(size * length, key)
    return null
  }
  const items: number[] = []
  for (let i = 0; i < length; i++) items.push(Number(await readScalar(reader, itemType, what)))
  return items
}

function vocabularyOf(values: ReadonlyMap<string, Value>): Vocabulary {
  const architecture = String(values.get('general.architecture') ?? 'unknown')
  const tokens = list(values.get('tokenizer.ggml.tokens'), 'string')
  const types = list(values.get('tokenizer.ggml.token_type'), 'number')
  const template = values.get('tokenizer.chat_template')
  const textOf = (key: string): string | null => {
    const id = values.get(key)
    return typeof id === 'number' ? tokens[id] ?? null : null
  }
  return {
    inspection: {
      architecture, trainedContextTokens: numberOf(values.get(`${architecture}.context_length`)),
      chatTemplate: typeof template === 'string' ? template : null,
      bosText: textOf('tokenizer.ggml.bos_token_id'), eosText: textOf('tokenizer.ggml.eos_token_id'),
      controlTexts: [...new Set(tokens.filter((token, id) => token !== '' && (types[id] === controlType || types[id] === unknownType || alwaysControl.has(token))))],
    },
    sentencePiece: values.get('tokenizer.ggml.model') === 'llama',
    heads: numberOf(values.get(`${architecture}.nextn_predict_layers`)) > 0,
  }
}

function list(value: Value | undefined, kind: 'string'): string[]
function list(value: Value | undefined, kind: 'number'): number[]
function list(value: Value | undefined, kind: string): (string | number)[] {
  return Array.isArray(value) ? (value as (string | number)[]).filter((item) => typeof item === kind) : []
}

function numberOf(value: Value | undefined): number {
  return typeof value === 'number' ? value : 0
}
