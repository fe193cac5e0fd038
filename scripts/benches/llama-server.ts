// Gets a llama-server of the very commit that node-llama-cpp was built from, and runs it. Built by the same code as `hearth engine build`.
import { execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { request } from 'node:http'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Context } from './frame.ts'

/** Path of the program: HEARTH_LLAMA_SERVER, one built before, or one built now (about five minutes on two cores). Needs git, cmake, ninja, c++; no network. */
export function llamaServer({ root, cache, say }: Context): string {
  const given = process.env['HEARTH_LLAMA_SERVER']
  if (given !== undefined) {
    if (!existsSync(given)) throw new Error(`HEARTH_LLAMA_SERVER names ${given}, which does not exist`)
    return given
  }
  say('looking for a llama-server of the same commit; built once, about five minutes on two cores')
  try {
    const program = join(root, 'scripts/benches/build-server.ts')
    return execFileSync(process.execPath, ['--disable-warning=ExperimentalWarning', program, cache], { stdio: ['ignore', 'pipe', 2], encoding: 'utf8' }).trim()
  } catch {
    throw new Error('llama-server could not be built, see above; HEARTH_LLAMA_SERVER=FILE names another one')
  }
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
