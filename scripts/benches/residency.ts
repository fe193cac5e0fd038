// Time to the first token of a conversation's next turn when there are more conversations than sequences: in rotation, after a restart, after another
// model was loaded; against llama-server of the same commit with its host prompt cache. Same file, same threads, the same texts, in turns.
import type { Message } from '@hearth/protocol'
import { benchHome, openEngine, timed, type EngineParts } from './engine-parts.ts'
import { against, recorded, type Benchmark, type Context, type Row } from './frame.ts'
import { ask, llamaServer, serve, type Serving } from './llama-server.ts'

const sessions = 12
const sequences = 4
const threads = 1
// A second turn of 1,500 tokens costs twelve seconds cold on a slow machine; HEARTH_BENCH_TOKENS makes the sessions shorter, and the rows say so.
const sessionTokens = Number(process.env['HEARTH_BENCH_TOKENS'] ?? 1500)
const contextTokens = 2048
// As counted with the starter's own tokeniser.
const tokensPerLine = 17
const system = 'You are a helpful AI assistant named SmolLM, trained by Hugging Face'

type Peer = { name: string; turn(session: number, turn: number): Promise<number>; restart(): Promise<void>; swap(): Promise<void>; stop(): Promise<void> }

export const residency: Benchmark = {
  name: 'residency',
  title: `Next turn of ${sessions} conversations on ${sequences} sequences`,
  async run(context) {
    const program = llamaServer(context)
    const peers: Peer[] = []
    try {
      const hearth = await ours(context)
      peers.push(hearth)
      const server = await theirs(program, context)
      peers.push(server)
      const rows: Row[] = []
      const size = `${sessions} sessions of about ${sessionTokens} tokens, ${sequences} sequences, ${threads} thread`
      const names = { bench: 'residency', unit: 'ms' }
      const all = Array.from({ length: sessions }, (_, session) => session)
      const pairs = async (what: string, turn: number, chosen: readonly number[]): Promise<{ hearth: number[]; server: number[] }> => {
        const found = { hearth: [] as number[], server: [] as number[] }
        for (const session of chosen) {
          if (session % 2 === 0) found.hearth.push(await hearth.turn(session, turn))
          found.server.push(await server.turn(session, turn))
          if (session % 2 === 1) found.hearth.push(await hearth.turn(session, turn))
          context.say(`${what}, session ${session + 1}: ours ${found.hearth.at(-1)?.toFixed(0)} ms, llama-server ${found.server.at(-1)?.toFixed(0)} ms`)
        }
        return found
      }
      const cold = await pairs('first turn', 1, all)
      rows.push(against({ ...names, figure: 'first turn, cold', note: size }, cold.hearth, { name: 'llama-server', samples: cold.server }, null))
      const second = await pairs('second turn', 2, all)
      rows.push(against({ ...names, figure: 'second turn in rotation', note: `${size}; theirs has its host prompt cache` },
        second.hearth, { name: 'llama-server', samples: second.server }, { is: 'at most', ratio: 1.1 }))
      const some = all.slice(0, Math.max(1, Math.min(sessions, context.rounds)))
      await Promise.all([hearth.restart(), server.restart()])
      const restarted = await pairs('after a restart', 3, some)
      rows.push(against({ ...names, figure: 'next turn after a restart', note: `${size}; theirs with default flags` },
        restarted.hearth, { name: 'llama-server', samples: restarted.server }, { is: 'at most', ratio: 0.1 }))
      await hearth.swap()
      await server.swap()
      const swapped = await pairs('after a model swap', 4, some)
      rows.push(against({ ...names, figure: 'next turn after another model was loaded', note: `${size}; theirs is started anew for each model` },
        swapped.hearth, { name: 'llama-server', samples: swapped.server }, { is: 'at most', ratio: 0.1 }))
      await hearth.stop()
      await server.stop()
      peers.length = 0
      rows.push(recorded({ ...names, figure: 'llama-server after a restart, its slots saved and restored by hand', note: `only the ${sequences} sessions that lie in slots can be saved (--slot-save-path)` },
        await savedByHand(program, context)))
      return rows
    } finally {
      for (const peer of peers) await peer.stop()
    }
  },
}

/** Different from its first word on, so that no session can use another one's memory. */
function story(session: number): string {
  const lines = Math.max(2, Math.round(sessionTokens / tokensPerLine))
  return Array.from({ length: lines }, (_, line) => `Note ${session * 100 + line}: shelf ${(line * 7 + session) % 97} holds ${(line * 13 + session * 5) % 89} boxes.`).join(' ')
}

function messages(session: number, turn: number): Message[] {
  const made: Message[] = [{ role: 'system', text: `Session ${session}. ${system}` }, { role: 'user', text: story(session) }]
  for (let more = 2; more <= turn; more++) made.push({ role: 'assistant', text: 'I see.' }, { role: 'user', text: `Go on with part ${more}.` })
  return made
}

/** As the model's own template renders it. */
function rendered(session: number, turn: number): string {
  return `${messages(session, turn).map((message) => `<|im_start|>${message.role}\n${message.text}<|im_end|>\n`).join('')}<|im_start|>assistant\n`
}

async function ours(context: Context): Promise<Peer> {
  const { home, remove } = benchHome()
  const open = (): Promise<EngineParts> => openEngine(context, home, { threads, contextTokens, sequences, maxModels: 1 })
  const warm = async (parts: EngineParts): Promise<EngineParts> => {
    await timed(parts.model, { messages: [{ role: 'user', text: 'Hello' }], maxTokens: 1, purpose: 'bench' })
    return parts
  }
  let parts = await warm(await open())
  return {
    name: 'hearth',
    async turn(session, turn) {
      return (await timed(parts.model, { messages: messages(session, turn), sampling: { temperature: 0 }, maxTokens: 1, sessionKey: `session-${session}`, purpose: 'agent' })).ms
    },
    async restart() {
      await parts.close()
      parts = await warm(await open())
    },
    async swap() {
      await timed(parts.other, { messages: [{ role: 'user', text: 'Hello' }], maxTokens: 1, purpose: 'bench' })
      await warm(parts)
    },
    async stop() {
      await parts.close()
      remove()
    },
  }
}

function serving(program: string, { model }: Context, extra: readonly string[] = []): Promise<Serving> {
  return serve(program, { model, threads, parallel: sequences, contextTokens, extra })
}

async function complete(server: Serving, session: number, turn: number, more: object = {}): Promise<number> {
  const start = performance.now()
  const { status, text } = await ask(`${server.url}/completion`, { prompt: rendered(session, turn), n_predict: 1, temperature: 0, cache_prompt: true, ...more })
  if (status !== 200) throw new Error(`llama-server answered HTTP ${status}: ${text.slice(0, 300)}`)
  return performance.now() - start
}

async function theirs(program: string, context: Context): Promise<Peer> {
  let server = await serving(program, context)
  const again = async (): Promise<void> => {
    await server.stop()
    server = await serving(program, context)
  }
  return {
    name: 'llama-server', restart: again, swap: again, stop: () => server.stop(),
    turn: (session, turn) => complete(server, session, turn),
  }
}

/** What its slot-save option can do: each slot is saved, and after the restart restored and asked; both requests count. */
async function savedByHand(program: string, context: Context): Promise<number[]> {
  const { home, remove } = benchHome()
  const slots = Array.from({ length: sequences }, (_, slot) => slot)
  const act = async (server: Serving, slot: number, action: 'save' | 'restore'): Promise<void> => {
    const { status, text } = await ask(`${server.url}/slots/${slot}?action=${action}`, { filename: `slot-${slot}.bin` })
    if (status !== 200) throw new Error(`llama-server could not ${action} a slot: HTTP ${status}: ${text.slice(0, 300)}`)
  }
  let server = await serving(program, context, ['--slot-save-path', home])
  try {
    for (const slot of slots) {
      await complete(server, slot, 1, { id_slot: slot })
      await act(server, slot, 'save')
    }
    await server.stop()
    server = await serving(program, context, ['--slot-save-path', home])
    const found: number[] = []
    for (const slot of slots) {
      const start = performance.now()
      await act(server, slot, 'restore')
      await complete(server, slot, 2, { id_slot: slot })
      found.push(performance.now() - start)
    }
    return found
  } finally {
    await server.stop()
    remove()
  }
}
