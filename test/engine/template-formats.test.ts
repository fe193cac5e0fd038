// The tool formats that are no JSON between tags: streamed in pieces, beside words and thoughts, cut, bound by a grammar, and rendered back.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { ModelRequest, type Message, type Reasoning, type ToolFormat, type ToolSpec } from '@hearth/protocol'
import { getLlama, type Llama, type LlamaGrammar } from 'node-llama-cpp'
import { callGrammar } from '../../packages/engine/src/local/template/call-grammar.ts'
import type { CallEvent, CallReader } from '../../packages/engine/src/local/template/call-reader.ts'
import { callReader } from '../../packages/engine/src/local/template/calls.ts'
import { planRequest, type Plan } from '../../packages/engine/src/local/template/plan.ts'
import { ThinkingReader, thinkingOf } from '../../packages/engine/src/local/template/reasoning.ts'
import { ChatTemplate } from '../../packages/engine/src/local/template/render.ts'

type Format = Exclude<ToolFormat, 'none'>
const bash: ToolSpec = { name: 'bash', description: 'runs', parameters: { type: 'object', properties: { command: { type: 'string' } }, required: ['command'], additionalProperties: false } }
const read: ToolSpec = {
  name: 'read', description: 'reads', parameters: {
    type: 'object', required: ['path'], additionalProperties: false,
    properties: { path: { type: 'string' }, limit: { type: 'integer', minimum: 1, maximum: 99 }, all: { type: 'boolean' }, lines: { type: 'array', items: { type: 'integer' } }, how: { enum: ['fast', 'slow'] } },
  },
}
const tools = [bash, read]

type Said = { text: string; reasoning: string; calls: { name: string; arguments: unknown }[]; bad: { text: string; problem: string }[] }

function collect(reader: CallReader, pieces: readonly string[], cut: boolean): Said {
  const events: CallEvent[] = [...pieces.flatMap((piece) => reader.push(piece)), ...reader.end(cut)]
  return {
    text: events.map((event) => (event.type === 'text' ? event.text : '')).join(''), reasoning: events.map((event) => (event.type === 'reasoning' ? event.text : '')).join(''),
    calls: events.flatMap((event) => (event.type === 'tool_call' ? [{ name: event.call.name, arguments: event.call.arguments }] : [])),
    bad: events.flatMap((event) => (event.type === 'malformed_call' ? [{ text: event.text, problem: event.problem }] : [])),
  }
}

/** Whole, character by character, and in two pieces at every place: always the same. */
function everyWay(make: () => CallReader, text: string, cut = false): Said {
  const whole = collect(make(), [text], cut)
  assert.deepEqual(collect(make(), Array.from(text), cut), whole, 'character by character')
  for (let at = 1; at < text.length; at += 1) assert.deepEqual(collect(make(), [text.slice(0, at), text.slice(at)], cut), whole, `cut at ${at}`)
  return whole
}

const said = (format: Format, text: string, cut = false): Said => everyWay(() => callReader(format, tools), text, cut)
const only = (...calls: Said['calls']): Said => ({ text: '', reasoning: '', calls, bad: [] })
const ls = { name: 'bash', arguments: { command: 'ls -la' } }
const notes = { name: 'read', arguments: { path: 'notes', limit: 5 } }
const cutOff = 'the call was cut off before its end'

describe('qwen_xml', () => {
  const call = '<tool_call>\n<function=bash>\n<parameter=command>\nls -la\n</parameter>\n</function>\n</tool_call>'
  const other = '<tool_call>\n<function=read>\n<parameter=path>\nnotes\n</parameter>\n<parameter=limit>\n5\n</parameter>\n</function>\n</tool_call>'
  it('one call, two calls, words before them', () => {
    assert.deepEqual(said('qwen_xml', call), only(ls))
    assert.deepEqual(said('qwen_xml', `${call}\n${other}`), only(ls, notes))
    assert.deepEqual(said('qwen_xml', `I look < 3.\n\n${call}`), { ...only(ls), text: 'I look < 3.\n\n' })
  })
  it('without the outer tags, which models lose', () => {
    assert.deepEqual(said('qwen_xml', call.replace('<tool_call>\n', '')), only(ls))
    assert.deepEqual(said('qwen_xml', call.replace('<tool_call>\n', '').replace('\n</tool_call>', '')), only(ls))
    assert.deepEqual(said('qwen_xml', call.replace('\n</tool_call>', '')), only(ls))
    assert.deepEqual(said('qwen_xml', `${call.replace('<tool_call>\n', '')}\n${other.replace('<tool_call>\n', '')}`), only(ls, notes))
  })
  it('values keep their text; types come from the schema', () => {
    const value = '\none\n</parameter>\n"two" <parameter> </function>\n</tool_call>\n'
    assert.deepEqual(said('qwen_xml', `<tool_call>\n<function=bash>\n<parameter=command>\n${value}\n</parameter>\n</function>\n</tool_call>`), only({ name: 'bash', arguments: { command: value } }))
    assert.deepEqual(said('qwen_xml', '<tool_call>\n<function=read>\n<parameter=path>\n007\n</parameter>\n<parameter=all>\nTrue\n</parameter>\n<parameter=lines>\n[1, 2]\n</parameter>\n<parameter=how>\nfast\n</parameter>\n</function>\n</tool_call>'),
      only({ name: 'read', arguments: { path: '007', all: true, lines: [1, 2], how: 'fast' } }))
  })
  it('the JSON of its forebears, no arguments, an unknown tool, a key twice', () => {
    assert.deepEqual(said('qwen_xml', '<tool_call>\n{"name": "bash", "arguments": {"command": "ls -la"}}\n</tool_call>'), only(ls))
    assert.deepEqual(said('qwen_xml', '<tool_call>\n<function=read>\n</function>\n</tool_call>'), only({ name: 'read', arguments: {} }))
    assert.deepEqual(said('qwen_xml', '<tool_call>\n<function=rm>\n</function>\n</tool_call>').bad, [{ text: '<function=rm>\n</function>\n</tool_call>', problem: "there is no tool 'rm'; there are: bash, read" }])
    const twice = call.replace('</function>', '<parameter=command>\nrm\n</parameter>\n</function>')
    assert.equal(said('qwen_xml', twice).bad[0]?.problem, "the argument 'command' is there twice")
  })
  it('a value that has swallowed another argument is no value; one that only speaks of tags is', () => {
    const torn = other.replace('notes\n</parameter>', 'notes\n</paramter>')
    assert.deepEqual(said('qwen_xml', torn).bad.map(({ problem }) => problem), ["the argument 'path' does not end"])
    const spoken = other.replace('notes', '<parameter=limit> and <parameter=other>')
    assert.deepEqual(said('qwen_xml', spoken), only({ name: 'read', arguments: { path: '<parameter=limit> and <parameter=other>', limit: 5 } }))
  })
  it('cut anywhere is never a call with half a value', () => {
    for (let at = 12; at < call.indexOf('</function>'); at += 1) {
      const result = said('qwen_xml', call.slice(0, at), true)
      assert.deepEqual([result.calls, result.text, result.bad[0]?.problem], [[], '', cutOff], call.slice(0, at))
    }
  })
  it('words that look like its beginning stay words', () => {
    for (const text of ['a <tool_cal', 'if a<b then <function', '<tool', 'x </tool_call> y']) assert.deepEqual(said('qwen_xml', text), { ...only(), text })
  })
})

describe('glm', () => {
  const call = '<tool_call>bash\n<arg_key>command</arg_key>\n<arg_value>ls -la</arg_value>\n</tool_call>'
  const other = '<tool_call>read<arg_key>path</arg_key><arg_value>notes</arg_value><arg_key>limit</arg_key><arg_value>5</arg_value></tool_call>'
  it('one call, two calls, words before them, no end', () => {
    assert.deepEqual(said('glm', call), only(ls))
    assert.deepEqual(said('glm', `\nSo:\n${call}\n${other}`), { ...only(ls, notes), text: '\nSo:\n' })
    assert.deepEqual(said('glm', call.replace('\n</tool_call>', '')), only(ls))
    assert.deepEqual(said('glm', '<tool_call>read\n</tool_call>'), only({ name: 'read', arguments: {} }))
  })
  it('values keep their text', () => {
    const value = 'echo "</arg_value>" && x\n</tool_call>'
    assert.deepEqual(said('glm', `<tool_call>bash\n<arg_key>command</arg_key>\n<arg_value>${value}</arg_value>\n</tool_call>`), only({ name: 'bash', arguments: { command: value } }))
  })
  it('cut and torn', () => {
    for (let at = 17; at < call.indexOf('</arg_value>') + 11; at += 1) {
      const result = said('glm', call.slice(0, at), true)
      assert.deepEqual([result.calls, result.bad[0]?.problem], [[], cutOff], call.slice(0, at))
    }
    assert.equal(said('glm', '<tool_call>bash\n<arg_key>command</arg_key>\nls</tool_call>').bad.length, 1)
    assert.equal(said('glm', other.replace('notes</arg_value>', 'notes</arg_valu>')).bad[0]?.problem, "the argument 'path' does not end")
    assert.equal(said('glm', '<tool_call>bash\n<arg_key>command</arg_key>\n<arg_value>ls</tool_call>').bad[0]?.problem, "the argument 'command' does not end")
  })
})

describe('gemma4', () => {
  const call = '<|tool_call>call:bash{command:<|"|>ls -la<|"|>}<tool_call|>'
  it('one call, two calls, words before them, no end', () => {
    assert.deepEqual(said('gemma4', call), only(ls))
    assert.deepEqual(said('gemma4', `So: ${call}<|tool_call>call:read{limit:5,path:<|"|>notes<|"|>}<tool_call|>`), { ...only(ls, notes), text: 'So: ' })
    assert.deepEqual(said('gemma4', call.replace('<tool_call|>', '')), only(ls))
  })
  it('values of every kind; a text may hold anything but its own quote', () => {
    const value = '{"a": [1, <tool_call|>]}, x:\n'
    assert.deepEqual(said('gemma4', `<|tool_call>call:bash{command:<|"|>${value}<|"|>}<tool_call|>`), only({ name: 'bash', arguments: { command: value } }))
    assert.deepEqual(said('gemma4', '<|tool_call>call:read{path:<|"|>a<|"|>, all:true, lines:[1,-2.5], how:<|"|>fast<|"|>, deep:{x:{y:null},<|"|>z<|"|>:[]}}<tool_call|>'),
      only({ name: 'read', arguments: { path: 'a', all: true, lines: [1, -2.5], how: 'fast', deep: { x: { y: null }, z: [] } } }))
  })
  it('cut and torn', () => {
    for (let at = 13; at < call.indexOf('}'); at += 1) assert.deepEqual([said('gemma4', call.slice(0, at), true).calls, said('gemma4', call.slice(0, at), true).bad[0]?.problem], [[], cutOff], call.slice(0, at))
    assert.equal(said('gemma4', '<|tool_call>call:bash{command:ls -la}<tool_call|>').bad[0]?.problem, 'the arguments of the call cannot be read')
  })
})

describe('hermes and mistral', () => {
  it('a text in the JSON may hold the closing tag', () => {
    const command = 'echo "</tool_call>" \\ [ARGS]'
    const json = JSON.stringify({ name: 'bash', arguments: { command } })
    assert.deepEqual(said('hermes', `<tool_call>\n${json}\n</tool_call>\n<tool_call>${json}</tool_call>`), only({ name: 'bash', arguments: { command } }, { name: 'bash', arguments: { command } }))
    assert.deepEqual(said('mistral', `[TOOL_CALLS]bash[CALL_ID]abc123XYZ[ARGS]${JSON.stringify({ command })}[TOOL_CALLS]read[ARGS]{"path":"notes","limit":5}`), only({ name: 'bash', arguments: { command } }, notes))
  })
  it('a string that is torn ends with the answer', () => {
    assert.deepEqual(said('hermes', '<tool_call>{"name": "bash", "arguments": {"command": "ls}}</tool_call>').bad, [{ text: '{"name": "bash", "arguments": {"command": "ls}}</tool_call>', problem: 'the call is not valid JSON' }])
  })
})

describe('deepseek', () => {
  it('the newer and the older form, two calls', () => {
    const open = 'So.<｜tool▁calls▁begin｜>'
    assert.deepEqual(said('deepseek', `${open}<｜tool▁call▁begin｜>bash<｜tool▁sep｜>{"command": "ls -la"}<｜tool▁call▁end｜><｜tool▁call▁begin｜>read<｜tool▁sep｜>{"path": "notes", "limit": 5}<｜tool▁call▁end｜><｜tool▁calls▁end｜>`), { ...only(ls, notes), text: 'So.' })
    assert.deepEqual(said('deepseek', `${open}<｜tool▁call▁begin｜>function<｜tool▁sep｜>bash\n\`\`\`json\n{"command": "ls -la"}\n\`\`\`<｜tool▁call▁end｜><｜tool▁calls▁end｜>`), { ...only(ls), text: 'So.' })
    assert.equal(said('deepseek', `${open}<｜tool▁call▁begin｜>bash<｜tool▁sep｜>{"comm`, true).bad[0]?.problem, cutOff)
  })
})

describe('harmony', () => {
  const call = '<|channel|>commentary to=functions.bash <|constrain|>json<|message|>{"command": "ls -la"}<|call|>'
  it('thoughts, words and calls are kept apart', () => {
    assert.deepEqual(said('harmony', `<|channel|>analysis<|message|>We < look.<|end|><|start|>assistant${call}`), { ...only(ls), reasoning: 'We < look.' })
    assert.deepEqual(said('harmony', '<|channel|>analysis<|message|>Easy.<|end|><|start|>assistant<|channel|>final<|message|>Hello <|world.<|return|>'), { ...only(), reasoning: 'Easy.', text: 'Hello <|world.' })
    assert.deepEqual(said('harmony', `<|channel|>commentary<|message|>I look now.<|end|><|start|>assistant${call}`), { ...only(ls), text: 'I look now.' })
  })
  it('the recipient before the channel, without <|constrain|>, without an end', () => {
    assert.deepEqual(said('harmony', ' to=functions.bash<|channel|>commentary json<|message|>{"command": "ls -la"}'), only(ls))
    assert.deepEqual(said('harmony', `${call}<|start|>assistant<|channel|>commentary to=functions.read <|constrain|>json<|message|>{"path": "notes", "limit": 5}<|call|>`), only(ls, notes))
    assert.deepEqual(said('harmony', '<|channel|>analysis<|message|>forgot the end<|channel|>final<|message|>Hi'), { ...only(), reasoning: 'forgot the end', text: 'Hi' })
  })
  it('cut, torn, a tool that is not ours', () => {
    assert.deepEqual(said('harmony', '<|channel|>commentary to=functions.bash <|constrain|>json<|message|>{"command": "l', true).bad, [{ text: 'bash {"command": "l', problem: cutOff }])
    assert.deepEqual(said('harmony', '<|channel|>commentary to=functions.bash <|constr', true).bad[0]?.problem, cutOff)
    assert.deepEqual(said('harmony', '<|channel|>analysis to=python code<|message|>print(1)<|call|>').bad, [{ text: 'python print(1)', problem: 'the arguments are not valid JSON' }])
    assert.deepEqual(said('harmony', '<|channel|>analysis<|message|>We loo', true), { ...only(), reasoning: 'We loo' })
  })
  it('a text without channels is a text', () => {
    assert.deepEqual(said('harmony', 'Hello there.'), { ...only(), text: 'Hello there.' })
  })
})

describe('thoughts between tags', () => {
  const thinking = thinkingOf('{% if x %}<think>{% endif %}</think>')
  assert.ok(thinking !== null)
  const through = (text: string, opened: boolean, inner: Format | null = 'hermes', cut = false): Said => everyWay(() => new ThinkingReader(thinking, opened, inner === null ? null : callReader(inner, tools)), text, cut)
  const call = '<tool_call>{"name": "bash", "arguments": {"command": "ls -la"}}</tool_call>'
  it('are no text', () => {
    assert.deepEqual(through(`<think>\nI < look </thin.\n</think>\n\n${call}`, false), { ...only(ls), reasoning: '\nI < look </thin.\n' })
    assert.deepEqual(through(`I look.\n</think>\n\nSo: ${call}`, true), { ...only(ls), reasoning: 'I look.\n', text: 'So: ' })
    assert.deepEqual(through('<think></think>Hello', false, null), { ...only(), text: 'Hello' })
  })
  it('hold no calls', () => {
    assert.deepEqual(through(`<think>maybe ${call}</think>No.`, false), { ...only(), reasoning: `maybe ${call}`, text: 'No.' })
    assert.deepEqual(through(`maybe ${call}`, true, 'hermes', true), { ...only(), reasoning: `maybe ${call}` })
  })
  it('that are none pass as they are', () => {
    for (const text of ['Hello', ' <thin', '\n\nHi <think>later</think>', '<think']) assert.deepEqual(through(text, false, null), { ...only(), text })
  })
  it('of other families', () => {
    assert.deepEqual(thinkingOf('[THINK] [/THINK]')?.open, '[THINK]')
    assert.deepEqual(thinkingOf('<|channel>thought <channel|>')?.close, '<channel|>')
    assert.equal(thinkingOf('{{ messages }}'), null)
  })
})

// Small templates in the shape of the published ones: what they are given and what they write is what matters here.
const inspection = { architecture: 'x', trainedContextTokens: 8192, bosText: '', eosText: '', controlTexts: ['<tool_call>', '<|call|>', '<|"|>'] }
const shapes: Record<'qwen_xml' | 'glm' | 'gemma4' | 'harmony', string> = {
  qwen_xml: "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.tool_calls %}{{ m.content }}{% for c in m.tool_calls %}\n<tool_call>\n<function={{ c.function.name }}>\n{% for k, v in c.function.arguments|items %}<parameter={{ k }}>\n{{ v if v is string else v | tojson }}\n</parameter>\n{% endfor %}</function>\n</tool_call>{% endfor %}{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}<|im_start|>assistant\n<think>\n{# </think> #}",
  glm: "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% if m.tool_calls %}{% for c in m.tool_calls %}<tool_call>{{ c.function.name }}\n{% for k, v in c.function.arguments.items() %}<arg_key>{{ k }}</arg_key>\n<arg_value>{{ v | tojson if v is not string else v }}</arg_value>\n{% endfor %}</tool_call>{% endfor %}{% endif %}{% endfor %}<|assistant|>{# <think> </think> #}",
  gemma4: "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}<|turn>{{ m.role }}\n{% if m.tool_calls %}{% for c in m.tool_calls %}<|tool_call>call:{{ c.function.name }}{{ '{' }}{% for k, v in c.function.arguments | dictsort %}{{ k }}:{% if v is string %}<|\"|>{{ v }}<|\"|>{% else %}{{ v | tojson }}{% endif %}{% if not loop.last %},{% endif %}{% endfor %}}<tool_call|>{% endfor %}{% endif %}{{ m.content }}<turn|>\n{% endfor %}<|turn>model\n",
  harmony: "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}{% if m.tool_calls %}<|start|>assistant to=functions.{{ m.tool_calls[0].function.name }}<|channel|>commentary json<|message|>{{ m.tool_calls[0].function.arguments | tojson }}<|call|>{% else %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>{% endif %}{% endfor %}<|start|>assistant",
}

function plan(format: keyof typeof shapes, more: object = {}): Plan {
  const template = ChatTemplate.of({ ...inspection, chatTemplate: shapes[format] })
  assert.ok(!('fault' in template), JSON.stringify(template))
  const messages: Message[] = [
    { role: 'user', text: 'Look.' },
    { role: 'assistant', text: '', toolCalls: [{ id: 'call_1', name: 'read', arguments: { path: 'a <tool_call> b', limit: 5 } }] }, { role: 'tool', callId: 'call_1', name: 'read', text: 'nothing' },
  ]
  const made = planRequest(ModelRequest.parse({ messages, tools, ...more }), format, template)
  assert.ok(!('fault' in made), JSON.stringify(made))
  return made
}

describe('a request in each format', () => {
  for (const format of ['qwen_xml', 'glm', 'gemma4', 'harmony'] as const) {
    it(`${format}: a call of the history reads back as that call, and its text never becomes a control token`, () => {
      const made = plan(format)
      const { text, segments } = made.prompt
      // Between the history's call and the tool's answer stands what the model would have written.
      const written = segments.map((segment) => segment.text).join('')
      const from = { qwen_xml: '<tool_call>\n', glm: '<tool_call>read', gemma4: '<|tool_call>call', harmony: ' to=functions' }[format]
      const end = { qwen_xml: '</tool_call>', glm: '</tool_call>', gemma4: '<tool_call|>', harmony: '<|call|>' }[format]
      const source = written.slice(written.indexOf(from), written.lastIndexOf(end) + end.length)
      assert.deepEqual(collect(callReader(format, tools), [source], false), only({ name: 'read', arguments: { path: 'a <tool_call> b', limit: 5 } }))
      assert.equal(segments.filter((segment) => !segment.special && segment.text === '<tool_call>').length, 1)
      assert.ok(!text.includes('a <tool_call> b'))
    })
  }

  it('sees the tokens of its format and of thoughts', () => {
    assert.deepEqual(plan('qwen_xml').visible, ['<tool_call>', '</tool_call>', '<think>', '</think>'])
    assert.ok(plan('harmony').visible.includes('<|channel|>'))
    assert.deepEqual(plan('gemma4').visible, ['<|tool_call>', '<tool_call|>', '<|"|>'])
  })

  it('begins inside the thoughts that the template has opened, unless a call is required', () => {
    const call = '<tool_call>\n<function=bash>\n<parameter=command>\nls -la\n</parameter>\n</function>\n</tool_call>'
    const auto = plan('qwen_xml').reader
    assert.ok(auto !== null)
    assert.deepEqual(collect(auto, [`hm\n</think>\n\n${call}`], false), { ...only(ls), reasoning: 'hm\n' })
    const required = plan('qwen_xml', { toolChoice: 'required' }).reader
    assert.ok(required !== null)
    assert.deepEqual(collect(required, [call], false), only(ls))
  })

  it('keeps channels and thoughts apart where no tool is offered', () => {
    const harmony = plan('harmony', { toolChoice: 'none' }).reader
    assert.ok(harmony !== null)
    assert.deepEqual(collect(harmony, ['<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Hi'], false), { ...only(), reasoning: 'hm', text: 'Hi' })
    const glm = plan('glm', { toolChoice: 'none' }).reader
    assert.ok(glm !== null)
    assert.deepEqual(collect(glm, ['\n<think>hm</think>\nHi'], false), { ...only(), reasoning: 'hm', text: 'Hi' })
  })
})

describe('torn answers', () => {
  // Each with two calls or a thought, so that slips fall between things too.
  const answers: Record<Format, string> = {
    hermes: 'Hi <tool_call>\n{"name": "bash", "arguments": {"command": "ls \\"x\\" </tool_call>"}}\n</tool_call>\n<tool_call>{"name":"read","arguments":{"path":"a","limit":3}}</tool_call>',
    mistral: 'Hi [TOOL_CALLS]bash[ARGS]{"command":"ls"}[TOOL_CALLS]read[CALL_ID]abcdefghi[ARGS]{"path":"a"}', llama3: '<|python_tag|>{"name":"bash","parameters":{"command":"ls"}}; {"name":"read","parameters":{"path":"a"}}',
    qwen_xml: 'Hi\n<tool_call>\n<function=bash>\n<parameter=command>\nls\n</parameter>\n</function>\n</tool_call>\n<function=read>\n<parameter=path>\na\n</parameter>\n<parameter=limit>\n3\n</parameter>\n</function>\n bye',
    glm: '\n<tool_call>bash\n<arg_key>command</arg_key>\n<arg_value>ls</arg_value>\n</tool_call><tool_call>read<arg_key>path</arg_key><arg_value>a</arg_value></tool_call>',
    gemma4: 'x<|tool_call>call:bash{command:<|"|>ls<|"|>}<tool_call|><|tool_call>call:read{path:<|"|>a<|"|>,limit:3}<tool_call|>',
    deepseek: 'x<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>bash<｜tool▁sep｜>{"command":"ls"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
    harmony: '<|channel|>analysis<|message|>We look.<|end|><|start|>assistant<|channel|>commentary to=functions.bash <|constrain|>json<|message|>{"command":"ls"}<|call|>',
  }
  const thinking = thinkingOf('<think></think>')
  assert.ok(thinking !== null)
  const inserts = ['<', '>', '{', '}', '"', '|', '\n', ' ', '</parameter>', '<tool_call>', '</tool_call>', '[ARGS]', '<|end|>', 'x', '<function=bash>']
  const seed = 20261123

  for (const format of Object.keys(answers) as Format[]) {
    it(`${format}: 2,000 of them say the same in whatever pieces they come (seed ${seed})`, () => {
      let state = seed
      const below = (limit: number): number => {
        state ^= state << 13
        state ^= state >>> 17
        state ^= state << 5
        return (state >>> 0) % limit
      }
      for (let round = 0; round < 2000; round += 1) {
        let text = below(3) === 0 ? `<think>hm</think>\n${answers[format]}` : answers[format]
        for (let slips = below(4); slips > 0; slips -= 1) {
          const at = below(text.length)
          switch (below(4)) {
            case 0: text = text.slice(0, at) + text.slice(at + 1 + below(5)); break
            case 1: text = text.slice(0, at) + (inserts[below(inserts.length)] ?? '') + text.slice(at); break
            case 2: text = text.slice(0, at + 1); break
            default: text = text.slice(0, at) + text.slice(at, at + below(20)) + text.slice(at)
          }
          if (text === '') text = 'x'
        }
        const pieces: string[] = []
        for (let at = 0; at < text.length; at += pieces.at(-1)?.length ?? 1) pieces.push(text.slice(at, at + 1 + below(9)))
        const make = (): CallReader => new ThinkingReader(thinking, false, callReader(format, tools))
        assert.deepEqual(collect(make(), pieces, false), collect(make(), [text], false), `round ${round}: ${JSON.stringify(text)} as ${JSON.stringify(pieces)}`)
      }
    })
  }
})

describe('a template that refuses the usual conversation', () => {
  const strict = "{% set ns = namespace(index=0) %}{% for m in messages %}{% if m.role == 'user' or (m.role == 'assistant' and not m.tool_calls) %}{% if (m.role == 'user') != (ns.index % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}{% set ns.index = ns.index + 1 %}{% endif %}{% if m.tool_calls and m.tool_calls|length > 1 %}{{ raise_exception('one call') }}{% endif %}{{ m.role }}({{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.arguments.command }}{% endfor %}) {% endfor %}"
  const template = ChatTemplate.of({ ...inspection, chatTemplate: strict })
  assert.ok(!('fault' in template))
  const text = (messages: Message[]): string => {
    const prompt = template.render(messages, [])
    return 'fault' in prompt ? prompt.fault.message : prompt.text.trim()
  }
  const called = (...ids: string[]): Message => ({ role: 'assistant', text: '', toolCalls: ids.map((id) => ({ id, name: 'bash', arguments: { command: id } })) })
  const result = (id: string): Message => ({ role: 'tool', callId: id, name: 'bash', text: `out ${id}` })
  const user = (words: string): Message => ({ role: 'user', text: words })

  it('gets words of the harness with the result before them, and one call a message', () => {
    const begun = [user('task'), called('a'), result('a')]
    assert.equal(text(begun), 'user(task) assistant(a) tool(out a)')
    const nudged = [...begun, user('go on'), called('b', 'c'), result('b'), result('c')]
    assert.equal(text(nudged), 'user(task) assistant(a) tool(out a\n\ngo on) assistant(b) tool(out b) assistant(c) tool(out c)')
    // It grows at its end, like the usual one.
    assert.ok(text([...nudged, user('and on'), called('d'), result('d')]).startsWith(text(nudged).slice(0, -1)))
  })

  it('refuses what cannot be put in another way, with its own words', () => {
    assert.equal(text([called('a'), user('x'), { role: 'assistant', text: 'y' }, { role: 'assistant', text: 'z' }]), "The request is not valid at messages: the model's chat template refuses them (roles must alternate).")
  })
})

describe('grammars of calls, judged by llama.cpp', () => {
  let llama: Llama
  before(async () => { llama = await getLlama({ build: 'never', skipDownload: true, gpu: false, progressLogs: false, maxThreads: 1, logger: () => undefined }) })
  after(async () => { await llama.dispose() })

  type Matcher = LlamaGrammar & { _testText(text: string): boolean }
  async function judge(format: Format, choice: string, yes: readonly string[], no: readonly string[], named = false): Promise<void> {
    const made = callGrammar({ format, named }, tools, choice)
    assert.ok(made !== null && 'gbnf' in made, JSON.stringify(made))
    const grammar = await llama.createGrammar({ grammar: made.gbnf }) as Matcher
    for (const text of yes) {
      assert.ok(grammar._testText(text), `${text} should pass\n${made.gbnf}`)
      const whole = `${made.after ?? ''}${text}`
      const result = said(format, whole)
      assert.ok(result.bad.length === 0 && result.calls.length > 0 && result.text === '', `${whole} is not read: ${JSON.stringify(result)}`)
    }
    for (const text of no) assert.ok(!grammar._testText(text), `${text} should not pass\n${made.gbnf}`)
  }

  it('qwen_xml', async () => {
    const text = 'a < b\n</param\n</parameter x\n\n</tool_call>'
    const call = `\n<function=bash>\n<parameter=command>\n${text}\n</parameter>\n</function>\n</tool_call>`
    const other = '\n<function=read>\n<parameter=path>\nx\n</parameter>\n<parameter=limit>\n5\n</parameter>\n<parameter=lines>\n[1,2]\n</parameter>\n<parameter=how>\nfast\n</parameter>\n</function>\n</tool_call>'
    await judge('qwen_xml', 'auto', [call, other, `${call}\n<tool_call>${call}`], ['\n<function=rm>\n</function>\n</tool_call>', call.replace('</function>', ''), other.replace('\n5\n', '\nfive\n'), other.replace('fast', 'quick'), '\n<function=read>\n</function>\n</tool_call>', `${call} and`])
    await judge('qwen_xml', 'required', [`<tool_call>${call}`], [call, `<tool_call>${call}\n<tool_call>${call}`])
    await judge('qwen_xml', 'read', [`<tool_call>${other}`], [`<tool_call>${call}`])
  })

  it('glm', async () => {
    const call = 'bash\n<arg_key>command</arg_key>\n<arg_value>a < b </arg_valu </tool_call></arg_value>\n</tool_call>'
    const other = 'read\n<arg_key>path</arg_key>\n<arg_value>x</arg_value>\n<arg_key>all</arg_key>\n<arg_value>true</arg_value>\n</tool_call>'
    await judge('glm', 'auto', [call, other, `${call}\n<tool_call>${other}`], ['rm\n</tool_call>', 'bash\n</tool_call>', other.replace('true', 'yes')])
    await judge('glm', 'required', [`<tool_call>${call}`], [call])
  })

  it('gemma4', async () => {
    const call = 'call:bash{command:<|"|>a } <|" b, c:1<|"|>}<tool_call|>'
    const other = 'call:read{path:<|"|>x<|"|>,limit:5,lines:[1,2],how:<|"|>slow<|"|>}<tool_call|>'
    await judge('gemma4', 'auto', [call, other, `${call}<|tool_call>${other}`, 'call:read{path:<|"|>x<|"|>,all:true}<tool_call|>'], ['call:bash{}<tool_call|>', 'call:read{limit:5,}<tool_call|>', other.replace(':5', ':500')])
    await judge('gemma4', 'read', [`<|tool_call>${other}`], [`<|tool_call>${call}`])
  })

  it('deepseek, harmony and the named form of mistral', async () => {
    await judge('deepseek', 'required', ['<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>bash<｜tool▁sep｜>{"command": "x"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>'], ['<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>bash<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>'])
    const call = '<|channel|>commentary to=functions.bash <|constrain|>json<|message|>{"command":"x"}'
    await judge('harmony', 'required', [call, `<|channel|>analysis<|message|>We < look <|en.<|end|><|start|>assistant${call}`], [call.replace('bash', 'rm'), `<|channel|>final<|message|>Hi`])
    assert.equal(callGrammar({ format: 'harmony', named: false }, tools, 'auto'), null)
    await judge('mistral', 'auto', ['bash[ARGS]{"command": "x"}', 'bash[ARGS]{"command": "x"}[TOOL_CALLS]read[ARGS]{"path": "y"}', 'bash[CALL_ID]abc123XYZ[ARGS]{"command": "x"}'], ['[{"name":"bash","arguments":{"command":"x"}}]', 'rm[ARGS]{}'], true)
  })

  it('a schema that cannot be compiled leaves calls free, and refuses a required one', () => {
    const free: ToolSpec = { name: 'free', description: '', parameters: { type: 'object', properties: { x: { type: 'number', multipleOf: 3 } }, required: ['x'] } }
    for (const format of ['qwen_xml', 'glm', 'gemma4'] as const) {
      assert.equal(callGrammar({ format, named: false }, [free], 'auto'), null)
      const made = callGrammar({ format, named: false }, [free], 'required')
      assert.ok(made !== null && 'fault' in made && made.fault.code === 'bad_schema', JSON.stringify(made))
    }
  })
})

describe('how a model is asked to think', () => {
  const made = (source: string): ChatTemplate => {
    const template = ChatTemplate.of({ ...inspection, chatTemplate: source })
    assert.ok(!('fault' in template))
    return template
  }
  const text = (template: ChatTemplate, reasoning?: Reasoning, messages: Message[] = [{ role: 'user', text: 'x' }]): string => {
    const prompt = template.render(messages, [], reasoning)
    return 'fault' in prompt ? prompt.fault.message : prompt.text
  }
  const switched = made("{% if enable_thinking is defined and enable_thinking is false %}<think></think>{% elif enable_thinking is defined %}think{% else %}usual{% endif %}{{ reasoning_effort or '' }}")
  const effort = made("effort {{ reasoning_effort or 'medium' }}")

  it('is said by the variables that its template knows, and not at all where nobody asked', () => {
    assert.deepEqual([undefined, 'off', 'on', 'high'].map((one) => text(switched, one as Reasoning | undefined)), ['usual', '<think></think>', 'think', 'thinkhigh'])
    assert.deepEqual([undefined, 'off', 'on', 'high'].map((one) => text(effort, one as Reasoning | undefined)), ['effort medium', 'effort low', 'effort medium', 'effort high'])
    assert.equal(text(made('plain'), 'high'), 'plain')
  })

  it('shows a template what it thought before, and no thought becomes a control token', () => {
    const source = '{% for m in messages %}{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{% if m.thinking %}[{{ m.thinking }}]{% endif %}{{ m.content }}{% endfor %}'
    const prompt = made(source).render([{ role: 'assistant', text: 'a', reasoning: 'so <|call|>' }], [])
    assert.ok(!('fault' in prompt))
    assert.equal(prompt.segments.map(({ text: part }) => part).join(''), '<think>so <|call|></think>[so <|call|>]a')
    assert.ok(prompt.segments.filter(({ text: part }) => part.includes('<|call|>')).every(({ special }) => !special))
    // gpt-oss refuses words and thoughts beside one call.
    assert.equal(text(made(source), undefined, [{ role: 'assistant', text: 'a', reasoning: 't', toolCalls: [{ id: 'c', name: 'n', arguments: {} }] }]), '<think>t</think>a')
  })
})
