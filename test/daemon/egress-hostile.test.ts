// Texts that were made to be slow, to confuse or to slip through: they are read to their end, findings stay what they are promised to be, and what is put back is the text.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { Placeholders } from '../../packages/daemon/src/egress/placeholders.ts'
import { tokenRules } from '../../packages/daemon/src/egress/rules-table.ts'
import { KnownTexts } from '../../packages/daemon/src/egress/scan-known.ts'
import type { Finding } from '../../packages/daemon/src/egress/finding.ts'
import { scan } from '../../packages/daemon/src/egress/scan.ts'
import { makers, randomOf } from '../fixtures/planted-secrets.ts'

const held = new KnownTexts([{ kind: 'held', value: 'sk-held-0123456789abcdef' }, { kind: 'denied', value: 'Falke' }])

const units: readonly string[] = [
  ...new Set(tokenRules.flatMap(({ words }) => words)), 'password', 'password=', 'password: "', 'token: ', '"', "'", '`', '\\', '\\n', '\n', '\r\n', ' ', '\t', '+', '" + "', '"\n"', '://', ':a@', '://a:', '%', '%25', '%41', '&#', '&quot;',
  '<password ', '<a key="password" key=', '<key>password</key>', '<input type=password value="', 'INSERT INTO t(password)VALUES(', "INSERT INTO t(password)VALUES('x'),", "',(", 'a,password\n', '| password | x', 'password is ', 'password: |\n ', 'echo a:bcde |', 'redis-cli -a', 'ldapsearch ', '"value": "abcd", ', '\\101', 'H4sIAAAA',
  '<password>', '-----BEGIN RSA PRIVATE KEY-----', '-----END RSA PRIVATE KEY-----', 'Private-Lines: 2\n', '.', 'a', 'A', '1', '0x41,', '41', '=', '\u200b', '\u0430', '\ud834\udd73', '\ud834', '\udd73', '\u0301', '\u001b[', '\u001b]', '\u001b[31m', 'é', '中',
  'ﬁ', '\u0000', '\u202e', 'Bearer ', 'Authorization: ', ' -u a:', '--password ', 'session=', 'a:5432:b:c:', '_key=', 'MIIEpAIBAAKC', 'b3BlbnNzaC1rZXktdjE', '_authToken=', '$2a$10$', '$6$', `${'a'.repeat(64)}\n`, `+${'a'.repeat(64)}\n`, `12\t${'b'.repeat(70)}\n`,
  Buffer.from('password=').toString('base64'), '70617373', '‹secret:', '‹secret:password:abcdef›', '\\u2039secret:', 'Falke', 'sk-held-', '0123456789abcdef', 'İ', 'ß',
]

function orderly(found: readonly Finding[], text: string): void {
  let last = 0
  for (const { start, end, kind } of found) {
    assert.ok(start >= last && end > start && end <= text.length && kind !== '', JSON.stringify({ start, end, kind, text: text.slice(0, 200) }))
    last = end
  }
}

test('one thing again and again, whatever it is: read to the end', async () => {
  for (const unit of units) {
    const text = unit.repeat(Math.ceil(6000 / unit.length))
    orderly(await scan(text, held), text)
  }
})

test('things in any order: findings are orderly, the same each time, and what is put back is the text to the letter', async () => {
  const random = randomOf(4711)
  const key = randomBytes(32)
  const all = Object.values(makers)
  for (let round = 0; round < 500; round += 1) {
    let text = ''
    while (text.length < 700) {
      const pick = random()
      text += pick < 0.08 ? (all[Math.floor(random() * all.length)]?.(random) ?? []).join('') : units[Math.floor(random() * units.length)] ?? ''
    }
    const found = await scan(text, held)
    orderly(found, text)
    assert.deepEqual(await scan(text, held), found)
    const placeholders = new Placeholders(key, String(round))
    const hidden = await placeholders.hide(text, held)
    // A text that already names one of its placeholders does not exist: nobody can foresee one.
    assert.equal(placeholders.putBack(hidden.text), text)
    const stream = placeholders.stream()
    let streamed = ''
    for (let at = 0; at < hidden.text.length; at += 7) streamed += stream.push(hidden.text.slice(at, at + 7))
    assert.equal(streamed + stream.end(), text)
  }
})

test('a long text of nothing but beginnings gives way to others while it is read', async () => {
  const text = 'ghs_1_ password= eyJ://a: '.repeat(20_000)
  let turns = 0
  let reading = true
  const others = (async () => {
    while (reading) {
      await new Promise((resolve) => { setImmediate(resolve) })
      turns += 1
    }
  })()
  orderly(await scan(text, held), text)
  reading = false
  await others
  // One for each piece of it at least.
  assert.ok(turns >= Math.floor(text.length / (128 * 1024)), `${turns}`)
})

test('a text that is one piece gives way too, when what is in it is many texts', async () => {
  let turns = 0
  const counting = setInterval(() => { turns += 1 }, 0)
  assert.deepEqual(await scan(`${'A'.repeat(21)}\n`.repeat(5_000), held), [])
  clearInterval(counting)
  assert.ok(turns > 0)
})
