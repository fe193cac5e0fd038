// Owns the daemon's own log: one JSON line an event on standard error. Never a prompt, a file's content or a secret.

export type LogLevel = 'info' | 'warn' | 'error'
export type Log = (level: LogLevel, what: string, detail?: Readonly<Record<string, unknown>>) => void

/** `write` gets whole lines. */
export function makeLog(write: (line: string) => void, now: () => Date = () => new Date()): Log {
  return (level, what, detail = {}) => write(`${JSON.stringify({ at: now().toISOString(), level, what, ...detail })}\n`)
}
