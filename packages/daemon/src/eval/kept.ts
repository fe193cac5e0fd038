// Owns the folder STATE/evals/ID: what was asked for, one line for each row and each course that forks begin from, and the folders of such courses, so that an evaluation that
// was cut off goes on where it was.
import { appendFile, mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { EvalRequest, EvalRow, fault, FaultError } from '@hearth/protocol'
import { z } from 'zod'
import { newId, reasonOf } from '../queue/intake.ts'

/** `jobs`: ids of the jobs that are the tasks. Chosen once, because new ones end meanwhile. */
const Asked = z.strictObject({ request: EvalRequest, jobs: z.array(z.string()).nullable() })
type Asked = z.infer<typeof Asked>

/** The local course of a task and repeat up to its first trigger. `row`: it had none, and this is what became of it. `cannot`: why nothing can be forked there. */
export const Course = z.strictObject({
  task: z.string(), repeat: z.int().min(0), jobId: z.string(), row: EvalRow.nullable(), step: z.int().nullable(), trigger: z.string().nullable(),
  usdMicros: z.int().min(0), seconds: z.number().min(0), joules: z.int().nullable(), cannot: z.string().nullable(),
})
export type Course = z.infer<typeof Course>

export class Kept {
  readonly id: string
  readonly asked: Asked
  readonly rows: EvalRow[]
  readonly #folder: string
  readonly #courses: Course[]
  readonly #played: Set<string>

  private constructor(id: string, folder: string, asked: Asked, rows: EvalRow[], courses: Course[]) {
    this.id = id
    this.#folder = folder
    this.asked = asked
    this.rows = rows
    this.#courses = courses
    this.#played = new Set(rows.map(nameOf))
  }

  static async make(stateDir: string, asked: Asked): Promise<Kept> {
    const id = newId()
    const folder = join(stateDir, 'evals', id)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await writeFile(join(folder, 'asked.json'), `${JSON.stringify(asked)}\n`, { mode: 0o600 })
    return new Kept(id, folder, asked, [], [])
  }

  /** Throws FaultError `not_found`, or `bad_file` for one that is damaged. */
  static async open(stateDir: string, id: string): Promise<Kept> {
    const folder = join(stateDir, 'evals', id)
    const asked = await readFile(join(folder, 'asked.json'), 'utf8').catch(() => { throw new FaultError(fault('not_found', { what: `evaluation '${id}'` })) })
    const rows = await linesOf(join(folder, 'rows.ndjson'), EvalRow)
    const courses = await linesOf(join(folder, 'courses.ndjson'), Course)
    return new Kept(id, folder, whole(join(folder, 'asked.json'), () => Asked.parse(JSON.parse(asked))), rows, courses)
  }

  async add(row: EvalRow): Promise<void> {
    await appendFile(join(this.#folder, 'rows.ndjson'), `${JSON.stringify(row)}\n`, { mode: 0o600 })
    this.rows.push(row)
    this.#played.add(nameOf(row))
  }

  has(row: Pick<EvalRow, 'task' | 'repeat' | 'arm'>): boolean {
    return this.#played.has(nameOf(row))
  }

  course(task: string, repeat: number): Course | null {
    return this.#courses.findLast((course) => course.task === task && course.repeat === repeat) ?? null
  }

  async addCourse(course: Course): Promise<void> {
    await appendFile(join(this.#folder, 'courses.ndjson'), `${JSON.stringify(course)}\n`, { mode: 0o600 })
    this.#courses.push(course)
  }

  /** The folder that a course left at its trigger. */
  folderOf(jobId: string): string {
    return join(this.#folder, 'folders', jobId)
  }

  /** Takes away what no arm goes on from any more: of one course, or of all. */
  async release(jobId: string | null): Promise<void> {
    await rm(jobId === null ? join(this.#folder, 'folders') : this.folderOf(jobId), { recursive: true, force: true })
  }
}

function nameOf({ task, repeat, arm }: Pick<EvalRow, 'task' | 'repeat' | 'arm'>): string {
  return `${task}\0${repeat}\0${arm}`
}

/** The whole lines of a file, which has no other ones afterwards. A line that a crash cut off was never there: its end of line is missing. Throws FaultError `bad_file`. */
async function linesOf<S extends z.ZodType>(path: string, schema: S): Promise<z.output<S>[]> {
  const text = await readFile(path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0)
    throw new FaultError(fault('bad_file', { path, problem: reasonOf(error as NodeJS.ErrnoException) }))
  })
  const end = text.lastIndexOf('\n') + 1
  const values = whole(path, () => text.toString('utf8', 0, end).split('\n').slice(0, -1).map((line) => schema.parse(JSON.parse(line))))
  // Nothing that was paid for is written anew: a full disk would take it away.
  if (end < text.length) await truncate(path, end)
  return values
}

function whole<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new FaultError(fault('bad_file', { path, problem: error instanceof Error ? error.message : String(error) }))
  }
}
