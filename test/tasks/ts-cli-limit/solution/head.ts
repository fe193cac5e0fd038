import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'

function refuse(text: string): never {
  console.error(text)
  process.exit(64)
}

const { values, positionals } = parseArgs({ options: { lines: { type: 'string', default: '10' } }, allowPositionals: true })
if (!/^\d+$/.test(values.lines)) refuse('head: --lines takes a whole number from 0')
const [path] = positionals
if (path === undefined) refuse('usage: head.ts FILE [--lines N]')
const lines = readFileSync(path, 'utf8').split('\n').slice(0, Number(values.lines))
process.stdout.write(lines.map((line) => line + '\n').join(''))
