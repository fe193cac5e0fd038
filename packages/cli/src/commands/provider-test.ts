// Owns `hearth provider test`: the smallest possible call to a provider, after a person agreed to its price.
import type { ProviderTrial } from '@hearth/protocol'
import { usageFault } from '../args.ts'
import { ask } from '../ask.ts'
import type { Command } from '../command.ts'
import { serve } from '../daemon.ts'
import { count, usd } from '../print.ts'
import { jsonLine, oneLine } from '../text.ts'
import { typed } from '../typed.ts'

const idleExitSeconds = 60
const trialMs = 300_000

export const test: Command = {
  spec: {
    name: 'provider test', operands: 'NAME', arity: [1, 1],
    about: 'Sends the smallest possible call to a model that is sold, or to the first one of a provider, and tells whether it answers. Says first what is sent and what it costs at worst, and asks; with --yes it does not. '
      + 'Nothing of any folder is sent. The call is in hearth egress, hearth usage and the budget as every other.',
    flags: { yes: { type: 'boolean', help: 'do not ask; needed where nobody can be' } },
    examples: [['hearth provider test anthropic', 'what it costs, and then the call']],
  },
  async run(ctx, args) {
    const path = `/api/providers/${encodeURIComponent(args.operands[0] ?? '')}/trial`
    const { client } = await serve(ctx, idleExitSeconds)
    const look = await ask<ProviderTrial>(client, path)
    const json = args.flag('json')
    if (!json) ctx.out.line(`To ${oneLine(look.model)} at ${oneLine(look.host)}: '${oneLine(look.text)}', an answer of at most ${count(look.maxTokens)} tokens; ${usd(look.worstUsdMicros)} at worst.`)
    if (!args.flag('yes')) {
      if (!ctx.stdin.isTTY || json) throw usageFault('Nobody can be asked here, so nothing was sent; --yes sends it.')
      if (!/^y(es)?$/i.test((await typed(ctx, 'Send it? [y/N] ', true)).trim())) {
        ctx.out.line('Nothing was sent.')
        return 0
      }
    }
    const done = await client.call<ProviderTrial>('POST', path, { worstUsdMicros: look.worstUsdMicros }, AbortSignal.timeout(trialMs))
    if (json) ctx.out.line(jsonLine(done))
    else if (done.answer !== undefined) {
      const { text, usage, ttftMs, usdMicros } = done.answer
      const said = text.trim() === '' ? `no word: its ${count(usage.completionTokens)} tokens were thoughts` : `'${oneLine(text.trim())}'`
      ctx.out.line(`It answers: ${said}${ttftMs === null ? '' : ` after ${Math.round(ttftMs)} ms`}, for ${usd(usdMicros)} (${count(usage.promptTokens)} tokens read, ${count(usage.completionTokens)} written).`)
      ctx.out.line(`A job may ask it now: hearth run --help tells of --escalate; hearth models show ${oneLine(done.model)} tells for what.`)
    }
    return 0
  },
}
