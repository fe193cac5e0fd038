// Owns why a connection failed, as the end of a sentence.
import { shown } from '../foreign.ts'

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there', ENOTFOUND: 'its name is not known', EAI_AGAIN: 'its name is not known', EHOSTUNREACH: 'it cannot be reached', ENETUNREACH: 'it cannot be reached',
  ECONNRESET: 'it closed the connection', ETIMEDOUT: 'it does not answer',
}

export function networkProblem(error: unknown): string {
  return words[networkCode(error) ?? ''] ?? shown(error instanceof Error ? error.message : String(error))
}

export function networkCode(error: unknown): string | undefined {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : undefined
}
