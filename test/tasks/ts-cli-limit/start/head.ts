import { readFileSync } from 'node:fs'

const [path] = process.argv.slice(2)
if (path === undefined) {
  console.error('usage: head.ts FILE')
  process.exit(64)
}
const lines = readFileSync(path, 'utf8').split('\n').slice(0, 10)
process.stdout.write(lines.map((line) => line + '\n').join(''))
