// A program for the tests: runs the table of hostile programs as whoever starts it, and prints one JSON line a row.
import { limits, makePlace, table, tryRow } from './hostile.ts'

const strict = makePlace(false)
const report = await strict.sandbox.report()
const refused = await strict.sandbox.run({ argv: ['true'], workspace: strict.workspace, limits, captureBytes: 10 }, new AbortController().signal)
console.log(JSON.stringify({ strict: report, refused, uid: process.getuid?.() }))
await strict.remove()

for (const row of table) {
  try {
    await tryRow(row, true)
    console.log(JSON.stringify({ name: row.name, problem: null }))
  } catch (error) {
    console.log(JSON.stringify({ name: row.name, problem: error instanceof Error ? error.message : String(error) }))
  }
}
