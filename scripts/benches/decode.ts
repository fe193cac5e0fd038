// Tokens per second while decoding and while reading a prompt: through the Model that the daemon hands to a job, the raw library, and llama-server of the same commit.
// Same file, same thread count, greedy; while decoding the prompts are already in the prefix cache, while reading every prompt is a new one.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { composeParts } from '@hearth/daemon/compose'
import { Config, ModelRequest, resolvePaths, type Model } from '@hearth/protocol'
import { against, takeTurns, type Benchmark, type Context, type Row } from './frame.ts'
import { ask, llamaServer, serve } from './llama-server.ts'

// More threads than one lose on a small shared machine: spinning barriers, 3-15 tokens/s with 2 against 55 with 1.
const threads = 1
const contextTokens = 3072
const tokens = 96
const sequences = 8
const promptTokens = 2048
const topics = ['a lighthouse', 'a river', 'an old train', 'a winter garden', 'a bridge', 'a bakery', 'two sisters', 'the moon']

/** Decodes `tokens` tokens in each of `streams` streams at once; tokens per second over all, from the requests to the last end. */
type Peer = { run(streams: number): Promise<number>; stop(): Promise<void> }
/** Reads a new prompt of about `promptTokens` tokens and says one token; prompt tokens per second. */
type Reader = { read(): Promise<number> }

export const decode: Benchmark = {
  name: 'decode',
  title: 'Decode speed',
  async run(context) {
    const program = llamaServer(context)
    const started: Peer[] = []
    const add = async <P extends Peer>(peer: Promise<P>): Promise<P> => {
      started.push(await peer)
      return await peer
    }
    try {
      const hearth = await add(throughHearth(context))
      const raw = await add(rawLibrary(context))
      const server = await add(viaServer(program, context))
      const rows: Row[] = []
      for (const streams of [1, 4, 8]) {
        context.say(`${streams} stream(s) of ${tokens} tokens, three contestants, ${context.rounds} rounds`)
        const found = await takeTurns(context.rounds, { hearth: () => hearth.run(streams), raw: () => raw.run(streams), server: () => server.run(streams) })
        const names = { bench: 'decode', unit: 'tokens/s' }
        const bar = { is: 'at least' as const, ratio: streams === 1 ? 0.97 : 0.95 }
        rows.push(
          against({ ...names, figure: `${streams} stream(s) against llama-server`, note: `${threads} thread, ${tokens} tokens a stream, greedy; llama-server built for this CPU, the library prebuilt` },
            found.hearth, { name: 'llama-server', samples: found.server }, bar),
          against({ ...names, figure: `${streams} stream(s) against the raw library`, note: 'what worker process, channel, text assembly and batching of ours cost or gain' },
            found.hearth, { name: 'node-llama-cpp', samples: found.raw }, null),
        )
      }
      context.say(`prompts of ${promptTokens} tokens, ${context.rounds} rounds`)
      const read = await takeTurns(context.rounds, { hearth: () => hearth.read(), server: () => server.read() })
      rows.push(against({ bench: 'decode', figure: `a prompt of ${promptTokens} tokens against llama-server`, unit: 'tokens/s', note: `${threads} thread, nothing reused, one token said` },
        read.hearth, { name: 'llama-server', samples: read.server }, { is: 'at least', ratio: 0.97 }))
      return rows
    } finally {
      for (const peer of started.toReversed()) await peer.stop()
    }
  },
}

function question(index: number): string {
  return `Tell a very long story about ${topics[index] ?? 'the sea'}, with many chapters.`
}

/** The prompt as the model's own template renders it, for peers that take text. */
function rendered(index: number): string {
  return '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n'
    + `<|im_start|>user\n${question(index)}<|im_end|>\n<|im_start|>assistant\n`
}

async function together(streams: number, one: (index: number) => Promise<number>): Promise<number> {
  const start = performance.now()
  const counts = await Promise.all(Array.from({ length: streams }, (_, index) => one(index)))
  return counts.reduce((sum, count) => sum + count, 0) / ((performance.now() - start) / 1000)
}

/** A new text each time, one word about one token; the first words differ, so nothing can be reused. */
function longText(): string {
  const words = ['the', 'lamp', 'river', 'old', 'and', 'blue', 'house', 'then', 'winter', 'road', 'a', 'bread', 'stone', 'she', 'went', 'over']
  return Array.from({ length: promptTokens }, () => words[Math.floor(Math.random() * words.length)] ?? 'a').join(' ')
}

export async function throughHearth({ root, model: path }: Context, engine: { speculation?: 'off' | 'lookup' } = {}): Promise<Peer & Reader & { model: Model }> {
  const home = mkdtempSync(join(tmpdir(), 'hearth-bench-'))
  const parts = composeParts({
    config: Config.parse({ engine: { threads, contextTokens, sequences, backend: 'cpu', ...engine } }), paths: resolvePaths({ HEARTH_HOME: home }, process.getuid?.() ?? 0),
    store: { egress: () => Promise.reject(new Error('a benchmark sends nothing')) }, log: () => undefined, node: process.execPath, root,
  })
  const stop = async (): Promise<void> => {
    await parts.close()
    rmSync(home, { recursive: true, force: true })
  }
  try {
    const imported = await (await parts.shelf()).importFile({ path, id: 'bench', copy: false })
    if (!imported.ok) throw new Error(imported.fault.message)
    const found = await parts.model('bench')
    if (!found.ok) throw new Error(found.fault.message)
    return { model: found.model, run: (streams) => together(streams, (index) => askModel(found.model, index)), read: () => readingRate(found.model), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function readingRate(model: Model): Promise<number> {
  const request = ModelRequest.parse({ messages: [{ role: 'user', text: longText() }], sampling: { temperature: 0 }, maxTokens: 1, purpose: 'bench' })
  for await (const event of model.generate(request, new AbortController().signal)) {
    if (event.type === 'failed') throw new Error(event.fault.message)
    if (event.type === 'done' && event.timings.ttftMs !== null) return (event.usage.promptTokens - event.usage.reusedTokens) / (event.timings.ttftMs / 1000)
  }
  throw new Error('the stream ended without a token')
}

// A conversation that comes back to its sequence, as an agent's or a chat's does; a side call would be read anew each time.
async function askModel(model: Model, index: number): Promise<number> {
  const request = ModelRequest.parse({
    messages: [{ role: 'user', text: question(index) }], sampling: { temperature: 0 }, maxTokens: tokens, sessionKey: `bench-${index}`, purpose: 'chat',
  })
  for await (const event of model.generate(request, new AbortController().signal)) {
    if (event.type === 'failed') throw new Error(event.fault.message)
    if (event.type === 'done') return event.usage.completionTokens
  }
  throw new Error('the stream ended without done or failed')
}

async function rawLibrary({ root, model }: Context): Promise<Peer> {
  const argv = ['--disable-warning=ExperimentalWarning', join(root, 'scripts/benches/raw-library.ts'), model, String(threads), String(sequences), String(contextTokens)]
  const child = spawn(process.execPath, argv, { stdio: ['pipe', 'pipe', 'inherit'] })
  const gone = new Promise<void>((resolve) => child.on('exit', () => resolve()))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const answer = async (): Promise<unknown> => {
    const { value, done } = await lines.next()
    if (done === true) throw new Error('the raw library ended')
    return JSON.parse(value)
  }
  await answer()
  return {
    async run(streams) {
      child.stdin.write(`${JSON.stringify({ prompts: Array.from({ length: streams }, (_, index) => rendered(index)), tokens })}\n`)
      return (await answer() as { tokensPerSecond: number }).tokensPerSecond
    },
    async stop() {
      child.stdin.end()
      await gone
    },
  }
}

async function viaServer(program: string, { model }: Context): Promise<Peer & Reader> {
  const serving = await serve(program, { model, threads, parallel: sequences, contextTokens })
  const one = async (index: number): Promise<number> => {
    const body = { prompt: rendered(index), n_predict: tokens, temperature: 0, cache_prompt: true, id_slot: index, stream: true }
    const { status, text } = await ask(`${serving.url}/completion`, body)
    const predicted = /"tokens_predicted":(\d+)/.exec(text.slice(text.lastIndexOf('data: ')))?.[1]
    if (predicted === undefined) throw new Error(`llama-server answered HTTP ${status}: ${text.slice(0, 300)}`)
    return Number(predicted)
  }
  const read = async (): Promise<number> => {
    const start = performance.now()
    const { status, text } = await ask(`${serving.url}/completion`, { prompt: longText(), n_predict: 1, temperature: 0, cache_prompt: false })
    const evaluated = /"prompt_n":(\d+)/.exec(text)?.[1]
    if (evaluated === undefined) throw new Error(`llama-server answered HTTP ${status}: ${text.slice(0, 300)}`)
    return Number(evaluated) / ((performance.now() - start) / 1000)
  }
  return { run: (streams) => together(streams, one), read, stop: () => serving.stop() }
}
