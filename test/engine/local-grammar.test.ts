// The grammars from JSON schemas, judged by llama.cpp's own matcher; what cannot be enforced is refused.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { getLlama, type Llama, type LlamaGrammar } from 'node-llama-cpp'
import { schemaGrammar } from '../../packages/engine/src/local/template/grammar.ts'
import { integerRange } from '../../packages/engine/src/local/template/integer-range.ts'

let llama: Llama
before(async () => { llama = await getLlama({ build: 'never', skipDownload: true, gpu: false, progressLogs: false, maxThreads: 1, logger: () => undefined }) })
after(async () => { await llama.dispose() })

type Matcher = LlamaGrammar & { _testText(text: string): boolean }
async function compile(gbnf: string): Promise<Matcher> {
  return await llama.createGrammar({ grammar: gbnf }) as Matcher
}

async function judge(schema: Record<string, unknown>, yes: unknown[], no: string[]): Promise<void> {
  const made = schemaGrammar(schema)
  assert.ok('gbnf' in made, JSON.stringify(made))
  const grammar = await compile(made.gbnf)
  for (const value of yes) {
    for (const text of typeof value === 'string' && value.startsWith('raw:') ? [value.slice(4)] : [JSON.stringify(value), JSON.stringify(value, null, 2)]) {
      assert.ok(grammar._testText(text), `${text} should pass\n${made.gbnf}`)
    }
  }
  for (const text of no) assert.ok(!grammar._testText(text), `${text} should not pass\n${made.gbnf}`)
}

test('an object has its properties in order, optional ones may be missing', async () => {
  await judge(
    { type: 'object', properties: { a: { type: 'integer' }, b: { type: 'string' }, c: { type: 'boolean' }, d: { type: 'null' } }, required: ['b'], additionalProperties: false },
    [{ b: 'x' }, { a: 1, b: 'x' }, { b: '', c: true }, { a: -5, b: 'é€😀', c: false, d: null }, { b: 'x', d: null }, 'raw:{"b": "\\u00e9\\n"}'],
    ['{}', '{"a":1}', '{"b":"x","a":1}', '{"b":"x",}', '{,"b":"x"}', '{"b":"x","e":1}', '{"b":"x"} ', '{"b":"\\ud800"}', '{"b":"a\nb"}'],
  )
})

test('all optional, none, and free objects', async () => {
  await judge({ type: 'object', properties: { a: { const: 1 }, b: { const: 2 } } }, [{}, { a: 1 }, { b: 2 }, { a: 1, b: 2 }], ['{"b":2,"a":1}', '{"a":1,"a":1}', '{"a":2}'])
  await judge({ type: 'object', properties: {}, additionalProperties: false }, [{}], ['{"a":1}'])
  await judge({ type: 'object' }, [{}, { any: [1, { deep: 'x' }], n: null }], ['[]', '{"a"}'])
  await judge({}, [1, 'x', [1, [2]], { a: {} }, true, null], ['', 'nul', '01'])
})

test('strings and arrays keep their bounds, also beyond what one repetition may hold', async () => {
  await judge({ type: 'string', minLength: 2, maxLength: 3 }, ['ab', 'abc', 'é😀'], ['"a"', '"abcd"'])
  await judge({ type: 'string', minLength: 1500, maxLength: 2500 }, ['x'.repeat(1500), 'x'.repeat(2001), 'x'.repeat(2500)], [`"${'x'.repeat(1499)}"`, `"${'x'.repeat(2501)}"`])
  await judge({ type: 'array', items: { type: 'integer' }, minItems: 1, maxItems: 3 }, [[1], [1, 2, 3]], ['[]', '[1,2,3,4]', '[1,]'])
  await judge({ type: 'array', items: { type: 'null' }, maxItems: 0 }, [[]], ['[null]'])
  await judge({ type: 'array', items: { enum: ['a', 1, null] } }, [[], ['a', 1, null, 'a']], ['["b"]'])
})

test('choices, references and recursion', async () => {
  await judge(
    { oneOf: [{ type: 'object', properties: { tool: { const: 'a"b\\c' }, n: { type: ['integer', 'null'] } }, required: ['tool', 'n'] }, { type: 'array', items: { $ref: '#/$defs/leaf' } }], $defs: { leaf: { anyOf: [{ type: 'boolean' }, { type: 'number' }] } } },
    [{ tool: 'a"b\\c', n: null }, { tool: 'a"b\\c', n: 3 }, [true, 1.5, -2e10]], ['{"tool":"x","n":1}', '["x"]'],
  )
  const tree = { type: 'object', properties: { value: { type: 'integer' }, children: { type: 'array', items: { $ref: '#' } } }, required: ['value'], additionalProperties: false }
  await judge(tree, [{ value: 1 }, { value: 1, children: [{ value: 2 }, { value: 3, children: [{ value: 4 }] }] }], ['{"value":1,"children":[1]}'])
  await judge({ $ref: '#/$defs/list', $defs: { list: { anyOf: [{ type: 'null' }, { type: 'object', properties: { next: { $ref: '#/$defs/list' } }, required: ['next'] }] } } }, [null, { next: null }, { next: { next: null } }], ['{}'])
})

test('ranges of integers are exact', async () => {
  for (const [low, high] of [[0, null], [1, null], [null, 0], [null, -1], [1, 130], [-9, 9], [7, 7], [-7, -7], [95, 1005], [-120, 35], [100, 999], [19, 21], [-1005, -95]] as const) {
    const body = integerRange(low, high)
    assert.ok(body !== null)
    const grammar = await compile(`root ::= ${body}`)
    for (let n = -1200; n <= 1200; n++) assert.equal(grammar._testText(String(n)), n >= (low ?? -Infinity) && n <= (high ?? Infinity), `${n} in ${low}..${high}: ${body}`)
    for (const text of ['-0', '00', '01', '-', '']) assert.ok(!grammar._testText(text))
  }
  assert.equal(integerRange(-9007199254740991, 9007199254740991), null)
  await judge({ type: 'integer', exclusiveMinimum: 0, exclusiveMaximum: 3 }, [1, 2], ['0', '3'])
})

test('what cannot be enforced is refused with the place', () => {
  const problem = (schema: Record<string, unknown>): string => {
    const made = schemaGrammar(schema)
    assert.ok('fault' in made, JSON.stringify(schema))
    assert.equal(made.fault.code, 'bad_schema')
    return made.fault.message
  }
  assert.equal(problem({ type: 'string', pattern: '^a' }), "The JSON schema cannot be enforced: the keyword 'pattern' is not supported here at #.")
  assert.equal(problem({ type: 'object', properties: { a: { type: 'string', format: 'uri' } } }), "The JSON schema cannot be enforced: the keyword 'format' is not supported here at #/properties/a.")
  assert.equal(problem({ $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/a' } } }), 'The JSON schema cannot be enforced: the reference #/$defs/a leads to itself without a step at #/$defs/a.')
  assert.match(problem({ $ref: '#/$defs/gone' }), /the reference #\/\$defs\/gone leads nowhere/)
  assert.match(problem({ $ref: 'http://example.org/x' }), /only references inside the schema/)
  assert.match(problem({ type: 'object', properties: { a: {} }, additionalProperties: true }), /additionalProperties other than false/)
  assert.match(problem({ type: 'object', properties: {}, required: ['a'] }), /the required property "a" is not described/)
  assert.match(problem({ type: 'number', minimum: 1 }), /'minimum'/)
  assert.match(problem({ type: 'integer', minimum: 3, maximum: 2 }), /holds no integer/)
  assert.match(problem({ type: 'integer', minimum: 0.2, maximum: 0.8 }), /holds no integer/)
  assert.match(problem({ type: 'text' }), /the type "text" is unknown/)
  assert.match(problem({ enum: [] }), /at least one value/)
  assert.match(problem({ type: 'string', enum: [1] }), /has the type "string"/)
  assert.match(problem({ allOf: [{ type: 'string' }, { type: 'string' }] }), /allOf of more than one/)
  assert.match(problem({ not: {} }), /'not'/)
  assert.match(problem({ type: 'array', uniqueItems: true }), /'uniqueItems'/)
})
