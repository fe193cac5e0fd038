// Owns one control-group folder as files: make, read, list, kill, remove. Knows no version's control names but cgroup.procs.
import { mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { makerIsDead } from './processes.ts'

export function readControl(folder: string, file: string): string {
  try {
    return readFileSync(join(folder, file), 'latin1').trim()
  } catch {
    return ''
  }
}

/** The number after a key of a flat keyed file (memory.events, memory.oom_control, pids.events); 0 when it is not there. */
export function readCount(folder: string, file: string, key: string): number {
  return Number(new RegExp(`^${key} (\\d+)$`, 'm').exec(readControl(folder, file))?.[1] ?? 0)
}

export function writeControl(folder: string, file: string, value: string): void {
  writeFileSync(join(folder, file), value)
}

export function pidsIn(folder: string): number[] {
  return readControl(folder, 'cgroup.procs').split('\n').filter((line) => line !== '').map(Number)
}

/** Makes the folder and its parents. Another daemon's sweep may take an empty parent away between two of them, so it tries again. */
export function makeFolder(folder: string): void {
  for (let round = 0; ; round++) {
    try {
      mkdirSync(folder, { recursive: true })
      return
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || round === 3) throw error
    }
  }
}

export function killPids(folder: string): void {
  for (const pid of pidsIn(folder)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // Gone between the list and the signal.
    }
  }
}

/** Kills what is in the folder and removes it; a freshly emptied group is busy for a moment. False after about two seconds. */
export async function removeFolder(folder: string): Promise<boolean> {
  for (let round = 0; round < 100; round++) {
    killPids(folder)
    try {
      rmdirSync(folder)
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true
    }
    await sleep(Math.min(1 + round, 20))
  }
  return false
}

/** Removes what other daemons that were killed and never came back left below `top`, as far as it is empty; kills nothing of theirs. */
export function sweepEmpty(top: string): void {
  for (const key of foldersIn(top)) {
    for (const name of foldersIn(join(top, key))) if (makerIsDead(name)) removeIfEmpty(join(top, key, name))
    removeIfEmpty(join(top, key))
  }
}

function foldersIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  } catch {
    return []
  }
}

/** Removes a folder that may be shared with other daemons, when none of them uses it. */
export function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder)
  } catch {
    // In use, or gone.
  }
}

/** Removes the groups below `parent` whose maker is dead, with the processes in them. Returns how many processes were found. */
export async function removeLeftovers(parent: string): Promise<number> {
  let found = 0
  for (const name of foldersIn(parent)) {
    if (!makerIsDead(name)) continue
    found += pidsIn(join(parent, name)).length
    await removeFolder(join(parent, name))
  }
  return found
}

/** Readings in a row (a tenth of a second each) at the process limit with refused forks, after which a run does nothing but fork. */
const stormReadings = 20

/**
 * Decides when a program at the process limit will not come away from it. A build that meets the limit for a moment and
 * recovers is left alone; a shell that was refused a fork sleeps and tries again, so the refusals alone do not tell.
 */
export function forkStorm(folder: string, limit: number): () => boolean {
  let inRow = 0
  return () => {
    const stuck = Number(readControl(folder, 'pids.current')) >= limit && readCount(folder, 'pids.events', 'max') > 0
    inRow = stuck ? inRow + 1 : 0
    return inRow >= stormReadings
  }
}
