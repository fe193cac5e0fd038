// Owns reading one line from a person at a terminal, shown or not, and what a program pipes in.
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { fault, FaultError } from '@hearth/protocol/fault'
import type { Context } from './context.ts'

/** One line of a person at a terminal; `shown`: as it is typed. Throws FaultError `cancelled` when they leave. */
export async function typed(ctx: Context, question: string, shown: boolean): Promise<string> {
  const nowhere = new Writable({ write: (_piece, _encoding, done) => done() })
  ctx.err.write(question)
  const reader = createInterface({ input: ctx.stdin, output: nowhere, terminal: !shown })
  try {
    return await new Promise<string>((done, left) => {
      reader.once('line', done)
      reader.once('close', () => left(new FaultError(fault('cancelled', { by: 'you' }))))
    })
  } finally {
    reader.close()
    ctx.stdin.pause()
    if (!shown) ctx.err.line()
  }
}

/** All of standard input, its beginning where it is long. */
export async function piped(ctx: Context): Promise<string> {
  let text = ''
  for await (const piece of ctx.stdin.setEncoding('utf8') as AsyncIterable<string>) if ((text += piece).length > 20_000) break
  return text
}
