// Projects with the real command against a real daemon, and the rule by which the strictest of box, project, key and job holds.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { consents, dataClasses, escalationModes, ProjectRules, type Consent, type DataClass, type KeyReply, type ProjectEntry, type ProjectList, type ProjectView } from '@hearth/protocol'
import { projectOf, saysPrincipal, strictest } from '../../packages/daemon/src/egress/policy.ts'
import { launcher } from '../cli/cli.ts'
import { DaemonProcess, makePlace } from './process.ts'


describe('hearth project', () => {
  const place = makePlace()
  const work = place.work()
  let daemon: DaemonProcess
  const start = async (): Promise<void> => { daemon = await DaemonProcess.start(place) }
  before(async () => {
    writeFileSync(join(place.home, 'config.json'), JSON.stringify({ storage: { refuseBelowBytes: 1024 }, escalation: { consent: 'ask', modes: ['advise', 'review'] }, http: { port: 0 } }))
    for (const name of ['shop', 'shop/data', 'other']) mkdirSync(join(work, name), { recursive: true })
    symlinkSync(join(work, 'shop'), join(work, 'link'))
    await start()
  })
  after(async () => {
    await daemon.kill('SIGTERM')
    place.clear()
  })
  const hearth = (...args: string[]): { code: number | null; out: string; err: string } => {
    const ran = spawnSync(launcher, [...args, '--no-color'], { cwd: work, encoding: 'utf8', env: { PATH: process.env['PATH'], HOME: place.home, HEARTH_HOME: place.home, COLUMNS: '200' } })
    return { code: ran.status, out: ran.stdout, err: ran.stderr }
  }
  const listed = async (): Promise<ProjectView[]> => (await daemon.client.call<ProjectList>('GET', '/api/projects')).projects

  it('makes one of a folder, says what holds, and finds it again by any of its names', async () => {
    const shop = join(work, 'shop')
    const added = hearth('project', 'add', 'link', '--consent', 'auto', '--modes', 'advise,step', '--day-usd', '2', '--month-usd', '20.50', '--local-only', 'data/**', '--local-only', '*.sqlite')
    assert.deepEqual(added, {
      code: 0, out: `shop: ${shop}\nholds now: consent ask, data redact, modes advise, may spend $2.00 a day, $20.50 a month\n`,
      err: 'The box says consent ask, which is stricter (escalation.consent in the configuration).\n',
    })
    assert.deepEqual((await listed()).map(({ id, path, rules }) => ({ id, path, rules })), [{
      id: 'shop', path: shop,
      rules: ProjectRules.parse({ consent: 'auto', modes: ['advise', 'step'], budget: { dayUsdMicros: 2_000_000, monthUsdMicros: 20_500_000 }, localOnly: ['data/**', '*.sqlite'] }),
    }])
    const again = hearth('project', 'add', 'shop')
    assert.deepEqual([again.code, again.err.split('\n')[0]], [65, `hearth: The folder ${shop} is the project 'shop' already; 'hearth project set shop' changes its rules.`])
    assert.match(hearth('project', 'add', 'other', '--name', 'shop').err, /There is a project 'shop' already\./)
  })

  it('changes only what is named, and takes rules away again', async () => {
    assert.equal(hearth('project', 'set', 'shop', '--data-class', 'local-only', '--day-usd', 'none').code, 0)
    const [after] = await listed()
    assert.deepEqual([after?.rules.dataClass, after?.rules.consent, after?.rules.budget.dayUsdMicros, after?.rules.budget.monthUsdMicros], ['local-only', 'auto', null, 20_500_000])
    assert.equal(hearth('project', 'set', 'shop', '--data-class', 'box', '--modes', 'box', '--local-only', 'none').code, 0)
    const [free] = await listed()
    assert.deepEqual([free?.rules.dataClass, free?.rules.modes, free?.rules.localOnly], [null, null, []])
    assert.deepEqual(free?.effective, { consent: 'ask', modes: ['advise', 'review'], dataClass: 'redact' })
  })

  it('lists them with what holds elsewhere, also after a restart', async () => {
    hearth('project', 'add', 'shop/data', '--name', 'customers', '--data-class', 'local-only')
    const before = hearth('project', 'ls').out
    assert.match(before, /^PROJECT +CONSENT +DATA +MODES +MAY SPEND +LOCAL FILES +FOLDER\ncustomers +ask +local-only +advise,review +as the box +0 .*\/shop\/data\nshop +ask +redact +advise,review +\$20\.50 a month +0 .*\/shop\n\(every other folder\) +ask +redact +advise,review +'hearth budget' says +0\s*\n$/)
    await daemon.kill('SIGKILL')
    await start()
    assert.equal(hearth('project', 'ls').out, before)
  })

  it('forgets one, and its name may be used again', async () => {
    assert.deepEqual(hearth('project', 'rm', 'customers'), { code: 0, out: 'customers has no rules of its own any more\n', err: '' })
    assert.deepEqual((await listed()).map(({ id }) => id), ['shop'])
    assert.equal(hearth('project', 'rm', 'customers').code, 65)
    assert.equal(hearth('project', 'add', 'other', '--name', 'customers').code, 0)
    assert.deepEqual((await listed()).map(({ id }) => id), ['customers', 'shop'])
  })

  it('refuses words it does not know, and folders that are none', () => {
    const cases: [string[], number, RegExp][] = [
      [['add', 'nowhere'], 65, /nowhere cannot be used: it does not exist/], [['add', '../config.json'], 65, /cannot be used: it is not a folder|does not exist/],
      [['add', 'other', '--consent', 'yes'], 64, /--consent takes never, ask, auto, not 'yes'/], [['set', 'shop'], 64, /Nothing to change was named/],
      [['set', 'shop', '--day-usd', '-1'], 64, /--day-usd|unknown|'-1'/], [['set', 'shop', '--day-usd', '1e9'], 64, /takes an amount in dollars such as 2 or 0\.50, not '1e9'/],
      [['set', 'shop', '--modes', 'advise,steal'], 64, /not 'steal'/], [['add', 'other', '--name', 'Bad Name'], 65, /not valid at/],
    ]
    for (const [args, code, said] of cases) {
      const ran = hearth('project', ...args)
      assert.equal(ran.code, code, `${args.join(' ')}: ${ran.err}`)
      assert.match(ran.err, said)
    }
  })

  it('is changed by nobody without the scope admin', async () => {
    const { secret } = await daemon.client.call<KeyReply>('POST', '/api/keys', { name: 'ci', scopes: ['jobs:read', 'jobs:write', 'approve', 'escalate', 'infer', 'metrics'] })
    const url = (await daemon.client.call<{ http?: { url: string } }>('GET', '/api/status')).http?.url ?? ''
    const ask = (method: string, path: string, body?: unknown): Promise<Response> => fetch(url + path, { method, headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' }, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
    assert.equal((await ask('GET', '/api/projects')).status, 200)
    for (const [method, path, body] of [['POST', '/api/projects', { path: work }], ['POST', '/api/projects/shop', { consent: 'auto' }], ['DELETE', '/api/projects/shop']] as const) {
      assert.equal((await ask(method, path, body)).status, 403)
    }
  })
})

describe('the strictest holds', () => {
  const box = { consent: 'auto', modes: [...escalationModes], dataClass: 'open' } as const

  it('in each field by itself, and says who made it so', () => {
    assert.deepEqual(strictest(box, []), { consent: 'auto', dataClass: 'open', modes: [...escalationModes], because: { consent: 'box', dataClass: 'box', modes: {} } })
    const held = strictest({ ...box, modes: ['advise', 'step', 'review'] }, [['project', { consent: 'ask', modes: ['advise', 'plan', 'review'] }], ['key', {}], ['job', { consent: 'auto', dataClass: 'local-only', modes: ['review', 'step'] }]])
    assert.deepEqual(held, {
      consent: 'ask', dataClass: 'local-only', modes: ['review'],
      because: { consent: 'project', dataClass: 'job', modes: { plan: 'box', rest: 'box', step: 'project', advise: 'job' } },
    })
  })

  it('and nobody can loosen what another one says, whatever the order', () => {
    const words: (Consent | null)[] = [...consents, null]
    const classes: (DataClass | null)[] = [...dataClasses, null]
    for (const a of words) for (const b of words) for (const data of classes) {
      const consent = strictest({ ...box, consent: 'ask' }, [['project', { consent: a, dataClass: data }], ['job', { consent: b, dataClass: 'open' }]]).consent
      const expected = [a ?? 'auto', b ?? 'auto', 'ask' as const].reduce((x, y) => (consents.indexOf(x) <= consents.indexOf(y) ? x : y))
      assert.equal(consent, expected)
      assert.equal(strictest(box, [['project', { dataClass: data }], ['job', { dataClass: 'open' }]]).dataClass, data ?? 'open')
    }
  })

  it('a key without the scope buys nothing', () => {
    assert.deepEqual(saysPrincipal({ id: 'key:a', kind: 'key', origin: 'automation', scopes: ['infer', 'jobs:write', 'admin'], class: 'job' }), { consent: 'never' })
    assert.deepEqual(saysPrincipal({ id: 'key:a', kind: 'key', origin: 'automation', scopes: ['escalate'], class: 'job' }), {})
  })

  it('a folder is of the innermost project around it, by whole names', () => {
    const project = (id: string, path: string): ProjectEntry => ({ id, path, rules: ProjectRules.parse({}), createdAt: 0, changedAt: 0 })
    const all = [project('all', '/data/a'), project('shop', '/data/a/shop'), project('else', '/srv')]
    assert.deepEqual(['/data/a/shop/src', '/data/a/shop', '/data/a/shopping', '/data/ab', '/srv/x', '/'].map((path) => projectOf(path, all)?.id), ['shop', 'shop', 'all', undefined, 'else', undefined])
  })
})
