// Help that is bought when things go wrong: sellers that misbehave in each way, kills, full disks and clocks, in a whole Hearth. What a person reads, what it cost,
// what is on record, and that the next job works. All bytes that sellers heard are compared with the record.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { Client, type BudgetReply, type EgressReply, type Job, type JobEvent, type UsageReply } from '@hearth/protocol'
import { chars, makers, randomOf } from '../fixtures/planted-secrets.ts'
import { Seller, streamHead, type SellerAct } from '../fixtures/seller.ts'
import { Box, processes } from './box.ts'

const advice = 'The file f must hold the word right.\n1. write f\n2. run the check\n3. finish\nGO ON'
const price = { from: '2026-01-01', input: 3_000_000, cacheRead: 300_000, cacheWrite: 3_750_000, output: 15_000_000 }
const key = 'sk-test-Zq81LmX0pTr55vNwY2'
/** 800 tokens read anew, 100 from the cache and 40 written. */
const usual = Math.ceil((800 * price.input + 100 * price.cacheRead + 40 * price.output) / 1e6)

const status = (line: string, headers: Record<string, string> = {}, body = '{"error":{"message":"said by the seller"}}') => (socket: Socket): void =>
  void socket.end([`HTTP/1.1 ${line}`, 'content-type: application/json', `content-length: ${Buffer.byteLength(body)}`, 'connection: close', ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`), '', body].join('\r\n'))

type Cost = 'nothing' | 'usual' | 'counted'
/**
 * `said`: cause and remedy as a person reads them; null = nothing went wrong after all. `asked`: requests that the seller heard. `ended`: the word of the ledger; null = no
 * entry. `cost`: counted = there are no numbers to be believed, so ours are taken, below the worst price.
 */
type Fault = { name: string; ended: string | null; act?: (asked: number) => SellerAct; said: string | null; asked: number; cost: Cost; mode?: 'step' }

/** Five ways to be stuck, as a model that reads: what it does at its nth turn until advice is there, and the signals that call for it. */
const ways: Record<string, { does: (turn: number) => { name: string; arguments: Record<string, unknown> | string }; signals: RegExp }> = {
  'the same call again and again': { does: () => ({ name: 'bash', arguments: { command: 'true' } }), signals: /^hard repeat$/ },
  'the same error whatever it does': { does: (turn) => ({ name: 'bash', arguments: { command: `echo "ValueError: bad line ${turn}"; exit 1` } }), signals: /^hard same_error$/ },
  'answers that are no calls': { does: () => ({ name: 'bash', arguments: '{"command": "comm' }), signals: /^hard malformed$/ },
  'done when it is not': { does: () => ({ name: 'finish', arguments: { answer: 'all is done' } }), signals: /^hard check_failed$/ },
  // After several tries, where nothing else waits; on a slow machine it has soon taken longer than such jobs usually do.
  'exploring without end': { does: (turn) => ({ name: 'glob', arguments: { pattern: `**/*${turn % 5}*` } }), signals: /^(hard (no_progress|candidate)|soft standing_still, soft slow)$/ },
}
const turns = new Map<string, number>()
/** The local model of those jobs: an endpoint that counts as this box. */
const mind = new Seller((body) => {
  const { messages } = JSON.parse(body) as { messages: { role: string; content: string | null }[] }
  const task = Object.keys(ways).find((way) => messages.some(({ content }) => content?.includes(`[${way}`) === true)) ?? assert.fail(body)
  const job = /\[[^\]]*\]/.exec(body)?.[0] ?? ''
  const turn = (turns.get(job) ?? 0) + 1
  turns.set(job, turn)
  const advised = messages.findIndex(({ content }) => content?.includes('Advice of a stronger model') === true)
  if (advised < 0) return { calls: [(ways[task] ?? assert.fail()).does(turn)] }
  return { calls: [messages.slice(advised).some(({ role }) => role === 'tool') ? { name: 'finish', arguments: { answer: 'done' } } : writeRight] }
})
const seller = new Seller((body, request) => shop(body, request))
const elsewhere = new Seller(() => advice)
/** What the seller was asked, by the name of the model. */
const asked = new Map<string, number>()
const acts = new Map<string, (asked: number) => SellerAct>()
function shop(body: string, request: string): SellerAct {
  const name = (JSON.parse(body) as { model: string }).model
  const count = (asked.get(name) ?? 0) + 1
  asked.set(name, count)
  if (!request.includes(`authorization: Bearer ${key}\r\n`)) return status('401 Unauthorized', {}, '{"error":{"message":"Incorrect API key provided"}}')
  return acts.get(name)?.(count) ?? advice
}

/** The first `share` of a good answer, then the connection is torn. */
const torn = (said: Exclude<SellerAct, string | ((socket: Socket) => void)>, until: string) => () => (socket: Socket): void => {
  const whole = seller.stream(said)
  socket.write(streamHead + whole.slice(0, whole.indexOf(until) + until.length), () => socket.resetAndDestroy())
}
const counting = (usage: object) => () => (socket: Socket): void => void socket.end(streamHead + seller.stream({ text: advice }, usage))
const drip = (socket: Socket): void => {
  socket.write(streamHead)
  const piece = seller.stream({ text: 'word ' }).split('\n\n')[0] ?? ''
  const timer = setInterval(() => socket.write(`${piece}\n\n`), 100)
  socket.once('close', () => clearInterval(timer))
}
/** Words without the width of a terminal. */
const flat = (text: string): string => text.replace(/\s+/g, ' ')
const writeRight = { name: 'write', arguments: { path: 'f', content: 'right\n' } }

const faults: Fault[] = [
  { name: 'good', ended: 'end', said: null, asked: 1, cost: 'usual' },
  { name: 'nokey', asked: 0, cost: 'nothing', ended: 'provider_auth', said: "The provider 'nokey' does not let us in: its key file HOME/nokey cannot be read (ENOENT). Put its key into the file that keyFile names, with chmod 600." },
  { name: 'openkey', asked: 0, cost: 'nothing', ended: 'provider_auth', said: "The provider 'openkey' does not let us in: others may read its key file HOME/openkey (mode 644). Put its key into the file that keyFile names, with chmod 600." },
  { name: 'wrongkey', asked: 1, cost: 'nothing', ended: 'provider_auth', said: "The provider 'wrongkey' does not let us in: status 401, 'Incorrect API key provided'. Put a key that is good there into the file that keyFile names; 'hearth provider test wrongkey' tries it." },
  { name: 'moved', asked: 1, cost: 'nothing', ended: 'provider_redirect', said: "The provider 'moved' redirects to ELSEWHERE/v1/chat/completions, and a key is sent to one address only. Correct the url of its entry if it has moved.", act: () => status('307 Temporary Redirect', { location: `http://127.0.0.1:${elsewhere.port}/v1/chat/completions` }) },
  { name: 'down', asked: 0, cost: 'nothing', ended: 'provider_failed', said: "The provider 'down' failed: nobody listens there. Check the url of its entry (127.0.0.1:9), and that this machine reaches the network by itself: a proxy of the environment (HTTPS_PROXY) is not used." },
  { name: 'storm', asked: 1, cost: 'nothing', ended: 'provider_rate_limited', said: "The provider 'storm' is asked too often: status 429, 'said by the seller'. Ask again later; it does not say when.", act: () => status('429 Too Many Requests') },
  { name: 'storm-again', asked: 4, cost: 'nothing', ended: 'provider_rate_limited', said: "The provider 'storm-again' is asked too often: status 429, 'said by the seller'. Ask again in 1 s.", act: () => status('429 Too Many Requests', { 'retry-after': '1' }) },
  { name: 'storm-hour', asked: 1, cost: 'nothing', ended: 'provider_rate_limited', said: "The provider 'storm-hour' is asked too often: status 429, 'said by the seller'. Ask again in 3600 s.", act: () => status('429 Too Many Requests', { 'retry-after': '3600' }) },
  { name: 'storm-once', asked: 2, cost: 'usual', ended: 'end', said: null, act: (n) => (n === 1 ? status('429 Too Many Requests', { 'retry-after': '1' }) : advice) },
  { name: 'overloaded', asked: 1, cost: 'nothing', ended: 'provider_overloaded', said: "The provider 'overloaded' is overloaded: status 529, 'said by the seller'. Ask again later; it does not say when.", act: () => status('529 Overloaded') },
  { name: 'drip', asked: 1, cost: 'counted', ended: 'provider_silent', said: "The provider 'drip' was given up: it was not done after 6 s. Ask again later; what arrived is paid.", act: () => drip },
  { name: 'silence', asked: 1, cost: 'counted', ended: 'provider_silent', said: "The provider 'silence' was given up: it said nothing for 3 s. Ask again later; what arrived is paid.", act: () => () => undefined },
  { name: 'cut-text', asked: 1, cost: 'counted', ended: 'provider_cut', said: "The answer of 'cut-text' broke off: after 1 piece. Ask once more; what arrived is paid.", act: torn({ text: advice }, '\n\n') },
  { name: 'cut-at-once', asked: 1, cost: 'counted', ended: 'provider_cut', said: "The answer of 'cut-at-once' broke off: before its first piece. Ask once more; what arrived is paid.", act: torn({ text: advice }, 'run the check') },
  { name: 'reset', asked: 1, cost: 'counted', ended: 'provider_cut', said: "The answer of 'reset' broke off: before its first piece. Ask once more; what arrived is paid.", act: () => (socket) => void socket.write('HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n', () => socket.resetAndDestroy()) },
  { name: 'cut-call', asked: 1, cost: 'counted', ended: 'provider_cut', said: "The answer of 'cut-call' broke off: after 1 piece. Ask once more; what arrived is paid.", mode: 'step', act: torn({ text: 'I write.', calls: [writeRight] }, 'right') },
  { name: 'count-huge', asked: 1, cost: 'counted', ended: 'end', said: null, act: counting({ prompt_tokens: 9e15, completion_tokens: 40 }) },
  { name: 'count-below', asked: 1, cost: 'counted', ended: 'end', said: null, act: counting({ prompt_tokens: -5, completion_tokens: -1 }) },
  { name: 'count-words', asked: 1, cost: 'counted', ended: 'end', said: null, act: counting({ prompt_tokens: 'many', completion_tokens: { a: 1 } }) },
  { name: 'no-json', asked: 1, cost: 'counted', ended: 'provider_garbled', said: "The provider 'no-json' gave a senseless answer: an event of its stream is no JSON. Check that the url and the kind of its entry fit together.", act: () => (socket) => void socket.end(`${streamHead}data: {"choices": [{"delta": \n\ndata: [DONE]\n\n`) },
  { name: 'page', asked: 1, cost: 'counted', ended: 'provider_garbled', said: "The provider 'page' gave a senseless answer: it answered with a web page where a stream of events was asked for. Check that the url and the kind of its entry fit together.", act: () => (socket) => void socket.end('HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<html>log in</html>') },
  { name: 'refusal', asked: 1, cost: 'usual', ended: 'provider_refused', said: "The model at 'refusal' declined to answer: its content filter stepped in. Ask in other words, or do this step here.", act: () => (socket) => void socket.end(streamHead + seller.stream({}).replace('"finish_reason":"stop"', '"finish_reason":"content_filter"')) },
  { name: 'ten-megabytes', asked: 1, cost: 'counted', ended: 'provider_garbled', said: "The provider 'ten-megabytes' gave a senseless answer: its answer is larger than 1.7 MiB. Check that the url and the kind of its entry fit together.", act: () => (socket) => {
    const [piece] = seller.stream({ text: 'x'.repeat(2 ** 16) }).split('\n\n')
    socket.end(streamHead + `${piece ?? ''}\n\n`.repeat(160))
  } },
  { name: 'unpriced', asked: 0, cost: 'nothing', ended: null, said: "No price of 'unpriced' is known for TODAY, so nothing is bought from it. Put its prices into escalation.providers of the configuration." },
]

const random = randomOf(300)
/** The owner's own words, which never leave. */
const ownWords = Array.from({ length: 60 }, () => `Customer ${chars(random, 'bcdfghklmnprstvwxz', 9)}`)
/** Sellers of the other tests, each one for the jobs of its name. */
const names = [...faults.map(({ name }) => name), 'holds', 'plans', 'steps', 'asks', 'disk', 'clock', 'secrets', 'stuck']

describe('help that goes wrong', () => {
  let box: Box
  const api = (): Client => new Client(join(box.env['HEARTH_HOME'] ?? '', 'hearth.sock'))
  const config = (escalation: object = {}, more: object = {}): object => ({
    sandbox: { limits: 'weak' }, storage: { refuseBelowBytes: 1024 }, jobs: { running: 4 },
    engine: { endpoints: [{ id: 'mind', url: `http://127.0.0.1:${mind.port}/v1`, model: 'mind', local: true, contextTokens: 100_000 }] },
    escalation: {
      consent: 'auto', modes: ['plan', 'advise', 'step'], packetTokens: 60_000, denyFile: join(box.home, 'deny'), budget: { dayUsdMicros: 50_000_000 }, timeouts: { silenceSeconds: 3, totalSeconds: 6, waitSeconds: 3.5 },
      routes: names.map((name) => ({ kinds: [name], models: [name] })),
      providers: names.map((name) => ({
        id: name, kind: 'compatible', url: `http://127.0.0.1:${name === 'down' ? 9 : seller.port}/v1`, keyFile: join(box.home, ['nokey', 'openkey', 'wrongkey'].includes(name) ? name : 'key'),
        models: [{ id: name, model: name, contextTokens: 100_000, maxOutputTokens: 4000, prices: name === 'unpriced' ? [] : [price] }],
      })), ...escalation,
    }, ...more,
  })
  const eventsOf = (id: string): Promise<JobEvent[]> => Array.fromAsync(api().stream<JobEvent>('GET', `/api/jobs/${id}/events`))
  const of = <T extends JobEvent['type']>(events: readonly JobEvent[], type: T): Extract<JobEvent, { type: T }>[] => events.filter((event): event is Extract<JobEvent, { type: T }> => event.type === type)

  /** Says twice that it is done when it is not; then it does it. */
  const stubborn = (): string => box.script({
    turns: [...[1, 2].map((n) => ({ calls: [{ name: 'finish', arguments: { answer: `done ${n}` } }] })), { calls: [writeRight] }, { calls: [{ name: 'finish', arguments: { answer: 'now it is' } }] }],
  })
  const words = (kind: string, ...more: string[]): string[] => ['run', '--no-color', '--tag', `kind=${kind}`, '--model', stubborn(), ...more, '--check', 'grep -q right f', 'make it right']
  const jobOf = async (kind: string): Promise<Job> => {
    const { jobs } = await api().call<{ jobs: Job[] }>('GET', '/api/jobs')
    return jobs.find(({ request }) => request.tags['kind'] === kind) ?? assert.fail(`no job ${kind}`)
  }

  /** Every byte that a seller heard is a byte of the record, and every body. */
  const accounted = async (): Promise<void> => {
    const left = await api().call<EgressReply>('GET', '/api/egress?limit=1000')
    const here = left.entries.filter(({ host }) => host === `127.0.0.1:${seller.port}`)
    assert.equal(here.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0), seller.bytes)
    const sums = left.packets.filter(({ host }) => host === `127.0.0.1:${seller.port}`).map(({ sha256 }) => sha256)
    assert.deepEqual(sums.toSorted(), seller.bodies.map((body) => createHash('sha256').update(body).digest('hex')).toSorted())
    assert.equal(elsewhere.heard.length, 0)
  }

  before(async () => {
    await Promise.all([seller.open(), elsewhere.open(), mind.open()])
    box = new Box()
    writeFileSync(join(box.home, 'key'), `${key}\n`, { mode: 0o600 })
    writeFileSync(join(box.home, 'deny'), `${ownWords.join('\n')}\n`, { mode: 0o600 })
    writeFileSync(join(box.home, 'wrongkey'), 'sk-test-of-another-shop-0815\n', { mode: 0o600 })
    writeFileSync(join(box.home, 'openkey'), `${key}\n`)
    chmodSync(join(box.home, 'openkey'), 0o644)
    box.configure(config())
    await box.up()
  })
  after(async () => {
    await box.close()
    seller.close()
    elsewhere.close()
    mind.close()
  })

  describe('because of the seller:', { concurrency: 3 }, () => {
    for (const { name, act, said, asked: requests, cost, mode, ended } of faults) {
      if (act !== undefined) acts.set(name, act)
      it(name, async () => {
        const ran = await box.hearth(words(name, '--modes', mode ?? 'advise'), { cwd: box.folder({ f: 'wrong\n' }) })
        const job = await jobOf(name)
        const events = await eventsOf(job.id)
        const why = (await box.hearth(['why', job.id, '--no-color'])).stdout
        assert.equal(ran.code, 0, ran.stderr)
        assert.equal(asked.get(name) ?? 0, requests)
        const denied = of(events, 'escalation_denied')
        const sentence = said?.replace('HOME', box.home).replace('ELSEWHERE', `http://127.0.0.1:${elsewhere.port}`).replace('TODAY', new Date().toISOString().slice(0, 10)) ?? null
        assert.deepEqual(denied.map(({ denial }) => `${denial.why} ${denial.remedy}`), sentence === null ? [] : [sentence])
        for (const text of [ran.stderr, why]) assert.ok(sentence === null || flat(text).includes(flat(sentence)), text)
        const { entries } = await api().call<UsageReply>('GET', `/api/usage?job=${job.id}&limit=50`)
        const bought = entries.filter(({ place }) => place === 'remote')
        assert.deepEqual(bought.map((entry) => [entry.ended, entry.escalation]), ended === null ? [] : [[ended, 'e1']])
        const spent = bought.reduce((sum, { usdMicros }) => sum + usdMicros, 0)
        const worst = of(events, 'escalation_offered')[0]?.offer.worstUsdMicros ?? 0
        if (cost === 'counted') assert.ok(spent > 0 && spent <= worst, `${spent} of ${worst}`)
        else assert.equal(spent, cost === 'usual' ? usual : 0)
        assert.equal(of(events, 'ended')[0]?.receipt.usdMicros, spent)
        assert.equal((denied[0]?.usdMicros ?? 0) + (of(events, 'handed_back')[0]?.usdMicros ?? 0), spent)
      })
    }
  })

  it('and all of it is in the sum of the day, with nothing left open', async () => {
    const { totals } = await api().call<UsageReply>('GET', '/api/usage')
    const { rows, open, charged } = await api().call<BudgetReply>('GET', '/api/budget')
    assert.deepEqual([rows.find(({ scope, period }) => scope === 'box' && period === 'day')?.spent, open.count, charged.count], [totals.usdMicros, 0, 0])
    const ran = await box.hearth(words('good'), { cwd: box.folder({ f: 'wrong\n' }) })
    assert.equal(ran.code, 0, ran.stderr)
    assert.match(ran.stderr, /e1: good answered/)
    await accounted()
  })

  it('because the daemon is killed: with a call under way, between answer and hand-back, in a step that is taken over, while a person is asked', async () => {
    const right = { calls: [{ name: 'bash', arguments: { command: 'echo right > f' } }] }
    const waiting = 'while ! test -f go; do sleep 0.1; done'
    acts.set('holds', (n) => (n === 1 ? () => undefined : advice))
    acts.set('plans', () => `1. Write it.\nCHECK: ${waiting}; grep -q right f`)
    acts.set('steps', (n) => (n === 1 ? { text: 'I look first.', calls: [{ name: 'bash', arguments: { command: `echo once >> log; ${waiting}` } }] } : { calls: [writeRight] }))
    const before = (await api().call<BudgetReply>('GET', '/api/budget')).charged
    const give = async (kind: string, more: readonly string[], script = stubborn()): Promise<{ id: string; folder: string }> => {
      const folder = box.folder({ f: 'wrong\n' })
      const ran = await box.hearth(['run', '--detach', '--json', '--tag', `kind=${kind}`, '--model', script, ...more, 'make it right'], { cwd: folder })
      return { id: (JSON.parse(ran.stdout) as { job: { id: string } }).job.id, folder }
    }
    const check = ['--check', 'grep -q right f']
    const [plans, steps, asks] = await Promise.all([
      give('plans', ['--plan-first', '--modes', 'plan'], box.script({ turns: [right, { calls: [{ name: 'finish', arguments: { answer: 'done' } }] }] })),
      give('steps', ['--modes', 'step', ...check]), give('asks', ['--escalate', 'ask', ...check]),
    ])
    const holds = await give('holds', ['--modes', 'advise', ...check])
    const remote = (type: string) => async (id: string): Promise<boolean> => (await eventsOf(id)).some((event) => event.type === 'remote' && event.event.type === type)
    await box.until('the plan is there', () => remote('turn')(plans.id))
    await box.until('the step is under way', () => remote('tool_started')(steps.id))
    await box.until('a person is asked', async () => (await eventsOf(asks.id)).some(({ type }) => type === 'approval_asked'))
    await box.until('the call is under way', () => Promise.resolve(asked.get('holds') === 1))
    const { pid } = await box.status()
    process.kill(pid, 'SIGKILL')
    await box.until('the daemon is gone', () => Promise.resolve(!processes().some((one) => one.pid === pid)))
    for (const { folder } of [plans, steps]) writeFileSync(join(folder, 'go'), '')
    await box.up()
    const after = await api().call<BudgetReply>('GET', '/api/budget')
    const held = of(await eventsOf(holds.id), 'escalation_offered')[0]?.offer.worstUsdMicros ?? 0
    const charged = after.charged.usdMicros - before.usdMicros
    assert.deepEqual([after.charged.count - before.count, charged > 0 && charged <= held], [1, true], `${charged} of ${held}`)
    assert.equal(asked.get('asks'), undefined)
    assert.equal((await box.hearth(['approve', asks.id])).code, 0)
    for (const [name, { id }] of Object.entries({ plans, steps, asks, holds })) {
      const ended = await box.until(`${name} ends`, async () => of(await eventsOf(id), 'ended')[0])
      assert.equal(ended.outcome, 'resolved', name)
      assert.equal(of(await eventsOf(id), 'handed_back').length, 1, name)
    }
    // What was answered is not asked again; what was under way is.
    assert.deepEqual(['plans', 'steps', 'asks', 'holds'].map((name) => asked.get(name)), [1, 2, 1, 2])
    assert.equal(readFileSync(join(steps.folder, 'log'), 'utf8'), 'once\n')
    const { entries } = await api().call<UsageReply>('GET', `/api/usage?job=${holds.id}&limit=50`)
    assert.deepEqual(entries.filter(({ place }) => place === 'remote').map(({ ended }) => ended).toSorted(), ['charged', 'end'])
    assert.equal((await api().call<BudgetReply>('GET', '/api/budget')).charged.count - before.count, 1)
    await accounted()
  })

  describe('a job that is stuck by', { concurrency: 3 }, () => {
    const give = async (way: string, ...more: string[]): Promise<Awaited<ReturnType<Box['job']>>> => box.job(['--tag', 'kind=stuck', '--model', 'mind', '--max-steps', '120', ...more, '--check', 'grep -q right f', `make it right [${way}${more.join('')}]`], { cwd: box.folder({ f: 'wrong\n' }) })
    for (const [way, { signals }] of Object.entries(ways)) {
      it(`${way}: is helped by advice, and by nobody where nothing may leave`, async () => {
        const ran = await give(way)
        assert.equal(ran.code, 0, ran.stdout.slice(-3000))
        const [offered, ...more] = of(ran.events, 'escalation_offered')
        assert.match(offered?.signals.map(({ kind, name }) => `${kind} ${name}`).join(', ') ?? '', signals)
        assert.deepEqual([offered?.mode, more.length], ['advise', 0])
        assert.ok(seller.bodies.some((body) => body.includes(JSON.stringify(offered?.offer.preview).slice(1, -1))))
        assert.deepEqual(of(ran.events, 'handed_back').map(({ how, usdMicros, text }) => [how, usdMicros, text.endsWith(advice)]), [['answered', usual, true]])
        assert.deepEqual(of(ran.events, 'effect').map(({ effect }) => effect), ['cleared'])
        await Promise.all([['--escalate', 'never'], ['--local-only']].map(async (words) => {
          const alone = await give(way, ...words)
          assert.equal(alone.code, 14, `${words.join(' ')}: ${alone.stderr}`)
          const left = await api().call<EgressReply>('GET', `/api/egress?job=${alone.events[0]?.jobId ?? ''}&limit=100`)
          assert.deepEqual([left.packets.length, left.entries.filter(({ host }) => host !== `127.0.0.1:${mind.port}`).length], [0, 0])
        }))
      })
    }

    it('a crash of the engine asks nobody', async () => {
      const count = seller.heard.length
      const crash = box.script({ turns: [{ fault: { code: 'worker_exited', detail: { model: 'm', how: 'signal SIGKILL' } } }], loop: true })
      const ran = await box.job(['--tag', 'kind=stuck', '--model', crash, '--check', 'false', 'x'], { cwd: box.folder() })
      assert.equal(ran.code, 69, ran.stderr)
      assert.deepEqual(ran.events.filter(({ type }) => /^(signals|escalation)/.test(type)), [])
      assert.ok(seller.heard.length >= count)
    })
  })
  it('and nothing of those who may not left', accounted)

  it('with 300 secrets in outputs, files and the diff: none that is known leaves, and they are put back here', async (t) => {
    const planted = [0, 1, 2, 3, 4].flatMap(() => Object.values(makers).map((make) => make(random))).filter(([before, secret]) => !/\n/.test(before + secret) && secret.length < 300)
      .slice(0, 239).map(([before, secret, after]) => ({ secret, line: `${before}${secret}${after}`.replaceAll('\n', ' ') }))
    const own = [...ownWords, key].map((secret) => ({ secret, line: `order of ${secret} failed` }))
    const all = [...planted, ...own]
    const part = (n: number): string => `${all.filter((_, index) => index % 3 === n).map(({ line }) => line).join('\n')}\n`
    const folder = box.folder({ f: 'wrong\n', 'deploy.log': part(0), 'service.py': part(1) })
    let copied = ''
    acts.set('secrets', (n) => {
      copied ||= [...(seller.bodies.at(-1) ?? '').matchAll(/‹secret:[a-z0-9-]+:[0-9a-z]+›/g)].map(([found]) => found)[20] ?? assert.fail('no placeholder')
      return n > 1 ? { calls: [writeRight] } : { calls: [{ name: 'write', arguments: { path: 'kept', content: copied } }, { name: 'bash', arguments: { command: `printf %s '${copied}' > by-bash` } }, ...['deploy.log', 'service.py', 'notes.txt'].map((path) => ({ name: 'read', arguments: { path } }))] }
    })
    const script = box.script({ turns: [{ calls: [{ name: 'write', arguments: { path: 'notes.txt', content: part(2) } }] }, { calls: [{ name: 'bash', arguments: { command: 'cat deploy.log; exit 1' } }] }, ...[1, 2, 3].map((n) => ({ calls: [{ name: 'finish', arguments: { answer: `done ${n}` } }] }))] })
    const ran = await box.job(['--tag', 'kind=secrets', '--model', script, '--modes', 'step', '--check', 'grep -q right f || { head -c 9000 deploy.log; echo "service.py:30: error"; echo "notes.txt:10: error"; exit 1; }', 'make it right'], { cwd: folder })
    assert.equal(ran.code, 0, ran.stderr)
    const wire = seller.heard.filter((text) => text.includes('"model":"secrets"')).map((text) => Buffer.from(text.slice(text.indexOf('\r\n\r\n')), 'latin1').toString('utf8')).join('\n')
    const left = ({ secret }: { secret: string }): boolean => wire.includes(secret) || wire.includes(JSON.stringify(secret).slice(1, -1))
    const reached = new Set([...wire.matchAll(/‹secret:[a-z0-9-]+:([0-9a-z]+)›/g)].map(([, tag]) => tag)).size
    t.diagnostic(`${reached} secrets were replaced in ${wire.length} characters; ${planted.filter(left).length} of ${planted.length} that nobody told of left`)
    assert.deepEqual(own.filter(left), [])
    assert.ok(planted.filter(left).length <= planted.length * 0.02, planted.filter(left).map(({ line }) => line).join('\n'))
    assert.ok(reached >= 260, `only ${reached} were replaced`)
    const [kept, byBash] = ['kept', 'by-bash'].map((name) => readFileSync(join(folder, name), 'utf8'))
    assert.ok(all.some(({ secret }) => secret === kept), kept)
    assert.equal(byBash, kept)
    await accounted()
  })
})
