// Guessing ahead: the same model with it against without it, on text that is copied and on prose, greedy; and whether all say the same, or how near a tie they part.
import { ModelRequest, type Message, type Model } from '@hearth/protocol'
import { throughHearth } from './decode.ts'
import { epsilonLogits, greedyGap } from '../../test/fixtures/greedy-gap.ts'
import { benchHome, openEngine } from './engine-parts.ts'
import { against, takeTurns, within, type Benchmark, type Row } from './frame.ts'

const passage = [
  'The lamp in the old harbour was lit each evening by a man named Joren, who walked up the stone stairs with a can of oil.',
  'On Mondays the market opened at six, and the first to come were always the two sisters who sold goat cheese and blue flowers.',
  'A ferry went to the island twice a day, and nobody could remember a winter in which it had not sailed.',
  'The school had eleven children, one teacher, and a stove that smoked whenever the wind came from the west.',
  'In the library a red cat slept on the third shelf, between the atlas of the northern seas and a cook book without a cover.',
  'The baker kept a list of all the ships that owed him money, and it hung beside the oven where the flour made it white.',
  'Twice a year a painter came from the capital, rented the room above the smithy, and complained about the noise of hammers.',
  'The bridge over the stream was built by three brothers who did not speak to each other, and so it has three different railings.',
  'When the clock in the tower stopped in the year of the great frost, people agreed to meet by the shadow of the old pear tree.',
  'Letters took nine days from the coast, and the postman read the cards aloud to everyone who could not find their glasses.',
].join(' ')

const talks: readonly { name: string; bar: number; maxTokens: number; messages: Message[] }[] = [
  {
    name: 'copied text', bar: 1.3, maxTokens: 400,
    messages: [
      { role: 'user', text: `Repeat this text word for word:\n\n${passage}` }, { role: 'assistant', text: passage },
      { role: 'user', text: 'Repeat the same text once more, word for word.' },
    ],
  },
  { name: 'prose', bar: 0.97, maxTokens: 160, messages: [{ role: 'user', text: 'Tell me a long story about a lighthouse.' }] },
]

export const lookup: Benchmark = {
  name: 'lookup',
  title: 'Guessing ahead: prompt lookup, and a draft model that is always right but as dear as the model',
  async run(context) {
    const { home, remove } = benchHome()
    const plain = await throughHearth(context)
    const ahead = await throughHearth(context, { speculation: 'lookup' })
    // The second file is a link to the first: the model guesses for itself, so every guess costs what a token costs.
    const twin = await openEngine(context, home, { threads: 1, contextTokens: 4096, speculation: 'draft', draftModels: { other: 'bench' } })
    try {
      const rows: Row[] = []
      for (const { name, bar, maxTokens, messages } of talks) {
        context.say(`${name}, up to ${maxTokens} tokens, ${context.rounds} rounds`)
        const said = { plain: new Set<string>(), lookup: new Set<string>(), draft: new Set<string>() }
        const guesses = { plain: [0, 0], lookup: [0, 0], draft: [0, 0] }
        const one = async (model: Model, by: keyof typeof said): Promise<number> => {
          const answer = await generate(model, messages, maxTokens)
          said[by].add(answer.text)
          guesses[by] = [(guesses[by][0] ?? 0) + answer.drafted, (guesses[by][1] ?? 0) + answer.accepted]
          return answer.tokensPerSecond
        }
        const found = await takeTurns(context.rounds, {
          lookup: () => one(ahead.model, 'lookup'), plain: () => one(plain.model, 'plain'), draft: () => one(twin.other, 'draft'),
        })
        const texts = await compare(plain.model, { messages, maxTokens }, said)
        const row = (by: 'lookup' | 'draft', least: number): Row => against(
          { bench: 'lookup', figure: `${name}, ${by} against off`, unit: 'tokens/s', note: `${guesses[by][1]} of ${guesses[by][0]} guessed tokens were right` },
          found[by], { name: 'off', samples: found.plain }, { is: 'at least', ratio: least })
        rows.push(row('lookup', bar), row('draft', 0.97), within(
          { bench: 'lookup', figure: `${name}, largest gap of the two best logits where two texts part`, unit: 'logits', note: texts.note },
          [texts.gap], { name: 'kernels may differ by', value: epsilonLogits }, { is: 'at most', ratio: 1 }))
      }
      return rows
    } finally {
      await twin.close()
      await ahead.stop()
      await plain.stop()
      remove()
    }
  },
}

/** Whether all texts are one; where they part, how near a tie that was. A text that parts without a tie has an endless gap. */
async function compare(model: Model, request: { messages: Message[]; maxTokens: number }, said: Readonly<Record<string, ReadonlySet<string>>>): Promise<{ gap: number; note: string }> {
  const [reference = '', ...others] = new Set(Object.values(said).flatMap((texts) => [...texts]))
  if (others.length === 0) return { gap: 0, note: 'one text, every time' }
  const who = (text: string): string => Object.entries(said).filter(([, texts]) => texts.has(text)).map(([by]) => by).join(' and ')
  const parts = [`said by ${who(reference)}: the text`]
  let largest = 0
  for (const other of others) {
    const gap = await greedyGap(model, request, reference, other)
    largest = Math.max(largest, gap?.logits ?? Infinity)
    parts.push(`by ${who(other)}: another from character ${gap?.at ?? '?'} on, ${gap === null ? 'not by a tie' : `${JSON.stringify(gap.best)} or ${JSON.stringify(gap.second)}, ${gap.logits.toFixed(3)} logits apart`}`)
  }
  return { gap: largest, note: parts.join('; ') }
}

async function generate(model: Model, messages: Message[], maxTokens: number): Promise<{ text: string; tokensPerSecond: number; drafted: number; accepted: number }> {
  const request = ModelRequest.parse({ messages, sampling: { temperature: 0 }, maxTokens, sessionKey: 'bench' })
  let text = ''
  for await (const event of model.generate(request, new AbortController().signal)) {
    if (event.type === 'text') text += event.text
    if (event.type === 'failed') throw new Error(event.fault.message)
    if (event.type === 'done') {
      const { completionTokens, drafts } = event.usage
      return { text, tokensPerSecond: completionTokens / (event.timings.decodeMs / 1000), drafted: drafts?.draftedTokens ?? 0, accepted: drafts?.acceptedTokens ?? 0 }
    }
  }
  throw new Error('the stream ended without done or failed')
}
