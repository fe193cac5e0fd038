// A yes to what would leave, and a daemon that is killed with it: before it was sent, while it is under way, and when it came too late. A whole Hearth and a seller that counts.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, it } from 'node:test'
import { Client, type BudgetReply, type EgressReply, type EventOf, type Job, type JobEvent, type UsageReply } from '@hearth/protocol'
import { Seller, type SellerAct } from '../fixtures/seller.ts'
import { Box, processes } from './box.ts'

const advice = 'Write right into f.\nGO ON'
const price = { from: '2026-01-01', input: 3_000_000, cacheRead: 300_000, cacheWrite: 3_750_000, output: 15_000_000 }
const call = (name: string, args: object): { calls: { name: string; arguments: Record<string, unknown> }[] } => ({ calls: [{ name, arguments: { ...args } }] })

let box: Box
let act: SellerAct = advice
const seller = new Seller(() => act)
const configured = (escalation: object = {}): void => box.configure({
  sandbox: { limits: 'weak' }, jobs: { running: 1 },
  escalation: {
    consent: 'ask', modes: ['advise'], budget: { dayUsdMicros: 5_000_000 }, ...escalation,
    providers: [{ id: 'shop', kind: 'compatible', url: `http://127.0.0.1:${seller.port}/v1`, keyFile: join(box.home, 'key'), models: [{ id: 'far', model: 'far-1', contextTokens: 100_000, maxOutputTokens: 4000, prices: [price] }] }],
  },
})
before(async () => {
  await seller.open()
  box = new Box()
  writeFileSync(join(box.home, 'key'), 'sk-test-Zq81LmX0pTr55vNwY2\n', { mode: 0o600 })
  configured()
  await box.up()
})
after(async () => {
  await box.close()
  seller.close()
})

const api = (): Client => new Client(join(box.env['HEARTH_HOME'] ?? '', 'hearth.sock'))
const jobOf = (id: string): Promise<Job> => api().call<Job>('GET', `/api/jobs/${id}`)
const eventsOf = (id: string): Promise<JobEvent[]> => Array.fromAsync(api().stream<JobEvent>('GET', `/api/jobs/${id}/events`))
const of = <T extends JobEvent['type']>(events: readonly JobEvent[], type: T): Extract<JobEvent, { type: T }>[] => events.filter((event): event is Extract<JobEvent, { type: T }> => event.type === type)

/** A job that is stuck, up to the question whether its packet may leave. */
async function asked(): Promise<{ id: string; question: EventOf<'approval_asked'> }> {
  const turns = [call('finish', { answer: 'done' }), call('finish', { answer: 'done!' }), call('write', { path: 'f', content: 'right\n' }), call('finish', { answer: 'now it is' })]
  const ran = await box.hearth(['run', '--detach', '--json', '--model', box.script({ turns }), '--check', 'grep -q right f', 'make it right'], { cwd: box.folder({ f: 'wrong\n' }) })
  const { id } = (JSON.parse(ran.stdout) as { job: Job }).job
  return { id, question: await waiting(id, 1) }
}

/** The nth question, once the job waits with it. */
async function waiting(id: string, nth: number): Promise<EventOf<'approval_asked'>> {
  await box.until(`question ${nth}`, async () => of(await eventsOf(id), 'approval_asked').length === nth && (await jobOf(id)).state === 'waiting_approval')
  return of(await eventsOf(id), 'approval_asked').at(-1) ?? assert.fail()
}

const yes = (id: string, { callId, sha256 = '' }: EventOf<'approval_asked'>): Promise<unknown> => api().call('POST', `/api/jobs/${id}/approve`, { callId, approved: true, sha256 })

async function killed(): Promise<void> {
  const { pid } = await box.status()
  process.kill(pid, 'SIGKILL')
  await box.until('the daemon is gone', () => Promise.resolve(!processes().some((one) => one.pid === pid)))
}

const resolved = (id: string): Promise<unknown> => box.until('it is resolved', async () => (await jobOf(id)).state === 'resolved')

it('approved and not sent: it is sent by the next start, without another question', async () => {
  const { id, question } = await asked()
  // One job runs at a time: with this one at work, the approved one waits for its turn.
  const folder = box.folder()
  const blocker = await box.hearth(['run', '--detach', '--json', '--model', box.script({ turns: [call('bash', { command: 'while ! test -f go; do sleep 0.05; done' }), call('finish', { answer: 'done' })] }), 'wait'], { cwd: folder })
  const other = (JSON.parse(blocker.stdout) as { job: Job }).job.id
  await box.until('it is at work', async () => of(await eventsOf(other), 'tool_started').length > 0)
  await yes(id, question)
  assert.equal((await jobOf(id)).state, 'queued')
  const before = seller.heard.length
  await killed()
  writeFileSync(join(folder, 'go'), '')
  await box.up()
  await resolved(id)
  assert.equal(seller.heard.length, before + 1)
  assert.equal(of(await eventsOf(id), 'approval_asked').length, 1)
})

it('sent and not settled: it is charged as it was held, and sent again only after another yes', async () => {
  act = () => undefined
  const { id, question } = await asked()
  const before = seller.heard.length
  const charged = async (): Promise<BudgetReply['charged']> => (await api().call<BudgetReply>('GET', '/api/budget')).charged
  const { count } = await charged()
  await yes(id, question)
  await box.until('it is under way', () => Promise.resolve(seller.heard.length === before + 1))
  await killed()
  act = advice
  await box.up()
  const again = await waiting(id, 2)
  assert.match(again.question, /^Asked again: It was sent once, and the daemon was killed before the answer was stored; that call counts at its worst price\. May \d+ bytes go to far at 127\.0\.0\.1:\d+ \(advise\)\?/)
  assert.equal(seller.heard.length, before + 1)
  assert.equal((await charged()).count, count + 1)
  const [first, second] = of(await eventsOf(id), 'escalation_offered').map(({ offer }) => offer)
  assert.equal(second?.sha256, first?.sha256)
  // What the lost call is charged with is in what the second yes may cost.
  assert.ok((second?.worstUsdMicros ?? 0) > (first?.worstUsdMicros ?? 0))
  await yes(id, again)
  await resolved(id)
  assert.equal(seller.heard.length, before + 2)
  const { entries } = await api().call<UsageReply>('GET', `/api/usage?job=${id}&limit=50`)
  assert.deepEqual(entries.filter(({ place }) => place === 'remote').map(({ ended }) => ended).toSorted(), ['charged', 'end'])
  assert.equal((await api().call<EgressReply>('GET', `/api/egress?job=${id}`)).packets.length, 2)
})

it('a yes that is too old is asked for again', async () => {
  await box.hearth(['down'])
  configured({ approvalSeconds: 0 })
  await box.up()
  const { id, question } = await asked()
  const before = seller.heard.length
  await yes(id, question)
  const again = await waiting(id, 2)
  assert.match(again.question, /^Asked again: The yes of socket:\d+ is older than 0 s \(escalation\.approvalSeconds\)\. May /)
  assert.equal(seller.heard.length, before)
})
