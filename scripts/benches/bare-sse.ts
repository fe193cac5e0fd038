// The peer of the HTTP benchmark: node:http alone, writing the events of a recorded stream to every reader, one write an event, on one timer.
// Arguments: file with the recorded body, its duration in milliseconds. Prints its port.
import { readFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

const events = readFileSync(process.argv[2] ?? '', 'utf8').split(/(?<=\n\n)/)
const everyMs = Number(process.argv[3]) / events.length
type Reader = { out: ServerResponse; startMs: number; next: number }
const readers = new Set<Reader>()

setInterval(() => {
  const now = performance.now()
  for (const reader of readers) {
    // Late ticks are made up for one event at a time, as a model's pieces would come: never two in one write.
    while (reader.next < events.length && reader.startMs + reader.next * everyMs <= now) reader.out.write(events[reader.next++])
    if (reader.next < events.length) continue
    readers.delete(reader)
    reader.out.end()
  }
}, 10)

const server = createServer((incoming, outgoing) => {
  incoming.resume().on('end', () => {
    outgoing.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store' })
    readers.add({ out: outgoing, startMs: performance.now(), next: 0 })
  })
})
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port))
