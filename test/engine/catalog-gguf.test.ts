// The GGUF header check: what a good file says, what a broken one is told, and that no mutant throws, hangs or eats memory.
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { readGguf, type GgufHeader } from '../../packages/engine/src/catalog/gguf.ts'
import { ggufString, smallGguf, writeGguf, type GgufSpec, type GgufTensor, type GgufValue } from '../fixtures/gguf-writer.ts'

let dir = ''
before(async () => { dir = await mkdtemp(join(tmpdir(), 'gguf-')) })
after(async () => { await rm(dir, { recursive: true }) })

async function headerOf(spec: GgufSpec): Promise<GgufHeader> {
  const path = join(dir, 'good.gguf')
  await writeFile(path, writeGguf(spec))
  const read = await readGguf(path)
  assert.ok(read.ok, read.ok ? '' : read.fault.message)
  return read.header
}

async function problemOf(bytes: Buffer): Promise<string> {
  const path = join(dir, 'bad.gguf')
  await writeFile(path, bytes)
  const read = await readGguf(path)
  assert.ok(!read.ok, 'the file was accepted')
  assert.equal(read.fault.code, 'bad_gguf')
  const opening = `${path} is not a usable GGUF file: `
  assert.ok(read.fault.message.startsWith(opening) && read.fault.message.endsWith('.'), read.fault.message)
  return read.fault.message.slice(opening.length, -1)
}

const withMetadata = (metadata: Record<string, GgufValue>): Buffer => writeGguf(smallGguf({ metadata }))
const withTensors = (tensors: GgufTensor[], dataBytes?: number): Buffer =>
  writeGguf(smallGguf({ tensors, ...(dataBytes === undefined ? {} : { dataBytes }) }))

test('a small file is described whole', async () => {
  const { headerBytes, ...rest } = await headerOf(smallGguf())
  assert.ok(headerBytes > 400 && headerBytes < rest.fileBytes)
  assert.deepEqual(rest, {
    version: 3, fileBytes: writeGguf(smallGguf()).length, architecture: 'llama', name: 'Small Test', license: null,
    contextTokens: 4096, blockCount: 2, chatTemplate: '{% for m in messages %}{{ m.content }}{% endfor %}', tokenizerTokens: 5, fileType: 2,
    tensorCount: 3, parameters: 64 * 5 + 64 * 64 + 7, kvBytesPerToken: 2 * 2 * (16 + 16) * 2, splitCount: 1,
    tensorBytes: (64 * 5 + 64 * 64 + 7) * 4, repackedBytes: 0, expertBytes: 0, experts: null,
    shape: { blockCount: 2, embedding: 64, feedForward: 0, vocabulary: 5, tokenBytes: 256, windowTokenBytes: 0, windowTokens: null, stateBytes: 0 },
  })
})

test('version 2, another alignment and every scalar type are read', async () => {
  assert.equal((await headerOf(smallGguf({ version: 2 }))).version, 2)
  const numbers: [GgufValue['type'], number][] = [['u8', 1], ['i8', -1], ['u16', 2], ['i16', -2], ['i32', -3], ['u64', 4], ['i64', -4], ['f64', 0.5]]
  const metadata = Object.fromEntries(numbers.map(([type, value]) => [`test.${type}`, { type, value } as GgufValue]))
  const header = await headerOf(smallGguf({ metadata: { ...metadata, 'general.alignment': { type: 'u32', value: 64 } } }))
  assert.equal(header.contextTokens, 4096)
})

test('KV bytes are null where blocks hold something else than plain attention, and summed where heads differ by block', async () => {
  for (const key of ['ssm.state_size', 'attention.sliding_window', 'attention.kv_lora_rank']) {
    assert.equal((await headerOf(smallGguf({ metadata: { [`llama.${key}`]: { type: 'u32', value: 16 } } }))).kvBytesPerToken, null, key)
  }
  const perBlock = await headerOf(smallGguf({ metadata: { 'llama.attention.head_count_kv': { type: 'array', of: 'u32', values: [2, 4] } } }))
  assert.equal(perBlock.kvBytesPerToken, (2 + 4) * (16 + 16) * 2)
})

test('the starter model is described as the catalogue says', async () => {
  const path = process.env['HEARTH_TEST_MODEL'] ?? join(homedir(), '.cache/hearth-test/SmolLM2-135M-Instruct.Q4_1.gguf')
  const read = await readGguf(path)
  assert.ok(read.ok, 'the starter model is missing or broken: run scripts/setup')
  const { chatTemplate, ...rest } = read.header
  assert.match(chatTemplate ?? '', /<\|im_start\|>/)
  assert.deepEqual(rest, {
    version: 3, fileBytes: 98_362_432, headerBytes: 1_785_664, architecture: 'llama', name: 'Smollm2 135M 8k Lc100K Mix1 Ep2', license: 'apache-2.0',
    contextTokens: 8192, blockCount: 30, tokenizerTokens: 49_152, fileType: 3, tensorCount: 272, parameters: 134_515_008, kvBytesPerToken: 23_040, splitCount: 1,
    tensorBytes: 96_576_768, repackedBytes: 0, expertBytes: 0, experts: null,
    shape: { blockCount: 30, embedding: 576, feedForward: 1536, vocabulary: 49_152, tokenBytes: 23_040, windowTokenBytes: 0, windowTokens: null, stateBytes: 0 },
  })
})

test('a broken file is told precisely what is wrong', async () => {
  const good = writeGguf(smallGguf())
  const patched = (at: number, ...bytes: number[]): Buffer => Buffer.concat([good.subarray(0, at), Buffer.from(bytes), good.subarray(at + bytes.length)])
  const noArchitecture = smallGguf()
  const { 'general.architecture': _, ...metadata } = noArchitecture.metadata
  const cases: [Buffer, string][] = [
    [Buffer.alloc(0), 'it has only 0 bytes'],
    [Buffer.from('PK\x03\x04 this is a zip archive'), 'it does not begin with the letters GGUF but with the bytes 50 4b 03 04'],
    [patched(4, 1), 'it has GGUF version 1, and only 2 and 3 are known'],
    [patched(4, 0, 0, 0, 3), 'it is big-endian, and only little-endian files are read here'],
    [patched(8, 0xff, 0xff, 0xff), 'it claims 16777215 tensors, and at most 100000 are read'],
    [patched(16, 0xff, 0xff, 0xff, 0xff, 0xff), 'it claims 1099511627775 metadata entries, and at most 100000 are read'],
    [good.subarray(0, 30), 'it ends at byte 30 inside the key of metadata entry 1 of 13'],
    [good.subarray(0, good.length - 64), `tensor 'output_norm.weight' ends at byte ${good.length - 4} and the file at ${good.length - 64}`],
    [writeGguf({ ...noArchitecture, metadata }), 'it does not name its architecture (general.architecture)'],
    [withTensors([]), 'it has no tensors'],
    [withMetadata({ 'general.alignment': { type: 'u32', value: 24 } }), 'its alignment 24 is not a power of two up to 1048576'],
    [withMetadata({ odd: { type: 'raw', id: 77, bytes: Buffer.alloc(8) } }), "the value of 'odd' has the unknown type 77"],
    [withMetadata({ odd: { type: 'raw', id: 7, bytes: Buffer.from([9]) } }), "the value of 'odd' is a boolean with the value 9"],
    [withMetadata({ deep: { type: 'raw', id: 9, bytes: Buffer.from('0900000001000000000000000900000000000000000000000000', 'hex') } }),
      "'deep' is an array of arrays, which llama.cpp cannot read"],
    [withMetadata({ wide: { type: 'raw', id: 9, bytes: Buffer.from('08000000ffffffffffff0000', 'hex') } }),
      "it claims 281474976710655 items in 'wide', and at most 4000000 are read"],
    [withMetadata({ long: { type: 'raw', id: 8, bytes: Buffer.from('ffffffff00000000', 'hex') } }),
      "the value of 'long' claims 4294967295 bytes, and at most 16777216 are read"],
    [withTensors([{ name: 'a', dimensions: [8] }, { name: 'a', dimensions: [8] }]), "tensor 'a' occurs twice"],
    [withTensors([{ name: 'a', dimensions: [8], typeId: 4 }]), "tensor 'a' has the unknown type 4"],
    [withTensors([{ name: 'a', dimensions: [1, 1, 1, 1, 1] }]), "tensor 'a' has 5 dimensions"],
    [withTensors([{ name: 'a', dimensions: [2 ** 40, 2 ** 40], bytes: 64 }]), `tensor 'a' claims ${2n ** 80n} values`],
    [withTensors([{ name: 'a', dimensions: [0], bytes: 0 }]), "tensor 'a' claims 0 values"],
    [withTensors([{ name: 'a', dimensions: [33, 32], typeId: 2, bytes: 1024 }]), "tensor 'a' has rows of 33 values, which are not whole Q4_0 blocks of 32"],
    [withTensors([{ name: 'a', dimensions: [8] }, { name: 'b', dimensions: [8], offset: 64 }]), "tensor 'b' lies at offset 64, and 32 was expected"],
    [withTensors([{ name: 'n'.repeat(64), dimensions: [8] }]), 'the name of tensor 1 of 1 claims 64 bytes, and at most 63 are read'],
  ]
  for (const [bytes, problem] of cases) assert.equal(await problemOf(bytes), problem)
})

test('a key that occurs twice is refused', async () => {
  const spec = smallGguf({ metadata: { 'test.aaa': { type: 'u8', value: 1 }, 'test.bbb': { type: 'u8', value: 1 } } })
  const bytes = writeGguf(spec)
  const at = bytes.indexOf(ggufString('test.bbb'))
  bytes.set(ggufString('test.aaa'), at)
  assert.equal(await problemOf(bytes), "the metadata key 'test.aaa' occurs twice")
})

test('a missing file and a folder are bad_file', async () => {
  const folder = join(dir, 'folder')
  await mkdir(folder)
  for (const [path, problem] of [[join(dir, 'nothing'), 'there is no such file'], [folder, 'it is not a regular file']] as const) {
    const read = await readGguf(path)
    assert.ok(!read.ok)
    assert.deepEqual([read.fault.code, read.fault.message], ['bad_file', `${path} cannot be used: ${problem}.`])
  }
})

test('a header larger than 256 MiB is refused without reading the file', async () => {
  const spec = smallGguf({ metadata: { big: { type: 'u8', value: 0 } } })
  const path = join(dir, 'sparse.gguf')
  const bytes = writeGguf(spec)
  // Ten arrays of four million numbers of eight bytes, without a byte behind them: a sparse file holds the claim.
  const at = bytes.indexOf(ggufString('big'))
  const array = Buffer.concat([ggufString('x'), Buffer.from('090000000c00000000093d0000000000', 'hex')])
  await writeFile(path, bytes.subarray(0, at))
  const file = await open(path, 'r+')
  const arrayBytes = 32_000_000
  for (let i = 0; i < 10; i++) {
    array.write(String.fromCharCode(97 + i), 8)
    await file.write(array, 0, array.length, at + i * (array.length + arrayBytes))
  }
  await file.write(Buffer.from([100]), 0, 1, 16)
  await file.close()
  await truncate(path, 2 ** 30)
  const read = await readGguf(path)
  assert.ok(!read.ok)
  assert.equal(read.fault.message, `${path} is not a usable GGUF file: its header is larger than 256 MiB.`)
})

test('a file cut anywhere in its header is refused', async () => {
  const whole = writeGguf(smallGguf())
  const { headerBytes } = await headerOf(smallGguf())
  for (let length = 0; length < headerBytes; length += 3) await problemOf(whole.subarray(0, length))
})

test('four thousand mutants are accepted or refused, never thrown, and memory stays small', async () => {
  const seedFile = writeGguf(smallGguf({ metadata: { 'test.list': { type: 'array', of: 'f32', values: [1, 2, 3] } } }))
  const headerBytes = (await headerOf(smallGguf())).headerBytes
  const path = join(dir, 'mutant.gguf')
  let state = 20_240_601
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor(state / 2 ** 32 * below)
  }
  const interesting = [0, 1, 7, 8, 9, 12, 13, 0x7f, 0x80, 0xff]
  let refused = 0
  let peakBytes = 0
  const rssBefore = process.memoryUsage.rss()
  for (let round = 0; round < 4000; round++) {
    let mutant = Buffer.from(seedFile)
    for (let edits = 1 + random(4); edits > 0; edits--) {
      const at = random(Math.min(headerBytes, mutant.length))
      switch (random(5)) {
        case 0: mutant[at] = (mutant[at] ?? 0) ^ (1 << random(8)); break
        case 1: mutant[at] = interesting[random(interesting.length)] ?? 0; break
        case 2: mutant.fill(0xff, at, Math.min(mutant.length, at + 1 + random(8))); break
        case 3: mutant = mutant.subarray(0, Math.max(1, random(mutant.length))); break
        default: mutant = Buffer.concat([mutant.subarray(0, at), mutant.subarray(at + 1 + random(16))])
      }
    }
    await writeFile(path, mutant)
    const read = await readGguf(path)
    if (!read.ok) {
      refused++
      assert.ok(read.fault.code === 'bad_gguf' && !read.fault.message.includes('undefined') && !read.fault.message.includes('NaN'), read.fault.message)
    }
    if (round % 100 === 0) peakBytes = Math.max(peakBytes, process.memoryUsage.rss() - rssBefore)
  }
  assert.ok(refused > 2000, `only ${refused} of 4000 mutants were refused`)
  assert.ok(peakBytes < 256 * 2 ** 20, `memory grew by ${peakBytes} bytes`)
})
