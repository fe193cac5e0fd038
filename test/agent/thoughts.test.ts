// A job whose model seals its thoughts: what the loop says back is what the model said, so that every thought of before stands in each later request.
// With the real loop, sandbox and official client; the seller is a server of this file.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { events, remote, stream } from '../fixtures/provider.ts'
import { Workbench } from './workbench.ts'

let bench: Workbench
before(async () => { bench = await Workbench.open({ 'a.txt': 'hello\n' }) })
after(() => bench.close())

const counts = { prompt: 50, completion: 20 }
type Sent = { messages: { role: string; content: { type: string; signature?: string }[] }[] }
const sealed = (body: unknown): string[] => (body as Sent).messages.flatMap(({ content }) => content.flatMap(({ signature }) => (signature === undefined ? [] : [signature])))

for (const toolMode of ['native', 'json'] as const) {
  test(`${toolMode}: every thought goes back, in each later turn`, async (t) => {
    const answers = [
      { words: 'I look.', name: 'read', given: '{"path": "a.txt"}' }, { words: '', name: 'bash', given: '{"command":"echo \\"two\\\\n words\\" | wc -l"}' },
      { words: 'Now I write.\n\n', name: 'write', given: '{"content":"hello\\n","path":"b.txt"}' }, { words: '', name: 'finish', given: '{"answer":"done"}' },
    ]
    let at = 0
    const { model, seen } = await remote(t, 'anthropic', (to) => {
      const n = at++
      const { words, name, given } = answers[n] ?? assert.fail('asked too often')
      const text = toolMode === 'json' ? `{"tool": "${name}", "arguments": ${given}}` : words
      stream(to, [
        ...events.begin('anthropic', counts), { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '', signature: '' } },
        { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: `thought ${n}` } }, { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: `seal-${n}` } },
        ...(text === '' ? [] : [{ type: 'content_block_start', index: 1, content_block: { type: 'text', text: '' } }, ...Array.from(text, (letter) => ({ type: 'content_block_delta', index: 1, delta: { type: 'text_delta', text: letter } }))]),
        ...(toolMode === 'json' ? [] : events.call('anthropic', 2, `toolu_${n}`, name, [given.slice(0, 5), given.slice(5)])), ...events.end('anthropic', toolMode === 'json' ? 'end' : 'calls', counts),
      ])
    }, { model: { contextTokens: 100_000, profile: { toolMode, reasoning: { ask: 'medium' } } } })
    const { end } = await bench.run({ script: { turns: [] }, model })
    assert.equal(end.type === 'ended' && end.outcome, 'done_unverified', JSON.stringify(end))
    assert.deepEqual(seen.map(({ body }) => sealed(body)), [[], ['seal-0'], ['seal-0', 'seal-1'], ['seal-0', 'seal-1', 'seal-2']])
  })
}
