// Owns the rules for secrets that nobody told us of: forms that services give out (the table), blocks of keys, addresses with a password in them,
// and values behind telling names. Reads one view of a text; its time grows with the text alone.
import type { Finding } from './finding.ts'
import { matchForms } from './rules-forms.ts'
import { tokenRules } from './rules-table.ts'
import { isSecretValue } from './rules-value.ts'

/** Every rule over one text. Matches may lie in each other. */
export function matchRules(text: string): Finding[] {
  const found: Finding[] = []
  const mayHold = wordsOf(text)
  for (const { kind, words, pattern } of tokenRules) {
    if (!words.some(mayHold)) continue
    for (const match of text.matchAll(pattern)) {
      const whole = match[0]
      const value = match[1] ?? whole
      if (isExample(value)) continue
      const start = match.index + whole.lastIndexOf(value)
      found.push({ kind, start, end: start + value.length })
    }
  }
  keyBlocks(text, found)
  addresses(text, found)
  assignments(text, found)
  matchForms(text, found)
  return found
}

// Which groups of four characters a text holds, by their hash: one pass instead of a search for each word of the table. A slot holds the number of the last text that had it.
const slots = new Uint8Array(1 << 18)
let turn = 0

/** Whether a word can stand in the text; false is certain. */
function wordsOf(text: string): (word: string) => boolean {
  turn = turn === 255 ? 1 : turn + 1
  if (turn === 1) slots.fill(0)
  const mine = turn
  let hash = 0
  for (let i = 0; i < text.length; i += 1) {
    hash = rolled(hash, text.charCodeAt(i))
    slots[slotOf(hash)] = mine
  }
  return (word) => {
    if (word.length < 4) return text.includes(word)
    let own = 0
    for (let i = 0; i < 4; i += 1) own = rolled(own, word.charCodeAt(i))
    return slots[slotOf(own)] === mine && text.includes(word)
  }
}

/** Seven bits a character: what is more than four back is shifted out. */
function rolled(hash: number, code: number): number {
  return ((hash << 7) ^ code) & 0xfffffff
}

const slotOf = (hash: number): number => Math.imul(hash, 0x9e3779b1) >>> 14

// AWS's own example, and runs of one letter.
function isExample(value: string): boolean {
  return value.endsWith('EXAMPLE') || /(.)\1{11}/.test(value.slice(-24)) || /(?:EXAMPLEKEY|[xX]{8}|0123456789|abcdefghij)/.test(value)
}

const begin = /-----BEGIN[ ]?((?:[A-Z0-9]+ ){0,3})PRIVATE KEY(?: BLOCK)?-----/g
const end = /-----END[ ]?(?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----/g
// What stands between the lines of such a block: line ends (also written out), indents, quotes, diff and comment signs, line numbers, headers.
const between = /(?:\\{1,8}[nr]?|\r?\n[ \t]{0,80}(?:[\w.\/-]{1,200}[:-])?\d{1,6}[:|\t-]|[\s"'`,;|#*>+:]|-(?!-)|(?:Proc-Type|DEK-Info|Version|Comment|Encryption|Hash): ?[^\n\\]{0,120}){1,200}/y
const run = /[A-Za-z0-9+/=]{1,20000}/y
const closing = new RegExp(end.source, 'y')
// How the commonest kinds of private keys begin, in base64: what is left when the first line was cut off.
const headless = /(?<![A-Za-z0-9/])(?:MII[A-Za-z0-9+/]{3}IBAAKC|MII[A-Za-z0-9+/]{3}IBADANBgkqhkiG9w0BAQ|MI[A-Za-z0-9+/]{2}AgEAMBMGByqGSM49|MH[A-Za-z0-9+/]CAQEE|MC4CAQAwBQYDK2V|MIIB[A-Za-z0-9+/]{2}IBAAKB|b3BlbnNzaC1rZXktdjE)[A-Za-z0-9+/=]{10,200}/g
const putty = /Private-Lines: \d{1,4}(?=\r?\n)/g
const longestBlock = 20_000

function keyBlocks(text: string, found: Finding[]): void {
  if (text.includes('PRIVATE KEY')) {
    let last = -1
    for (const match of text.matchAll(begin)) {
      if (match.index < last) continue
      const from = match.index + match[0].length
      const stop = endOfBlock(text, from)
      // The words alone, in a sentence or a program, are no key.
      if (stop - from < 40) continue
      found.push({ kind: 'private-key', start: match.index, end: stop })
      last = stop
    }
    for (const match of text.matchAll(end)) {
      if (match.index < last) continue
      const start = startOfBlock(text, match.index)
      if (match.index - start >= 40) found.push({ kind: 'private-key', start, end: match.index + match[0].length })
    }
  }
  for (const match of text.matchAll(headless)) found.push({ kind: 'private-key', start: match.index, end: endOfBlock(text, match.index + match[0].length) })
  if (text.includes('Private-Lines:')) for (const match of text.matchAll(putty)) found.push({ kind: 'private-key', start: match.index, end: endOfBlock(text, match.index + match[0].length) })
}

/** Where a key ends: at its END line, or behind the last line that can be of it. */
function endOfBlock(text: string, from: number): number {
  let stop = from
  let at = from
  let lines = 0
  while (at < Math.min(text.length, from + longestBlock)) {
    const gap = take(between, text, at)
    // An empty line is where a cut key ends; only headers have one behind them.
    if (lines > 0 && /\n\s*\n/.test(gap)) break
    at += gap.length
    const last = take(closing, text, at)
    if (last !== '') return at + last.length
    const line = take(run, text, at)
    if (line.length < 30) {
      const rest = take(between, text, at + line.length)
      const ends = take(closing, text, at + line.length + rest.length)
      if (ends !== '') return at + line.length + rest.length + ends.length
      return lines > 0 && line !== '' && /^["'`,;\\\s]*(?:\n|$)/.test(rest) ? at + line.length : stop
    }
    at += line.length
    stop = at
    lines += 1
  }
  return stop
}

function take(sticky: RegExp, text: string, at: number): string {
  sticky.lastIndex = at
  return sticky.exec(text)?.[0] ?? ''
}

/** Where the lines of a key begin whose END line is here: as far back as lines of base64 go. */
function startOfBlock(text: string, closes: number): number {
  let start = text.lastIndexOf('\n', closes) + 1
  for (let lines = 0; lines < 300 && start > 0; lines += 1) {
    const before = text.lastIndexOf('\n', start - 2) + 1
    const line = text.slice(before, start).trim()
    if (line.length > 500 || !/^(?:[+\->|#*]|\/\/|\d{1,6}[:|\t])?\s*["'`]?[A-Za-z0-9+/=]{8,400}(?:\\{1,8}[nr]|["'`+,;\\ ]){0,20}$/.test(line)) break
    start = before
  }
  return start
}

// Behind `://` there is a name, a colon, a password and an `@`.
const userinfo = /:\/\/([^\s:/@"'`<>]{0,100}):([^\s"'`<>@/?#]{1,200}(?:[@/?#][^\s"'`<>@/]{0,100}){0,3})@(?=[A-Za-z0-9[_$-])/g
const tokenInfo = /:\/\/([A-Za-z0-9_~.-]{20,200})(?::x-oauth-basic)?@(?=[A-Za-z0-9])/g

function addresses(text: string, found: Finding[]): void {
  if (!text.includes('://')) return
  each(text, userinfo, 2, 'url-password', found, isLogin)
  each(text, tokenInfo, 1, 'url-password', found, (raw) => isSecretValue(raw, 'key', false))
}

function isLogin(value: string): boolean {
  return value.length >= 3 && !/^(?:[$<{%*\\].*|x+|pass(?:w(?:or)?d)?|secret|token|user(?:name)?|pwd|[*.]+|your[_-].*|\d{1,5}|.*\$\{.*|.*\{\{.*|.*[<>].*|p|pw)$/i.test(value)
}

// A name that tells of a password, or of a key. What follows it in the same name is the first group.
const passwordName = '(?:password|passwd|passphrase|passcode|passwort|contrase(?:n|ñ)a|pwd|(?<!mini|by|com|sur|tres|over|multi)pass(?![a-z])|secret(?!ary)|credential)'
const keyName = '(?:token|api[_.-]?key|apikey|access[_.-]?key|private[_.-]?key|signing[_.-]?key|encryption[_.-]?key|master[_.-]?key|account[_.-]?key|auth[_.-]?key|shared[_.-]?key|service[_.-]?key|license[_.-]?key|secret[_.-]?key|webhook|auth(?![a-z]*or)|authorization|bearer|session|cookie|signature|dsn|salt|(?<=[A-Za-z]{2}[_-])key(?![a-z])|(?<=[a-z])Key(?![a-z]))'
const tail = '([A-Za-z0-9_]{0,24}(?:[.-][A-Za-z0-9_]{1,24}){0,2})'
const gap = '["\'`\\])]{0,3}(?:[ \\t]{0,3}:[ \\t]{0,2}(?:[sS]tring\\??|str|&str|text|any))?[ \\t]{0,12}(?:=>|:=|\\?\\?=|={1,3}|!==?|:|,(?=[ \\t]{0,4}["\']))[ \\t]{0,6}(?:\\r?\\n[+\\- \\t]{1,40})?'
const value = '(?:(["\'`])((?:\\\\.|(?!\\1)[^\\\\\\r\\n]){4,2000})\\1|([^\\s"\'`,;<>&\\\\]{4,2000}))'
const shape = (name: string): RegExp => new RegExp(`${name}${tail}${gap}(?:!{1,2}[A-Za-z]{1,20}[ \\t]{1,4})?(?:[bBrRuUfFeE](?=["']))?${value.replaceAll('\\1', '\\2')}`, 'gi')
const named = [['password', shape(passwordName)], ['key', shape(keyName)]] as const

// What a name goes on with when its value is about the secret and is not the secret.
const about = /(?:names?|ids?|files?|filename|paths?|dir|urls?|uris?|endpoint|type|field|label|length|len|size|count|limit|limits|max|min|policy|ttl|expir\w*|timeout|age|format|regex|pattern|prefix|suffix|provider|class|style|ref|env|var|placeholder|hint|input|form|manager|store|service|handler|error|message|title|header|kind|mode|version|index|scopes?|location|method|algorithm|alg|list|map|set|status|state|text|rules?|usage|budget|s?per\w*|model|encoding|kinds|bytes|selector|icon|property|description|required|enabled|visible|strength|reset|change|confirm\w*|at|date|hash(?:er|es|ing)?|digest|fingerprint|sha\d*|checksum|public|pub)$/i

const commands = /(?:^|[\s"'`;|&(])(?:--?(?:password|passwd|pass|pwd|secret|token|api-?key|access-?token|auth-?token|client-secret|bearer-token|oauth2-bearer)(?:[ \t]{1,4}|=))(["']?)([^\s"'`<>$][^\s"'`]{3,300})\1/gi
const userFlag = /(?:\s-u|\s--user|\s--proxy-user)(?:[ \t]{1,4}|=)["']?([^\s:"'`$<>]{1,100}):([^\s"'`$<>]{3,200})/g
const sshpass = /sshpass[ \t]{1,4}-p[ \t]{0,4}["']?([^\s"'`]{3,200})/g
const mysql = /mysql(?:dump|admin|import)?\s[^\n]{0,100}?\s-p([^\s"'`$]{4,100})/g
const netrc = /\blogin[ \t]{1,20}\S{1,200}[ \t]{0,20}(?:\r?\n[ \t]{0,20}(?:[\w./-]{1,120}[:-])?(?:\d{1,6}[:|\t-])?[+\- \t]{0,40}|[ \t])password[ \t]{1,20}([^\s"'`\\]{3,300})/g
const pgpass = /[A-Za-z0-9_.*-]:(?:5432|6432|\*):[^:\s]{1,64}:[^:\s]{1,64}:([^\s"'`\\&<>]{3,200})/g
const header = /\b(?:Authorization|X-Api-Key|X-Auth-Token|X-Access-Token|Private-Token|Job-Token|Cookie|Set-Cookie|Proxy-Authorization|Api-Key)["'`]{0,2}[ \t]{0,4}[:=,][ \t]{0,4}["'`]?(?:(?:Bearer|Basic|Token|ApiKey|Digest|Negotiate|AWS4-HMAC-SHA256)[ \t]{1,4})?([A-Za-z0-9._~+/=:%|-]{12,4000})/gi
const bearer = /\bBearer[ \t]{1,4}([A-Za-z0-9._~+/=-]{16,4000})/g
const cookie = /(?:sess(?:ion)?(?:_?id)?|sid|auth|token|jwt|csrf|xsrf)[A-Za-z0-9_-]{0,20}=([A-Za-z0-9._~+/%=-]{16,2000})/gi
const listed = /\b(?:name|key|variable)["'`]?[ \t]{0,4}[:=][ \t]{0,4}["'`]?([A-Za-z0-9_.-]{0,60}(?:pass(?:word|wd|phrase)?|pwd|secret|token|key|dsn|credentials?)[A-Za-z0-9_-]{0,30})["'`]?[ \t]{0,4},?\s{0,80}(?:[\w./-]{1,120}[:-])?(?:\d{1,6}[:|\t-])?[+-]?\s{0,40}["'`]?value["'`]?[ \t]{0,4}[:=][ \t]{0,4}["'`]?([^\s"'`,}]{4,2000})/gi

function assignments(text: string, found: Finding[]): void {
  for (const [name, pattern] of named) {
    for (const match of text.matchAll(pattern)) {
      const rest = match[1] ?? ''
      const quoted = match[3]
      const bare = match[4]
      if (about.test(rest)) continue
      const raw = quoted ?? (bare ?? '').replace(/[)\]},;.]+$/, '')
      if (!isSecretValue(raw, name, quoted === undefined)) continue
      const start = match.index + match[0].lastIndexOf(raw)
      found.push({ kind: name === 'password' ? 'password' : 'secret-value', start, end: start + raw.length })
    }
  }
  each(text, commands, 2, 'password', found, (raw) => isSecretValue(raw, 'password', true))
  each(text, userFlag, 2, 'password', found, isLogin)
  each(text, sshpass, 1, 'password', found, isLogin)
  each(text, mysql, 1, 'password', found, (raw) => isSecretValue(raw, 'password', true))
  each(text, netrc, 1, 'password', found, isLogin)
  each(text, pgpass, 1, 'password', found, isLogin)
  each(text, header, 1, 'authorization', found, (raw) => isSecretValue(raw, 'key', true))
  each(text, bearer, 1, 'authorization', found, (raw) => isSecretValue(raw, 'key', true))
  each(text, cookie, 1, 'cookie', found, (raw) => isSecretValue(raw, 'key', true))
  each(text, listed, 2, 'password', found, (raw) => isSecretValue(raw, 'password', true))
}

function each(text: string, pattern: RegExp, group: number, kind: string, found: Finding[], judge: (raw: string) => boolean): void {
  for (const match of text.matchAll(pattern)) {
    const raw = match[group] ?? ''
    if (!judge(raw)) continue
    const start = match.index + match[0].lastIndexOf(raw)
    found.push({ kind, start, end: start + raw.length })
  }
}
