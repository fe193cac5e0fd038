// The network port of a job over the real store: rows before bytes, settled once, null after a death in between; GET with its redirects.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Denial, Fault, Job, JobEvent, JobNetwork } from '@hearth/protocol'
import { Config } from '@hearth/protocol'
import { createDialler } from '@hearth/sandbox'
import { jobNetwork, networkOf } from '../../packages/daemon/src/egress/job-network.ts'
import { Store } from '../../packages/daemon/src/store/store.ts'
import { httpServer, httpsServer, makeCertificate, type Counting } from '../fixtures/counting-servers.ts'

type Row = { host: string; bytes: number | null; purpose: string; job_id: string }

describe('the network port of a job', () => {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-job-network-'))
  const path = join(folder, 'hearth.db')
  const limits = Config.parse({}).sandbox.network
  let store: Store
  let plain: Counting
  let secure: Counting
  let rowsWhenAsked: Row[] = []
  before(async () => {
    store = await Store.open(path)
    plain = await httpServer((request, response) => {
      rowsWhenAsked = rows()
      const to = /^\/to\/(.+)$/.exec(request.url ?? '')?.[1]
      if (to !== undefined) return void response.writeHead(307, { location: decodeURIComponent(to) }).end()
      if (request.url === '/large') return void response.end('x'.repeat(100_000))
      response.setHeader('content-type', 'text/plain').end(`${request.method} ${request.url} ${JSON.stringify(Object.keys(request.headers).sort())}`)
    })
    secure = await httpsServer(makeCertificate(folder, ['DNS:secure.test']), (_request, response) => response.end('secret'))
  })
  after(async () => {
    await store.close()
    await plain.close()
    await secure.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const rows = (): Row[] => {
    const db = new DatabaseSync(path, { readOnly: true })
    try {
      return db.prepare('SELECT host, bytes, purpose, job_id FROM egress ORDER BY id').all() as Row[]
    } finally {
      db.close()
    }
  }
  const open = (jobId: string, told: Fault[] = [], past: JobEvent[] = [], closed: () => Denial | null = () => null): JobNetwork => jobNetwork({
    closed,
    jobId, hosts: [`plain.test:${plain.port}`, `127.0.0.1:${plain.port}`, `secure.test:${secure.port}`, `127.0.0.1:${secure.port}`], limits, store, sentBytes: 0, past, tell: (why) => told.push(why), now: Date.now, log: () => undefined,
    resolve: () => Promise.resolve([{ address: '127.0.0.1', family: 4 }]),
  })
  const get = (network: JobNetwork, url: string, maxBytes = 1000): ReturnType<JobNetwork['fetch']> => network.fetch(url, { maxBytes, signal: new AbortController().signal })
  const said = async (network: JobNetwork, url: string): Promise<string> => {
    const found = await get(network, url)
    return found.ok ? `HTTP ${found.status}` : found.fault.message
  }

  test('a row is there before the request is, and holds the bytes the server got', async () => {
    const before = plain.receivedBytes
    const found = await get(open('a'), `http://plain.test:${plain.port}/page?x=1#part`)
    assert.ok(found.ok)
    assert.equal(Buffer.from(found.body).toString(), 'GET /page?x=1 ["accept","accept-encoding","connection","host","user-agent"]')
    const row = { host: `plain.test:${plain.port}`, purpose: 'tool', job_id: 'a' }
    assert.deepEqual(rowsWhenAsked.map((one) => ({ ...one })), [{ ...row, bytes: null }])
    assert.deepEqual(rows().map((one) => ({ ...one })), [{ ...row, bytes: plain.receivedBytes - before }])
    assert.deepEqual(store.read.sums('a').network, [{ host: row.host, connections: 1, bytes: plain.receivedBytes - before }])
  })

  test('that is closed reaches nobody any more, also over a connection that stands; this very box stays', async () => {
    const told: Fault[] = []
    let denial: Denial | null = null
    const network = { ...open('closing', told, [], () => denial) }
    const dialler = createDialler({ grant: network, log: () => undefined, resolve: () => Promise.resolve([{ address: '127.0.0.1', family: 4 }]) })
    const dialled = await dialler.dial({ host: { name: 'plain.test', kind: 'name' }, port: plain.port })
    assert.ok(dialled.ok)
    const { stream } = dialled
    const first = 'GET /page HTTP/1.1\r\nhost: plain.test\r\n\r\n'
    stream.write(first)
    await once(stream, 'data')
    denial = { rule: 'data_class', why: 'This job has seen private/a.csv, which never leaves the house, so nothing of the job does.', remedy: 'Do that part in a job of its own.' }
    const over = once(stream, 'close')
    stream.write('GET /private HTTP/1.1\r\nhost: plain.test\r\n\r\n')
    await over
    await dialler.close()
    // What the kernel was handed: nothing of the second.
    assert.equal(rows().at(-1)?.bytes, first.length)
    const why = 'this job has seen private/a.csv, which never leaves the house, so nothing of the job does'
    assert.equal(await said(network, `http://plain.test:${plain.port}/page`), `The job did not reach plain.test:${plain.port}: ${why}.`)
    assert.equal(await said(network, `http://127.0.0.1:${plain.port}/page`), 'HTTP 200')
    assert.deepEqual(told.map(({ message, remedy }) => `${message} ${remedy}`), [`The job did not reach plain.test:${plain.port}: ${why}. Do that part in a job of its own.`])
  })

  test('redirects are judged one by one, and a body is cut', async () => {
    const told: Fault[] = []
    const network = open('b', told)
    const at = (to: string): string => `http://plain.test:${plain.port}/to/${encodeURIComponent(to)}`
    assert.equal(await said(network, at('/page')), 'HTTP 200')
    assert.equal(await said(network, at('http://elsewhere.test/')), 'The job did not reach elsewhere.test: it is not in its list of hosts.')
    assert.equal(await said(network, at('http://169.254.169.254/latest')), 'The job did not reach 169.254.169.254: it is not in its list of hosts.')
    assert.equal(await said(network, at('file:///etc/passwd')), 'The job did not reach file:///etc/passwd: it is no http or https address.')
    assert.equal(await said(network, at(at(at(at(at(at(at('/page')))))))), `The job did not reach plain.test:${plain.port}: it redirects more than 5 times.`)
    assert.deepEqual(told.map(({ message }) => message.split(': it')[0]), ['elsewhere.test', '169.254.169.254', 'file:///etc/passwd'].map((host) => `The job did not reach ${host}`))
    const large = await get(network, `http://plain.test:${plain.port}/large`, 1000)
    assert.ok(large.ok && large.cut && large.body.length === 1000)
  })

  test('a certificate that nobody vouches for ends it', async () => {
    assert.match(await said(open('c'), `https://secure.test:${secure.port}/`), /^The job did not reach secure\.test:\d+: DEPTH_ZERO_SELF_SIGNED_CERT\.$/)
  })

  test('a refusal is one event a host, also over a restart', async () => {
    const told: Fault[] = []
    const network = open('d', told)
    for (let n = 0; n < 3; n += 1) await get(network, 'http://elsewhere.test/')
    assert.equal(told.length, 1)
    const again: Fault[] = []
    const past = told.map((why, index): JobEvent => ({ type: 'network_refused', fault: why, seq: index + 1, jobId: 'd', at: 1 }))
    await get(open('d', again, past), 'http://elsewhere.test/')
    assert.deepEqual(again, [])
  })

  test('a job that goes on has what its tools have not sent, whatever else left the box for it', async () => {
    await store.egress({ at: 1, jobId: 'f', purpose: 'mcp', host: 'mcp.test', bytes: 1000 })
    await store.egress({ at: 1, jobId: 'f', purpose: 'provider', host: 'seller.test', bytes: limits.sentBytes })
    await store.openEgress({ at: 1, jobId: 'f', purpose: 'tool', host: 'a.test' }, 'f1')
    await store.settleEgress('f1', 30)
    await store.openEgress({ at: 1, jobId: 'f', purpose: 'tool', host: 'a.test' }, 'f2')
    // Of a job these two are all that is asked.
    const job = { id: 'f', request: { network: ['a.test'] } } as unknown as Job
    const { network } = networkOf(job, [], { store, config: Config.parse({}), log: () => undefined, now: Date.now, tell: () => undefined })
    assert.equal(network?.left.sentBytes, limits.sentBytes - 30)
    assert.deepEqual(networkOf({ ...job, request: { ...job.request, network: [] } }, [], { store, config: Config.parse({}), log: () => undefined, now: Date.now, tell: () => undefined }), {})
  })

  test('what was not settled stays unknown, and nothing else of a row can change', async () => {
    const settle = await open('e').begin('lost.test', () => 0)
    const row = (): unknown => rows().find(({ job_id: job }) => job === 'e')?.bytes
    assert.equal(row(), null)
    // The store's own thread may be at the file in this moment.
    const db = new DatabaseSync(path, { timeout: 10_000 })
    assert.throws(() => db.exec("UPDATE egress SET host = 'x' WHERE job_id = 'e'"), /append-only/)
    const noted = (): unknown => db.prepare("SELECT least, bytes FROM egress WHERE job_id = 'e'").get()?.['least']
    const { connection } = db.prepare("SELECT connection FROM egress WHERE job_id = 'e'").get() as { connection: string }
    await store.noteEgress(connection, 3)
    await store.noteEgress(connection, 2)
    assert.equal(noted(), 3)
    assert.throws(() => db.exec("UPDATE egress SET least = 1 WHERE job_id = 'e'"), /append-only/)
    assert.throws(() => db.exec("UPDATE egress SET bytes = 2 WHERE job_id = 'e'"), /append-only/)
    await settle(5)
    assert.equal(row(), 5)
    await assert.rejects(settle(6), /append-only/)
    assert.throws(() => db.exec("UPDATE egress SET bytes = NULL WHERE job_id = 'e'"), /append-only/)
    db.close()
  })
})
