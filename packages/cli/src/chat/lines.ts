// Owns how the events of a chat read: as the cards of a job, but with the model's words first and without what only a job needs. Pure.
import type { JobEvent } from '@hearth/protocol'
import { eventLines, thoughtLines, type Look } from '../render.ts'
import { visible, wrap } from '../text.ts'

/** What the model said to the person with this event; empty for most. */
export function wordsOf(event: JobEvent): string {
  if (event.type !== 'turn') return ''
  const answers = event.toolCalls.flatMap((call) => (call.name === 'finish' && typeof call.arguments['answer'] === 'string' ? [call.arguments['answer']] : []))
  // In json mode the text of a turn is the call itself.
  const spoken = /^\s*\{[\s\S]*"tool"[\s\S]*$/.test(event.text) ? '' : event.text
  return visible([spoken.trim(), ...answers.map((answer) => answer.trim())].filter((text, index, all) => text !== '' && all.indexOf(text) === index).join('\n\n'))
}

/** The lines beside the words. */
export function besideLines(event: JobEvent, look: Look): string[] {
  switch (event.type) {
    case 'accepted': case 'step': case 'delivered': return []
    case 'started': return []
    case 'suspended': return event.state === undefined ? eventLines(event, look) : event.reason === 'waiting for you' || event.state === 'waiting_approval' ? [] : noteLines(event.reason, look)
    case 'tool_result': return event.name === 'finish' ? [] : eventLines(event, look)
    case 'turn': return eventLines({ ...event, text: '' }, look)
    case 'approval_asked': return []
    default: return eventLines(event, look)
  }
}

/** All lines of an event, words included. */
export function chatLines(event: JobEvent, look: Look): string[] {
  const words = wordsOf(event)
  if (event.type !== 'turn') return besideLines(event, look)
  const { reasoning: _shown, ...rest } = event
  return [...thoughtLines(event, look), ...(words === '' ? [] : ['', ...wrap(words, look.width)]), ...besideLines(rest, look)]
}

function noteLines(reason: string, look: Look): string[] {
  return wrap(visible(reason), look.width - 2).map((line, index) => look.ink.yellow(`${index === 0 ? '! ' : '  '}${line}`))
}
