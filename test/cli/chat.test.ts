// What is typed and pasted into a chat: told apart, kept whole, understood. And how its events read.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { JobEvent } from '@hearth/protocol'
import { PasteReader, Pastes } from '../../packages/cli/src/chat/keys.ts'
import { besideLines, chatLines, wordsOf } from '../../packages/cli/src/chat/lines.ts'
import { answerOf, lineOf } from '../../packages/cli/src/chat/words.ts'
import { inkOf } from '../../packages/cli/src/print.ts'

const look = { ink: inkOf(false), width: 60, cardLines: 6, summary: false }
const usage = { promptTokens: 10, reusedTokens: 4, completionTokens: 2 }
const timings = { queuedMs: 0, prefillMs: 1, decodeMs: 0, ttftMs: 1, totalMs: 5 }
const event = (body: Record<string, unknown>): JobEvent => ({ seq: 1, jobId: 'j', at: 1, ...body }) as JobEvent

describe('pasted text', () => {
  it('is told apart from keys wherever the stream is cut', () => {
    const whole = 'ab\u001b[200~one\r\ntwo\u001b[A\u001b[201~cd\u001b[D'
    for (let at = 0; at <= whole.length; at += 1) {
      // A lone escape at a cut is a key, so that the key itself does not hang.
      if (whole[at - 1] === '\u001b') continue
      const reader = new PasteReader()
      const pieces = [...reader.feed(whole.slice(0, at)), ...reader.feed(whole.slice(at))]
      const text = (type: string): string => pieces.filter((piece) => piece.type === type).map((piece) => piece.text).join('')
      assert.deepEqual([text('keys'), text('paste')], ['abcd\u001b[D', 'one\ntwo\u001b[A'], `cut at ${at}`)
    }
  })

  it('stands in one line and comes out as it was; a long one has a name', () => {
    const pastes = new Pastes()
    const short = pastes.shown('if x:\n  y\n')
    assert.equal(short, 'if x:↵  y')
    assert.equal(pastes.whole(`do ${short} now`), 'do if x:\n  y now')
    const long = Array.from({ length: 40 }, (_, index) => `line ${index}`).join('\n')
    const name = pastes.shown(long)
    assert.equal(name, '[pasted 1: 40 lines]')
    assert.equal(pastes.whole(`explain ${name}`), `explain ${long}`)
    assert.equal(pastes.whole('[pasted 9: 3 lines]'), '[pasted 9: 3 lines]')
    assert.equal(pastes.shown('a\u001b[2Jb\u0003'), 'a[2Jb')
  })
})

describe('a line', () => {
  it('is words, a command, or a slip that is named', () => {
    assert.deepEqual(lineOf('  '), { type: 'nothing' })
    assert.deepEqual(lineOf(' hello '), { type: 'say', text: 'hello' })
    assert.deepEqual(lineOf('/undo'), { type: 'command', name: 'undo', argument: '' })
    assert.deepEqual(lineOf('/undo 3'), { type: 'command', name: 'undo', argument: '3' })
    assert.deepEqual(lineOf('/undo all'), { type: 'wrong', problem: "/undo takes the number of a step, not 'all'." })
    assert.deepEqual(lineOf('/model'), { type: 'wrong', problem: "/model needs an id; 'hearth models' lists them." })
    assert.deepEqual(lineOf('/qit'), { type: 'wrong', problem: 'There is no command /qit; the nearest is /quit. /help lists them; two slashes say it to the model.' })
    assert.deepEqual(lineOf('//undo'), { type: 'say', text: '/undo' })
    assert.deepEqual(lineOf('/etc/hosts says what?'), { type: 'say', text: '/etc/hosts says what?' })
  })

  it('answers a question of approval only with a clear yes', () => {
    assert.deepEqual(answerOf('y'), { approved: true, note: '' })
    assert.deepEqual(answerOf(' YES '), { approved: true, note: '' })
    assert.deepEqual(answerOf('n'), { approved: false, note: '' })
    assert.deepEqual(answerOf('yes but not there'), { approved: false, note: 'yes but not there' })
    assert.equal(answerOf('  '), null)
  })
})

describe('events of a chat', () => {
  it('read as words first; foreign control characters are shown', () => {
    const turn = event({ type: 'turn', step: 1, model: 'm', text: 'Done.\u001b[2J\u202e', toolCalls: [{ id: 'a', name: 'finish', arguments: { answer: 'It is done.' } }], stop: 'tool_calls', usage, timings })
    assert.equal(wordsOf(turn), 'Done.\\u202e\n\nIt is done.')
    assert.deepEqual(chatLines(turn, look), ['', 'Done.\\u202e', '', 'It is done.', '  10 prompt (4 reused) + 2 tokens in 5 ms'])
  })

  it('in json mode the call is no words, and a turn that waits says nothing', () => {
    const turn = event({ type: 'turn', step: 1, model: 'm', text: '{"tool":"finish","answer":"ok"}', toolCalls: [{ id: 'a', name: 'finish', arguments: { answer: 'ok' } }], stop: 'end', usage, timings })
    assert.equal(wordsOf(turn), 'ok')
    assert.deepEqual(chatLines(event({ type: 'suspended', reason: 'waiting for you', state: 'paused' }), look), [])
    assert.deepEqual(chatLines(event({ type: 'suspended', reason: 'The model is gone.', state: 'paused' }), look), ['! The model is gone.'])
  })
})

describe('the thoughts of a turn', () => {
  const turn = { type: 'turn', step: 1, model: 'm', text: 'Hello.', toolCalls: [], stop: 'end', usage, timings, reasoning: 'Who is it?' }

  it('stand before its words, and beside them where the words go elsewhere', () => {
    assert.deepEqual(chatLines(event(turn), look), ['  │ ~ Who is it?', '', 'Hello.', '  10 prompt (4 reused) + 2 tokens in 5 ms'])
    assert.deepEqual(besideLines(event(turn), look), ['  │ ~ Who is it?', '  10 prompt (4 reused) + 2 tokens in 5 ms'])
    assert.equal(wordsOf(event(turn)), 'Hello.')
  })
})
