// Owns reading server-sent events: bytes in, the data of each event out. Pure; knows no server.

// One event is one token with its probabilities, or one error; what is longer is no event.
const eventCharsAtMost = 8 * 2 ** 20

/** The data of each event (its `data:` lines joined by line breaks). Comments and other fields are passed over. A stream that ends inside an event loses that event. */
export async function* eventData(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void, void> {
  const decoder = new TextDecoder()
  let rest = ''
  let data: string[] = []
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > eventCharsAtMost) throw new Error(`an event of its stream is longer than ${eventCharsAtMost / 2 ** 20} MiB`)
    for (const raw of lines) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw
      if (line === '') {
        if (data.length > 0) yield data.join('\n')
        data = []
      } else if (line.startsWith('data:')) data.push(line.slice(line.startsWith('data: ') ? 6 : 5))
    }
  }
}
