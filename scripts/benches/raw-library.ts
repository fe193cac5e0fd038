// The raw library as a peer: node-llama-cpp used directly, with none of our worker, wire or batching. A child program; one JSON line in, one out.
// In: {"prompts": [...], "tokens": 128}. Out: {"tokensPerSecond": n}. Started as: raw-library.ts MODEL THREADS SEQUENCES CONTEXT.
import { createInterface } from 'node:readline'
import { getLlama, LlamaLogLevel } from 'node-llama-cpp'

const [modelPath = '', threads = '1', sequences = '1', contextTokens = '2048'] = process.argv.slice(2)
const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, progressLogs: false, maxThreads: Number(threads), logLevel: LlamaLogLevel.error, logger: () => undefined })
const model = await llama.loadModel({ modelPath })
const context = await model.createContext({ contextSize: Number(contextTokens), sequences: Number(sequences), batchSize: 512, threads: Number(threads) })
const slots = Array.from({ length: Number(sequences) }, () => context.getSequence())
console.log('{"ready":true}')

for await (const line of createInterface({ input: process.stdin })) {
  const { prompts, tokens } = JSON.parse(line) as { prompts: string[]; tokens: number }
  const start = performance.now()
  const counts = await Promise.all(prompts.map(async (prompt, index) => {
    const sequence = slots[index]
    if (sequence === undefined) throw new Error(`there are ${slots.length} sequences, not ${prompts.length}`)
    const wanted = model.tokenize(prompt, true)
    // All but the last token may still be there from the round before: the peers have a prefix cache too.
    await sequence.adaptStateToTokens(wanted.slice(0, -1), false)
    let count = 0
    for await (const token of sequence.evaluate(wanted.slice(sequence.nextTokenIndex), { temperature: 0 })) {
      // Making the text is part of the work of every peer.
      model.detokenize([token])
      if (++count >= tokens) break
    }
    return count
  }))
  const total = counts.reduce((sum, count) => sum + count, 0)
  console.log(JSON.stringify({ tokensPerSecond: total / ((performance.now() - start) / 1000) }))
}
await llama.dispose()
