// Owns what a process holds of the box's memory, as the kernel counts it. Linux only; null when the process is gone.
import { readFileSync } from 'node:fs'

/** `anonymousBytes`: what MemAvailable counts as used; mapped pages of a model file are not in it. `residentBytes`: with them. */
export function footprint(pid: number): { anonymousBytes: number; residentBytes: number } | null {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/status`, 'utf8')
  } catch {
    return null
  }
  const bytes = (field: string): number | null => {
    const found = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(text)
    return found === null ? null : Number(found[1]) * 1024
  }
  const [anonymousBytes, residentBytes] = [bytes('RssAnon'), bytes('VmRSS')]
  return anonymousBytes === null || residentBytes === null ? null : { anonymousBytes, residentBytes }
}
