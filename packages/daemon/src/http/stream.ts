// Owns newline-separated JSON answers: pulled by the reader's speed, ended when the reader leaves.

/** One JSON value a line. `start` gets a signal that aborts when the reader leaves; the next page is asked for only when there is room. */
export function ndjson<T>(start: (signal: AbortSignal) => AsyncIterable<readonly T[]>): Response {
  const left = new AbortController()
  const encoder = new TextEncoder()
  let pages: AsyncIterator<readonly T[]> | null = null
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      pages ??= start(left.signal)[Symbol.asyncIterator]()
      const page = await pages.next()
      if (page.done === true) controller.close()
      else controller.enqueue(encoder.encode(page.value.map((value) => `${JSON.stringify(value)}\n`).join('')))
    },
    async cancel() {
      left.abort()
      await pages?.return?.()
    },
  })
  return new Response(body, { headers: { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' } })
}
