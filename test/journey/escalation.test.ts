// Help that is bought, in a whole Hearth: a stuck scripted model, the real gate, store and clients, and a seller of tokens that keeps every byte it hears.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, before, describe, it } from 'node:test'
import type { BudgetReply, EgressReply, JobEvent } from '@hearth/protocol'
import { Seller } from '../fixtures/seller.ts'
import { Box } from './box.ts'

const advice = 'The file f must hold the word right.\n1. write f\n2. run the check\n3. finish\nGO ON'
const price = { from: '2026-01-01', input: 3_000_000, cacheRead: 300_000, cacheWrite: 3_750_000, output: 15_000_000 }
const key = 'sk-test-Zq81LmX0pTr55vNwY2'

const placeholderIn = (text: string): string => /‹secret:[a-z0-9-]+:[0-9a-z]+›/.exec(text)?.[0] ?? 'nothing'

describe('help that is bought', () => {
  const seller = new Seller(() => advice)
  let box: Box
  const config = (escalation: object = {}): object => ({
    sandbox: { limits: 'weak' }, storage: { refuseBelowBytes: 1024 },
    escalation: {
      consent: 'auto', budget: { dayUsdMicros: 5_000_000 },
      providers: [{ id: 'shop', kind: 'compatible', url: `http://127.0.0.1:${seller.port}/v1`, keyFile: join(box.home, 'key'), models: [{ id: 'far', model: 'far-1', contextTokens: 100_000, maxOutputTokens: 4000, prices: [price] }] }], ...escalation,
    },
  })
  before(async () => {
    await seller.open()
    box = new Box()
    writeFileSync(join(box.home, 'key'), `${key}\n`, { mode: 0o600 })
  })
  afterEach(async () => {
    await box.hearth(['down'])
    seller.heard.length = 0
  })
  after(async () => {
    await box.close()
    seller.close()
  })

  /** Says twice that it is done when it is not; then it does it. `does`: what it does instead of nothing before. */
  const stubborn = (does: object[] = []): string => box.script({
    turns: [...does, ...[1, 2].map((n) => ({ calls: [{ name: 'finish', arguments: { answer: `done ${n}` } }] })),
      { calls: [{ name: 'write', arguments: { path: 'f', content: 'right\n' } }] }, { calls: [{ name: 'finish', arguments: { answer: 'now it is' } }] }],
  })
  const run = (folder: string, ...words: string[]): ReturnType<Box['job']> => box.job([...words, '--check', 'grep -q right f', 'make it right'], { cwd: folder })
  const types = (events: readonly JobEvent[]): string[] => events.map(({ type }) => type).filter((type) => /^(signals|escalation|remote|handed|effect|approval|ended|suspended)/.test(type))

  it('is recorded, paid and judged, and every byte is accounted for', async () => {
    box.configure(config())
    await box.up()
    const folder = box.folder({ f: 'wrong\n' })
    const ran = await run(folder, '--model', stubborn())
    assert.equal(ran.code, 0, ran.stderr)
    assert.deepEqual(types(ran.events), ['signals', 'escalation_offered', 'remote', 'handed_back', 'effect', 'ended'])
    const [offered] = ran.events.filter((event) => event.type === 'escalation_offered')
    assert.deepEqual([offered?.offer.model, offered?.offer.place, offered?.offer.consent, offered?.offer.host], ['far', 'remote', 'auto', `127.0.0.1:${seller.port}`])
    assert.equal(seller.heard.length, 1)
    // 800 read anew, 100 from the cache, 40 written.
    const cost = Math.ceil((800 * price.input + 100 * price.cacheRead + 40 * price.output) / 1e6)
    const [back] = ran.events.filter((event) => event.type === 'handed_back')
    assert.equal(back?.usdMicros, cost)
    const left = await box.json<EgressReply>('egress')
    assert.equal(left.totals.bytes, seller.bytes)
    assert.deepEqual([left.totals.packets, left.totals.packetBytes], [1, seller.bodies.reduce((sum, body) => sum + Buffer.byteLength(body), 0)])
    assert.equal(left.packets[0]?.sha256, createHash('sha256').update(seller.bodies[0] ?? '').digest('hex'))
    const money = await box.json<BudgetReply>('budget')
    assert.ok(JSON.stringify(money).includes(String(cost)), JSON.stringify(money))
    const [ended] = ran.events.filter((event) => event.type === 'ended')
    assert.deepEqual([ended?.receipt.usdMicros, ended?.receipt.bytesLeftBox], [cost, seller.bytes])
  })

  for (const [name, escalation, project] of [
    ['the box says never', { consent: 'never' }, []], ['the box says local-only', { dataClass: 'local-only' }, []],
    ['the project says never', {}, ['--consent', 'never']], ['the project says local-only', {}, ['--data-class', 'local-only']],
  ] as const) {
    it(`is not bought when ${name}: not a byte leaves, exit 14`, async () => {
      box.configure(config(escalation))
      await box.up()
      const folder = box.folder({ f: 'wrong\n' })
      if (project.length > 0) assert.equal((await box.hearth(['project', 'add', folder, ...project])).code, 0)
      const stuck = box.script({ turns: Array.from({ length: 12 }, (_, n) => ({ calls: [{ name: 'finish', arguments: { answer: `done ${n}` } }] })) })
      const ran = await run(folder, '--model', stuck, '--max-steps', '12')
      assert.equal(ran.code, 14, ran.stderr)
      assert.deepEqual([seller.heard.length, (await box.json<EgressReply>('egress', '--job', ran.events[0]?.jobId ?? '')).totals.connections], [0, 0])
    })
  }

  it('has no secret in it, and what was replaced is put back here', async () => {
    const secret = 'ghp_9aB3kLmN0pQrStUvWxYz1234567890abcdEF'
    box.configure(config())
    await box.up()
    const folder = box.folder({ f: 'wrong\n', 'config.ini': `token = ${secret}\nprovider = ${key}\n`, '.env': 'DATABASE_PASSWORD=correct-horse-battery\n' })
    seller.answer = (body) => `Use ${placeholderIn(body)} in f.\nGO ON`
    const ran = await box.job(['--model', stubborn([{ calls: [{ name: 'bash', arguments: { command: 'cat .env; exit 1' } }] }]), '--check', 'grep -q right f || { cat config.ini; exit 1; }', 'make it right'], { cwd: folder })
    seller.answer = () => advice
    assert.equal(ran.code, 0, ran.stderr)
    assert.equal(seller.heard.length, 1)
    const wire = seller.heard.join('').replace(/authorization: Bearer [^\r]*/i, '')
    for (const never of [secret, key, 'correct-horse-battery']) assert.ok(!wire.includes(never), `${never} left the house`)
    const [offered] = ran.events.filter((event) => event.type === 'escalation_offered')
    assert.deepEqual(offered?.offer.redactions.map(({ count }) => count), [2, 2])
    assert.ok(offered?.offer.preview.includes(placeholderIn(seller.bodies[0] ?? '')))
    const [back] = ran.events.filter((event) => event.type === 'handed_back')
    assert.match(back?.text ?? '', new RegExp(`Use (${secret}|${key}) in f`))
  })

  it('waits for a person when the box says ask, and sends exactly what was approved', async () => {
    box.configure(config({ consent: 'ask' }))
    await box.up()
    const folder = box.folder({ f: 'wrong\n' })
    const waited = await run(folder, '--model', stubborn())
    assert.equal(waited.code, 13, waited.stderr)
    assert.equal(seller.heard.length, 0)
    const id = waited.events[0]?.jobId ?? ''
    const [offered] = waited.events.filter((event) => event.type === 'escalation_offered')
    const shown = await box.hearth(['approve'])
    assert.match(shown.stdout + shown.stderr, /far/)
    assert.equal((await box.hearth(['approve', id])).code, 0)
    const attached = await box.hearth(['attach', id])
    assert.equal(attached.code, 0, attached.stderr)
    assert.equal(seller.heard.length, 1)
    const sent = JSON.parse(seller.bodies[0] ?? '') as { messages: { role: string; content: string }[] }
    assert.equal(sent.messages.find(({ role }) => role === 'user')?.content, offered?.offer.preview)
  })

  it('is refused by a person, and not a byte leaves', async () => {
    box.configure(config({ consent: 'ask' }))
    await box.up()
    const waited = await run(box.folder({ f: 'wrong\n' }), '--model', stubborn())
    const id = waited.events[0]?.jobId ?? ''
    assert.equal((await box.hearth(['approve', id, '--refuse', '--why', 'not this'])).code, 0)
    await box.until('the end', async () => (await box.jobs()).find((job) => job.id === id)?.endedAt)
    assert.equal(seller.heard.length, 0)
    assert.match((await box.hearth(['why', id])).stdout, /refused it: not this/)
  })

  it('is not bought without money, a price or a key, and the job says which', async () => {
    for (const [escalation, said] of [
      [{ budget: {} }, /^This box has no budget, so nothing is bought\.$/], [{ budget: { dayUsdMicros: 10 } }, /./],
    ] as const) {
      box.configure(config(escalation))
      await box.up()
      const ran = await run(box.folder({ f: 'wrong\n' }), '--model', stubborn())
      assert.equal(seller.heard.length, 0)
      const [denied] = ran.events.filter((event) => event.type === 'escalation_denied')
      assert.match(denied?.denial.why ?? '', said)
      await box.hearth(['down'])
    }
  })

  it('runs a whole job on a bought model where that is allowed, and each turn is on record', async () => {
    box.configure(config({ modes: ['rest'] }))
    await box.up()
    const folder = box.folder({ f: 'right\n' })
    seller.answer = () => 'It is right already.'
    const ran = await run(folder, '--model', 'far')
    assert.equal(ran.code, 0, ran.stderr)
    const left = await box.json<EgressReply>('egress', '--job', ran.events[0]?.jobId ?? '')
    assert.ok(seller.heard.length > 0)
    assert.deepEqual([left.totals.packets, left.totals.bytes], [seller.heard.length, seller.bytes])
    for (const [escalation, said] of [[{}, /'rest' is not allowed/], [{ modes: ['rest'], consent: 'ask' }, /each would wait for a person/], [{ modes: ['rest'], consent: 'never' }, /Nothing may be bought/]] as const) {
      await box.hearth(['down'])
      seller.heard.length = 0
      box.configure(config(escalation))
      await box.up()
      const refused = await run(folder, '--model', 'far')
      assert.equal(refused.code, 14, refused.stderr)
      assert.match(JSON.stringify(refused.events.at(-1)), said)
      assert.equal(seller.heard.length, 0)
    }
    seller.answer = () => advice
  })

  it('is made stricter by the job itself, never looser', async () => {
    box.configure(config())
    await box.up()
    for (const words of [['--local-only'], ['--escalate', 'never'], ['--modes', 'plan']]) {
      const ran = await run(box.folder({ f: 'wrong\n' }), ...words, '--model', stubborn())
      assert.equal(ran.events.filter((event) => event.type === 'handed_back').length, 0, words.join(' '))
    }
    assert.equal(seller.heard.length, 0)
    box.configure(config({ consent: 'never' }))
    await box.hearth(['down'])
    await box.up()
    await run(box.folder({ f: 'wrong\n' }), '--escalate', 'auto', '--modes', 'advise,step', '--model', stubborn())
    assert.equal(seller.heard.length, 0)
  })

  it('asks before it sends anything of a job that has read words of strangers', async () => {
    // A command of a job with a network may have fetched anything.
    box.configure({ ...config() as Record<string, unknown>, sandbox: { limits: 'weak', network: { allow: ['example.org'] } } })
    await box.up()
    const ran = await run(box.folder({ f: 'wrong\n' }), '--network', 'example.org', '--model', stubborn([{ calls: [{ name: 'bash', arguments: { command: 'echo fetched; exit 1' } }] }]))
    assert.equal(ran.code, 13, ran.stderr)
    assert.equal(seller.heard.length, 0)
  })

  it('leaves out files that never leave, whatever the failure names', async () => {
    box.configure(config())
    await box.up()
    const folder = box.folder({ f: 'wrong\n', '.env': 'KIND=plain words that are no secret\n', 'lint.sh': 'echo "private/plan.txt:1: error"; echo ".env:1: error"; exit 1\n' })
    mkdirSync(join(folder, 'private'))
    writeFileSync(join(folder, 'private/plan.txt'), 'the plan of the house\n')
    assert.equal((await box.hearth(['project', 'add', folder, '--local-only', 'private/**'])).code, 0)
    const fails = [{ calls: [{ name: 'bash', arguments: { command: 'sh lint.sh' } }] }]
    const ran = await run(folder, '--model', stubborn(fails))
    assert.equal(ran.code, 0, ran.stderr)
    assert.equal(seller.heard.length, 1)
    assert.ok(!/the plan of the house|plain words that are no secret/.test(seller.bodies.join('')))
    const seen = [{ calls: [{ name: 'read', arguments: { path: 'private/plan.txt' } }] }]
    writeFileSync(join(folder, 'f'), 'wrong\n')
    const tainted = await run(folder, '--model', stubborn(seen))
    assert.equal(seller.heard.length, 1)
    const [denied] = tainted.events.filter((event) => event.type === 'escalation_denied')
    assert.match(denied?.denial.why ?? '', /has seen private\/plan\.txt, which never leaves the house/)
    assert.equal(readFileSync(join(folder, 'f'), 'utf8'), 'right\n')
  })
})
