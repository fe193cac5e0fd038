// Gets a llama-server of the very commit that node-llama-cpp was built from, out of the bundle inside the package, and runs it. Needs git, cmake, ninja, a compiler; no network.
import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Context } from './frame.ts'

const flags = [
  '-DCMAKE_BUILD_TYPE=Release', '-DGGML_NATIVE=ON', '-DLLAMA_CURL=OFF', '-DLLAMA_OPENSSL=OFF',
  '-DLLAMA_BUILD_TESTS=OFF', '-DLLAMA_BUILD_EXAMPLES=OFF', '-DLLAMA_BUILD_UI=OFF',
]

/** Path of the program: HEARTH_LLAMA_SERVER, one built before, or one built now (about five minutes on two cores). */
export function llamaServer({ root, cache, say }: Context): string {
  const given = process.env['HEARTH_LLAMA_SERVER']
  if (given !== undefined) {
    if (!existsSync(given)) throw new Error(`HEARTH_LLAMA_SERVER names ${given}, which does not exist`)
    return given
  }
  const llama = join(root, 'node_modules/node-llama-cpp/llama')
  const { release } = JSON.parse(readFileSync(join(llama, 'binariesGithubRelease.json'), 'utf8')) as { release: string }
  const home = join(cache, `llama.cpp-${release}`)
  const program = join(home, 'build/bin/llama-server')
  if (existsSync(program)) return program
  for (const tool of ['git', 'cmake', 'ninja', 'c++']) {
    try {
      execFileSync('sh', ['-c', `command -v ${tool}`], { stdio: 'ignore' })
    } catch {
      throw new Error(`llama-server cannot be built: ${tool} is missing; run as root: apt-get install -y git cmake ninja-build g++ (or set HEARTH_LLAMA_SERVER=FILE)`)
    }
  }
  say(`building llama-server ${release} in ${home}, once, about five minutes on two cores`)
  const building = `${home}.building`
  rmSync(building, { recursive: true, force: true })
  mkdirSync(cache, { recursive: true })
  const run = (file: string, argv: readonly string[]): void => { execFileSync(file, argv, { stdio: ['ignore', 2, 2] }) }
  run('git', ['clone', '--quiet', join(llama, 'gitRelease.bundle'), building])
  run('cmake', ['-S', building, '-B', join(building, 'build'), '-G', 'Ninja', ...flags])
  run('cmake', ['--build', join(building, 'build'), '--target', 'llama-server'])
  rmSync(home, { recursive: true, force: true })
  renameSync(building, home)
  return program
}

export type Serving = { url: string; stop(): Promise<void> }

/** Starts it on a free loopback port and waits until it has answered one token: its /health alone says too little. */
export async function serve(program: string, options: { model: string; threads: number; parallel: number; contextTokens: number; extra?: readonly string[] }): Promise<Serving> {
  const port = await freePort()
  const argv = [
    '--model', options.model, '--host', '127.0.0.1', '--port', String(port), '--threads', String(options.threads), '--threads-batch', String(options.threads),
    '--parallel', String(options.parallel), '--ctx-size', String(options.contextTokens * options.parallel), ...(options.extra ?? []),
  ]
  const child = spawn(program, argv, { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  let ended = false
  child.stderr.setEncoding('utf8').on('data', (text: string) => { said = (said + text).slice(-4000) })
  const gone = new Promise<void>((resolve) => child.on('exit', () => {
    ended = true
    resolve()
  }))
  const url = `http://127.0.0.1:${port}`
  for (;;) {
    if (ended) throw new Error(`llama-server ended at its start: ${said}`)
    try {
      const reply = await ask(`${url}/completion`, { prompt: 'a', n_predict: 1 })
      if (reply.status === 200) break
    } catch {
      // It does not listen yet.
    }
    await pause(100)
  }
  return {
    url,
    async stop() {
      child.kill('SIGTERM')
      const timer = setTimeout(() => child.kill('SIGKILL'), 5000)
      await gone
      clearTimeout(timer)
    },
  }
}

/** One request on a connection of its own: the server closes idle ones after a few seconds, in the middle of the next request. */
export function ask(url: string, body: unknown): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: 'POST', agent: false, headers: { 'content-type': 'application/json' } }, (reply) => {
      let text = ''
      reply.setEncoding('utf8').on('data', (piece: string) => { text += piece })
      reply.on('end', () => resolve({ status: reply.statusCode ?? 0, text }))
      reply.on('error', reject)
    })
    sent.on('error', reject)
    sent.end(JSON.stringify(body))
  })
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject).listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
