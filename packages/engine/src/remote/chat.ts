// Owns the OpenAI chat dialect towards a provider at any address, through the official client. What its requests and chunks look like is in
// compatible-wire.ts, which the endpoints of the local network share.
import type { ChatCompletionCreateParamsStreaming } from 'openai/resources/chat/completions/completions'
import type { ModelRequest, RemoteModelConfig } from '@hearth/protocol'
import { isObject } from '../foreign.ts'
import { chosenSampling } from './chosen-sampling.ts'
import { chunkOf, messageOf, toolsOf } from './compatible-wire.ts'
import { StreamError, type Dialect } from './dialect.ts'
import { openaiClient } from './openai.ts'
import { isStrict } from './strict-schema.ts'

export const chat: Dialect<Record<string, unknown>> = {
  path: '/chat/completions',
  headers: {},
  takesThoughts: () => false,
  body: (request, config) => Promise.resolve(chatRequest(request, config)),
  async open(body, way) {
    return await (await openaiClient(way)).chat.completions.create(body as unknown as ChatCompletionCreateParamsStreaming, { signal: way.signal })
  },
  reading: () => ({
    read(event) {
      if (isObject(event) && (event['error'] ?? null) !== null) throw new StreamError(event['error'])
      return chunkOf(event, 0)
    },
    turn: () => [],
  }),
}

/** Only what the dialect itself has: a field that one of these servers does not know is an error there. */
function chatRequest(request: ModelRequest, config: RemoteModelConfig): Record<string, unknown> {
  const { responseFormat, reasoning } = request
  const { temperature, topP, seed } = chosenSampling(request, config)
  return {
    model: config.model, stream: true, stream_options: { include_usage: true }, max_tokens: request.maxTokens, messages: request.messages.map((message) => messageOf(message, true)), ...toolsOf(request),
    ...(responseFormat.type === 'json_schema'
      ? { response_format: { type: 'json_schema', json_schema: { name: 'answer', schema: responseFormat.schema, strict: isStrict(responseFormat.schema) } } } : {}),
    ...(reasoning === undefined || reasoning === 'on' ? {} : { reasoning_effort: reasoning === 'off' ? 'none' : reasoning }),
    ...(temperature === undefined ? {} : { temperature }), ...(topP === undefined ? {} : { top_p: topP }), ...((seed ?? null) === null ? {} : { seed }),
  }
}
