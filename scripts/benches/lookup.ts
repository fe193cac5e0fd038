// Prompt lookup: the same model with the switch on against the switch off, on text that is copied and on prose, greedy; and whether both say the same.
import { ModelRequest, type Message, type Model } from '@hearth/protocol'
import { throughHearth } from './decode.ts'
import { against, takeTurns, type Benchmark, type Row } from './frame.ts'

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
  title: 'Prompt lookup',
  async run(context) {
    const plain = await throughHearth(context)
    const ahead = await throughHearth(context, { speculation: 'lookup' })
    try {
      const rows: Row[] = []
      for (const { name, bar, maxTokens, messages } of talks) {
        context.say(`${name}, up to ${maxTokens} tokens, ${context.rounds} rounds`)
        const said = { plain: new Set<string>(), ahead: new Set<string>() }
        let drafted = 0
        let accepted = 0
        const one = async (model: Model, texts: Set<string>): Promise<number> => {
          const answer = await generate(model, messages, maxTokens)
          texts.add(answer.text)
          drafted += answer.drafted
          accepted += answer.accepted
          return answer.tokensPerSecond
        }
        const found = await takeTurns(context.rounds, { ahead: () => one(ahead.model, said.ahead), plain: () => one(plain.model, said.plain) })
        const same = new Set([...said.plain, ...said.ahead]).size === 1
        const note = `${accepted} of ${drafted} drafted tokens were right; ${same ? 'both say the same, every time' : `DIFFERENT TEXTS: ${[...said.plain, ...said.ahead].map((text) => JSON.stringify(text.slice(0, 2000))).join(' | ')}`}`
        rows.push(against({ bench: 'lookup', figure: `${name}, switch on against off`, unit: 'tokens/s', note }, found.ahead, { name: 'off', samples: found.plain }, { is: 'at least', ratio: bar }))
      }
      return rows
    } finally {
      await ahead.stop()
      await plain.stop()
    }
  },
}

async function generate(model: Model, messages: Message[], maxTokens: number): Promise<{ text: string; tokensPerSecond: number; drafted: number; accepted: number }> {
  const request = ModelRequest.parse({ messages, sampling: { temperature: 0 }, maxTokens, sessionKey: 'bench', purpose: 'bench' })
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
