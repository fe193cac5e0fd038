// Owns `hearth models show`: everything that is known of one model. Asks the daemon only.
import type { ModelDetail } from '@hearth/protocol'
import { ask } from '../ask.ts'
import type { Command } from '../command.ts'
import { serve } from '../daemon.ts'
import { modelPage } from '../model-text.ts'
import { jsonLine } from '../text.ts'

export const show: Command = {
  spec: {
    name: 'models show', operands: 'ID', arity: [1, 1],
    about: 'Prints all that is known of one model: its files and where they come from, licence, context, how the agent speaks with it, speeds that others published, what nobody knows and why, and whether it fits this box. Of a model that a provider sells: its price and the day that it is from, what jobs may ask it for, what was bought, and what is missing before anything is. ID may be an alias or an endpoint of the local network. Without a daemon one is started for a minute.',
    flags: {},
    examples: [['hearth models show smollm2-135m', 'the page of the starter']],
  },
  async run(ctx, args) {
    const { client } = await serve(ctx)
    const detail = await ask<ModelDetail>(client, `/api/models/${encodeURIComponent(args.operands[0] ?? '')}`)
    if (args.flag('json')) ctx.out.line(jsonLine(detail))
    else for (const line of modelPage(detail, ctx.out.width, ctx.out.ink)) ctx.out.line(line)
    return 0
  },
}
