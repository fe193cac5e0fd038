// Owns the course of a probe: every case in both modes, schemas, stopping, repeating, the window; told as it goes. Writes nothing.
import { fault, faultFrom, type Fault, type Model, type ProbeCase, type ProbeEvent, type ProbeMode, type ProbeResult, type Share } from '@hearth/protocol'
import { ask, type Answered, jsonRequest, nativeRequest, parsed, saidAsJson, saidNatively } from './ask.ts'
import { cases, type Case } from './cases.ts'
import { editQuestions, goesOnAt, shortQuestions, thinkingQuestions, toolCounts, toolQuestions, type Question } from './manner.ts'
import { improved, recommend, repeats, shareOf } from './score.ts'
import { needleCode, needlePrompt, questions, questionsNeeded, windowShares, wordsFor } from './window.ts'

export type ProbeOptions = { seconds: number }
export type ProbeModel = (model: Model, options: ProbeOptions, signal: AbortSignal) => AsyncGenerator<ProbeEvent>

const notAsked = 'not asked: the time is used up'

type Heard = Extract<Answered, { ok: true }>

/** Asks everything in turn; ends with exactly one `done` (`written` null) or `failed`. Never throws. */
export async function* probeModel(model: Model, options: ProbeOptions, signal: AbortSignal): AsyncGenerator<ProbeEvent> {
  try {
    yield* probing(model, options, signal)
  } catch (error) {
    yield { type: 'failed', fault: error instanceof Broken ? error.fault : faultFrom(error) }
  }
}

class Broken extends Error {
  readonly fault: Fault

  constructor(cause: Fault) {
    super(cause.message)
    this.fault = cause
  }
}

/** What one question does not work for is an answer; the rest would fail all others too. */
const ofTheQuestion: ReadonlySet<string> = new Set(['unsupported', 'bad_schema', 'context_overflow', 'bad_request'])

async function* probing(model: Model, { seconds }: ProbeOptions, signal: AbortSignal): AsyncGenerator<ProbeEvent> {
  const deadline = performance.now() + seconds * 1000
  const heard: ProbeCase[] = []
  let total = cases.length + cases.filter(({ nativeOnly }) => nativeOnly !== true).length + texts.length + shortQuestions.length + thinkingQuestions.length + editQuestions('json').length + toolQuestions('json').length
  let native = true

  const put = async (name: string, mode: ProbeMode, counts: boolean, request: Parameters<typeof ask>[1], judge: (answer: Heard) => string | null): Promise<ProbeEvent> => {
    if (performance.now() > deadline) {
      const late: ProbeCase = { name, mode, problem: notAsked, counts: false, ms: 0 }
      heard.push(late)
      return { type: 'case', done: heard.length, total, case: late }
    }
    const answer = await ask(model, request, signal)
    if (signal.aborted) throw new Broken(fault('cancelled', { by: 'the one who asked' }))
    if (!answer.ok && !ofTheQuestion.has(answer.fault.code)) throw new Broken(answer.fault)
    if (!answer.ok && mode === 'native' && heard.length === 0 && answer.fault.code === 'unsupported') native = false
    const one: ProbeCase = { name, mode, problem: answer.ok ? judge(answer) : answer.fault.message, counts, ms: answer.ms }
    heard.push(one)
    return { type: 'case', done: heard.length, total, case: one }
  }

  for (const one of cases) {
    const event = await put(one.name, 'native', one.extra !== true, nativeRequest(one), (answer) => one.judge(saidNatively(answer)))
    if (!native) {
      heard.length = 0
      total -= cases.length
      break
    }
    yield event
  }
  for (const one of cases.filter(isForJson)) yield await put(one.name, 'json', one.extra !== true, jsonRequest(one), (answer) => one.judge(saidAsJson(answer)))
  for (const { name, request, judge } of texts) yield await put(name, 'text', true, request, judge)

  const of = (mode: ProbeMode, kind?: string): ProbeCase[] => heard.filter((each) => each.mode === mode && (kind === undefined || each.name.startsWith(kind)))
  const [nativeShare, json] = [native ? shareOf(of('native')) : null, shareOf(of('json'))]
  const recommended = recommend(nativeShare, json)
  const { toolMode } = recommended
  // How it is best spoken with is known now, and what follows is asked in that way.
  const manner = async function* (questions: readonly Question[], mode: ProbeMode, hear: (answer: Heard) => void = () => undefined): AsyncGenerator<ProbeEvent> {
    for (const { name, request, judge } of questions) {
      yield await put(name, mode, mode === 'text', request, (answer) => {
        hear(answer)
        return judge(answer)
      })
    }
  }
  yield* manner(editQuestions(toolMode), toolMode)
  yield* manner(toolQuestions(toolMode), toolMode)
  const goesOn = new Set<string>()
  yield* manner(shortQuestions, 'text', ({ text }) => {
    const at = goesOnAt(text)
    if (at !== null) goesOn.add(at)
  })
  const thinks: ProbeResult['thinks'] = { byItself: null, off: null, on: null }
  for (const { name, request, asked } of thinkingQuestions) {
    yield await put(name, 'text', false, request, ({ thoughts }) => {
      thinks[asked] = thoughts > 0
      return asked === 'off' && thoughts > 0 ? 'it thinks all the same' : null
    })
  }

  const window: ProbeResult['window'] = []
  for await (const part of probeWindow(model, deadline, signal)) {
    window.push(part)
    yield { type: 'window', share: part.share, found: part.found, why: part.why }
  }
  const { profile } = model.info
  const right = (kind: string): Share => {
    const asked = of(toolMode, kind).filter(({ problem }) => problem !== notAsked)
    return { right: asked.filter(({ problem }) => problem === null).length, of: asked.length }
  }
  const edits = { edit: right('edit: '), write: right('write: ') }
  const among = toolCounts.map((count) => ({ count, ...right(`${count} tools: `) }))
  const firstWrong = among.findIndex((each) => each.of === 0 || each.right < each.of)
  const toolsAtOnce = among[(firstWrong < 0 ? among.length : firstWrong) - 1]?.count ?? null
  const change = improved(profile, { toolMode, edits, toolsAtOnce, goesOn: [...goesOn], allTools: toolCounts.at(-1) ?? 0 })
  yield {
    type: 'done', written: null,
    result: {
      model: model.info.id, contextTokens: model.info.contextTokens, cases: heard, native: nativeShare, json, schema: shareOf(of('text', 'schema')),
      stops: of('text', 'stop').every(({ problem }) => problem === null), repeats: of('text', 'repeats').some(({ problem }) => problem !== null),
      edits, toolsAtOnce, goesOn: [...goesOn], thinks, window, profile, recommended: { ...recommended, ...change }, agrees: change.changes.length === 0,
    },
  }
}

const isForJson = ({ nativeOnly }: Case): boolean => nativeOnly !== true
const user = (text: string): { role: 'user'; text: string }[] => [{ role: 'user', text }]
const object = (properties: Record<string, unknown>): Record<string, unknown> => ({ type: 'object', properties, required: Object.keys(properties), additionalProperties: false })

const texts: readonly { name: string; request: Parameters<typeof ask>[1]; judge: (answer: Heard) => string | null }[] = [
  {
    name: 'schema: an object', request: { messages: user('Anna is 34 years old. Give name and age as JSON.'), responseFormat: { type: 'json_schema', schema: object({ name: { type: 'string', maxLength: 40 }, age: { type: 'integer', minimum: 0, maximum: 150 } }) } },
    judge: ({ text }) => (parsed(text)?.['name'] === 'Anna' && parsed(text)?.['age'] === 34 ? null : `said ${text.slice(0, 80)}`),
  },
  {
    name: 'schema: a list of objects', request: {
      messages: user('Bread costs 3, milk costs 2. Give the items as JSON.'),
      responseFormat: { type: 'json_schema', schema: object({ items: { type: 'array', minItems: 1, maxItems: 4, items: object({ name: { type: 'string', maxLength: 20 }, price: { type: 'integer', minimum: 0, maximum: 99 } }) } }) },
    },
    judge: ({ text }) => {
      const items = parsed(text)?.['items']
      return Array.isArray(items) && /bread/i.test(JSON.stringify(items)) && /milk/i.test(JSON.stringify(items)) ? null : `said ${text.slice(0, 80)}`
    },
  },
  { name: 'stop: by itself', request: { messages: user('Reply with the single word yes.'), maxTokens: 64 }, judge: ({ stop }) => (stop === 'end' ? null : 'it did not end within 64 tokens') },
  {
    name: 'stop: at a sequence', request: { messages: user('Count from 1 to 9, with commas: 1, 2, 3'), maxTokens: 64, stop: ['5'] },
    judge: ({ text, stop }) => (text.includes('5') ? 'it went on after the stop sequence' : stop === 'stop_sequence' || stop === 'end' ? null : 'it came to no stop sequence within 64 tokens'),
  },
  { name: 'repeats', request: { messages: user('Write a story of about 150 words about a keeper of a lighthouse.'), maxTokens: 256 }, judge: ({ text }) => (repeats(text) ? 'it says the same again and again' : null) },
]

/** A code at the beginning of ever longer prompts, as long as the time lasts. */
async function* probeWindow(model: Model, deadline: number, signal: AbortSignal): AsyncGenerator<ProbeResult['window'][number]> {
  const { contextTokens } = model.info
  const begun = Date.now()
  // Read first, small: tokens for a number of words, and the speed.
  const words = Math.min(400, Math.floor(contextTokens / 8))
  const first = await ask(model, { messages: needlePrompt(words), maxTokens: 24 }, signal)
  let perWord = first.ok ? first.usage.promptTokens / words : 1.5
  let msPerToken = first.ok ? first.prefillMs / Math.max(1, first.usage.promptTokens - first.usage.reusedTokens) : 0
  for (const share of windowShares) {
    const wanted = Math.floor(contextTokens * share) - 32
    const leftMs = deadline - performance.now()
    // Reading grows with depth; twice the measured price is a cautious guess.
    const expectedMs = wanted * msPerToken * 2
    if (!first.ok || expectedMs > leftMs) {
      yield { share, promptTokens: null, found: null, why: first.ok ? `reading it would take about ${Math.ceil(expectedMs / 1000)} s, and ${Math.max(0, Math.floor(leftMs / 1000))} s are left` : first.fault.message }
      continue
    }
    const words = wordsFor(wanted, perWord)
    const answers: Answered[] = []
    for (const question of questions) {
      answers.push(await ask(model, { messages: needlePrompt(words, question), maxTokens: 24, sessionKey: `probe ${begun}` }, signal))
      if (signal.aborted) throw new Broken(fault('cancelled', { by: 'the one who asked' }))
    }
    const [one] = answers
    const bad = answers.find((answer) => !answer.ok)
    if (one === undefined || !one.ok || bad?.ok === false) {
      const cause = bad?.ok === false ? bad.fault : fault('internal', { problem: 'no question was asked' })
      yield { share, promptTokens: null, found: cause.code === 'context_overflow' ? false : null, why: cause.message }
      continue
    }
    perWord = one.usage.promptTokens / words
    msPerToken = Math.max(msPerToken, one.prefillMs / Math.max(1, one.usage.promptTokens - one.usage.reusedTokens))
    const wrong = answers.flatMap((answer) => (answer.ok && !answer.text.includes(needleCode) ? [answer.text.trim()] : []))
    const found = answers.length - wrong.length >= questionsNeeded
    yield { share, promptTokens: one.usage.promptTokens, found, why: wrong[0] === undefined ? '' : `${answers.length - wrong.length} of ${answers.length} answers had it; one said ${JSON.stringify(wrong[0].slice(0, 60))}` }
  }
}
