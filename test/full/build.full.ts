// The real thing: llama.cpp is built by `hearth engine build`, and then answers through the daemon, as a llama-server and as the library.
// Takes about six minutes of a core; needs git, cmake, ninja and c++, and no network.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Client } from '@hearth/protocol/client'
import type { BuildEvent, BuildList, StatusReply } from '@hearth/protocol'
import { makeHome } from '../cli/cli.ts'
import { starterPath } from '../fixtures/starter.ts'

test('a build of this box serves: as a server without a path, and as the library', async (t) => {
  const home = makeHome(t, true)
  const configure = (models: readonly string[]): void => writeFileSync(join(home.dir, 'config.json'), JSON.stringify({ engine: { backend: 'cpu', threads: 1, contextTokens: 1024, adapters: { llamaServer: { models } } } }))
  const ask = async (): Promise<string> => {
    const answer = await new Client(home.socket).call<{ choices: { message: { content: string } }[] }>('POST', '/v1/chat/completions', {
      model: 'starter', messages: [{ role: 'user', content: 'What is the capital of France?' }], temperature: 0, max_tokens: 12,
    })
    return answer.choices[0]?.message.content ?? ''
  }
  const worker = async (): Promise<StatusReply['workers'][number]> => (JSON.parse((await home.hearth('status', '--json')).stdout) as StatusReply).workers[0] ?? assert.fail('there is no worker')
  /** Files of the build that the process of the engine has mapped. */
  const mapped = (pid: number | null): string[] => [...new Set(readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n').map((line) => line.split(/\s+/)[5] ?? ''))].filter((path) => path.startsWith(join(home.dir, 'cache/builds/')))

  configure(['*'])
  assert.equal((await home.hearth('models', 'import', starterPath(), '--id', 'starter')).code, 0)
  await assert.rejects(ask(), /path names no program and none was built here for cpu/)

  const ran = await home.hearth('engine', 'build', '--backend', 'cpu', '--json')
  assert.equal(ran.code, 0, ran.stderr)
  const events = ran.stdout.trimEnd().split('\n').map((line) => JSON.parse(line) as BuildEvent)
  const steps = events.filter((event) => event.type === 'progress')
  assert.ok(steps.length > 100, `${steps.length} lines of progress`)
  assert.deepEqual(events.filter((event) => event.type === 'note'), [])
  const done = events.at(-1)
  assert.ok(done?.type === 'done')
  t.diagnostic(`built in ${Math.round(done.build.buildMs / 1000)} s, ${(done.build.bytes / 2 ** 20).toFixed(1)} MiB, ${done.build.compiler}`)

  const viaServer = await ask()
  assert.match(viaServer, /\w/)
  const server = await worker()
  assert.deepEqual([server.backend, server.build, server.state], ['llama-server cpu', done.build.name, 'ready'])
  assert.ok(mapped(server.pid).some((path) => path.endsWith('/bin/llama-server')), 'the program of the build runs')
  assert.deepEqual((JSON.parse((await home.hearth('engine', 'ls', '--json')).stdout) as BuildList).builds.map((one) => [one.name, one.usedBy, one.problem]), [[done.build.name, ['starter'], null]])
  assert.equal((await home.hearth('engine', 'rm', done.build.name)).stderr, `hearth: The build '${done.build.name}' is in use by the engine of 'starter'.\nNothing was changed.\n`)

  assert.equal((await home.hearth('down')).code, 0)
  configure([])
  assert.equal((await home.hearth('up')).code, 0)
  assert.match(await ask(), /\w/)
  const library = await worker()
  assert.deepEqual([library.backend, library.build, library.state], ['cpu', done.build.name, 'ready'])
  assert.ok(mapped(library.pid).some((path) => path.endsWith('/llama-addon.node')), 'the library of the build is loaded')
})
