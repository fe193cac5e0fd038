// Owns the kept rules: secretlint's recommended ones, made once. Loaded when something is first looked at.
// They are run here and not by secretlint's core: its profiler keeps a mark for each rule and text, for ever. A test compares the two.
import type { rules as recommended } from '@secretlint/secretlint-rule-preset-recommend'
import type { Finding } from './finding.ts'

type Context = Parameters<(typeof recommended)[number]['create']>[0]
type Source = Parameters<NonNullable<ReturnType<(typeof recommended)[number]['create']>['file']>>[0]

// The first lets a comment in a text switch the rules off, and the text is not ours. The second wants whole files. The third takes a second for a megabyte
// of a hostile text (`ghs_1_` again and again: 0.9 MB/s). The fourth gives the place of the name and the length of the key. Ours have what these two find.
export const leftOut = /filter-comments$|rule-gcp$|rule-github$|rule-aws$/

type Look = (text: string) => Promise<Finding[]>
let made: Promise<Look> | null = null

/** What the kept rules find. */
export async function keptMatches(text: string): Promise<Finding[]> {
  made ??= load()
  return (await made)(text)
}

async function load(): Promise<Look> {
  const { rules } = await import('@secretlint/secretlint-rule-preset-recommend')
  let found: Finding[] = []
  const looks = rules.filter(({ meta }) => !leftOut.test(meta.id)).map((rule) => {
    const kind = kindOf(rule.meta.id)
    // What a rule asks of its surroundings: words for its message, which is not read, and a place to report to.
    const context = {
      sharedOptions: {}, locale: 'en', createTranslator: () => () => ({ message: '', messageId: '', data: {} }), ignore: () => undefined,
      report: ({ range: [start, end] }: { range: readonly [number, number] }) => { found.push({ kind, start, end }) },
    } as unknown as Context
    return rule.create(context, {})
  })
  return (text) => {
    const mine: Finding[] = []
    found = mine
    const source = { content: text, filePath: 'packet.txt', ext: '.txt', contentType: 'text', hasBOM: false } as unknown as Source
    // None of these rules waits for anything: what one has reported is there when it returns.
    for (const look of looks) void look.file?.(source)
    return Promise.resolve(mine)
  }
}

function kindOf(ruleId: string): string {
  const name = ruleId.replace(/^@secretlint\/secretlint-rule-/, '')
  return name === 'privatekey' ? 'private-key' : name === 'basicauth' || name === 'database-connection-string' ? 'url-password' : `${name.replace(/[^a-z0-9-]/g, '')}-secret`
}
