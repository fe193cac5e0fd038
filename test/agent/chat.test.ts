// A conversation over the loop: prompts only ever grow, and are the same to the byte when they are rebuilt from stored events, in both tool modes.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { runAgent } from '@hearth/agent'
import { scriptedModel, type ScriptInput } from '@hearth/engine'
import { JobEventBody, JobRequest, type AgentEnd, type Message, type Model, type Sandbox } from '@hearth/protocol'
import { receipt } from '../../packages/agent/src/context/receipt.ts'
import { call, finish, limits, ofType, Workbench } from './workbench.ts'

const said = (text: string): JobEventBody => ({ type: 'said', text, by: 'socket:0' })

// The folder is not what this is about: no tool that needs a sandbox is called.
const sandbox: Sandbox = {
  report: () => Promise.resolve({ available: true, limits: 'weak', detail: 'none', fault: null }),
  run: () => Promise.resolve({ ok: true, cause: 'exited', exitCode: 0, signal: null, stdout: { text: '', totalBytes: 0 }, stderr: { text: '', totalBytes: 0 }, durationMs: 1 } as never),
}

type Run = { end: AgentEnd; prompts: (readonly Message[])[] }

/** One run of a chat; `spoken` is said just before the model's n-th answer of this run (from 1) ends. */
async function run(model: Model, journal: JobEventBody[], spoken: Record<number, string> = {}): Promise<Run> {
  const prompts: (readonly Message[])[] = []
  const inbox: JobEventBody[] = []
  const end = await runAgent({
    jobId: 'job', request: JobRequest.parse({ prompt: 'first', cwd: '/tmp', kind: 'chat' }), maxSteps: 5, maxTokens: 1e6, timeoutSeconds: 60, attempt: 1, seed: 1, limits, past: [...journal], outputDir: '/tmp',
  }, {
    sandbox, now: Date.now,
    emit: (event) => { journal.push(JobEventBody.parse(event)); return Promise.resolve() },
    heard: () => inbox.splice(0) as never,
    model: {
      info: model.info,
      async *generate(request, signal) {
        prompts.push(structuredClone(request.messages))
        const words = spoken[prompts.length]
        for await (const event of model.generate(request, signal)) {
          if (event.type === 'done' && words !== undefined) {
            journal.push(said(words))
            inbox.push(said(words))
          }
          yield event
        }
      },
    },
  }, new AbortController().signal)
  return { end, prompts }
}

const turns: ScriptInput['turns'] = [call('plan', { list: '[ ] a' }), finish('one'), call('plan', { list: '[x] a' }), finish('two'), finish('three'), finish('four')]

for (const toolMode of ['native', 'json'] as const) {
  describe(`a chat in ${toolMode} mode`, () => {
    const model = scriptedModel({ version: 1, toolMode, turns }, 'scripted:test')

    it('only ever appends, and a rebuilt history asks with the same bytes', async () => {
      const journal: JobEventBody[] = []
      const first = await run(model, journal, { 1: 'while you worked' })
      assert.deepEqual(first.end, { type: 'suspended', reason: 'waiting for you', state: 'paused' })
      journal.push({ type: 'suspended', reason: 'waiting for you', state: 'paused' }, said('second'))
      const second = await run(model, journal, { 2: 'too late for that turn' })
      assert.equal(second.end.type, 'suspended')
      const prompts = [...first.prompts, ...second.prompts]
      for (const [index, prompt] of prompts.slice(1).entries()) assert.deepEqual(prompt.slice(0, prompts[index]?.length), prompts[index], `prompt ${index + 2} changed the one before`)
      const last = prompts.at(-1)?.map(({ text }) => text).join('\n') ?? ''
      for (const words of ['while you worked', 'second', 'too late for that turn']) assert.equal(last.split(words).length, 2, words)

      // Cut off after each event: the next prompt is the one that was asked, unless words that came before it are cut off too.
      let compared = 0
      for (let at = 1; at < journal.length; at += 1) {
        const next = journal.findIndex((event, index) => index >= at && event.type === 'step')
        if (journal.slice(at, next < 0 ? undefined : next).some((event) => event.type === 'said')) continue
        const [prompt] = (await run(model, journal.slice(0, at))).prompts
        if (prompt === undefined) continue
        compared += 1
        assert.ok(prompts.some((asked) => JSON.stringify(asked) === JSON.stringify(prompt)), `cut after event ${at} (${journal[at - 1]?.type})`)
      }
      assert.ok(compared >= 10, `${compared} cuts were compared`)
    })
  })
}

describe('limits and guards of a chat', () => {
  let bench: Workbench
  before(async () => { bench = await Workbench.open() })
  after(() => bench.close())

  it('are those of a turn: the steps of earlier turns do not count', async () => {
    const model = scriptedModel({ version: 1, turns: Array.from({ length: 12 }, (_, index) => call('plan', { list: `[ ] s${index}` })) }, 'scripted:test')
    const journal: JobEventBody[] = []
    const first = await run(model, journal)
    assert.deepEqual([first.end.type === 'ended' && first.end.outcome, ofType(journal, 'step').length], ['stuck', 5])
    journal.push(said('go on'))
    await run(model, journal)
    assert.equal(ofType(journal, 'step').length, 10)
  })

  it('what a person said outlives a shortened history', () => {
    const text = receipt([said('use tabs'), { type: 'step', step: 1 }, said(`and ${'x'.repeat(2000)}`)], 4000)
    assert.match(text, /^Files changed: none with write or edit\nThe person said, in this order:\n- use tabs\n- and x{796} …$/)
  })
})
