// Owns the fixed set of questions that tell how a model calls tools, and what a right answer to each is. Pure; asks nobody.
import type { Message, ToolSpec } from '@hearth/protocol'

/** What a model said, in whichever mode: calls without `finish`, and its words (in json mode those of `finish`). */
export type Said = { calls: { name: string; arguments: Record<string, unknown> }[]; text: string; malformed: string | null }

export type Case = {
  name: string
  messages: readonly Message[]
  tools: readonly ToolSpec[]
  /** json mode gives exactly one call and has no tool choice, so some are asked natively only. */
  nativeOnly?: true
  toolChoice?: 'auto' | 'none'
  /** Good to know, but the agent does not need it. */
  extra?: true
  /** What is wrong; null = right. */
  judge(said: Said): string | null
}

const text = (description: string): Record<string, unknown> => ({ type: 'string', description })

function tool(name: string, description: string, properties: Record<string, Record<string, unknown>>): ToolSpec {
  return { name, description, parameters: { type: 'object', properties, required: Object.keys(properties), additionalProperties: false } }
}

const weather = tool('get_weather', 'Weather of a city now.', { city: text('name of the city') })
const clock = tool('get_time', 'Time in a city now.', { city: text('name of the city') })
const add = tool('add', 'Adds two numbers.', { a: { type: 'number' }, b: { type: 'number' } })
const read = tool('read_file', 'Shows a file.', { path: text('path of the file') })
const remove = tool('delete_file', 'Deletes a file.', { path: text('path of the file') })
const note = tool('save_note', 'Saves a text as it is.', { text: text('the text') })
const light = tool('set_light', 'Sets a light.', { room: text('name of the room'), state: { type: 'string', enum: ['on', 'off', 'dim'] } })
const event = tool('add_event', 'Adds an event to the calendar.', {
  title: text('what it is'),
  when: { type: 'object', properties: { day: { type: 'integer' }, month: { type: 'integer' } }, required: ['day', 'month'], additionalProperties: false },
})
const tags = tool('set_tags', 'Sets the tags of the document.', { tags: { type: 'array', items: { type: 'string' } } })
const order = tool('order', 'Orders an article.', { article: text('name'), count: { type: 'integer' }, urgent: { type: 'boolean' } })

const greeting = 'Grüße aus Köln – 你好, naïve café'
const longText = 'The keeper wrote every evening: wind, waves, ships and the hour of each. Nobody read it for thirty years. Then a student came with a wet coat, asked for the books, and sat on the stairs until the lamp was lit.'

const user = (words: string): Message[] => [{ role: 'user', text: words }]

/** The words of one call, or why there is none of it. */
function one(said: Said, name: string, judge: (args: Record<string, unknown>) => boolean): string | null {
  if (said.malformed !== null) return `no call that can be read: ${said.malformed}`
  const [call] = said.calls
  if (call === undefined) return `no call, but words: ${said.text.trim().slice(0, 80)}`
  if (call.name !== name) return `called ${call.name} and not ${name}`
  return judge(call.arguments) ? null : `called ${name} with ${JSON.stringify(call.arguments).slice(0, 120)}`
}

const says = (value: unknown, word: string): boolean => typeof value === 'string' && value.toLowerCase().includes(word)
const has = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

export const cases: readonly Case[] = [
  { name: 'right tool', messages: user('What time is it in Tokyo?'), tools: [weather, clock], judge: (said) => one(said, 'get_time', ({ city }) => says(city, 'tokyo')) },
  { name: 'right arguments', messages: user('Add 17 and 25 with the tool.'), tools: [add], judge: (said) => one(said, 'add', ({ a, b }) => (a === 17 && b === 25) || (a === 25 && b === 17)) },
  { name: 'two alike', messages: user('Show me the file notes.txt.'), tools: [remove, read], judge: (said) => one(said, 'read_file', ({ path }) => says(path, 'notes.txt')) },
  { name: 'no tool needed', messages: user('Say only the word hello. Use no tool for it.'), tools: [weather, add], judge: (said) => (said.calls.length === 0 && says(said.text, 'hello') ? null : `said ${JSON.stringify(said.calls[0]?.name ?? said.text.slice(0, 80))}`) },
  { name: 'nested object', messages: user('Put "Dentist" into the calendar for day 14 of month 3.'), tools: [event], judge: (said) => one(said, 'add_event', ({ title, when }) => says(title, 'dentist') && has(when) && when['day'] === 14 && when['month'] === 3) },
  { name: 'one of a list', messages: user('Make the light in the kitchen dim.'), tools: [light], judge: (said) => one(said, 'set_light', ({ room, state }) => says(room, 'kitchen') && state === 'dim') },
  { name: 'types', messages: user('Order 3 lamps. It is urgent.'), tools: [order], judge: (said) => one(said, 'order', ({ article, count, urgent }) => says(article, 'lamp') && count === 3 && urgent === true) },
  { name: 'a list', messages: user('Set the tags red, green and blue, in this order.'), tools: [tags], judge: (said) => one(said, 'set_tags', (args) => JSON.stringify(args['tags']) === '["red","green","blue"]') },
  { name: 'letters of all kinds', messages: user(`Save this text as it is: ${greeting}`), tools: [note], judge: (said) => one(said, 'save_note', (args) => args['text'] === greeting) },
  { name: 'a long text', messages: user(`Save this text as it is: ${longText}`), tools: [note], judge: (said) => one(said, 'save_note', (args) => args['text'] === longText) },
  {
    name: 'after a result', tools: [weather],
    messages: [
      { role: 'user', text: 'How many degrees is it in Oslo?' },
      { role: 'assistant', text: '', toolCalls: [{ id: 'c1', name: 'get_weather', arguments: { city: 'Oslo' } }] },
      { role: 'tool', callId: 'c1', name: 'get_weather', text: 'cloudy, 14 degrees' },
    ],
    judge: (said) => (said.calls.length === 0 && said.text.includes('14') ? null : `said ${JSON.stringify(said.calls[0]?.name ?? said.text.slice(0, 80))}`),
  },
  { name: 'tools forbidden', nativeOnly: true, toolChoice: 'none', messages: user('What is the weather in Rome? If you cannot look, say so.'), tools: [weather], judge: (said) => (said.calls.length === 0 && said.malformed === null ? null : 'called a tool although none was allowed') },
  {
    name: 'two calls at once', nativeOnly: true, extra: true, messages: user('Get the weather of Rome and the weather of Oslo, both calls at once.'), tools: [weather],
    judge: (said) => (['rome', 'oslo'].every((city) => said.calls.some((call) => says(call.arguments['city'], city))) ? null : `${said.calls.length} call${said.calls.length === 1 ? '' : 's'}`),
  },
]
