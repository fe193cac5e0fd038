// The probe, against models whose answers are known: a good one, one that calls nothing, one that is right in json mode only; and its pure parts.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { probeModel } from '@hearth/agent'
import { scriptedModel } from '@hearth/engine'
import { AgentProfile, ProbeResult, fault, type Model, type ModelRequest, type ProbeEvent } from '@hearth/protocol'
import { cases } from '../../packages/agent/src/probe/cases.ts'
import { goesOnAt } from '../../packages/agent/src/probe/manner.ts'
import { improved, recommend, repeats } from '../../packages/agent/src/probe/score.ts'

type Answer = { text: string } | { calls: { name: string; arguments: Record<string, unknown> }[] }

const greeting = 'Grüße aus Köln – 你好, naïve café'
const longText = /Save this text as it is: (The keeper[^]*)$/

/** What a model that can do everything says. */
function right(request: ModelRequest): Answer {
  const asked = request.messages.map(({ text }) => text).join('\n')
  const call = (name: string, args: Record<string, unknown>): Answer => ({ calls: [{ name, arguments: args }] })
  const words = (text: string): Answer => (request.responseFormat.type === 'json_schema' ? call('finish', { answer: text }) : { text })
  if (asked.includes('time is it in Tokyo')) return call('get_time', { city: 'Tokyo' })
  if (asked.includes('Add 17 and 25')) return call('add', { a: 25, b: 17 })
  if (asked.includes('Show me the file')) return call('read_file', { path: 'notes.txt' })
  if (asked.includes('Say only the word hello')) return words('Hello!')
  if (asked.includes('Dentist')) return call('add_event', { title: 'Dentist', when: { day: 14, month: 3 } })
  if (asked.includes('kitchen dim')) return call('set_light', { room: 'kitchen', state: 'dim' })
  if (asked.includes('Order 3 lamps')) return call('order', { article: 'lamps', count: 3, urgent: true })
  if (asked.includes('Set the tags')) return call('set_tags', { tags: ['red', 'green', 'blue'] })
  if (asked.includes(greeting)) return call('save_note', { text: greeting })
  const long = longText.exec(asked)?.[1]
  if (long !== undefined) return call('save_note', { text: long })
  if (asked.includes('degrees is it in Oslo')) return words('It is 14 degrees.')
  if (asked.includes('weather in Rome?')) return { text: 'I cannot look.' }
  if (asked.includes('both calls at once')) return { calls: ['Rome', 'Oslo'].map((city) => ({ name: 'get_weather', arguments: { city } })) }
  if (asked.includes('Anna is 34')) return { text: '{"name":"Anna","age":34}' }
  if (asked.includes('Bread costs')) return { text: '{"items":[{"name":"bread","price":3},{"name":"milk","price":2}]}' }
  if (asked.includes('Count from 1')) return { text: ', 4, 5, 6, 7, 8, 9' }
  const named = request.messages.at(-1)?.text ?? ''
  const offers = (name: string): boolean => request.tools.some((tool) => tool.name === name) || JSON.stringify(request.responseFormat).includes(`"const":"${name}"`)
  const changed = (path: string, old: string, fresh: string, whole: string): Answer => (offers('edit') ? call('edit', { path, old, new: fresh }) : call('write', { path, content: whole }))
  if (named.includes('port to 9090')) return changed('server.ini', 'port = 8080', 'port = 9090', '[server]\nhost = localhost\nport = 9090\nlog = on\n')
  if (named.includes('Let load return')) return changed('store.py', 'return None\n    return json', 'return {}\n    return json', (/is:\n([^]*)\nLet load/.exec(named)?.[1] ?? '').replace('return None', 'return {}'))
  if (named.includes('line with Wednesday')) return changed('days.txt', 'Tuesday\n', 'Tuesday\nWednesday\n', 'Monday\nTuesday\nWednesday\nThursday\nFriday\n')
  if (named.includes('file notes.txt.')) return call('read', { path: 'notes.txt' })
  if (named.includes('LIGHTHOUSE')) return offers('grep') ? call('grep', { pattern: 'LIGHTHOUSE' }) : call('bash', { command: 'grep -rn LIGHTHOUSE .' })
  if (asked.includes('The code of the gate is')) return { text: /code of the gate is (\d+)/.exec(asked)?.[1] ?? 'none' }
  return { text: 'yes' }
}

/** A model whose answers are a function of the request; each is said by a scripted model. `asked` is told of every request. */
function answering(answer: (request: ModelRequest) => Answer, options: { contextTokens?: number; toolMode?: 'native' | 'json'; asked?: (request: ModelRequest) => void } = {}): Model {
  const { contextTokens = 4096, toolMode = 'native' } = options
  const info = scriptedModel({ version: 1, contextTokens, toolMode, turns: [{ text: 'x' }] }).info
  return {
    info,
    generate(request, signal) {
      options.asked?.(request)
      const past = request.messages.filter(({ role }) => role === 'assistant').map(() => ({ text: 'past' }))
      return scriptedModel({ version: 1, contextTokens, toolMode, turns: [...past, answer(request)] }).generate(request, signal)
    },
  }
}

async function probed(model: Model, seconds = 60): Promise<{ events: ProbeEvent[]; result: ProbeResult }> {
  const events: ProbeEvent[] = []
  for await (const event of probeModel(model, { seconds }, new AbortController().signal)) events.push(event)
  const last = events.at(-1)
  assert.ok(last?.type === 'done', last?.type === 'failed' ? last.fault.message : 'no end')
  return { events, result: ProbeResult.parse(last.result) }
}

describe('a probe', () => {
  it('of a model that can do everything recommends its own tool calls', async () => {
    const { events, result } = await probed(answering(right))
    assert.deepEqual(result.cases.filter(({ problem }) => problem !== null), [])
    assert.deepEqual([result.native, result.json, result.schema], [{ right: 12, of: 12 }, { right: 11, of: 11 }, { right: 2, of: 2 }])
    assert.deepEqual([result.stops, result.repeats, result.agrees], [true, false, true])
    assert.deepEqual(result.recommended, { toolMode: 'native', weak: false, why: 'native calls were right in 12 of 12, one JSON object a step right in 11 of 11', changes: [], profile: { ...result.profile, fewShot: null } })
    assert.deepEqual([result.edits, result.toolsAtOnce, result.goesOn, result.thinks], [{ edit: { right: 3, of: 3 }, write: { right: 3, of: 3 } }, 10, [], { byItself: false, off: false, on: false }])
    assert.deepEqual(result.window.map(({ share, found }) => [share, found]), [[0.25, true], [0.5, true], [0.9, true]])
    for (const { share, promptTokens } of result.window) assert.ok(promptTokens !== null && Math.abs(promptTokens / (4096 * share) - 1) < 0.15, `${promptTokens} tokens for ${share}`)
    const told = events.filter((event) => event.type === 'case')
    assert.deepEqual(told.map(({ done }) => done), told.map((_, index) => index + 1))
    assert.equal(told.at(-1)?.total, told.length)
  })

  it('of a model that never calls says that neither way is reliable', async () => {
    const { result } = await probed(answering((request) => {
      const schema = request.responseFormat.type === 'json_schema' ? request.responseFormat.schema : null
      return schema === null ? { text: 'Of course.' } : 'oneOf' in schema ? { text: '{"tool":"finish","answer":"Of course, and then again."}' } : right(request)
    }))
    assert.deepEqual([result.native?.right, result.json.right], [1, 0])
    assert.equal(result.recommended.weak, true)
    assert.equal(result.cases.find(({ name, mode }) => name === 'right tool' && mode === 'native')?.problem, 'no call, but words: Of course.')
    assert.equal(result.window.at(-1)?.why, '0 of 3 answers had it; one said "Of course."')
  })

  it('of a model that is right in json mode only recommends json, and the native profile disagrees', async () => {
    const { result } = await probed(answering((request) => (request.responseFormat.type === 'json_schema' || request.tools.length === 0 ? right(request) : { text: 'I would call a tool.' })))
    assert.deepEqual([result.recommended.toolMode, result.recommended.weak, result.agrees], ['json', false, false])
  })

  it('of a model that only writes whole files, loses its way among many tools and answers itself says so, and what a profile should say', async () => {
    const { result } = await probed(answering((request) => {
      const tools = request.tools.map(({ name }) => name)
      const last = request.messages.at(-1)?.text ?? ''
      if (tools.includes('edit') && !tools.includes('read')) return { calls: [{ name: 'edit', arguments: { path: 'f', old: 'nothing like it', new: 'x' } }] }
      if (tools.length > 7 && tools.includes('plan')) return { calls: [{ name: 'plan', arguments: { list: '[ ] x' } }] }
      if (last.includes('Name one colour')) return { text: 'Blue.\nUser: And another one?' }
      return right(request)
    }))
    assert.deepEqual([result.edits, result.toolsAtOnce, result.goesOn], [{ edit: { right: 0, of: 3 }, write: { right: 3, of: 3 } }, 7, ['\nUser:']])
    assert.deepEqual([result.agrees, result.recommended.changes], [false, ['editFormat write', 'maxTools 7', 'stop "\\nUser:"']])
    assert.deepEqual(result.recommended.profile, { ...result.profile, editFormat: 'write', maxTools: 7, stop: ['\nUser:'] })
    assert.match(result.cases.find(({ name }) => name === 'edit: a setting')?.problem ?? '', /^the old text does not occur in server\.ini/)
  })

  it('tells whether a model thinks, and whether it can be asked to leave it', async () => {
    const model = answering(right)
    const { result } = await probed({
      info: model.info,
      async *generate(request, signal) {
        if (request.reasoning !== 'off') yield { type: 'reasoning', text: 'Hm.' }
        yield* model.generate(request, signal)
      },
    })
    assert.deepEqual(result.thinks, { byItself: true, off: false, on: true })
  })

  it('of a model whose template has no tools asks nothing natively', async () => {
    const model = answering(right, { toolMode: 'json' })
    const asked: ModelRequest[] = []
    const without: Model = {
      info: model.info,
      async *generate(request, signal) {
        asked.push(request)
        if (request.tools.length === 0) yield* model.generate(request, signal)
        else yield { type: 'failed', fault: fault('unsupported', { what: 'Calling tools natively' }), usage: { promptTokens: 0, reusedTokens: 0, completionTokens: 0 }, timings: { queuedMs: 0, prefillMs: 0, decodeMs: 0, ttftMs: null, totalMs: 0 } }
      },
    }
    const { result } = await probed(without)
    assert.deepEqual([result.native, result.json, result.agrees], [null, { right: 11, of: 11 }, true])
    assert.equal(asked.filter(({ tools }) => tools.length > 0).length, 1)
    assert.equal(result.recommended.why, 'its template has no tools; one JSON object a step was right in 11 of 11')
  })

  it('is greedy, in the class of batches', async () => {
    await probed(answering(right, { asked: ({ sampling, class: jobClass, purpose }) => assert.deepEqual([sampling.temperature, jobClass, purpose], [0, 'batch', 'bench']) }))
  })

  it('ends with the fault of an engine that is gone', async () => {
    const model = scriptedModel({ version: 1, turns: [{ fault: { code: 'worker_exited', detail: { model: 'm', how: 'signal 9' } } }] })
    const events: ProbeEvent[] = []
    for await (const event of probeModel(model, { seconds: 60 }, new AbortController().signal)) events.push(event)
    assert.deepEqual(events.map((event) => (event.type === 'failed' ? event.fault.code : event.type)), ['worker_exited'])
  })

  it('ends as cancelled when the one who asked leaves', async () => {
    const left = new AbortController()
    const events: ProbeEvent[] = []
    for await (const event of probeModel(answering(right, { asked: () => left.abort() }), { seconds: 60 }, left.signal)) events.push(event)
    assert.deepEqual(events.map((event) => (event.type === 'failed' ? event.fault.code : event.type)), ['cancelled'])
  })

  it('leaves out what there is no time for, and says so', async () => {
    const { result } = await probed(answering(right), 0)
    assert.ok(result.cases.every(({ problem, counts }) => problem === 'not asked: the time is used up' && !counts))
    assert.ok(result.window.every(({ found }) => found === null))
  })
})

describe('the arithmetic', () => {
  it('prefers native calls unless json is better by more than a tenth', () => {
    const mode = (native: [number, number] | null, json: [number, number]): string => recommend(native === null ? null : { right: native[0], of: native[1] }, { right: json[0], of: json[1] }).toolMode
    assert.deepEqual([mode([10, 12], [10, 11]), mode([8, 12], [10, 11]), mode([0, 12], [0, 11]), mode(null, [0, 11]), mode([12, 12], [0, 0])], ['native', 'json', 'json', 'json', 'native'])
  })

  it('tells going round in circles from a long text', () => {
    assert.equal(repeats('the lamp was lit and '.repeat(30)), true)
    assert.equal(repeats(Array.from({ length: 120 }, (_, n) => `word${n * 7 % 50}${n}`).join(' ')), false)
    assert.equal(repeats('yes yes yes yes'), false)
  })

  it('changes a profile by what was measured only, and never offers more than an owner did', () => {
    const profile = AgentProfile.parse({ toolMode: 'json', tools: ['bash', 'read', 'write', 'finish'], fewShot: { bank: 'starter', count: 4 } })
    const share = (right: number): { right: number; of: number } => ({ right, of: 3 })
    const measured = { toolMode: 'json' as const, edits: { edit: share(0), write: share(3) }, toolsAtOnce: 4, goesOn: ['\nUser:'], allTools: 10 }
    assert.deepEqual(improved(profile, measured), { profile, changes: [] }, 'its tools are chosen, and a grammar ends its answers')
    const open = { ...profile, tools: null }
    assert.deepEqual(improved(open, measured).changes, ['editFormat write', 'maxTools 4'])
    assert.deepEqual(improved({ ...open, editFormat: 'write', maxTools: 3 }, measured).changes, [])
    assert.deepEqual(improved(open, { ...measured, edits: { edit: share(1), write: share(1) }, toolsAtOnce: null }).changes, [], 'nothing was shown')
    assert.deepEqual(improved({ ...open, stop: ['\nUser:'] }, { ...measured, toolMode: 'native', edits: { edit: share(3), write: share(3) }, toolsAtOnce: 10 }).changes, ['toolMode native'])
    assert.equal(improved(open, { ...measured, toolMode: 'native' }).profile.fewShot, null)
  })

  it('tells an answer that goes on with another turn', () => {
    assert.deepEqual(['Blue.', 'Blue.\nUser: x', 'Blue.<|im_end|>\n', 'The User: field', 'a\n  Result: b'].map(goesOnAt), [null, '\nUser:', '<|im_end|>', null, '\nResult:'])
  })

  it('has names of cases that are each given once', () => {
    assert.equal(new Set(cases.map(({ name }) => name)).size, cases.length)
  })
})
