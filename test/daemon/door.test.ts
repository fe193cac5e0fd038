// The way out: a row before the first byte, as many bytes as were sent, one row for each redirect. Against a raw TCP server that counts.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { after, test } from 'node:test'
import type { EgressEntry } from '@hearth/protocol'
import { createDoor } from '../../packages/daemon/src/egress/door.ts'

type Row = Omit<EgressEntry, 'id'>
const servers: Server[] = []
after(() => { for (const server of servers) server.close() })

/** A server that answers each request head with the next answer and keeps what it read. */
async function serverOf(...answers: ((port: number) => string)[]): Promise<{ port: number; heads: string[] }> {
  const heads: string[] = []
  const server = createServer((socket) => {
    let head = ''
    socket.setEncoding('latin1').on('error', () => undefined).on('data', (text: string) => {
      head += text
      if (!head.includes('\r\n\r\n')) return
      heads.push(head)
      head = ''
      socket.end(answers.shift()?.((server.address() as AddressInfo).port) ?? 'HTTP/1.1 500 no\r\ncontent-length: 0\r\n\r\n')
    })
  }).listen(0)
  servers.push(server)
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, heads }
}

const ok = (body: string) => (): string => `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`
const moved = (to: string) => (port: number): string => `HTTP/1.1 302 Found\r\nlocation: ${to.replace('PORT', String(port))}\r\ncontent-length: 0\r\n\r\n`

test('the row holds exactly the bytes that arrived, and is written first', async () => {
  const { port, heads } = await serverOf(ok('hello'))
  const rows: Row[] = []
  const door = createDoor((row) => {
    assert.equal(heads.length, 0)
    rows.push(row)
    return Promise.resolve()
  }, () => 5)
  const answer = await door.fetch(`http://127.0.0.1:${port}/a/b?c=%20d`, { purpose: 'model-download', jobId: null, headers: { Range: 'bytes=10-', 'X-Word': 'ä' } })
  assert.equal(answer.status, 200)
  assert.equal(await answer.text(), 'hello')
  assert.deepEqual(rows, [{ at: 5, jobId: null, purpose: 'model-download', host: `127.0.0.1:${port}`, bytes: heads[0]?.length }])
  assert.match(heads[0] ?? '', /^GET \/a\/b\?c=%20d HTTP\/1\.1\r\nhost: /)
  assert.match(heads[0] ?? '', /\r\nrange: bytes=10-\r\n/)
})

test('each redirect is a row of its own', async () => {
  const first = await serverOf(moved('/second'), moved('http://127.0.0.1:PORT/third'), ok('there'))
  const rows: Row[] = []
  const door = createDoor((row) => {
    rows.push(row)
    return Promise.resolve()
  })
  const answer = await door.fetch(`http://127.0.0.1:${first.port}/first`, { purpose: 'model-download', jobId: 'j' })
  assert.equal(await answer.text(), 'there')
  assert.deepEqual(first.heads.map((head) => head.split(' ')[1]), ['/first', '/second', '/third'])
  assert.deepEqual(rows.map((row) => row.bytes), first.heads.map((head) => head.length))
})

test('a redirect to another host does not take the credentials along', async () => {
  const other = await serverOf(ok('x'))
  const first = await serverOf(moved(`http://localhost:${other.port}/`))
  await createDoor(() => Promise.resolve()).fetch(`http://127.0.0.1:${first.port}/`, { purpose: 'model-download', jobId: null, headers: { Authorization: 'Bearer secret', range: 'bytes=1-' } })
  assert.match(first.heads[0] ?? '', /authorization: Bearer secret/)
  assert.doesNotMatch(other.heads[0] ?? 'secret', /secret/)
  assert.match(other.heads[0] ?? '', /range: bytes=1-/)
})

test('no row, no byte', async () => {
  const { port, heads } = await serverOf(ok('x'))
  const door = createDoor(() => Promise.reject(new Error('disk full')))
  await assert.rejects(door.fetch(`http://127.0.0.1:${port}/`, { purpose: 'model-download', jobId: null }), /disk full/)
  assert.equal(heads.length, 0)
})

test('a circle of redirects ends, and so does a redirect to another kind of address', async () => {
  const round = await serverOf(...Array.from({ length: 20 }, () => moved('/again')))
  const door = createDoor(() => Promise.resolve())
  await assert.rejects(door.fetch(`http://127.0.0.1:${round.port}/`, { purpose: 'model-download', jobId: null }), /more than 10 redirects/)
  const file = await serverOf(moved('file:///etc/passwd'))
  await assert.rejects(door.fetch(`http://127.0.0.1:${file.port}/`, { purpose: 'model-download', jobId: null }), /file: addresses are not fetched/)
})

test('an abort ends the fetch and the body', async () => {
  const { port } = await serverOf(() => 'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nbegin')
  const abort = new AbortController()
  const door = createDoor(() => Promise.resolve())
  abort.abort()
  await assert.rejects(door.fetch(`http://127.0.0.1:${port}/`, { purpose: 'model-download', jobId: null, signal: abort.signal }), { name: 'AbortError' })
})

test('a helper that counts nothing is a row with bytes unknown', async () => {
  const rows: Row[] = []
  await createDoor((row) => {
    rows.push(row)
    return Promise.resolve()
  }, () => 5).helper('model-download', 'index.example', 'j')
  assert.deepEqual(rows, [{ at: 5, jobId: 'j', purpose: 'model-download', host: 'index.example', bytes: null }])
})

test('a POST counts its body and never follows a redirect', async () => {
  const { port, heads } = await serverOf(ok('yes'), moved('http://127.0.0.1:PORT/other'))
  const rows: Row[] = []
  const door = createDoor((row) => {
    rows.push(row)
    return Promise.resolve()
  }, () => 5)
  const options = { purpose: 'lan-endpoint' as const, jobId: 'j', headers: { authorization: 'Bearer k', 'content-type': 'application/json' }, body: '{"a":"ä"}' }
  assert.equal(await (await door.post(`http://127.0.0.1:${port}/v1/chat`, options)).text(), 'yes')
  const redirected = await door.post(`http://127.0.0.1:${port}/v1/chat`, options)
  assert.equal(redirected.status, 302)
  await redirected.body?.cancel()
  const head = heads[0]?.split('\r\n\r\n')[0] ?? ''
  assert.match(head, /^POST \/v1\/chat HTTP\/1\.1\r\n/)
  assert.match(head, /\r\ncontent-length: 10$/)
  assert.equal(heads.length, 2)
  assert.deepEqual(rows.map((row) => [row.jobId, row.purpose, row.bytes]), [['j', 'lan-endpoint', head.length + 4 + 10], ['j', 'lan-endpoint', head.length + 4 + 10]])
})
