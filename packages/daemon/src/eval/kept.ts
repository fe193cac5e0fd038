// Owns the folder STATE/evals/ID: what was asked for and one line for each row, so that an evaluation that was cut off goes on where it was.
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { EvalRequest, EvalRow, fault, FaultError } from '@hearth/protocol'
import { z } from 'zod'
import { newId } from '../queue/intake.ts'

/** `jobs`: ids of the jobs that are the tasks. Chosen once, because new ones end meanwhile. */
const Asked = z.strictObject({ request: EvalRequest, jobs: z.array(z.string()).nullable() })
type Asked = z.infer<typeof Asked>

export class Kept {
  readonly id: string
  readonly asked: Asked
  readonly rows: EvalRow[]
  readonly #folder: string

  private constructor(id: string, folder: string, asked: Asked, rows: EvalRow[]) {
    this.id = id
    this.#folder = folder
    this.asked = asked
    this.rows = rows
  }

  static async make(stateDir: string, asked: Asked): Promise<Kept> {
    const id = newId()
    const folder = join(stateDir, 'evals', id)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await writeFile(join(folder, 'asked.json'), `${JSON.stringify(asked)}\n`, { mode: 0o600 })
    return new Kept(id, folder, asked, [])
  }

  /** Throws FaultError `not_found`, or `bad_file` for one that is damaged. */
  static async open(stateDir: string, id: string): Promise<Kept> {
    const folder = join(stateDir, 'evals', id)
    const asked = await readFile(join(folder, 'asked.json'), 'utf8').catch(() => { throw new FaultError(fault('not_found', { what: `evaluation '${id}'` })) })
    const path = join(folder, 'rows.ndjson')
    const lines = (await readFile(path, 'utf8').catch(() => '')).split('\n')
    try {
      // A line that a crash cut off was never a row: its end of line is missing.
      const rows = lines.slice(0, -1).map((line) => EvalRow.parse(JSON.parse(line)))
      await writeFile(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''), { mode: 0o600 })
      return new Kept(id, folder, Asked.parse(JSON.parse(asked)), rows)
    } catch (error) {
      throw new FaultError(fault('bad_file', { path, problem: error instanceof Error ? error.message : String(error) }))
    }
  }

  async add(row: EvalRow): Promise<void> {
    await appendFile(join(this.#folder, 'rows.ndjson'), `${JSON.stringify(row)}\n`, { mode: 0o600 })
    this.rows.push(row)
  }
}
