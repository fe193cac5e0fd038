// What is asked after a load, and what the answers are worth: tables of answers as models, broken kernels and broken builds give them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { list, short, type GoldenName } from '../../packages/engine/src/golden/prompts.ts'
import { choicesOf } from '../../packages/engine/src/golden/trust.ts'
import { kindOf, nextStep, shown, type Answer, type Ask, type Circumstances, type Condition, type Verdict } from '../../packages/engine/src/golden/verdict.ts'

const usual: Circumstances = { sequences: 4, contextTokens: 8192, pieceTokens: 508, spentMs: 0 }
/** As the starter, a tokenizer with blanks of its own, and a talkative one say it. */
const good: Record<GoldenName, string> = { count: ' 7, 8', copy: ' boat waits under the', weekdays: '\n Friday, Saturday', alphabet: '  I  J K', list: ' green tea.\nShelf' }

type Says = (ask: Ask) => string | { refused: true }

/** Asks until there is a verdict. */
function verdictOf(says: Says, circumstances: Partial<Circumstances> = {}, msPerToken = 1): { verdict: Verdict; asked: string[]; answers: Answer[] } {
  const answers: Answer[] = []
  const asked: string[] = []
  for (;;) {
    const step = nextStep(answers, { ...usual, ...circumstances })
    if ('verdict' in step) return { verdict: step.verdict, asked, answers }
    asked.push(step.ask.map(({ name, condition, sequence }) => `${name} ${condition} ${sequence}`).join(' + '))
    for (const ask of step.ask) {
      const said = says(ask)
      answers.push({ ...ask, came: typeof said === 'string' ? said : '', refused: typeof said !== 'string', prefillMsPerToken: msPerToken })
    }
    assert.ok(asked.length < 10, 'it comes to an end')
  }
}

const inCondition = (condition: Condition, came: string): Says => (ask) => (ask.condition === condition ? came : good[ask.name])

test('a good engine is asked five things: two alone, the same two at once in two sequences, one long', () => {
  const { verdict, asked } = verdictOf(({ name }) => good[name])
  assert.deepEqual(asked, ['count alone 0', 'copy alone 0', 'count together 0 + copy together 1', 'list long 0'])
  assert.equal(verdict.right, true)
  assert.equal(verdict.said, '')
  assert.deepEqual(verdict.leftOut, [])
})

test('whoever fails one of the first two may show two others', () => {
  const { verdict, asked } = verdictOf(({ name }) => (name === 'copy' ? ' cat sat' : good[name]))
  assert.deepEqual(asked, ['count alone 0', 'copy alone 0', 'weekdays alone 0', 'count together 0 + weekdays together 1'])
  assert.equal(verdict.right, true)
  assert.deepEqual(verdict.leftOut, ['a long text, because this model does not copy'])
})

for (const [name, says, said] of [
  ['one token for ever', () => '!!!!!', "4 of 4 known texts went on wrongly (each of them got the same answer: '!' again and again)"],
  ['nothing at all', () => '', '4 of 4 known texts went on wrongly (each of them got the same answer: nothing)'],
  ['bytes that are no text', () => '\uFFFD\uFFFD\u0000', '4 of 4 known texts went on wrongly (each of them got the same answer: no readable character)'],
  ['words of random weights', ({ name }) => ` ${name}Ġ unrecogn${name.length}`,
    "4 of 4 known texts went on wrongly ('count' ends in '1, 2, 3, 4, 5, 6,' and went on with 'countĠ unrecogn5' where '7, 8' is right; 'copy' ends in 'bridge. The small green' and went on with 'copyĠ unrecogn4' where 'boat waits' is right; and so on)"],
  ['one right of four is no proof', ({ name }) => (name === 'alphabet' ? good.alphabet : ` ${name}`),
    "3 of 4 known texts went on wrongly ('count' ends in '1, 2, 3, 4, 5, 6,' and went on with 'count' where '7, 8' is right; 'copy' ends in 'bridge. The small green' and went on with 'copy' where 'boat waits' is right; and so on)"],
  ['another slot\'s text', (ask) => (ask.condition === 'together' ? good[ask.name === 'count' ? 'copy' : 'count'] : good[ask.name]),
    "2 of 4 known texts went on wrongly ('count', asked two at once, ends in '1, 2, 3, 4, 5, 6,' and went on with 'boat waits under the' where '7, 8' is right; 'copy', asked two at once, ends in 'bridge. The small green' and went on with '7, 8' where 'boat waits' is right)"],
  ['a long prompt read wrongly', inCondition('long', ' red apples'),
    "1 of 5 known texts went on wrongly ('list', a long text, ends in 'tea'".replace("'tea'", "'paint. Shelf six holds'") + " and went on with 'red apples' where 'green tea' is right)"],
] as const satisfies readonly (readonly [string, Says, string])[]) {
  test(`${name}: not trusted, and the sentence says what came`, () => {
    const { verdict } = verdictOf(says)
    assert.equal(verdict.right, false)
    assert.equal(verdict.said, said)
  })
}

test('one of two answers that is wrong at once is enough', () => {
  const { verdict } = verdictOf((ask) => (ask.condition === 'together' && ask.name === 'copy' ? '' : good[ask.name]))
  assert.equal(verdict.right, false)
  assert.deepEqual(verdict.answers.map(({ name, condition, right }) => `${name} ${condition} ${right}`), ['count alone true', 'copy alone true', 'count together true', 'copy together false'])
})

test('one sequence is asked nothing at once', () => {
  assert.deepEqual(verdictOf(({ name }) => good[name], { sequences: 1 }).asked, ['count alone 0', 'copy alone 0', 'list long 0'])
})

test('a slow device is slow, not wrong: after a minute only what was answered counts', () => {
  const slow = verdictOf(({ name }) => good[name], { spentMs: 61_000 })
  assert.deepEqual(slow.asked, ['count alone 0', 'copy alone 0'])
  assert.equal(slow.verdict.right, true)
  assert.deepEqual(slow.verdict.leftOut, ['two at once, because it would take too long here', 'a long text, because it would take too long here'])
  const forecast = verdictOf(({ name }) => good[name], {}, 200)
  assert.deepEqual(forecast.verdict.leftOut, ['a long text, because it would take too long here'], '635 tokens at 200 ms')
  assert.equal(verdictOf(() => '?', { spentMs: 61_000 }).verdict.right, false)
})

test('a prompt that does not fit tells nothing', () => {
  assert.equal(verdictOf((ask) => (ask.condition === 'long' ? { refused: true } : good[ask.name])).verdict.right, true)
})

test('the long text is longer than one piece and shorter than the window', () => {
  const longOf = (circumstances: Partial<Circumstances>): string => verdictOf(({ name }) => good[name], circumstances).answers.at(-1)?.text ?? ''
  // A token for each word, stop and line break: no tokenizer needs fewer.
  const least = (text: string): number => text.match(/\w+|[.\n]/g)?.length ?? 0
  assert.ok(least(longOf({})) > 508, 'a GPU reads 508 tokens at once')
  assert.ok(least(longOf({ pieceTokens: 128 })) > 128)
  assert.ok(least(longOf({ contextTokens: 512 })) < 300)
  assert.ok(list(1).text.split('Shelf six').length > 2, 'what is to be copied stands there at least once')
})

test('no known text holds its own continuation by accident, and each one is asked for at most six tokens', () => {
  for (const { text, expected, maxTokens } of [...short, list(600)]) {
    assert.ok(maxTokens <= 6)
    assert.ok(!/\s$/.test(text), 'a blank at the end would be a token of its own')
    assert.equal(expected, expected.trim())
  }
})

for (const [came, kind] of [
  ['', 'nothing'], [' \n', 'nothing'], ['\u0001\u0002', 'no readable character'], ['\u200b\uFFFD', 'no readable character'], ['the the the the the', "'the' again and again"],
  ['\u001b[31mred\u001b[0m\nline', "'[31mred [0m line'"], [`${'word '.repeat(3)}${'y'.repeat(100)}`, `'${'word '.repeat(3)}${'y'.repeat(45)}…'`],
] as const) test(`shown: ${JSON.stringify(came.slice(0, 20))}`, () => assert.equal(kindOf(came), kind))

test('what is shown has no control characters and is short', () => {
  assert.equal(shown('a\tb\u0007c'), 'a b c')
  assert.equal(Array.from(shown('😀'.repeat(100))).length, 61)
})

test('what may serve, best first', () => {
  const said = (...of: Parameters<typeof choicesOf>): string => choicesOf(...of).map(({ engine, backend, shipped }) => `${engine} ${backend}${shipped === true ? ' shipped' : ''}`).join(', ')
  assert.equal(said('cpu', false, false), 'built-in cpu, built-in cpu shipped')
  assert.equal(said('vulkan', false, false), 'built-in vulkan, built-in vulkan shipped, built-in cpu, built-in cpu shipped')
  assert.equal(said('auto', true, false), 'built-in auto, built-in auto shipped, built-in cpu, built-in cpu shipped, llama-server auto')
  assert.equal(said('vulkan', true, true), 'llama-server vulkan, built-in vulkan, built-in vulkan shipped, built-in cpu, built-in cpu shipped')
  assert.equal(said('hip', false, false), 'built-in hip, built-in vulkan, built-in vulkan shipped, built-in cpu, built-in cpu shipped')
})
