// Owns how a file's bytes become text and the same bytes again. Guesses no encoding: what it cannot be sure of is only edited in ASCII.

export type Decoded = {
  text: string
  /** Bytes of a changed text; null = it holds characters that this file cannot. */
  encode(text: string): Uint8Array | null
  /** The encoding is not known; every byte from 0x80 on stands for one character of `text` that means nothing. */
  unknown: boolean
}

/** Null = binary: there is a NUL byte, or half a character in UTF-16. */
export function decode(bytes: Uint8Array): Decoded | null {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (buffer[0] === 0xff && buffer[1] === 0xfe) return utf16(buffer, (one) => one)
  if (buffer[0] === 0xfe && buffer[1] === 0xff) return utf16(buffer, (one) => Buffer.from(one).swap16())
  if (buffer.includes(0)) return null
  try {
    // The byte order mark stays in the text as its first character, and so in the file.
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(buffer)
    return { text, unknown: false, encode: (changed) => (changed.isWellFormed() ? Buffer.from(changed, 'utf8') : null) }
  } catch {
    return { text: buffer.toString('latin1'), unknown: true, encode: (changed) => Buffer.from(changed, 'latin1') }
  }
}

function utf16(bytes: Buffer, order: (bytes: Buffer) => Buffer): Decoded | null {
  if (bytes.length % 2 === 1) return null
  return { text: order(bytes).toString('utf16le'), unknown: false, encode: (changed) => (changed.isWellFormed() ? order(Buffer.from(changed, 'utf16le')) : null) }
}

export const isAscii = (text: string): boolean => /^[\0-\x7f]*$/.test(text)
