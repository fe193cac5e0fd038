// Finds processes that a test left behind, by session, by a marker in the environment, or as an orphan of this checkout. Reads /proc; kills only what it is told to.
import { readdirSync, readFileSync } from 'node:fs'

/** One running process. `startTicks` is its start in clock ticks since boot. */
export type Process = { pid: number; parent: number; session: number; state: string; startTicks: number; command: string; environment: string }

export const marker = 'HEARTH_TEST_RUN'

/** All processes that can be read; one that ends meanwhile is left out. `proc` is /proc or a captured tree. */
export function processes(proc = '/proc'): Process[] {
  const found: Process[] = []
  for (const name of readdirSync(proc)) {
    if (!/^\d+$/.test(name)) continue
    const stat = read(`${proc}/${name}/stat`)
    if (stat === null) continue
    // The name stands in brackets and may hold anything, so the fields are counted from the last bracket.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const field = (index: number): number => Number(fields[index] ?? 'NaN')
    found.push({
      pid: Number(name), state: fields[0] ?? '?', parent: field(1), session: field(3), startTicks: field(19),
      command: (read(`${proc}/${name}/cmdline`) ?? '').replaceAll('\0', ' ').trim(),
      environment: read(`${proc}/${name}/environ`) ?? '',
    })
  }
  return found
}

/** What one test file left: processes of its session, or that carry its marker. A zombie is gone already. */
export function leftBy(all: readonly Process[], session: number, mark: string): Process[] {
  const entry = `${marker}=${mark}`
  return all.filter((one) => one.state !== 'Z' && (one.session === session || one.environment.split('\0').includes(entry)))
}

/**
 * Orphans that carry no marker at all (bubblewrap clears the environment): started since `sinceTicks`, with no parent but init,
 * and either bubblewrap or a program of the checkout at `root`. `self` is who asks: started in the background it has no parent but init either.
 */
export function orphans(all: readonly Process[], root: string, sinceTicks: number, self = process.pid): Process[] {
  return all.filter((one) => one.state !== 'Z' && one.pid !== self && one.parent === 1 && one.startTicks >= sinceTicks
    && !one.environment.includes(`${marker}=`) && (/^(\S*\/)?bwrap /.test(one.command) || one.command.includes(`${root}/`)))
}

/** The start of this very process, as `startTicks`. */
export function ownStart(): number {
  return processes().find((one) => one.pid === process.pid)?.startTicks ?? 0
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}
