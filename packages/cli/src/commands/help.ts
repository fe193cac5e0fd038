// Owns `hearth help`: the overview, one command's text, or a topic.
import { nearest, usageFault } from '../args.ts'
import type { Command, Commands } from '../command.ts'
import { commandHelp, overview, reference, topics } from '../help.ts'
import { jsonLine } from '../text.ts'

export function help(commands: Commands): Command {
  return {
    spec: {
      name: 'help', operands: '[COMMAND]', arity: [0, 2],
      about: 'Prints the commands, or the help of one of them, or a topic: exit-codes, environment.',
      flags: { markdown: { type: 'boolean', help: 'all of it as one page of Markdown (docs/cli.md)' } },
      examples: [['hearth help run', 'explains hearth run']],
    },
    async run(ctx, args) {
      if (args.flag('markdown')) {
        ctx.out.write(await reference(commands))
        return 0
      }
      if (args.flag('json')) {
        const specs = await Promise.all(Object.values(commands).map(async (entry) => ({ summary: entry.summary, ...(await entry.load()).spec })))
        ctx.out.line(jsonLine({ commands: specs }))
        return 0
      }
      const name = args.operands.join(' ')
      if (name === '') ctx.out.write(overview(commands))
      else if (Object.hasOwn(topics, name)) ctx.out.write(topics[name]?.() ?? '')
      else if (Object.keys(commands).some((key) => key.startsWith(`${name} `))) {
        const group = Object.entries(commands).filter(([key]) => key.startsWith(`${name} `))
        for (const [i, [, entry]] of group.entries()) ctx.out.write((i === 0 ? '' : '\n') + commandHelp((await entry.load()).spec))
      } else {
        const entry = Object.hasOwn(commands, name) ? commands[name] : undefined
        if (entry === undefined) {
          const near = nearest(name, [...Object.keys(commands), 'models', ...Object.keys(topics)])
          throw usageFault(`There is no help on '${name}'${near === null ? '' : `; the nearest is '${near}'`}.`)
        }
        ctx.out.write(commandHelp((await entry.load()).spec))
      }
      return 0
    },
  }
}
