// How likely a model found its own calls: which tokens spell a name or a value in each format, what a turn keeps of it, and that it never does anything.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { asksLikelihood, likelihoodOf } from '@hearth/agent/escalate/likelihood'
import { areActing, signalsNow } from '@hearth/agent/escalate/signals'
import type { Model, TokenProbability } from '@hearth/protocol'
import { Experts } from './experts.ts'
import { ofType, Workbench, type Ran } from './workbench.ts'

/** Tokens between bars; `=N` behind one is its likelihood in thousandths, else it is certain. */
function tokens(text: string): TokenProbability[] {
  return text.split('|').map((one) => {
    const [, word = one, thousandths = '1000'] = /^([^]*)=(\d+)$/.exec(one.replaceAll('¦', '|')) ?? [one, one.replaceAll('¦', '|')]
    return { text: word, probability: Number(thousandths) / 1000, top: [] }
  })
}

const names = (count: number, lowest: number) => ({ tokens: count, lowest, tenth: lowest })

describe('in the format', () => {
  // Everything that is neither a name nor a value is unlikely here, and must not be seen.
  const formats: [string, string, ReturnType<typeof likelihoodOf>][] = [
    ['of json mode', '{"=1|tool=2|":=3| "=4|re=300|ad=900|",=800| "=5|path=6|":=7| "=8|a=20|.txt=500|"}=40', { names: names(3, 300), values: { tokens: 3, lowest: 20, tenth: 20 } }],
    ['hermes', '<tool_call>=1|\n{"=1|name=1|": "=1|bash=250|",=700| "arguments=1|": {"=1|command=1|": "=1|ls=600| -l=90|"}=800|}\n=1|</tool_call>=1', { names: names(2, 250), values: { tokens: 3, lowest: 90, tenth: 90 } }],
    ['qwen_xml', '<tool_call>=1|\n<function==1|write=400|>\n=500|<parameter=1|=path>\n=1|a.md=30|\n=800|</parameter>=900|\n<parameter=text>\n=1|{"name": "x"}=70|\n=60|</parameter>\n=1|</function>\n=1|</tool_call>=1',
      { names: names(2, 400), values: { tokens: 4, lowest: 30, tenth: 30 } }],
    ['glm', '<tool_call>=1|read=300|\n=310|<arg_key>=1|path=1|</arg_key>\n=1|<arg_value>=1|b.c=120|</arg_value>=900|\n=1|</tool_call>=1', { names: names(2, 300), values: { tokens: 2, lowest: 120, tenth: 120 } }],
    ['gemma4', '<¦tool_call>=1|call:=1|read=200|{=900|path=1|:=1|<¦"¦>=1|c.d=110|<¦"¦>=850|,=1|limit=1|:=1|3=50|}=950|<tool_call¦>=1', { names: names(2, 200), values: { tokens: 4, lowest: 50, tenth: 50 } }],
    ['mistral by name', '[TOOL_CALLS]=1|read=220|[ARGS]=930|{"=1|path=1|": "=1|e=80|"}=1000', { names: names(2, 220), values: { tokens: 2, lowest: 80, tenth: 80 } }],
    ['mistral as a list', '[TOOL_CALLS]=1|[{"name": "=1|read=210|", =920|"arguments": {"=1|n=1|": =1|12=330|}}]=1', { names: names(2, 210), values: { tokens: 1, lowest: 330, tenth: 330 } }],
    ['deepseek', '<｜tool▁call▁begin｜>=1|read=230|<｜tool▁sep｜>=940|{"=1|path=1|": "=1|f=140|"}=700|<｜tool▁call▁end｜>=1', { names: names(2, 230), values: { tokens: 2, lowest: 140, tenth: 140 } }],
    ['harmony', '<¦channel¦>=1|commentary to=functions.=1|read=240| <¦constrain¦>=950|json<¦message¦>=1|{"=1|path=1|": "=1|g=150|"}=710|<¦call¦>=1', { names: names(2, 240), values: { tokens: 2, lowest: 150, tenth: 150 } }],
  ]
  for (const [name, spelled, expected] of formats) it(name, () => assert.deepEqual(likelihoodOf(tokens(spelled)), expected))
})

describe('of its tokens', () => {
  it('those of several calls count together, and text in a value that looks like a call does not begin one', () => {
    assert.deepEqual(likelihoodOf(tokens('{"name": "|a=500|", "arguments": {"t": "|{\\"name\\": \\"b\\"}=300|"}}|; {"name": "|c=400|", "arguments": {}}')), { names: names(4, 400), values: { tokens: 2, lowest: 300, tenth: 300 } })
  })
  it('a tenth lies at most at the tenth', () => {
    const values = Array.from({ length: 30 }, (_, n) => `w${n}=${(n + 1) * 10}`).join('|')
    assert.deepEqual(likelihoodOf(tokens(`{"tool": "|a|", "text": "|${values}|"}`))?.values, { tokens: 31, lowest: 10, tenth: 40 })
  })
  it('a call that was cut off or cannot be read counts as far as it goes', () => {
    assert.deepEqual(likelihoodOf(tokens('{"tool": "|wr=100|ite|", "path": "|x=50|y')), { names: names(3, 100), values: { tokens: 2, lowest: 50, tenth: 50 } })
    assert.deepEqual(likelihoodOf(tokens('{"tool": "|wr=100')), { names: names(1, 100), values: null })
  })
  it('thoughts in which a call is spoken of do not count', () => {
    const thought = 'I could say {"name": "bash"} here'
    const spoken = tokens(`<think>|I could say {"|name": "|bash=1|"} here|</think>|<tool_call>{"name": "|read=600|", "arguments": {}}`)
    assert.deepEqual(likelihoodOf(spoken, thought), { names: names(2, 600), values: null })
    assert.equal(likelihoodOf(spoken, 'what the tokens do not spell'), null)
  })
  it('words without a call have none', () => {
    assert.equal(likelihoodOf(tokens('I am |done=10|.')), null)
    assert.equal(likelihoodOf([]), null)
  })
  it('a long text is looked through once', () => {
    const long = 'x'.repeat(200_000)
    assert.equal(likelihoodOf(tokens(long)), null)
    assert.equal(likelihoodOf(tokens(`{"tool": "|a=900|", "text": "|${long}=3`))?.values?.lowest, 3)
  })
})

let bench: Workbench
before(async () => { bench = await Workbench.open({ f: 'old\n' }) })
after(() => bench.close())

/** Calls `bash` turn after turn and then `finish`; says how likely it found that when it is asked. */
function doubting(turns: number): Model {
  return {
    info: { id: 'small', place: 'local', contextTokens: 32_768, profile: { toolMode: 'native', tools: null, fewShot: null, sampling: {}, maxCallTokens: 1000 } },
    async *generate(request) {
      await Promise.resolve()
      const turn = request.messages.filter(({ role }) => role === 'assistant').length
      const call = turn < turns ? { id: `c${turn}`, name: 'bash', arguments: { command: `echo ${turn} >> log` } } : { id: `c${turn}`, name: 'finish', arguments: { answer: 'done' } }
      if (request.likelihoods === true) yield { type: 'text', text: '', probabilities: tokens(`<tool_call>{"name": "|${call.name}=120|", "arguments": {"command": "|echo=900| ${turn}=34|"}}`) }
      yield { type: 'tool_call', call }
      yield { type: 'done', stop: 'tool_calls', usage: { promptTokens: 10, reusedTokens: 0, completionTokens: 5 }, timings: { queuedMs: 0, prefillMs: 1, decodeMs: 1, ttftMs: 1, totalMs: 2 } }
    },
  }
}

const kept = { names: { tokens: 2, lowest: 120, tenth: 120 }, values: { tokens: 3, lowest: 34, tenth: 34 } }
const run = (turns: number, options: Partial<Parameters<Workbench['run']>[0]> = {}): Promise<Ran> => bench.run({ model: doubting(turns), script: { turns: [] }, ...options })

describe('a job', () => {
  it('asks in one turn of eight, the same ones each time, and keeps a few numbers of what was said', async () => {
    const { events, requests, end } = await run(16)
    assert.equal(end.type === 'ended' && end.outcome, 'done_unverified')
    const asked = requests.flatMap(({ likelihoods }, index) => (likelihoods === true ? [index + 1] : []))
    assert.deepEqual(asked, [7, 15])
    assert.deepEqual(asked, requests.map((_, index) => index + 1).filter((step) => asksLikelihood(1, step)))
    assert.deepEqual(ofType(events, 'turn').flatMap(({ step, likelihood }) => (likelihood === undefined ? [] : [[step, likelihood]])), [[7, kept], [15, kept]])
    assert.equal(ofType(events, 'text').length, 0, 'no word was said')
    assert.equal(ofType(events, 'signals').length, 0, 'without an expert nothing of escalation happens')
  })

  it('that goes on from its events asks for the same prompts, byte for byte', async () => {
    const whole = await run(10)
    const at = whole.events.findIndex((event) => event.type === 'tool_result' && event.step === 7)
    const resumed = await run(10, { past: whole.events.slice(0, at + 1) })
    assert.deepEqual(resumed.requests, whole.requests.slice(7))
  })

  it('with an expert has it as a signal that never acts and is sent to nobody', async () => {
    const expert = new Experts({ turns: [{ text: 'Go on.\nGO ON' }] })
    const { events } = await run(10, { expert, escalation: { medianSeconds: 0.000_1 } })
    const noted = ofType(events, 'signals').filter(({ step }) => step === 7)
    assert.deepEqual(noted.map(({ signals, acts }) => [signals, acts]), [[[
      { kind: 'soft', name: 'slow', evidence: noted[0]?.signals[0]?.evidence ?? '' },
      { kind: 'logged', name: 'call_likelihood', evidence: 'name of the tool: 12 % at its least likely token; values of arguments: 3.4 %, and a tenth of 3 at most 3.4 %' },
    ], false]])
    assert.deepEqual(expert.asked, [])
    assert.equal(areActing(signalsNow(ofType(events, 'turn').filter(({ likelihood }) => likelihood !== undefined), { medianSeconds: null })), false)
  })

  it('that is helped for another reason says nothing of it to the expert', async () => {
    const expert = new Experts({ turns: [{ text: 'Go on.\nGO ON' }] })
    await run(10, { expert, escalation: { askAt: [7] } })
    assert.deepEqual(expert.asked.map(({ signals }) => signals.map(({ kind }) => kind)), [['declared']])
  })
})
