// What is read off a llama-server's own words, old and new, and which arguments come of it. Pure.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LlamaServerConfig } from '@hearth/protocol'
import { readProbe, refusal, serverArguments } from '../../packages/engine/src/server/flags.ts'

const newHelp = `-lm,   --load-mode MODE                 model loading mode (default: auto)
                                        - none: no --no-mmap is needed
--host HOST                             IP addresses to listen on, or UNIX socket paths
-dev,  --device <dev1,dev2,..>          comma-separated list of devices (see --list-devices)
-ngl,  --gpu-layers, --n-gpu-layers N   max. number of layers to store in VRAM
-kvu,  --kv-unified, -no-kvu, --no-kv-unified
                                        use one buffer
--ui,  --webui, --no-ui, --no-webui     whether to enable the Web UI
--spec-draft-n-max N                    number of tokens to draft
--spec-draft-model, -md, --model-draft FNAME
                                        draft model
--spec-type none,draft-simple,draft-mtp,ngram-simple
                                        types of speculation
--draft, --draft-n, --draft-max N       the argument has been removed. use --spec-draft-n-max or
                                        --spec-ngram-mod-n-max`
const oldHelp = `-ngl,  --gpu-layers, --n-gpu-layers N   number of layers to store in VRAM
--no-mmap                               do not memory-map model
--host HOST                             ip address to listen, or bind to an UNIX socket if the address ends with .sock
--draft-max, --draft, --draft-n N       number of tokens to draft
--no-webui                              disable the Web UI`
const load = { type: 'load' as const, modelPath: '/m.gguf', backend: 'auto' as const, contextTokens: 4096, sequences: 4, batchTokens: 512, prefillTokens: 128, threads: 2 }
const wanting = (input: Record<string, unknown>): LlamaServerConfig => LlamaServerConfig.parse(input)

test('renamed flags: each build gets the names it lists', () => {
  const recent = serverArguments(readProbe(newHelp, 'version: 0.5.0-dev (build 1, commit de3ff81)', '', []), load, wanting({ speculation: 'mtp' }), '/s/llama.sock', true)
  assert.deepEqual(recent, {
    argv: ['--model', '/m.gguf', '--host', '/s/llama.sock', '--parallel', '4', '--ctx-size', '16384', '--batch-size', '512', '--ubatch-size', '512', '--threads', '2', '--threads-batch', '2',
      '--n-gpu-layers', '999', '--load-mode', 'none', '--no-kv-unified', '--no-ui', '--spec-type', 'draft-mtp', '--spec-draft-n-max', '3'],
    env: {}, notes: [],
  })
  const old = serverArguments(readProbe(oldHelp, 'version: 6123 (0123456789)', '', []), load, wanting({ args: ['--mlock'] }), '/s/llama.sock', false)
  assert.deepEqual(old.argv.slice(16), ['--n-gpu-layers', '999', '--no-mmap', '--no-webui', '--mlock'])
})

test('slots are saved in the private folder, by a build that can', () => {
  const argv = (help: string): string[] => serverArguments(readProbe(help, '', '', []), load, wanting({}), '/s/llama.sock', false).argv
  const given = argv(`${newHelp}\n--slot-save-path PATH                   path to save slot kv cache`)
  assert.deepEqual(given.slice(given.indexOf('--slot-save-path'), given.indexOf('--slot-save-path') + 2), ['--slot-save-path', '/s'])
  assert.equal(argv(newHelp).includes('--slot-save-path'), false)
})

test('on a CPU no device is touched', () => {
  const { argv } = serverArguments(readProbe(newHelp, '', '', []), { ...load, backend: 'cpu' }, wanting({}), '/s', false)
  assert.deepEqual(argv.slice(16), ['--device', 'none', '--n-gpu-layers', '0', '--no-kv-unified', '--no-ui'])
})

test('what a build or a file lacks is a note, and nothing is passed for it', () => {
  const lacking = (help: string, config: Record<string, unknown>, heads: boolean) => serverArguments(readProbe(help, '', '', []), load, wanting(config), '/s', heads)
  assert.deepEqual(lacking(oldHelp, { speculation: 'mtp' }, true).notes, ['speculation by prediction heads is asked for, but this build has no --spec-type draft-mtp: it runs without'])
  assert.equal(lacking(newHelp, { speculation: 'mtp' }, false).argv.includes('--spec-type'), false)
  assert.deepEqual(lacking(newHelp, { speculation: 'mtp', draftModel: '/d.gguf' }, false).argv.slice(-6), ['--spec-type', 'draft-mtp', '--spec-draft-n-max', '3', '--spec-draft-model', '/d.gguf'])
  assert.deepEqual(lacking(newHelp, { speculation: 'ngram' }, false).argv.slice(-2), ['--spec-type', 'ngram-simple'])
})

test('ROCm builds of the bad range are refused; the edges, other backends and the unknown are not', () => {
  const refusedAt = (build: string, devices: string): boolean => refusal('/p', readProbe(newHelp, `version: ${build} (0123456789)`, devices, [])) !== null
  const rocm = 'Available devices:\n  ROCm0: AMD Radeon 8060S'
  assert.deepEqual(['10039', '10040', '10899', '10900'].map((build) => refusedAt(build, rocm)), [false, true, true, false])
  assert.equal(refusedAt('10246', '  Vulkan0: AMD Radeon 8060S'), false)
  // The library beside the program tells as well, on a box whose GPU cannot be seen just then.
  const unnumbered = readProbe(newHelp, 'version: 0.5.0-dev (build 1, commit de3ff81)', '', ['libggml-hip.so', 'llama-server'])
  assert.equal(refusal('/p', unnumbered), null)
  const { env, notes } = serverArguments(unnumbered, load, wanting({}), '/s', false)
  assert.deepEqual(env, { HIP_LAUNCH_BLOCKING: '1' })
  assert.equal(notes.length, 1)
})
