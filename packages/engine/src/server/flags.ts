// Owns what a llama-server program can do, read off its own --help and --version, and the arguments made of it. Pure; runs nothing.
// Flags were renamed over time, so none is passed that the program does not list.
import { dirname } from 'node:path'
import { fault, type Fault, type LlamaServerConfig } from '@hearth/protocol'
import type { Load } from '../local/wire.ts'

export type ServerProbe = {
  flags: ReadonlySet<string>
  /** It can listen on a Unix socket: the only way in, because its sandbox has no network. */
  unixSocket: boolean
  /** Speculation kinds of `--spec-type`. */
  speculation: readonly string[]
  /** Number of the build; null when it was built from a clone without history. */
  build: number | null
  commit: string | null
  /** Built for ROCm. */
  hip: boolean
}

/** `devices`: output of --list-devices; `neighbours`: names of the files beside the program. */
export function readProbe(help: string, version: string, devices: string, neighbours: readonly string[]): ServerProbe {
  const flags = new Set<string>()
  for (const entry of help.split(/\n(?=-)/)) {
    if (/has been removed/.test(entry)) continue
    // Two blanks part the names from the explanation, which may name other flags.
    for (const [flag] of (/^-\S.*?(?= {2,}[^-\s]|$)/m.exec(entry)?.[0] ?? '').matchAll(/(?<![\w-])--?[a-zA-Z][a-zA-Z0-9-]*/g)) flags.add(flag)
  }
  const said = /version:\s*(?:\S+\s*\()?(?:build\s+)?(\d+)?[^()]*?(?:,\s*commit\s+|\()([0-9a-f]{7,40})\)?/.exec(version)
  const build = Number(said?.[1] ?? 0)
  return {
    flags,
    unixSocket: /UNIX socket/i.test(help),
    speculation: /^--spec-type\s+(\S+)/m.exec(help)?.[1]?.split(',') ?? [],
    // A shallow clone counts itself: 1 says nothing.
    build: build > 1 ? build : null,
    commit: said?.[2] ?? null,
    hip: /\b(ROCm|HIP)\d/.test(devices) || neighbours.some((name) => name.startsWith('libggml-hip')),
  }
}

// llama.cpp PR 24233 (c7d87229, first seen in b10040, 2026-07-16) made ROCm builds return other slots' text on integrated GPUs; mended by d4389a4d (2026-09-08).
// b10864 was the newest build on that day; the round number behind it is the first that is trusted.
const badFrom = 10_040
const badUntil = 10_900

/** Why this program may not serve, or null. */
export function refusal(program: string, probe: ServerProbe): Fault | null {
  if (!probe.unixSocket) {
    return fault('engine_refused', { program, why: 'it cannot listen on a Unix socket, and an engine has no network here', remedy: 'Use a newer llama-server.' })
  }
  if (probe.hip && probe.build !== null && probe.build >= badFrom && probe.build < badUntil) {
    return fault('engine_refused', {
      program, why: `it is a ROCm build (b${probe.build}) of the range b${badFrom} to b${badUntil - 1} that returns wrong tokens on this class of GPU`,
      remedy: 'Use a build from after 2026-09-08 (it holds commit d4389a4d), an older one, or a Vulkan build.',
    })
  }
  return null
}

export type ServerArguments = { argv: string[]; env: Record<string, string>; notes: string[] }

/** Arguments for one model. Whatever was wished for and is not in this build is left out with a note. `heads`: the model file has prediction heads. */
export function serverArguments(probe: ServerProbe, load: Load, config: LlamaServerConfig, socket: string, heads: boolean): ServerArguments {
  const has = (flag: string): boolean => probe.flags.has(flag)
  const notes: string[] = []
  const env: Record<string, string> = {}
  const argv = [
    '--model', load.modelPath, '--host', socket, '--parallel', String(load.sequences), '--ctx-size', String(load.contextTokens * load.sequences),
    '--batch-size', String(Math.max(load.batchTokens, 32)), '--ubatch-size', String(Math.max(load.batchTokens, 32)),
    '--threads', String(load.threads), '--threads-batch', String(load.threads),
  ]
  const add = (...parts: string[]): void => {
    const flag = parts[0]
    if (flag !== undefined && has(flag)) argv.push(...parts)
  }
  if (load.backend === 'cpu') {
    add('--device', 'none')
    add('--n-gpu-layers', '0')
  } else {
    add('--n-gpu-layers', '999')
    // Mapping the file stalls ROCm past about 20 GB and doubles the memory of an integrated GPU.
    if (has('--load-mode')) add('--load-mode', 'none')
    else add('--no-mmap')
  }
  // The window was planned; a silently smaller one would be a lie.
  add('--fit', 'off')
  add('--no-kv-unified')
  add('--no-context-shift')
  add('--offline')
  add(has('--no-ui') ? '--no-ui' : '--no-webui')
  add('--cache-ram', String(config.cacheMiB))
  // Its private folder, the only one it may write to.
  add('--slot-save-path', dirname(socket))
  if (probe.hip && probe.build === null) {
    env['HIP_LAUNCH_BLOCKING'] = '1'
    notes.push('this ROCm build does not say its number, so it runs with HIP_LAUNCH_BLOCKING=1: builds of the summer of 2026 return wrong tokens without it')
  }
  argv.push(...speculationArguments(probe, config, heads, notes), ...config.args)
  return { argv, env, notes }
}

/** A server that was started with these guesses ahead: of a guessed token it says no likelihood, so a list would have holes. */
export function guessesAhead(argv: readonly string[]): boolean {
  return argv.some((word) => /^(--spec-|--model-draft|-md(=|$))/.test(word))
}

function speculationArguments(probe: ServerProbe, config: LlamaServerConfig, heads: boolean, notes: string[]): string[] {
  const count = probe.flags.has('--spec-draft-n-max') ? '--spec-draft-n-max' : '--draft-max'
  switch (config.speculation) {
    case 'none': return []
    case 'mtp': {
      if (!probe.speculation.includes('draft-mtp')) {
        notes.push('speculation by prediction heads is asked for, but this build has no --spec-type draft-mtp: it runs without')
        return []
      }
      if (!heads && config.draftModel === null) {
        notes.push('speculation by prediction heads is asked for, but the model file has none and engine.adapters.llamaServer.draftModel is not set: it runs without')
        return []
      }
      const draft = probe.flags.has('--spec-draft-model') ? '--spec-draft-model' : '--model-draft'
      return ['--spec-type', 'draft-mtp', count, String(config.draftTokens), ...(config.draftModel === null ? [] : [draft, config.draftModel])]
    }
    case 'ngram': {
      const kind = ['ngram-simple', 'ngram-mod'].find((one) => probe.speculation.includes(one))
      if (kind === undefined) {
        notes.push('speculation from the prompt is asked for, but this build has no --spec-type ngram-simple: it runs without')
        return []
      }
      return ['--spec-type', kind]
    }
    default: return config.speculation satisfies never
  }
}
