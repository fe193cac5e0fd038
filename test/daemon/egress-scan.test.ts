// What leaves is looked at: known secrets in every form, secrets of the common kinds in every way they reach a prompt, and no alarm over ordinary text.
import assert from 'node:assert/strict'
import { createHash, randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { keptMatches, leftOut } from '../../packages/daemon/src/egress/scan-kept.ts'
import { KnownTexts } from '../../packages/daemon/src/egress/scan-known.ts'
import type { Finding } from '../../packages/daemon/src/egress/finding.ts'
import { scan } from '../../packages/daemon/src/egress/scan.ts'
import { chars, makers, randomOf, ways } from '../fixtures/planted-secrets.ts'

const none = new KnownTexts([])

/** The text without what was found. */
function rest(text: string, found: readonly Finding[]): string {
  let at = 0
  let left = ''
  for (const { start, end } of found) {
    left += `${text.slice(at, start)}\u0001`
    at = end
  }
  return left + text.slice(at)
}

/** True when the piece, or either half of it, still stands there. */
function leaks(left: string, part: string): boolean {
  const half = Math.max(8, part.length >> 1)
  return left.includes(part) || left.includes(part.slice(0, half)) || left.includes(part.slice(-half))
}

// The words around a key are no secret.
const isSecretPart = (part: string): boolean => part.length >= 6 && !/^(?:-----|Version|Proc|DEK|Private-L)/.test(part)

test('secrets of the common kinds are found in every way they reach a prompt: 99 of 100 at least', async (t) => {
  const missed: string[] = []
  let planted = 0
  for (const seed of [1, 2, 3]) {
    for (const [kind, make] of Object.entries(makers)) {
      for (const way of ways) {
        const [before, secret, after] = make(randomOf(seed * 7919 + kind.length * 31))
        const text = way.make({ kind, before, secret, after })
        if (text === null) continue
        planted += 1
        const left = rest(text.text, await scan(text.text, none))
        if (text.parts.filter(isSecretPart).some((part) => leaks(left, part))) missed.push(`${kind}, ${way.name}`)
      }
    }
  }
  t.diagnostic(`${planted - missed.length} of ${planted}: ${Object.keys(makers).length} kinds in ${ways.length} ways`)
  assert.ok(planted >= 4000)
  assert.ok(missed.length <= planted * 0.01, `${missed.length} of ${planted} were missed: ${[...new Set(missed)].join('; ')}`)
})

test('a known secret is found in every form, at every alignment, however it is cut', async (t) => {
  const random = randomOf(77)
  const word = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'
  let forms = 0
  for (let round = 0; round < 40; round += 1) {
    const secret = round % 4 === 0 ? `Pa"s\\s/ü&${chars(random, word, 12)}=+ ${round}` : `${['key', 'sk', 'x'][round % 3] ?? ''}-${chars(random, word, 16 + round)}`
    const known = new KnownTexts([{ kind: 'held', value: secret }, { kind: 'other', value: chars(random, word, 30) }])
    const bytes = Buffer.from(secret)
    const cut = Math.floor(secret.length / 2)
    const [one, two] = [JSON.stringify(secret.slice(0, cut)), JSON.stringify(secret.slice(cut))]
    const written: Record<string, string> = {
      raw: secret, upper: bytes.toString('hex').toUpperCase(), hex: bytes.toString('hex'), 'hex with spaces': bytes.toString('hex').replace(/../g, '$& '),
      'hex in C': `"${bytes.toString('hex').replace(/../g, '\\x$&')}"`, json: JSON.stringify(secret), 'json in json': JSON.stringify(JSON.stringify({ secret })),
      url: encodeURIComponent(secret), 'url, all of it': bytes.toString('hex').replace(/../g, '%$&'), plus: `${one} +\n    ${two}`, 'in lines': `${secret.slice(0, cut)}\n+${secret.slice(cut)}`,
      numbered: `  12\t${secret.slice(0, cut)}\n  13\t${secret.slice(cut)}`, 'hidden characters': Array.from(secret).join('\u200b'), 'in pieces': Array.from(secret).map((letter) => JSON.stringify(letter)).join(', '),
      'unicode escapes': Array.from(secret, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`).join(''), 'html': secret.replace(/[&"/]/g, (letter) => `&#${letter.charCodeAt(0)};`),
    }
    for (const lead of ['', 'a', 'ab', 'user:']) {
      for (const tail of ['', 'z', 'zz']) {
        const text = Buffer.from(lead + secret + tail)
        written[`base64 of ${lead}.${tail}`] = text.toString('base64')
        written[`base64url of ${lead}.${tail}`] = text.toString('base64url')
        written[`base64 in lines of ${lead}.${tail}`] = text.toString('base64').replace(/.{16}/g, '$&\n')
      }
    }
    written['base64 of base64'] = Buffer.from(bytes.toString('base64')).toString('base64')
    written['base64 of hex'] = Buffer.from(bytes.toString('hex')).toString('base64')
    written['base64 of UTF-16'] = Buffer.from(secret, 'utf16le').toString('base64')
    for (const [form, text] of Object.entries(written)) {
      forms += 1
      const found = await scan(`first line\nvalue: ${text}\nlast line`, known)
      assert.ok(found.some(({ kind }) => kind === 'held') || (form.startsWith('base64') && found.length > 0), `${form}: ${text}`)
      const left = rest(`first line\nvalue: ${text}\nlast line`, found)
      assert.ok(left.startsWith('first line\n') && left.endsWith('\nlast line'), `${form} took more than itself: ${left}`)
      // All but the four characters whose bits another byte shares.
      assert.ok(left.replace(/[^\u0001A-Za-z0-9]/g, '').length <= 'firstlinevaluelastline'.length + 12, `${form} left too much: ${left}`)
    }
  }
  t.diagnostic(`${forms} writings`)
  assert.ok(forms > 2000)
})

test('short and strange words of an owner are found too, and nothing below four characters', async () => {
  const known = new KnownTexts([{ kind: 'denied', value: 'Müller GmbH' }, { kind: 'denied', value: 'Falke' }, { kind: 'denied', value: '!!-??-%%' }, { kind: 'denied', value: 'ab' }])
  for (const text of ['An MÜLLER GMBH, Ulm', 'projekt falke', 'x !!-??-%% y', Buffer.from('Projekt Falke 2').toString('hex')]) assert.equal((await scan(text, known)).length, 1, text)
  assert.deepEqual(await scan('about of alkemy ab', known), [])
  assert.deepEqual(await scan('the falke', known), [{ kind: 'denied', start: 4, end: 9 }])
})

test('hashes, ids, pins, images and ordinary code are no secrets', async () => {
  const random = randomOf(5)
  const bytes = (n: number): Buffer => Buffer.from(Array.from({ length: n }, () => Math.floor(random() * 256)))
  const text = [
    `commit ${bytes(20).toString('hex')}`, `"integrity": "sha512-${bytes(64).toString('base64')}",`, `sha256:${bytes(32).toString('hex')}`, `id: ${randomUUID()}`, `"requestId": "${randomUUID()}"`,
    `etag: "${createHash('md5').update('x').digest('hex')}"`, `![x](data:image/png;base64,iVBORw0KGgo${bytes(900).toString('base64')})`, `h1:${bytes(32).toString('base64')}=`, `index ${bytes(4).toString('hex')}..${bytes(4).toString('hex')} 100644`,
    'password: string', 'const password = process.env.DB_PASSWORD', 'password = getpass.getpass()', 'token: Token', 'const token = tokens[i + 1]', '<input type="password" name="password">', 'PASSWORD=${PASSWORD}', 'password: "********"',
    'api_key: <your key here>', 'export const passwordMinLength = 12', 'secretName: my-app-secrets', 'Authorization: Bearer $TOKEN', 'postgres://user:password@localhost/db', 'https://user:${PASS}@example.org', 'keyCode === 13', "key: 'ArrowLeft'",
    'if (token === undefined) throw new Error("no token2 here")', 'maxTokens: 1_000_000', '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----', 'the words BEGIN RSA PRIVATE KEY in a sentence', `ssh-ed25519 ${bytes(50).toString('base64')} me@box`,
    'aws_access_key_id = AKIAIOSFODNN7EXAMPLE', 'secret santa, token gesture, pass 2', 'cacheKey: "user-list-page-2"', 'tokenizer = AutoTokenizer.from_pretrained("gpt2-medium-355M")', '"minipass": "^7.1.2"',
  ]
  for (const line of text) assert.deepEqual((await scan(line, none)).map(({ kind, start, end }) => `${kind}: ${line.slice(start, end)}`), [], line)
  assert.deepEqual(await scan(text.join('\n'), none), [])
})

test("this project's own program gives no more than two alarms in a megabyte", async (t) => {
  const root = fileURLToPath(new URL('../../packages', import.meta.url))
  const alarms: string[] = []
  let bytes = 0
  for (const path of readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts') && !name.includes('node_modules'))) {
    const text = readFileSync(join(root, path), 'utf8')
    bytes += text.length
    for (const { kind, start, end } of await scan(text, none)) alarms.push(`${path}: ${kind}: ${text.slice(start, Math.min(end, start + 40))}`)
  }
  t.diagnostic(`${alarms.length} in ${(bytes / 1e6).toFixed(1)} MB`)
  assert.ok(alarms.length <= 2 * bytes / 1e6, alarms.join('\n'))
})

test('findings stand in order, apart from each other, and inside the text, also across pieces', async () => {
  const random = randomOf(9)
  const [before, secret, after] = makers['github classic']?.(random) ?? ['', '', '']
  const line = 'An ordinary line of text, a bit longer than most, with a number like 12.\n'
  // Every place around the ends of the pieces that a text is cut into.
  const text = Array.from({ length: 400 }, () => line.repeat(9) + before + secret + after + '\n').join('')
  const found = await scan(text, none)
  assert.equal(found.length, 400)
  found.forEach(({ start, end }, i) => {
    assert.equal(text.slice(start, end), secret)
    assert.ok(i === 0 || start >= (found[i - 1]?.end ?? 0))
  })
})

test('the kept rules say here what they say in their own program', async () => {
  const { lintSource } = await import('@secretlint/core')
  const { rules } = await import('@secretlint/secretlint-rule-preset-recommend')
  const config = { rules: rules.filter(({ meta }) => !leftOut.test(meta.id)).map((rule) => ({ id: rule.meta.id, rule })) }
  for (const make of Object.values(makers)) {
    const text = make(randomOf(3)).join('')
    const { messages } = await lintSource({ source: { filePath: 'packet.txt', content: text, ext: '.txt', contentType: 'text' }, options: { config, noPhysicFilePath: true } })
    const sorted = (list: readonly (readonly [number, number])[]): string => JSON.stringify([...new Set(list.map(String))].toSorted())
    assert.equal(sorted((await keptMatches(text)).map(({ start, end }) => [start, end])), sorted(messages.map(({ range }) => range)))
  }
})

test('a comment in the text does not switch the looking off', async () => {
  const [before, secret, after] = makers['openai']?.(randomOf(4)) ?? ['', '', '']
  assert.equal((await scan(`/* secretlint-disable */\n${before}${secret}${after} // gitleaks:allow`, none)).length, 1)
})
