// Owns what is no reason to ask anybody: a failure whose cause lies outside of the job (network, a missing program or file, a missing right). Pure.
import type { JobEventBody } from '@hearth/protocol'

export type Blocker = 'network' | 'missing file' | 'missing right'

const network = /could not resolve host|temporary failure in name resolution|name or service not known|network is unreachable|no route to host|connection (?:refused|timed out|reset)|failed to connect to|couldn't connect to|proxy (?:refused|connect)|\b(?:ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ENETUNREACH|ETIMEDOUT)\b|getaddrinfo/i
const right = /permission denied|operation not permitted|read-only file system|access denied|\b(?:EACCES|EPERM|EROFS)\b/i
const noProgram = /command not found|: not found\s*$|no such program|executable file not found/im
const noFile = /no such file or directory|\bENOENT\b|FileNotFoundError/i
// Outside of the folder nothing can be made by the job.
const outside = /(?:^|[\s'"`:(=])\/(?!work\/|tmp\/|work\b|tmp\b)[\w.@-]+\/[\w./@-]*/

const lastLines = 8

/** The cause of the newest failing command or check, when it lies outside of what the job can mend; null = it does not, or nothing fails. */
export function blockerOf(events: readonly JobEventBody[]): Blocker | null {
  const last = events.findLast((event) => event.type === 'check' || (event.type === 'tool_result' && event.name !== 'finish' && event.name !== 'ask_expert' && event.cause !== 'refused'))
  if (last?.type === 'check') return last.passed ? null : blockerIn(last.output, true)
  return last?.type !== 'tool_result' || last.ok ? null : blockerIn(last.observation, false)
}

/** A check that misses a file of the folder says what the job has to make; a command of the model's own that misses one looks for what nobody gave it. */
function blockerIn(text: string, ofCheck: boolean): Blocker | null {
  const lines = text.trimEnd().split('\n').slice(-lastLines).join('\n')
  if (network.test(lines)) return 'network'
  if (right.test(lines)) return 'missing right'
  if (noProgram.test(lines)) return 'missing file'
  return noFile.test(lines) && (!ofCheck || outside.test(lines)) ? 'missing file' : null
}
