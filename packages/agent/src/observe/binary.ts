// Owns how bytes that are no text are told apart and named. Never shows them.

const kinds: readonly (readonly [string, string])[] = [
  ['89504e47', 'PNG image'], ['ffd8ff', 'JPEG image'], ['47494638', 'GIF image'], ['25504446', 'PDF'], ['504b0304', 'ZIP archive'], ['504b0506', 'ZIP archive'],
  ['1f8b', 'gzip'], ['425a68', 'bzip2'], ['fd377a585a00', 'xz'], ['28b52ffd', 'zstd'], ['377abcaf271c', '7z archive'], ['7f454c46', 'ELF program'],
  ['0061736d', 'WebAssembly'], ['53514c69746520666f726d6174203300', 'SQLite database'], ['47475546', 'GGUF model'], ['cafebabe', 'Java class'],
  ['4d5a', 'Windows program'], ['52494646', 'RIFF media'], ['00000100', 'icon'], ['4f676753', 'Ogg media'], ['494433', 'MP3'],
]

/** What a file that begins like this is; null = unknown. */
export function kindOf(bytes: Uint8Array): string | null {
  const hex = Buffer.from(bytes).toString('hex')
  return kinds.find(([magic]) => hex.startsWith(magic))?.[1] ?? null
}

// C0 without tab, newline, return, escape, backspace and bell, which programs print; U+FFFD stands for bytes that are no UTF-8.
const bad = /[\u0000-\u0006\u000b\u000e-\u001a\u001c-\u001f\ufffd]/g

/** More than a `share` of its characters, and at least eight, are none. Random bytes read as UTF-8 have about a half. */
export function isBinary(text: string, share = 0.1): boolean {
  const count = text.match(bad)?.length ?? 0
  return count >= 8 && count > text.length * share
}
