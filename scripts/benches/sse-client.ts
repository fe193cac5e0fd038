// The reader's side of the HTTP benchmark, in a process of its own: opens streams (or sends short requests) and counts what comes. One JSON line out.
// Arguments: a JSON object { url, key, body, streams } or { url, key, body, requests, atOnce }.
import { Agent, request } from 'node:http'

type Work = { url: string; key: string; body: string; streams?: number; requests?: number; atOnce?: number }
const work = JSON.parse(process.argv[2] ?? '{}') as Work
const agent = new Agent({ keepAlive: true, maxSockets: Infinity })

type Stream = { events: number; bytes: number; firstMs: number; lastMs: number; text: string }

function open(): Promise<Stream> {
  return new Promise((resolve, reject) => {
    const sent = request(`${work.url}/v1/chat/completions`, { method: 'POST', agent, headers: { authorization: `Bearer ${work.key}`, 'content-type': 'application/json' } }, (answer) => {
      const stream: Stream = { events: 0, bytes: 0, firstMs: 0, lastMs: 0, text: '' }
      answer.on('data', (part: Buffer) => {
        stream.lastMs = performance.now()
        if (stream.events === 0) stream.firstMs = stream.lastMs
        // Only whole events end in an empty line, so counting those counts events however they were cut.
        for (let at = part.indexOf('\n\n'); at >= 0; at = part.indexOf('\n\n', at + 2)) stream.events += 1
        stream.bytes += part.byteLength
        if (work.streams === 1) stream.text += part.toString('utf8')
      })
      answer.on('end', () => (answer.statusCode === 200 ? resolve(stream) : reject(new Error(`status ${answer.statusCode ?? 0}`))))
      answer.on('error', reject)
    })
    sent.on('error', reject)
    sent.end(work.body)
  })
}

if (work.streams !== undefined) {
  const streams = await Promise.all(Array.from({ length: work.streams }, open))
  console.log(JSON.stringify(streams))
} else {
  let left = work.requests ?? 0
  await Promise.all(Array.from({ length: work.atOnce ?? 1 }, async () => {
    while (left > 0) {
      left -= 1
      await open()
    }
  }))
  console.log('[]')
}
process.exit(0)
