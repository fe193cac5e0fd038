// A program that keeps state after state of one folder until it is killed. Prints one JSON line an event, after it happened.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Config, type Job, type JobEventBody } from '@hearth/protocol'
import { createSandbox } from '@hearth/sandbox'
import { Workspaces } from '../../packages/daemon/src/workspace/workspaces.ts'

const { stateDir, job, past, from } = JSON.parse(process.argv[2] ?? '') as { stateDir: string; job: Job; past: JobEventBody[]; from: number }
const config = Config.parse({ sandbox: { limits: 'weak' } })
const sandbox = createSandbox({ config: config.sandbox, stateDir, log: () => undefined })
const workspaces = new Workspaces({ config, stateDir, sandbox: () => Promise.resolve(sandbox), log: (_level, what, detail) => void process.stderr.write(`${what} ${JSON.stringify(detail)}\n`) })
const place = await workspaces.open(job, past, new AbortController().signal)
if ('fault' in place) throw new Error(place.fault.message)
const tell = (event: JobEventBody): void => void process.stdout.write(`${JSON.stringify(event)}\n`)
place.events.forEach(tell)
for (let step = from; ; step++) {
  tell({ type: 'step', step })
  for (let n = 0; n < 20; n++) writeFileSync(join(job.request.cwd, `f${(step + n) % 30}`), `step ${step} file ${n}\n`)
  const kept = await place.port?.keep(step, 'bash')
  if (kept != null) tell(kept)
}
