// Owns the judgement of a value that stands behind a telling name: a secret, or a word, a variable, a hash, an example. Pure.

/** Bits of a character, from the frequencies within the text (Shannon). */
export function entropyOf(text: string): number {
  const counts = new Map<string, number>()
  for (const one of text) counts.set(one, (counts.get(one) ?? 0) + 1)
  let bits = 0
  for (const count of counts.values()) bits -= count / text.length * Math.log2(count / text.length)
  return bits
}

const kindOf = (code: number): number => (code >= 97 && code <= 122 ? 1 : code >= 65 && code <= 90 ? 2 : code >= 48 && code <= 57 ? 3 : 4)

/** How often neighbours are of another kind (lower, upper, digit, sign), 0 to 1: about 0.6 in random base62, 0.45 in random hex, below 0.25 in names people write. */
function unrest(text: string): number {
  let changes = 0
  for (let i = 1; i < text.length; i += 1) if (kindOf(text.charCodeAt(i)) !== kindOf(text.charCodeAt(i - 1))) changes += 1
  return changes / Math.max(1, text.length - 1)
}

// What people write where a secret would stand, and what programs put there.
const example = /^(?:x{3,}|\*{3,}|\.{3,}|#+|0+|1234?5?6?7?8?9?0?|none|null|nil|true|false|undefined|yes|no|test(?:ing)?\d{0,3}|pass(?:word)?\d{0,2}|passwd|pwd|secret|token|string|str|changeme|change[_-]?it|redacted|removed|hidden|masked|empty|default|required|optional|foo(?:bar)?|bar|baz|dummy|fake|sample|todo|tbd|user(?:name)?|admin|root|hunter|bearer|basic|type|text)$/i
const template = /^(?:<.*>?|\$.*|%[A-Za-z_]\w*%.*|\{.*|\[.*|&.*|@.*|!.*\w\(|!{1,2}[A-Za-z]{1,20}|.*\.\.\.|.*\*{4}.*|.*x{6}.*|.*X{6}.*|__.*__|.*<[a-z_ -]+>.*|.*\$\{.*|.*\{\{.*|.*#\{.*|.*[‹›].*|\\.*)$/
const exampleWords = /example|placeholder|changeme|change[_-]me|your[_-]|[_-]?here$|insert[_-]|replace|redacted|dummy|sample|todo|xxxx|lorem/i
// a.b.c(, foo(), A::B, a->b, new X, `a.b` where every part is a name
const expression = /[(){}[\]<>|]|::|->|=>|^new |^(?:process|import|os|env|config|this|self|options|settings|secrets|vars|var|data|local|req|request|ctx|args|params|module|exports|window|document)\b[.?!]|^[A-Za-z_$][\w$]*(?:\??\.[A-Za-z_$][\w$]*)+[;,]?$/
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
const hex = /^(?:0x)?[0-9a-fA-F]+$/
// One or more words: letters only, however they are put together.
const wordsOnly = /^[A-Za-z]+(?:[ _./:,'-]+[A-Za-z]+)*[.:!?]?$/
// The same with small numbers: user-list-page-2, v1.2/items.
const slug = /^(?:[A-Za-z]{2,}\d{0,2}|\d{1,4})(?:[-_.:/]+(?:[A-Za-z]{2,}\d{0,2}|\d{1,4}))+$/
// Digests and pins of files, versions and times.
const known = /^(?:[\d_.,]+$|[\^~><=]{1,2} ?v?\d+[.\d\w-]*$|sha\d{1,3}[-:]|md5[-:]|v?\d+\.\d+|\d{4}-\d\d-\d\d|\d+(?:ms|s|m|h|d|px|em|rem|%|kb|mb|gb)?$|https?:\/\/|file:|data:|urn:|ssh-(?:rsa|ed25519|dss) |\/|\.{1,2}\/|~\/|application\/|text\/|[\w-]+\.(?:js|ts|json|py|go|rs|c|h|md|txt|ya?ml|toml|pem|crt|cer|key|pub|html?|css|png|svg|sh|sql|xml)$)/i

/**
 * Whether a value is a secret. `name`: password = whoever writes a value there means one, so a short one with a digit or sign is enough; key = it has to look made by chance.
 * `loose`: it stood without quotes, where a program may have a variable.
 */
export function isSecretValue(value: string, name: 'password' | 'key', loose: boolean): boolean {
  const text = value.trim()
  if (text.length < (name === 'password' ? 5 : 12) || text.length > 4096) return false
  if (isNone(text) || (text.includes('%') && isNone(unescapedAddress(text)))) return false
  if (exampleWords.test(text) && text.length < 64) return false
  if (loose && expression.test(text)) return false
  if (/\s/.test(text)) return false
  const digits = /\d/.test(text)
  const letters = /[A-Za-z]/.test(text)
  if (name === 'password') {
    if (loose && /^[A-Za-z_$][A-Za-z_$]*\d{0,2}$/.test(text) && text.length < 8) return digits
    // Names with a number at their end are names: id_token_2, arg1, utf8.
    if (/^[a-z]+(?:[_-][a-z]+)+\d?$|^[a-z]+(?:[A-Z][a-z]+)+\d?$/.test(text)) return false
    if (!letters && digits) return text.length >= 6 && /^\d+$/.test(text) ? !loose : !/^[\d.:,\-+/ ]+$/.test(text)
    return digits || /[^\w\s.:/,-]/.test(text)
  }
  if (uuid.test(text)) return true
  if (hex.test(text)) return text.length >= 24 && digits && letters && entropyOf(text.toLowerCase()) > 2.8
  if (!letters || slug.test(text) || !/^[\x21-\x7e]+$/.test(text)) return false
  if (/^[\w.-]+\/[\w./-]+$/.test(text) && unrest(text) < 0.35) return false
  if (loose && isIdentifier(text)) return false
  const bits = entropyOf(text)
  if (!digits) return text.length >= 24 && bits > 4 && unrest(text) > 0.3 && /[a-z]/.test(text) && /[A-Z]/.test(text) && !/[_ .-]/.test(text)
  return bits >= 3 && unrest(text) >= (text.length >= 20 ? 0.22 : 0.3)
}

function isNone(text: string): boolean {
  return example.test(text) || template.test(text) || known.test(text) || wordsOnly.test(text)
}

function unescapedAddress(text: string): string {
  return text.replace(/%([2-7][0-9a-fA-F])/g, (_whole, code: string) => String.fromCharCode(parseInt(code, 16)))
}

/** A name of a program: words of four letters and more on average, with few digits among them. Letters made by chance change their case at every second. */
function isIdentifier(text: string): boolean {
  if (!/^[A-Za-z_$][\w$]*$/.test(text)) return false
  const words = text.match(/[A-Z]?[a-z]+|[A-Z]+(?![a-z])/g) ?? []
  return words.length > 0 && words.join('').length / words.length >= 4 && (text.match(/\d/g) ?? []).length <= 4
}
