// A node:test reporter: one JSON line for each test that ended, for the runner (scripts/test.ts) to count and print. Judges nothing.
import type { TestEvent } from 'node:test/reporters'

/** One ended test. `full` is its name with the names of its suites; `problem` is null when it passed. */
export type Ended = { full: string; ms: number; problem: string | null }

export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const path: string[] = []
  for await (const event of source) {
    if (event.type === 'test:start') {
      path.length = event.data.nesting
      path[event.data.nesting] = event.data.name
    }
    if (event.type !== 'test:pass' && event.type !== 'test:fail') continue
    const { name, nesting, details, skip, todo } = event.data
    path.length = nesting
    const problem = event.type === 'test:fail' ? describe(event.data.details.error)
      : skip !== undefined && skip !== false ? 'it was skipped; a test that cannot run here must fail and say what is missing'
        : todo !== undefined && todo !== false ? 'it is marked todo' : null
    // What holds tests is not counted beside them, unless it broke by itself (a hook threw).
    if (details.type === 'suite' && problem === null) continue
    if (event.type === 'test:fail' && failureType(event.data.details.error) === 'subtestsFailed') continue
    const ended: Ended = { full: [...path, name].join(' > '), ms: details.duration_ms, problem }
    yield `${JSON.stringify(ended)}\n`
  }
}

function failureType(error: Error): string | null {
  return 'failureType' in error && typeof error.failureType === 'string' ? error.failureType : null
}

function describe(error: Error): string {
  const cause = error.cause
  if (cause instanceof Error) return cause.stack ?? cause.message
  if (typeof cause === 'string') return cause
  return failureType(error) === 'cancelledByParent' ? 'it did not end: its promise was still pending when the event loop was empty' : error.stack ?? error.message
}
