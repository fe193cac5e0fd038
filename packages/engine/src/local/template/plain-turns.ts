// Owns the other way to put a conversation, for templates that refuse the usual one: one call a message, and no word of a user behind a tool's result. Pure.
// Mistral's templates raise when user and assistant do not alternate (results aside), Llama 3's when a message holds two calls.
import type { Message } from '@hearth/protocol'

/**
 * The same conversation with parallel calls one after the other, each with its result, and a user's words joined to the result or the words they
 * follow. It depends on the messages before alone, so a conversation that grows keeps its beginning. Null when nothing would change.
 */
export function plainTurns(messages: readonly Message[]): Message[] | null {
  const apart = messages.flatMap((message, index) => separated(message, messages, index))
  const joined: Message[] = []
  for (const message of apart) {
    const last = joined.at(-1)
    if (message.role === 'user' && (last?.role === 'tool' || last?.role === 'user')) joined[joined.length - 1] = { ...last, text: `${last.text}\n\n${message.text}` }
    else joined.push(message)
  }
  return joined.length === messages.length && apart.length === messages.length ? null : joined
}

/** A message with several calls becomes several, each followed by its result; the results themselves are then taken out of their place. */
function separated(message: Message, messages: readonly Message[], index: number): Message[] {
  if (message.role === 'tool') return belongsTo(messages, index) === null ? [message] : []
  if (message.role !== 'assistant' || !isSplit(message)) return [message]
  const results = resultsBehind(messages, index)
  return (message.toolCalls ?? []).flatMap((call, n): Message[] => [
    { role: 'assistant', text: n === 0 ? message.text : '', toolCalls: [call] }, ...results.filter((result) => result.callId === call.id),
  ])
}

type Result = Extract<Message, { role: 'tool' }>

function isSplit(message: Extract<Message, { role: 'assistant' }>): boolean {
  return (message.toolCalls?.length ?? 0) > 1
}

function resultsBehind(messages: readonly Message[], index: number): Result[] {
  const results: Result[] = []
  for (let at = index + 1; at < messages.length; at++) {
    const message = messages[at]
    if (message?.role !== 'tool') break
    results.push(message)
  }
  return results
}

/** The message with several calls that this result answers. */
function belongsTo(messages: readonly Message[], index: number): Message | null {
  const result = messages[index]
  for (let at = index - 1; at >= 0; at--) {
    const message = messages[at]
    if (message?.role === 'tool') continue
    const calls = message?.role === 'assistant' && isSplit(message) ? message.toolCalls ?? [] : []
    return message !== undefined && result?.role === 'tool' && calls.some((call) => call.id === result.callId) ? message : null
  }
  return null
}
