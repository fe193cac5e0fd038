// Owns `hearth engine ...`: building llama.cpp for this box, and what was built.
import type { BuildEvent, BuildList, BuildManifest, BuildRequestInput } from '@hearth/protocol'
import { usageFault } from '../args.ts'
import { ask } from '../ask.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { serve } from '../daemon.ts'
import { operate } from '../operation.ts'
import { age, bytes, duration, table } from '../print.ts'
import { jsonLine, oneLine, visible } from '../text.ts'
import { Meter } from '../transfer.ts'

const backends = ['cpu', 'vulkan', 'hip'] as const
const targets = { library: ['library'], server: ['server'], both: ['library', 'server'] } as const

export const build: Command = {
  spec: {
    name: 'engine build', operands: '', arity: [0, 0],
    about: "Builds the llama.cpp whose source came with Hearth for this box: the library that the built-in worker loads, and llama-server. Needs git, cmake, ninja and a C++ compiler (for Vulkan glslc, for ROCm hipcc), and no network; says first what is missing. Runs at low priority; Ctrl-C stops it and leaves nothing half made. What is built is used by itself from the next load of a model on.",
    flags: {
      backend: { type: 'string', value: 'cpu|vulkan|hip', help: 'what it computes on' },
      target: { type: 'string', value: 'library|server|both', help: 'what is built (default: both)' },
      jobs: { type: 'string', value: 'N', help: 'compilers at the same time (default: one less than there are CPUs)' },
    },
    examples: [
      ['hearth engine build --backend cpu', 'for exactly this CPU'],
      ['hearth engine build --backend hip --target server', 'a llama-server for ROCm; then name models in engine.adapters.llamaServer.models'],
    ],
  },
  async run(ctx, args) {
    const backend = backends.find((one) => one === args.text('backend'))
    if (backend === undefined) throw usageFault(`--backend takes ${backends.join(', ')}${args.text('backend') === null ? '' : `, not '${args.text('backend')}'`}.`)
    const wish = args.text('target') ?? 'both'
    if (!Object.hasOwn(targets, wish)) throw usageFault(`--target takes library, server or both, not '${wish}'.`)
    const request: BuildRequestInput = { backend, targets: [...targets[wish as keyof typeof targets]], jobs: args.whole('jobs', 1) }
    const json = args.flag('json')
    const made = await watch(ctx, request, json)
    if (!json) ctx.out.line(`${visible(made.name)} is built: ${bytes(made.bytes)} in ${duration(made.buildMs)}, ${oneLine(made.compiler)}`)
    return 0
  },
}

/** Shows a build until its end; a bar on a terminal, a line each tenth in a pipe. Throws its fault, or `cancelled` on Ctrl-C. */
async function watch(ctx: Context, request: BuildRequestInput, json: boolean): Promise<BuildManifest> {
  const { client } = await serve(ctx)
  const meter = new Meter(ctx.err, ctx.err.tty && ctx.env['TERM'] !== 'dumb')
  const done = await operate<BuildEvent>(ctx, {
    client, path: '/api/engine/builds', body: request, json, left: 'the terminal; nothing of the build is left', noResult: 'the build ended without a result',
    tell(event) {
      switch (event.type) {
        case 'step': case 'note': return meter.line(oneLine(event.text))
        case 'progress': return meter.part(event.done / Math.max(1, event.total), progressText(event))
        default: event satisfies never
      }
    },
    clear: () => ctx.err.write(meter.clear()),
  })
  return done.build
}

/** ' 42%  126 of 300 files  3 m 10 s left'. */
export function progressText(event: Extract<BuildEvent, { type: 'progress' }>): string {
  const percent = Math.floor((event.done / Math.max(1, event.total)) * 100)
  return `${String(percent).padStart(3)}%  ${event.done} of ${event.total} steps${event.etaMs === null || event.done === event.total ? '' : `  ${duration(event.etaMs)} left`}`
}

export const ls: Command = {
  spec: {
    name: 'engine ls', operands: '', arity: [0, 0],
    about: 'Lists the engines that were built on this box, newest first, and which models run on them now. Without a daemon one is started for a minute.',
    flags: {},
    examples: [['hearth engine ls --json', 'with compiler, commit and the arguments of cmake']],
  },
  async run(ctx, args) {
    const list = await ask<BuildList>((await serve(ctx)).client, '/api/engine/builds')
    if (args.flag('json')) {
      ctx.out.line(jsonLine(list))
      return 0
    }
    if (list.builds.length === 0) {
      ctx.out.line("Nothing was built here; 'hearth engine build --backend cpu' builds llama.cpp for this box.")
      return 0
    }
    const { ink, width } = ctx.out
    const rows = list.builds.map((one) => [
      oneLine(one.name), one.backend, one.targets.join(', '), oneLine(`${one.release} ${one.commit.slice(0, 9)}`), bytes(one.bytes), age(Date.now() - one.builtAt),
      one.problem === null ? oneLine(one.usedBy.join(', ')) || '-' : { text: oneLine(one.problem), ink: ink.red },
    ])
    const head = [{ title: 'BUILD' }, { title: 'BACKEND' }, { title: 'HOLDS' }, { title: 'LLAMA.CPP' }, { title: 'SIZE', side: 'right' as const }, { title: 'BUILT' }, { title: 'USED BY' }]
    for (const line of table(head, rows, width, ink)) ctx.out.line(line)
    return 0
  },
}

export const rm: Command = {
  spec: {
    name: 'engine rm', operands: 'NAME', arity: [1, 1],
    about: 'Removes an engine that was built here. Refused while a model runs on it.',
    flags: {},
    examples: [['hearth engine rm cpu-v0.5.0', 'the next load uses an older build, or what came with Hearth']],
  },
  async run(ctx, args) {
    const name = args.operands[0] ?? ''
    const reply = await (await serve(ctx)).client.call<unknown>('DELETE', `/api/engine/builds/${encodeURIComponent(name)}`)
    ctx.out.line(args.flag('json') ? jsonLine(reply) : `${visible(name)} is removed`)
    return 0
  },
}
