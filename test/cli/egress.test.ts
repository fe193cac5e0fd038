// `hearth egress`: what a person reads, the same for programs, and one body byte for byte; against the daemon's own routes over a real database.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { EgressReply } from '@hearth/protocol'
import { keptKey } from '../../packages/daemon/src/egress/packets-key.ts'
import { Packets } from '../../packages/daemon/src/egress/packets.ts'
import type { Api } from '../../packages/daemon/src/http/api.ts'
import { makeApp } from '../../packages/daemon/src/http/app.ts'
import { listen } from '../../packages/daemon/src/http/listen.ts'
import { Store } from '../../packages/daemon/src/store/store.ts'
import { makeHome, type Home } from './cli.ts'

const at = Date.UTC(2026, 0, 5, 10, 11, 12)

async function served(t: TestContext, scopes: readonly ('admin' | 'jobs:read')[] = ['admin', 'jobs:read']): Promise<{ home: Home; store: Store; packets: Packets }> {
  const home = makeHome(t)
  const store = await Store.open(join(home.dir, 'hearth.db'))
  const packets = new Packets({ store, key: keptKey(home.dir, null), bodyDays: 30, now: () => at })
  const app = makeApp({ store, packets } as unknown as Api, () => ({ id: 'socket:0', kind: 'socket', origin: 'human', scopes: [...scopes], class: 'interactive' }), () => undefined)
  const socket = await listen(home.socket, (request, on) => app.fetch(request, on))
  t.after(async () => {
    await socket.close()
    await store.close()
  })
  return { home, store, packets }
}

test('a box that sent nothing says so in numbers', async (t) => {
  const { home } = await served(t)
  assert.deepEqual(await home.hearth('egress'), {
    code: 0, signal: null, stderr: '', stdout: 'since         the beginning\nleft the box  0 bytes in 0 connections\nto models     0 bodies, 0 bytes, 0 secrets replaced\n',
  })
})

test('sums, packets and one body', async (t) => {
  const { home, store, packets } = await served(t)
  await store.egress({ at, jobId: null, purpose: 'provider', host: 'models.test', bytes: 2048 })
  await store.egress({ at: at + 1, jobId: null, purpose: 'mcp', host: '=cmd|"x"', bytes: null })
  const made = await packets.record({ jobId: 'j1', escalation: 'e1', principal: 'socket:0', purpose: 'advise', host: 'models.test', model: 'big', redactions: [{ kind: 'jwt', count: 2 }] }, 'the body\n')
  assert.ok(made.ok)
  const sum = createHash('sha256').update('the body\n').digest('hex')
  assert.equal((await home.hearth('egress')).stdout, [
    'since         the beginning', 'left the box  at least 2.0 KiB in 2 connections, 1 of them not counted, or not to their end', 'to models     1 body, 9 bytes, 2 secrets replaced', '',
    'CONNECTIONS    BYTES  NOT COUNTED  PURPOSE', '          1  2.0 KiB            0  provider', '          1  0 bytes            1  mcp', '',
    'CONNECTIONS    BYTES  NOT COUNTED  HOST', '          1  2.0 KiB            0  models.test', '          1  0 bytes            1  =cmd|"x"', '',
    'PACKET        SENT (UTC)           BYTES  SHA256            JOB  PURPOSE    MODEL  HOST         REPLACED',
    `${made.id}  2026-01-05 10:11:12      9  ${sum.slice(0, 16)}  j1   advise e1  big    models.test  2 jwt`, '',
  ].join('\n'))
  assert.match((await home.hearth('egress', '--by', 'day')).stdout, /DAY\n +2 {2}2\.0 KiB +1 {2}2026-01-05\n/)
  assert.equal((await home.hearth('egress', '--since', '2026-02-01')).stdout.split('\n')[1], 'left the box  0 bytes in 0 connections')
  assert.equal((await home.hearth('egress', '--body', made.id)).stdout, 'the body\n')
  assert.equal((await home.hearth('egress', '--csv')).stdout, [
    '"id","at","job","purpose","host","bytes","cut"', `2,"2026-01-05T10:11:12.001Z","","mcp","'=cmd|""x""","",""`, '1,"2026-01-05T10:11:12.000Z","","provider","models.test",2048,""', '',
  ].join('\r\n'))
  const json = JSON.parse((await home.hearth('egress', '--json')).stdout) as EgressReply
  assert.deepEqual(json.packets.map(({ id, sha256, hasBody }) => [id, sha256, hasBody]), [[made.id, sum, true]])
})

test('a body is for an admin, and a wrong word is told', async (t) => {
  const { home, packets } = await served(t, ['jobs:read'])
  const made = await packets.record({ jobId: null, escalation: null, principal: 'key:x', purpose: 'chat', host: 'models.test', model: 'big', redactions: [] }, 'x')
  assert.ok(made.ok)
  const refused = await home.hearth('egress', '--body', made.id)
  assert.deepEqual([refused.code, refused.stdout], [77, ''])
  assert.match(refused.stderr, /scope admin/)
  assert.equal((await home.hearth('egress', '--by', 'hour')).code, 64)
})
