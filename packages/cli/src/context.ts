// Owns what a command is handed: its two outputs, its input, its folders, its signals. Knows no command and never exits.
import type { Paths } from '@hearth/protocol/paths'
import { inkOf, type Ink } from './print.ts'

export type Out = {
  write(text: string | Uint8Array): void
  line(text?: string): void
  readonly tty: boolean
  readonly ink: Ink
  /** Terminal columns now; Infinity when it is not a terminal. */
  readonly width: number
}

export type Context = {
  out: Out
  err: Out
  stdin: NodeJS.ReadStream
  env: Readonly<Record<string, string | undefined>>
  paths: Paths
  /** Absolute working directory of the caller. */
  cwd: string
  /** Aborted when the reader of stdout went away (head). */
  closed: AbortSignal
  /** Hands SIGINT and SIGTERM to the handler until the returned function is called. */
  onInterrupt(handler: () => void): () => void
}

export type Host = {
  stdin: NodeJS.ReadStream
  stdout: NodeJS.WriteStream
  stderr: NodeJS.WriteStream
  env: Readonly<Record<string, string | undefined>>
  cwd: string
  paths: Paths
  signals: NodeJS.EventEmitter
}

/** `color` false forbids colours; otherwise NO_COLOR, TERM=dumb and the kind of stream decide. */
export function makeContext(host: Host, color: boolean): Context {
  const closed = new AbortController()
  const allowed = color && (host.env['NO_COLOR'] ?? '') === '' && host.env['TERM'] !== 'dumb'
  const out = makeOut(host.stdout, host.env, allowed, () => closed.abort())
  // Nobody reads our complaints any more: nothing is left to say to anybody.
  const err = makeOut(host.stderr, host.env, allowed, () => undefined)
  return {
    out, err, stdin: host.stdin, env: host.env, paths: host.paths, cwd: host.cwd, closed: closed.signal,
    onInterrupt(handler) {
      host.signals.on('SIGINT', handler)
      host.signals.on('SIGTERM', handler)
      return () => {
        host.signals.off('SIGINT', handler)
        host.signals.off('SIGTERM', handler)
      }
    },
  }
}

function makeOut(stream: NodeJS.WriteStream, env: Host['env'], color: boolean, onClosed: () => void): Out {
  let open = true
  stream.on('error', () => {
    open = false
    onClosed()
  })
  const tty = stream.isTTY === true
  const write = (text: string | Uint8Array): void => {
    if (open) stream.write(text)
  }
  return {
    tty, write, ink: inkOf(color && tty),
    line: (text = '') => write(text + '\n'),
    get width() {
      const columns = stream.columns ?? Number(env['COLUMNS'])
      return !tty ? Infinity : columns >= 20 ? columns : 80
    },
  }
}
