// Decides what is asked next and whether an engine gives the tokens of its model: a pure function of the answers so far. Asks nobody.
// A condition (two at once, a long prompt) is only ever judged by texts that the same engine continued rightly alone: a weak model is no broken engine.
import { list, short, type Golden, type GoldenName } from './prompts.ts'

export type Condition = 'alone' | 'together' | 'long'
export type Ask = Golden & { sequence: number; condition: Condition }
/** `came`: the text. `refused`: the prompt did not fit into the window. */
export type Answer = Ask & { came: string; refused: boolean; prefillMsPerToken: number }

export type Circumstances = {
  sequences: number
  contextTokens: number
  /** The most prompt tokens this engine evaluates at once. */
  pieceTokens: number
  spentMs: number
}

export type Verdict = {
  right: boolean
  answers: { name: GoldenName; condition: Condition; right: boolean; came: string }[]
  /** What was not tried and why, as part of a sentence. */
  leftOut: string[]
  /** What went wrong, as part of a sentence; '' when right. */
  said: string
}

/** A slow device gets no more than the short texts: it is slow, not wrong. */
export const patienceMs = 60_000
const shownChars = 60
const tailChars = 24
const enoughRight = 2

export function nextStep(answers: readonly Answer[], { sequences, contextTokens, pieceTokens, spentMs }: Circumstances): { ask: Ask[] } | { verdict: Verdict } {
  const alone = answers.filter(({ condition }) => condition === 'alone')
  const right = alone.filter(isRight)
  if (right.length < enoughRight) {
    const next = short[alone.length]
    if (next !== undefined) return { ask: [{ ...next, sequence: 0, condition: 'alone' }] }
    return { verdict: verdictOf(answers, []) }
  }
  const leftOut: string[] = []
  const late = spentMs > patienceMs
  if (sequences >= 2) {
    const together = answers.filter(({ condition }) => condition === 'together')
    if (together.length === 0 && late) leftOut.push('two at once, because it would take too long here')
    else if (together.length === 0) {
      // The last one lies in sequence 0: it goes to the other one, so that neither is found there already.
      const asked = right.slice(0, 2).map(({ name, text, expected, maxTokens }, sequence): Ask => ({ name, text, expected, maxTokens, sequence, condition: 'together' }))
      return { ask: asked }
    }
    else if (!together.every(isRight)) return { verdict: verdictOf(answers, []) }
  }
  const long = answers.filter(({ condition }) => condition === 'long')
  if (long.length === 0) {
    // Its words must be copied; a model that copies nothing is not asked for it.
    const tokens = Math.min(Math.ceil(pieceTokens * 1.25), Math.floor(contextTokens / 2))
    const msPerToken = Math.min(...alone.map(({ prefillMsPerToken }) => prefillMsPerToken))
    if (!right.some(({ name }) => name === 'copy')) leftOut.push('a long text, because this model does not copy')
    else if (late || spentMs + tokens * msPerToken > patienceMs) leftOut.push('a long text, because it would take too long here')
    else return { ask: [{ ...list(tokens), sequence: 0, condition: 'long' }] }
  }
  return { verdict: verdictOf(answers, leftOut) }
}

/** Right: begins as expected, whatever blanks a tokenizer puts between. A prompt that did not fit tells nothing. */
function isRight({ came, expected, refused }: Answer): boolean {
  return refused || collapsed(came).startsWith(expected)
}

function collapsed(text: string): string {
  return text.replace(/\s+/g, ' ').trimStart()
}

function verdictOf(answers: readonly Answer[], leftOut: string[]): Verdict {
  const judged = answers.map((answer) => ({ name: answer.name, condition: answer.condition, right: isRight(answer), came: shown(answer.came) }))
  const aloneRight = answers.filter((answer) => answer.condition === 'alone' && isRight(answer)).length
  const wrong = answers.filter((answer) => !isRight(answer) && (answer.condition !== 'alone' || aloneRight < enoughRight))
  return { right: wrong.length === 0, answers: judged, leftOut, said: wrong.length === 0 ? '' : said(wrong, answers.length) }
}

const conditionText: Record<Condition, string> = { alone: '', together: ', asked two at once,', long: ', a long text,' }

function said(wrong: readonly Answer[], asked: number): string {
  const [first] = wrong
  const [shortest = '', ...others] = wrong.map(({ came }) => collapsed(came).trimEnd()).toSorted((a, b) => a.length - b.length)
  // As long as they are: some are asked for a token more.
  const same = others.every((came) => (shortest === '' ? came === '' : came.startsWith(shortest))) && new Set(wrong.map(({ name }) => name)).size > 1
  const how = first === undefined ? '' : same ? `each of them got the same answer: ${kindOf(first.came)}` : wrong.slice(0, 2).map(wentOn).join('; ')
  const more = wrong.length > 2 && !same ? `; and so on` : ''
  return `${wrong.length} of ${asked} known texts went on wrongly (${how}${more})`
}

function wentOn({ name, text, expected, condition, came }: Answer): string {
  const tail = (text.length > tailChars ? text.slice(-tailChars).replace(/^\S*\s/, '') : text).replace(/\s+/g, ' ')
  return `'${name}'${conditionText[condition]} ends in '${tail}' and went on with ${kindOf(came)} where '${expected}' is right`
}

/** What came, in words when it is no text. */
export function kindOf(came: string): string {
  if (came.trim() === '') return 'nothing'
  // Control characters, and those that stand for bytes that are no text.
  if (/^[\s\p{Cc}\p{Cf}\p{Co}\p{Cn}\uFFFD]*$/u.test(came)) return 'no readable character'
  const repeated = /^(.{1,16}?)\1{2,}/su.exec(`${came.trim()} `)
  if (repeated?.[1] !== undefined && repeated[0].length >= came.trim().length * 0.8) return `'${shown(repeated[1])}' again and again`
  return `'${shown(came)}'`
}

/** Fit for a sentence: one line, no control characters, short. */
export function shown(text: string): string {
  const clean = text.replace(/[\s\p{Cc}\p{Cf}]+/gu, ' ').trim()
  const characters = Array.from(clean)
  return characters.length > shownChars ? `${characters.slice(0, shownChars).join('')}…` : clean
}
