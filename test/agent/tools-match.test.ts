// Where an edit is put: random texts and pieces, with whatever a careless model does to them. An edit is right to the byte, or refused.
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { applyEdits, difference, lineEnd } from '@hearth/agent/tools/match'

const random = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31
    return Math.floor((state / 2 ** 31) * below)
  }
}
const units = ['a', 'b', ' ', '  ', '\t', '\n', '\r\n', '{', 'word', '\u200b', '\u00e9', '\u{1f600}', '"', '\ufeff']
const marker = '\u0001'

it('what stands around an edit stays to the byte, and what was replaced is what was asked for but for blanks at line ends', () => {
  const next = random(11)
  const plain = (text: string): string => text.replaceAll(/[\r\u200b\ufeff]/g, '').replaceAll(/[ \t]+(?=\n|$)/g, '')
  let [done, loose] = [0, 0]
  for (let round = 0; round < 20_000; round += 1) {
    const text = Array.from({ length: 5 + next(40) }, () => units[next(units.length)]).join('')
    const start = next(text.length)
    let old = text.slice(start, start + 1 + next(20))
    switch (next(5)) {
      case 0: old = old.replaceAll('\r\n', '\n'); break
      case 1: old = old.replaceAll('\u200b', ''); break
      case 2: old = old.replaceAll(/[ \t]+\n/g, '\n'); break
      case 3: old = `${old} `; break
      default:
    }
    const applied = applyEdits(text, [{ old, new: marker }], false, 'f')
    if (!applied.ok) continue
    done += 1
    if (applied.loosely) loose += 1
    const [before = '', after = '', ...more] = applied.text.split(marker)
    const where = JSON.stringify({ text, old, got: applied.text })
    assert.equal(more.length, 0, where)
    assert.ok(text.startsWith(before) && text.endsWith(after) && before.length + after.length <= text.length, where)
    const replaced = text.slice(before.length, text.length - after.length)
    if (applied.loosely) assert.equal(plain(replaced), plain(old), where)
    else assert.equal(replaced, old, where)
    if (!applied.loosely) assert.equal(text.split(old).length, 2, where)
  }
  assert.ok(done > 5000 && loose > 200, `${done} done, ${loose} of them loosely`)
})

it('several edits are the same as one after the other from the end', () => {
  const next = random(5)
  for (let round = 0; round < 3000; round += 1) {
    const words = Array.from({ length: 12 }, (_, index) => `w${index}_${next(1000)}`)
    const text = words.join(next(2) === 0 ? '\n' : '\r\n')
    const chosen = words.filter(() => next(3) === 0)
    if (chosen.length === 0) continue
    const applied = applyEdits(text, chosen.toSorted().map((word) => ({ old: word, new: `<${word}>` })), false, 'f')
    assert.ok(applied.ok)
    assert.equal(applied.text, chosen.reduce((result, word) => result.replace(word, `<${word}>`), text))
  }
})

it('line ends and differences are named', () => {
  assert.deepEqual([lineEnd('a'), lineEnd('a\nb'), lineEnd('a\r\nb'), lineEnd('a\r\nb\nc\n')], [null, '\n', '\r\n', '\n'])
  assert.equal(difference('  a', 'a'), 'the blanks before its lines (there: 2 spaces, given: none)')
  assert.equal(difference('a\nb', 'a b'), 'where its lines end')
})
