// Owns how an HTML page reads as text: headings, lists, links, preformatted text; without scripts, styles, comments and what a reader would not see.
// One pass, linear in its length; it is for reading, not for trusting.

/** Their content is no text of the page. */
const silent = new Set(['script', 'style', 'template', 'svg', 'math', 'iframe', 'object', 'audio', 'video', 'canvas', 'select', 'textarea', 'datalist'])
const empty = new Set(['area', 'base', 'br', 'col', 'embed', 'hr', 'img', 'input', 'link', 'meta', 'source', 'track', 'wbr'])
const blocks = new Set(['p', 'div', 'section', 'article', 'header', 'footer', 'main', 'nav', 'aside', 'ul', 'ol', 'dl', 'dt', 'dd', 'table', 'tr', 'form', 'fieldset', 'figure', 'figcaption', 'blockquote', 'address', 'hr', 'details', 'summary', 'body', 'html', 'title', 'pre', 'li', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6'])
/** No empty line stands between two of them. */
const tight = new Set(['li', 'tr', 'dt', 'dd', 'div'])
const hiddenBy = /(?:^|[\s"'])hidden(?=[\s=/]|$)|aria-hidden\s*=\s*["']?true|(?:display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d]*[1-9]))/i
/** What is longer is no tag, but text. */
const longestTag = 16_384

const entities: Readonly<Record<string, string>> = {
  amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ', ndash: '–', mdash: '—', hellip: '…', copy: '©', reg: '®', trade: '™', laquo: '«', raquo: '»', lsquo: '‘', rsquo: '’', ldquo: '“', rdquo: '”',
  bull: '•', middot: '·', euro: '€', deg: '°', times: '×', larr: '←', rarr: '→', auml: 'ä', ouml: 'ö', uuml: 'ü', Auml: 'Ä', Ouml: 'Ö', Uuml: 'Ü', szlig: 'ß', eacute: 'é', egrave: 'è', agrave: 'à', ccedil: 'ç',
}

function decoded(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,8}));/gi, (whole: string, decimal?: string, hex?: string, name?: string) => {
    if (name !== undefined) return entities[name] ?? whole
    const code = decimal === undefined ? Number.parseInt(hex ?? '', 16) : Number(decimal)
    return code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) ? String.fromCodePoint(code) : ''
  })
}

type Tag = { name: string; closes: boolean; attributes: string; end: number }

/** `name` '' = it began like a tag and has no end. */
function tagAt(html: string, at: number): Tag | null {
  const [, slash, name] = /^<(\/?)([a-z][a-z0-9:-]{0,40})/i.exec(html.slice(at, at + 48)) ?? []
  if (name === undefined) return null
  const start = at + 1 + (slash?.length ?? 0) + name.length
  let quote = ''
  let end = start
  for (; end < html.length && end - at < longestTag; end += 1) {
    const char = html[end] ?? ''
    if (quote !== '') {
      if (char === quote) quote = ''
    } else if (char === '>') return { name: name.toLowerCase(), closes: slash === '/', attributes: html.slice(start, end), end: end + 1 }
    else if ((char === '"' || char === "'") && html[end - 1] === '=') quote = char
  }
  return { name: '', closes: false, attributes: '', end }
}

function attribute(attributes: string, name: string): string {
  const [, double, single, bare] = new RegExp(`(?:^|\\s)${name}\\s*=\\s*(?:"([^"]*)"|'([^']*)'|([^\\s"'>]+))`, 'i').exec(attributes) ?? []
  return decoded(double ?? single ?? bare ?? '').trim()
}

/** The text of a page that lies at `base`; links are written as Markdown, with whole addresses. */
export function textOfHtml(html: string, base: string): string {
  const out: string[] = []
  let preformatted = 0
  let skipped: { name: string; depth: number } | null = null
  let link: { href: string; from: number } | null = null
  const line = (): void => void out.push('\n')
  const say = (text: string): void => {
    if (skipped === null && text !== '') out.push(preformatted > 0 ? decoded(text) : decoded(text.replace(/[ \t\r\n\f]+/g, ' ')))
  }
  const closeLink = (): void => {
    if (link === null) return
    const words = out.splice(link.from).join('').trim()
    out.push(words === '' || link.href === '' ? words : `[${words}](${link.href})`)
    link = null
  }
  // Of ASCII alone: a letter like İ is two in lower case, and no place behind it would be right.
  const lower = html.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
  for (let at = 0; at < html.length; ) {
    const open = html.indexOf('<', at)
    say(html.slice(at, open === -1 ? html.length : open))
    if (open === -1) break
    if (html.startsWith('<!--', open) || html[open + 1] === '!' || html[open + 1] === '?') {
      const comment = html.startsWith('<!--', open)
      const end = html.indexOf(comment ? '-->' : '>', open + 2)
      at = end === -1 ? html.length : end + (comment ? 3 : 1)
      continue
    }
    const tag = tagAt(html, open)
    if (tag === null) {
      say('<')
      at = open + 1
      continue
    }
    at = tag.end
    if (tag.name === '') {
      say(html.slice(open, at))
      continue
    }
    const { name, closes, attributes } = tag
    if (skipped !== null) {
      if (name === skipped.name) skipped.depth += closes ? -1 : 1
      if (skipped.depth === 0) skipped = null
      continue
    }
    if (!closes && silent.has(name)) {
      const end = lower.indexOf(`</${name}`, at)
      at = end === -1 ? html.length : Math.max(at, lower.indexOf('>', end) + 1 || html.length)
      continue
    }
    if (!closes && !empty.has(name) && hiddenBy.test(attributes)) {
      skipped = { name, depth: 1 }
      continue
    }
    if (blocks.has(name)) {
      if (link !== null) say(' ')
      else if (!tight.has(name) || out.at(-1) !== '\n') line()
    }
    if (name === 'pre') preformatted = Math.max(0, preformatted + (closes ? -1 : 1))
    else if (name === 'br') line()
    else if (!closes && name === 'li') say('- ')
    else if (!closes && (name === 'td' || name === 'th')) say(' | ')
    else if (/^h[1-6]$/.test(name)) out.push(closes ? '\n' : `\n${'#'.repeat(Number(name[1]))} `)
    else if (!closes && name === 'title') out.push('# ')
    else if (!closes && name === 'img') say(attribute(attributes, 'alt'))
    else if (name === 'a') {
      closeLink()
      const href = closes ? '' : attribute(attributes, 'href')
      if (!closes) link = { href: /^(?:https?:|\/|\.|[\w%-]+(?:[/?.]|$))/i.test(href) && href.length < 500 && URL.canParse(href, base) ? new URL(href, base).href : '', from: out.length }
    }
  }
  closeLink()
  return out.join('').split('\n').map((text) => text.trimEnd()).join('\n').replace(/\n[ \t]+(?=- |#|\| |\n)/g, '\n').replace(/\n{3,}/g, '\n\n').trim()
}
