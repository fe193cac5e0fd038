// Time to the first token of a short interactive prompt while batch work fills the box: eight streams generate and one more reads a long prompt, again and
// again; against the same prompt on the idle box. The same for llama-server of the same commit, which serves in the order of arrival.
import { ModelRequest, type Model } from '@hearth/protocol'
import { benchHome, openEngine, timed } from './engine-parts.ts'
import { against, takeTurns, type Benchmark, type Context } from './frame.ts'
import { ask, llamaServer, serve } from './llama-server.ts'

const streams = 8
const threads = 1
const sequences = streams + 2
const contextTokens = 2560
const promptTokens = 300
const longPromptTokens = 2000
// As counted with the starter's own tokeniser.
const tokensPerLine = 17

type Peer = {
  /** Milliseconds to one token of a prompt never seen before. */
  first(): Promise<number>
  /** Starts the batch work; resolves to its end once every stream has begun. */
  load(): Promise<() => Promise<void>>
  stop(): Promise<void>
}

export const interactive: Benchmark = {
  name: 'interactive',
  title: `First token of a ${promptTokens}-token prompt beside ${streams} batch streams and a ${longPromptTokens}-token batch prompt`,
  async run(context) {
    const program = llamaServer(context)
    const measure = async (name: string, open: () => Promise<Peer>): Promise<{ loaded: number[]; idle: number[] }> => {
      const peer = await open()
      try {
        let unload: (() => Promise<void>) | null = null
        const found = await takeTurns(context.rounds, {
          idle: async () => {
            await unload?.()
            unload = null
            const ms = await peer.first()
            context.say(`${name}, idle: ${ms.toFixed(0)} ms`)
            return ms
          },
          loaded: async () => {
            unload ??= await peer.load()
            const ms = await peer.first()
            context.say(`${name}, loaded: ${ms.toFixed(0)} ms`)
            return ms
          },
        })
        await (unload as (() => Promise<void>) | null)?.()
        return found
      } finally {
        await peer.stop()
      }
    }
    const names = { bench: 'interactive', unit: 'ms', note: `${sequences} sequences, ${threads} thread` }
    const ours = await measure('hearth', () => throughHearth(context))
    const theirs = await measure('llama-server', () => viaServer(program, context))
    return [
      against({ ...names, figure: 'first token, loaded against idle' }, ours.loaded, { name: 'idle', samples: ours.idle }, { is: 'at most', ratio: 2 }),
      against({ ...names, figure: 'first token of llama-server, loaded against idle' }, theirs.loaded, { name: 'idle', samples: theirs.idle }, null),
      against({ ...names, figure: 'first token under load, against llama-server', note: `${names.note}; measured one after the other` }, ours.loaded, { name: 'llama-server', samples: theirs.loaded }, null),
    ]
  },
}

let made = 0

/** A text of about so many tokens that shares no beginning with any other. */
function text(tokens: number): string {
  const number = ++made
  return `Case ${number}. ${Array.from({ length: Math.round(tokens / tokensPerLine) }, (_, line) => `Note ${number * 31 + line}: shelf ${(line * 7 + number) % 97} holds ${(line * 13 + number * 5) % 89} boxes.`).join(' ')}`
}

async function throughHearth(context: Context): Promise<Peer> {
  const { home, remove } = benchHome()
  const parts = await openEngine(context, home, { threads, contextTokens, sequences })
  const { model } = parts
  const first = async (): Promise<number> =>
    (await timed(model, { messages: [{ role: 'user', text: text(promptTokens) }], sampling: { temperature: 0 }, maxTokens: 1, class: 'interactive', sessionKey: `chat-${made}` })).ms
  await first()
  return {
    first,
    async load() {
      const abort = new AbortController()
      const begun = Array.from({ length: streams }, () => Promise.withResolvers<void>())
      const work = begun.map(async ({ resolve, reject }) => {
        try {
          while (!abort.signal.aborted) await stream(model, `Tell a very long story. ${++made}`, 1500, abort.signal, resolve)
        } catch (error) {
          reject(error)
        }
      })
      await Promise.all(begun.map(({ promise }) => promise))
      const reading = (async () => {
        while (!abort.signal.aborted) await stream(model, text(longPromptTokens), 1, abort.signal, () => undefined)
      })()
      return async () => {
        abort.abort()
        await Promise.all([...work, reading])
      }
    },
    async stop() {
      await parts.close()
      remove()
    },
  }
}

async function stream(model: Model, prompt: string, maxTokens: number, signal: AbortSignal, begun: () => void): Promise<void> {
  const request = ModelRequest.parse({ messages: [{ role: 'user', text: prompt }], sampling: { temperature: 1, seed: 1 }, maxTokens, class: 'batch', purpose: 'bench' })
  for await (const event of model.generate(request, signal)) {
    if (event.type === 'failed') throw new Error(event.fault.message)
    if (event.type === 'text') begun()
  }
}

async function viaServer(program: string, { model }: Context): Promise<Peer> {
  const server = await serve(program, { model, threads, parallel: sequences, contextTokens })
  const complete = async (prompt: string, tokens: number, signal?: AbortSignal): Promise<number> => {
    const start = performance.now()
    const body = { prompt: `<|im_start|>user\n${prompt}<|im_end|>\n<|im_start|>assistant\n`, n_predict: tokens, temperature: tokens === 1 ? 0 : 1, seed: 1, ignore_eos: tokens > 1, stream: tokens > 1 }
    if (signal === undefined) {
      const { status, text: said } = await ask(`${server.url}/completion`, body)
      if (status !== 200) throw new Error(`llama-server answered HTTP ${status}: ${said.slice(0, 300)}`)
      return performance.now() - start
    }
    const reply = await fetch(`${server.url}/completion`, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' }, signal })
    await reply.text()
    return performance.now() - start
  }
  const first = (): Promise<number> => complete(text(promptTokens), 1)
  await first()
  return {
    first,
    async load() {
      const abort = new AbortController()
      const until = async (prompt: () => string, tokens: number): Promise<void> => {
        while (!abort.signal.aborted) await complete(prompt(), tokens, abort.signal).catch(() => undefined)
      }
      const work = Array.from({ length: streams }, () => until(() => `Tell a very long story. ${++made}`, 1500))
      // Its streams are asked for one token more than ours tell of: one whole short prompt is through when the probe comes back.
      await complete('Hello', 1)
      work.push(until(() => text(longPromptTokens), 1))
      return async () => {
        abort.abort()
        await Promise.all(work)
      }
    },
    stop: () => server.stop(),
  }
}
