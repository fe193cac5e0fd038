// Owns the rules for values whose name stands elsewhere than before a sign: in elements and attributes, in columns and tables, in statements and command lines, behind a
// blank, in words. Reads one view of a text; no part of a pattern can be matched in two ways without a bound, so its time grows with the text alone.
import type { Finding } from './finding.ts'
import { isSecretValue } from './rules-value.ts'

// What may tell of a password, with anything before the longer words; the shorter ones are the ends of others (bypass, compass).
const name = '(?:[A-Za-z0-9_.:-]{0,60}(?:password|passwd|passphrase|passcode|passwort|secret|credentials?|contrase(?:n|ñ)a)|(?:[A-Za-z0-9_.:-]{0,60}[_.:-])?(?:pass|pwd|token|api[_-]?key|access[_-]?key))[0-9]{0,2}'
const telling = /pass|pwd|secret|token|credential|api.?key|access.?key|kennwort|contrase|masterauth|psk|IDENTIFIED|sqlplus|rman|expdp|impdp|sqlldr|ConvertTo-Sec|redis-cli|mongo|ldap|\becho\b/i
const quote = '["\']'
const text = '([^"\'\\r\\n]{4,200})'
const end = '(?=[ \\t]{0,8}(?:\\r?\\n|$))'

/** Group 1 of each is the value; the judge is that of a password without quotes, where a program may have a variable, or with them. */
const loose: readonly RegExp[] = [
  // <password>, with blanks, attributes, CDATA; <entry key="db.password">; a plist.
  new RegExp(`<${name}(?:\\s[^<>]{0,200})?>\\s{0,80}(?:<!\\[CDATA\\[)?\\s{0,20}([^<>\\s\\]]{4,1000})\\s{0,20}(?:\\]\\]>)?\\s{0,80}</`, 'gi'),
  new RegExp(`<[\\w:.-]{1,40}\\s[^<>]{0,120}?(?:key|name|id|property)=${quote}${name}${quote}[^<>]{0,120}>\\s{0,40}([^<>\\s]{4,1000})\\s{0,40}</`, 'gi'),
  new RegExp(`<key>\\s{0,20}${name}\\s{0,20}</key>\\s{0,40}<(?:string|data)>\\s{0,20}([^<>\\s]{4,1000})\\s{0,20}</`, 'gi'),
  // A line of a properties file with a blank, of a Dockerfile, of redis.conf; a block of YAML.
  new RegExp(`(?<=^|\\n)[ \\t]{0,20}(?:(?:ENV|ARG|set|export|send)[ \\t]{1,4})?["']?(?:[A-Za-z0-9_.-]{0,60}(?:password|passwd|passphrase|_pass|PASS(?:WORD|WD|PHRASE)?|\\.secret|_secret|_SECRET)|requirepass|masterauth|wpa-psk)[ \\t]{1,20}([^\\s"'=:,;|()]{5,200})${end}`, 'g'),
  new RegExp(`(?<=^|\\n|[\\s,{])["']?${name}["']?[ \\t]{0,4}:[ \\t]{0,4}[|>][+-]?\\d?[ \\t]{0,4}\\r?\\n[ \\t]{1,40}(\\S{4,500})${end}`, 'gi'),
  // Command lines.
  /\b(?:sqlplus|rman|expdp|impdp|sqlldr)[ \t][^\n/]{0,60}\/([^\s@"'/]{4,60})@/g,
  /\bchpasswd[ \t]{0,4}<<<[ \t]{0,4}["']?[\w.-]{1,60}:([^\s"']{4,200})|\becho[ \t]{1,4}["']?[\w.-]{1,60}:([^\s"':]{4,200})["']?[ \t]{0,4}\|[ \t]{0,4}(?:sudo[ \t]{1,4})?chpasswd/g,
  /\becho[ \t]{1,4}["']?([^\s"'|]{4,200})["']?[ \t]{0,4}\|[ \t]{0,4}(?:sudo[ \t][^\n|]{0,40}?-[A-Za-z]{0,4}S|docker[ \t]{1,4}login|gpg[ \t])/g,
  /\bhtpasswd[ \t]{1,4}-[A-Za-z]{0,6}b[A-Za-z]{0,6}[ \t]{1,4}[^\s]{1,200}[ \t]{1,4}[^\s]{1,60}[ \t]{1,4}["']?([^\s"']{4,200})/g,
  /\bredis-cli[ \t][^\n]{0,120}?(?:-a|--pass)[ \t]{1,4}["']?([^\s"']{4,200})|\bmongo(?:sh|dump|restore|export|import)?[ \t][^\n]{0,120}?[ \t]-p[ \t]{0,4}["']?([^\s"'-][^\s"']{3,200})|\bldap(?:search|modify|add|delete|passwd|whoami)[ \t][^\n]{0,120}?[ \t]?-w[ \t]{1,4}["']?([^\s"']{4,200})/g,
  // Words for people: a list, a table, a sentence.
  /(?:\*\*|__)(?:pass(?:word|phrase|wort)?|pwd|kennwort|passwort)[ \t]{0,2}:?(?:\*\*|__):?[ \t]{1,8}`?([^\s`*|]{5,200})/gi,
  /\|[ \t]{0,40}`?(?:[A-Za-z0-9_.-]{0,40}[_.-])?(?:pass(?:word|phrase|wd)?|pwd|passwort|kennwort)`?[ \t]{0,40}\|[ \t]{0,40}`?([^\s`|]{6,200})`?[ \t]{0,40}\|/gi,
  /\b(?:pass(?:word|phrase|code|wort)|kennwort|contrase(?:n|ñ)a|mot de passe)(?:[ \t]{1,3}(?:for|of|für|von|de)[ \t]{1,3}[\w.@-]{1,60}){0,1}[ \t]{1,3}(?:is|was|ist|lautet|es|est)[ \t]{0,2}:?[ \t]{1,3}["'`]?([^\s"'`]{6,200})/gi,
]
const quoted: readonly RegExp[] = [
  // #define PASSWORD "…", -Password "…", (password "…"), setPassword("…"), password = [[…]], SQL.
  new RegExp(`(?<![<>\\w])(?:[A-Za-z0-9_]{0,40}_)?(?:password|passwd|PASSWORD|Password|PASSWD|PASS|PWD)[ \\t]{1,20}${quote}${text}${quote}`, 'g'),
  /(?:[pP]ass(?:word|wd|phrase)|PASSWORD)\([ \t]{0,4}["']([^"'\r\n]{4,200})["'][ \t]{0,4}\)/g,
  /(?:password|passwd|passphrase)[ \t]{0,4}=[ \t]{0,4}\[\[([^\r\n\]]{4,200})\]\]/gi,
  /(?:password|passwd|pwd|secret)["']?\s{0,8}[:=]\s{0,8}\[\s{0,20}["']([^"'\r\n]{4,200})["']/gi,
  new RegExp(`\\bIDENTIFIED[ \\t]{1,4}(?:WITH[ \\t]{1,4}\\S{1,60}[ \\t]{1,4})?(?:BY|AS)[ \\t]{1,8}${quote}${text}${quote}`, 'gi'),
  new RegExp(`\\bConvertTo-SecureString[ \\t]{1,4}(?:-String[ \\t]{1,4})?${quote}${text}${quote}`, 'gi'),
  /["']?value["']?[ \t]{0,4}[:=][ \t]{0,4}["']([^"'\r\n]{4,200})["'][ \t]{0,4},?\s{0,40}["']?(?:name|key|variable)["']?[ \t]{0,4}[:=][ \t]{0,4}["'][A-Za-z0-9_.-]{0,60}(?:pass(?:word|wd|phrase)?|pwd|secret|token|api_?key)["']/gi,
  /\bpsk[ \t]{0,4}=[ \t]{0,4}["']?([^\s"']{8,63})/g,
]

// Names of what a password is made by or kept as, and words with a number that people put beside one.
const technical = /^(?:sha|md|utf|base|ed|oauth|u?int|float|http|tls|ssl|rsa|aes|ecdsa|argon|bcrypt|scrypt|pbkdf|hmac|pkcs|x|v|ipv|h|es|level|step|chapter|section|figure|page|part|table|type|option|example)[-_]?\d[\w.-]*$|^[a-z]+\d{0,2}(?:-[a-z]+\d{0,2})+$|^\d+(?:[-.–]\d+)*(?:\+|%|st|nd|rd|th|-?(?:char|byte|bit|digit|letter)s?)?$/i

type Take = (value: string, start: number, isLoose: boolean) => void

export function matchForms(view: string, found: Finding[]): void {
  if (!telling.test(view)) return
  const take: Take = (value, start, isLoose) => {
    const raw = value.replace(/[.,;:!?)\]]+$/, '')
    if (!technical.test(raw) && isSecretValue(raw, 'password', isLoose)) found.push({ kind: 'password', start, end: start + raw.length })
  }
  for (const [patterns, isLoose] of [[loose, true], [quoted, false]] as const) {
    for (const pattern of patterns) {
      for (const match of view.matchAll(pattern)) {
        const value = match.slice(1).find((group) => group !== undefined) ?? ''
        take(value, match.index + match[0].lastIndexOf(value), isLoose)
      }
    }
  }
  inputs(view, take)
  statements(view, take)
  tables(view, take)
}

/** The value of a field of a page that shows dots in its place. */
function inputs(view: string, take: Take): void {
  for (const match of view.matchAll(/<input\s[^<>]{1,400}>/gi)) {
    const value = /\svalue=["']?([^"'<>]{4,200})["'\s>]/i.exec(match[0])?.[1]
    if (value !== undefined && /\stype=["']?password\b/i.test(match[0])) take(value, match.index + match[0].indexOf(value, match[0].search(/\svalue=/i)), true)
  }
}

const column = /^["'`[\s]{0,4}(?:[A-Za-z0-9]{1,30}[_ -])?(?:pass(?:word|wd|phrase)?|pwd|secret)["'`\]\s]{0,4}$/i
const rowsAtMost = 500
const rowCharacters = 2000

/** Values under a column of that name, of an INSERT. What one of them covered is not read again by one that stands in it. */
function statements(view: string, take: Take): void {
  let done = 0
  for (const match of view.matchAll(/\bINSERT\s{1,4}INTO\s{1,4}[\w.`"[\]]{1,120}\s{0,4}\(([^()]{1,1000})\)\s{0,8}VALUES\s{0,8}/gi)) {
    const at = (match[1] ?? '').split(',').findIndex((one) => column.test(one))
    if (at < 0 || match.index < done) continue
    done = match.index + match[0].length
    for (let rows = 0; rows < rowsAtMost; rows += 1) {
      const begin = /^[\s,]{0,16}\(/.exec(view.slice(done, done + 20))?.[0].length
      const read = begin === undefined ? null : cellsOf(view, done + begin)
      if (read === null) break
      done = read.end
      const value = read.cells[at]
      if (value !== undefined && /^['"]/.test(value.text)) take(value.text.slice(1, -1), value.start + 1, false)
    }
  }
}

/** The values of one row up to its closing bracket; null = it has none soon. */
function cellsOf(view: string, from: number): { cells: { text: string; start: number }[]; end: number } | null {
  const cells: { text: string; start: number }[] = []
  let inside = ''
  let start = from
  for (let at = from; at < Math.min(view.length, from + rowCharacters); at += 1) {
    const sign = view.charAt(at)
    if (inside !== '') {
      if (sign === '\\') at += 1
      else if (sign === inside) inside = ''
    } else if (sign === "'" || sign === '"') inside = sign
    else if (sign === ',' || sign === ')') {
      const raw = view.slice(start, at)
      const text = raw.trim()
      cells.push({ text, start: start + raw.indexOf(text) })
      if (sign === ')') return { cells, end: at + 1 }
      start = at + 1
    }
  }
  return null
}

/** The same of lines with a sign between their cells, below a line of names. */
function tables(view: string, take: Take): void {
  let done = 0
  for (const match of view.matchAll(/(?<=^|\n)((?:["']?[A-Za-z][A-Za-z0-9_ -]{0,40}["']?[,;\t|]){1,30}["']?[A-Za-z][A-Za-z0-9_ -]{0,40}["']?)\r?\n/g)) {
    if (match.index < done) continue
    const sign = /[,;\t|]/.exec(match[1] ?? '')?.[0] ?? ','
    const names = (match[1] ?? '').split(sign)
    const at = names.findIndex((one) => column.test(one))
    if (at < 0) continue
    done = match.index + match[0].length
    for (let rows = 0; rows < rowsAtMost; rows += 1) {
      const stop = view.indexOf('\n', done)
      const cells = view.slice(done, Math.min(stop < 0 ? view.length : stop, done + rowCharacters)).split(sign)
      if (cells.length !== names.length) break
      const value = (cells[at] ?? '').trim().replace(/^["']|["']$/g, '')
      take(value, done + cells.slice(0, at).join(sign).length + (at > 0 ? 1 : 0) + (cells[at] ?? '').indexOf(value), false)
      if (stop < 0) break
      done = stop + 1
    }
  }
}
