// Owns what of a message is the model's own speech: reasoning taken away, code fences, inline code and quotations masked. Pure and linear.

/** A message without its reasoning and without the tokens that end a turn; null when it is nothing but reasoning. */
export function withoutReasoning(text: string): string | null {
  let rest = text
  // Up to the last end: a template may have opened the reasoning in the prompt.
  for (const end of ['</think>', '[/THINK]', '<|END_THINKING|>', '</seed:think>']) {
    const at = rest.lastIndexOf(end)
    if (at >= 0) rest = rest.slice(at + end.length)
  }
  if (/^\s*(?:<think>|\[THINK\]|<\|START_THINKING\|>|<seed:think>)/.test(rest)) return null
  const thought = /^\s*<\|channel>thought\n/.exec(rest)
  if (thought !== null) {
    const at = rest.indexOf('<channel|>')
    if (at < 0) return null
    rest = rest.slice(at + '<channel|>'.length)
  }
  return withoutEnd(rest)
}

const endings = /(?:<\|im_end\|>|<\|eot_id\|>|<\|eom_id\|>|<\|end\|>|<\|call\|>|<\|return\|>|<\|endoftext\|>|<\|end_of_text\|>|<end_of_turn>|<turn\|>|<\|observation\|>|<｜end▁of▁sentence｜>|<\/s>)$/

function withoutEnd(text: string): string {
  let rest = text.trimEnd()
  for (let count = 0; count < 8; count += 1) {
    const end = endings.exec(rest.slice(-40))
    if (end === null) break
    rest = rest.slice(0, rest.length - end[0].length).trimEnd()
  }
  return rest
}

export type Fence = {
  /** First character of the opening line; just behind the closing one, or the end of the text. */
  from: number
  to: number
  language: string
  inner: string
}

export type Masked = {
  /** As long as the text; fences, inline code and quoted lines are blanks. */
  text: string
  fences: Fence[]
}

/** What the model says itself, as opposed to what it shows. */
export function masked(text: string): Masked {
  const fences: Fence[] = []
  const parts: string[] = []
  let open: { from: number; mark: string; language: string; begin: number } | null = null
  let at = 0
  while (at < text.length) {
    const end = text.indexOf('\n', at)
    const next = end < 0 ? text.length : end + 1
    const line = text.slice(at, next)
    const fence = /^ {0,3}(`{3,}|~{3,})([^\n`]{0,64})/.exec(line)
    if (open === null && fence !== null) {
      open = { from: at, mark: fence[1] ?? '', language: (fence[2] ?? '').trim().toLowerCase(), begin: next }
      parts.push(' '.repeat(line.length))
    } else if (open !== null) {
      if (fence !== null && (fence[1] ?? '').startsWith(open.mark) && (fence[2] ?? '').trim() === '') {
        fences.push({ from: open.from, to: next, language: open.language, inner: text.slice(open.begin, at) })
        open = null
      }
      parts.push(' '.repeat(line.length))
    } else parts.push(/^ {0,3}>/.test(line) ? ' '.repeat(line.length) : line.replace(/`[^`\n]*`/g, (code) => ' '.repeat(code.length)))
    at = next
  }
  if (open !== null) fences.push({ from: open.from, to: text.length, language: open.language, inner: text.slice(open.begin) })
  return { text: parts.join(''), fences }
}
