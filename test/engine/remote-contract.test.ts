// The three wire formats of providers keep the contract of every model: official clients, the daemon's real door, a foreign mock on a real socket.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ChatCompletionRequest, FixtureResponse } from '@copilotkit/aimock'
import { modelContract, type Says } from '../contract/model-contract.ts'
import { contextTokens, kinds, mockWith, remoteAt, type Remote } from '../fixtures/provider.ts'

const words = (text: string): string[] => text.match(/\s*\S+/g) ?? []
const promptOf = (request: ChatCompletionRequest): string => request.messages.map((message) => (typeof message.content === 'string' ? message.content : '')).join(' ')
const rows: Remote['rows'] = []

/** Each in the words of its provider. */
const tooLong = {
  anthropic: (tokens: number) => ({ type: 'invalid_request_error', message: `prompt is too long: ${tokens} tokens > ${contextTokens} maximum` }),
  openai: (tokens: number) => ({ type: 'invalid_request_error', code: 'context_length_exceeded', message: `Input tokens exceed the configured limit of ${contextTokens} tokens. Your messages resulted in ${tokens} tokens.` }),
  compatible: (tokens: number) => ({ message: `This endpoint's maximum context length is ${contextTokens} tokens. However, you requested about ${tokens} tokens (${tokens - 16} of text input, 16 in the output).` }),
} as const

for (const kind of kinds) {
  modelContract(`a provider, ${kind}`, async () => {
    let says: Says = {}
    let before = ''
    const answer = (request: ChatCompletionRequest): FixtureResponse => {
      const prompt = promptOf(request)
      const promptTokens = words(prompt).length
      if (promptTokens > contextTokens) return { status: 400, error: tooLong[kind](promptTokens) }
      const all = words(says.text ?? '')
      const some = all.slice(0, request.max_tokens ?? all.length)
      const cached = before !== '' && prompt.startsWith(before) ? words(before).length : 0
      before = prompt
      return {
        content: some.join(''), ...(says.calls === undefined ? {} : { toolCalls: says.calls.map((call) => ({ ...call, arguments: JSON.stringify(call.arguments) })) }),
        finishReason: some.length < all.length ? 'length' : says.calls === undefined ? 'stop' : 'tool_calls',
        usage: { prompt_tokens: promptTokens, completion_tokens: Math.max(1, some.length), prompt_tokens_details: { cached_tokens: cached } },
      }
    }
    const mock = await mockWith(answer, { chunkSize: 12, latency: 2 })
    // The mock speaks of its cache only where it plays OpenRouter.
    const { model, close, rows: mine } = remoteAt(kind, `${mock.url}${{ anthropic: '', openai: '/v1', compatible: '/api/v1' }[kind]}`)
    return {
      make: (told) => {
        says = told
        return model
      },
      offers: { tools: true, probabilities: false, ...(kind === 'anthropic' ? {} : { counts: 'late' as const }), ...(kind === 'compatible' ? {} : { reuse: false as const }) },
      close: async () => {
        rows.push(...mine)
        close()
        await mock.stop()
      },
    }
  })
}

test('every request of the contract was a row of the egress table', () => {
  assert.ok(rows.length > 60)
  assert.ok(rows.every((row) => row.purpose === 'provider' && row.jobId === 'job-1' && row.bytes !== null && row.bytes > 100))
})

