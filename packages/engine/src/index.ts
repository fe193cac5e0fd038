// The engine package: where tokens come from.
export { readGguf, type GgufHeader, type GgufResult } from './catalog/gguf.ts'
