// Measures what the HTTP face costs: CPU time of a streamed token against a bare node:http server that writes the same bytes, the pace of the
// events, and whether the daemon's memory grows with the number of requests. The model is scripted, the reader is a process of its own.
import { execFile, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { startDaemon } from './daemon.ts'
import { against, takeTurns, within, type Benchmark, type Context, type Row } from './frame.ts'

const streams = 100
const tokensPerSecond = 200
const seconds = 4
const tokens = seconds * tokensPerSecond
const requests = { first: 500, all: 10_000, atOnce: 16 }
// Clock ticks of /proc/PID/stat: USER_HZ, 100 on every Linux.
const tickMs = 10

type Stream = { events: number; bytes: number; firstMs: number; lastMs: number; text: string }

export const http: Benchmark = {
  name: 'http', title: `HTTP: ${streams} streams at ${tokensPerSecond} tokens/s, and ${requests.all} requests`,
  async run(context) {
    const home = mkdtempSync(join(tmpdir(), 'hearth-bench-http-'))
    try {
      return await measure(context, home)
    } finally {
      rmSync(home, { recursive: true, force: true })
    }
  },
}

async function measure(context: Context, home: string): Promise<Row[]> {
  const paced = join(home, 'paced.json')
  const short = join(home, 'short.json')
  writeFileSync(paced, JSON.stringify({ version: 1, loop: true, turns: [{ text: 'abcd'.repeat(tokens), tokensPerSecond }] }))
  writeFileSync(short, JSON.stringify({ version: 1, loop: true, turns: [{ text: 'A short answer, for the sake of counting.' }] }))
  writeFileSync(join(home, 'config.json'), JSON.stringify({ http: { port: 0 } }))
  mkdirSync(join(home, 'state'))
  const daemon = await startDaemon(context.root, { HEARTH_HOME: home, HOME: home, PATH: process.env['PATH'] })
  const stop: (() => unknown)[] = [() => daemon.stop()]
  try {
    const { secret: key, url } = await makeKey(join(home, 'hearth.sock'), [`scripted:${paced}`, `scripted:${short}`])
    const bodyOf = (path: string, stream: boolean): string => JSON.stringify({ model: `scripted:${path}`, stream, messages: [{ role: 'user', content: 'go' }] })
    const node = join(context.root, 'node_modules/.bin/node')
    const client = async (work: Record<string, unknown>): Promise<Stream[]> => {
      const { stdout } = await promisify(execFile)(node, [join(context.root, 'scripts/benches/sse-client.ts'), JSON.stringify(work)], { maxBuffer: 2 ** 26 })
      return JSON.parse(stdout) as Stream[]
    }

    context.say(`${requests.all} requests`)
    await client({ url, key, body: bodyOf(short, true), requests: requests.first, atOnce: requests.atOnce })
    const early = rssBytes(daemon.pid)
    await client({ url, key, body: bodyOf(short, true), requests: requests.all - requests.first, atOnce: requests.atOnce })
    const grownMiB = (rssBytes(daemon.pid) - early) / 2 ** 20

    const [sample] = await client({ url, key, body: bodyOf(paced, true), streams: 1 })
    if (sample === undefined) throw new Error('the recorded stream is missing')
    const record = join(home, 'recorded.sse')
    writeFileSync(record, sample.text)
    const bare = spawn(node, [join(context.root, 'scripts/benches/bare-sse.ts'), record, String(sample.lastMs - sample.firstMs)], { stdio: ['ignore', 'pipe', 'inherit'] })
    stop.push(() => bare.kill())
    const port = await new Promise<string>((resolve) => createInterface({ input: bare.stdout }).once('line', resolve))

    const pace: number[] = []
    const cpuPerToken = async (pid: number, at: string): Promise<number> => {
      const before = cpuMs(pid)
      const found = await client({ url: at, key, body: bodyOf(paced, true), streams })
      if (at === url) pace.push(Math.min(...found.map((one) => one.events / ((one.lastMs - one.firstMs) / 1000))))
      return (cpuMs(pid) - before) / (streams * tokens) * 1000
    }
    context.say('streams')
    const samples = await takeTurns(context.rounds, { ours: () => cpuPerToken(daemon.pid, url), bare: () => cpuPerToken(bare.pid ?? 0, `http://127.0.0.1:${port}`) })
    return [
      against({ bench: 'http', figure: 'CPU time of a streamed token', unit: 'µs', note: `${streams} streams at once; the daemon's figure holds the scripted model and the ledger` }, samples.ours, { name: 'bare node:http', samples: samples.bare }, { is: 'at most', ratio: 3 }),
      within({ bench: 'http', figure: 'events of the slowest stream', unit: '1/s', note: '' }, pace.slice(1), { name: 'wanted', value: 50 }, { is: 'at least', ratio: 1 }),
      within({ bench: 'http', figure: `memory grown from request ${requests.first} to ${requests.all}`, unit: 'MiB', note: 'resident memory of the daemon' }, [grownMiB], { name: 'limit', value: 20 }, { is: 'at most', ratio: 1 }),
    ]
  } finally {
    for (const end of stop.toReversed()) await end()
  }
}

function makeKey(socketPath: string, models: readonly string[]): Promise<{ secret: string; url: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method: 'POST', path: '/api/keys' }, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (part: string) => { text += part }).on('end', () => resolve(JSON.parse(text) as { secret: string; url: string }))
    })
    sent.on('error', reject)
    sent.end(JSON.stringify({ name: 'bench', models }))
  })
}

/** User and system time of all threads of a process. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) * tickMs
}

function rssBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? NaN) * 1024
}
