// Owns reading the name that a TLS client asks for out of its first bytes (RFC 8446, RFC 6066). Reads nothing else of the stream.

/** More than any client's hello with keys of today needs. */
const helloBytes = 32 * 1024
/** Clients use one record, a few cut theirs up. It is read anew with each piece that comes, so one of a thousand records would hold the daemon up. */
const helloRecords = 128

/**
 * The server names in the beginning of a client's stream. `more`: it is TLS, and the hello is not whole yet. `other`: it is no TLS, or TLS without such a name.
 * `bad`: it begins like TLS and cannot be read.
 */
export function serverNames(stream: Buffer): 'more' | 'other' | 'bad' | string[] {
  if (stream.length === 0) return 'more'
  if (stream[0] !== 22) return 'other'
  const pieces: Buffer[] = []
  let size = 0
  let whole: number | null = null
  for (let at = 0; ; ) {
    if (at > helloBytes || pieces.length === helloRecords) return 'bad'
    if (stream.length < at + 5) return 'more'
    const length = stream.readUInt16BE(at + 3)
    if (stream[at] !== 22 || stream[at + 1] !== 3 || length === 0 || length > 16_384 + 256) return 'bad'
    // A piece of a record is enough to know how long the hello is, not to read it.
    if (stream.length < at + 5 + length) return 'more'
    pieces.push(stream.subarray(at + 5, at + 5 + length))
    size += length
    at += 5 + length
    if (size < 4) continue
    if (whole === null) {
      const begin = Buffer.concat(pieces)
      whole = 4 + begin.readUIntBE(1, 3)
      if (begin[0] !== 1 || whole > helloBytes) return 'bad'
    }
    if (size >= whole) return namesIn(Buffer.concat(pieces).subarray(4, whole))
  }
}

function namesIn(hello: Buffer): 'other' | 'bad' | string[] {
  try {
    let at = 2 + 32
    at += 1 + hello.readUInt8(at)
    at += 2 + hello.readUInt16BE(at)
    at += 1 + hello.readUInt8(at)
    if (at === hello.length) return 'other'
    const end = at + 2 + hello.readUInt16BE(at)
    if (end > hello.length) return 'bad'
    const names: string[] = []
    for (at += 2; at < end; ) {
      const type = hello.readUInt16BE(at)
      const body = hello.subarray(at + 4, at + 4 + hello.readUInt16BE(at + 2))
      at += 4 + hello.readUInt16BE(at + 2)
      if (at > end) return 'bad'
      if (type !== 0) continue
      for (let inner = 2; inner < body.length; inner += 3 + body.readUInt16BE(inner + 1)) {
        const length = body.readUInt16BE(inner + 1)
        if (body[inner] !== 0 || inner + 3 + length > body.length) return 'bad'
        names.push(body.toString('latin1', inner + 3, inner + 3 + length))
      }
    }
    return names.length === 0 ? 'other' : names
  } catch {
    return 'bad'
  }
}
