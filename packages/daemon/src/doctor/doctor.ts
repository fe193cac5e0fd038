// Joins the facts with the checks: inside the daemon, or alone when none runs.
import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { keyProblem } from '@hearth/engine/remote/key-file'
import { fault, faultFrom, type Config, type DoctorReport, type ModelRow, type PackageRow, type Paths, type SandboxReport } from '@hearth/protocol'
import type { Parts } from '../parts.ts'
import { freeDisk } from '../queue/intake.ts'
import { databasePath } from '../state-dir.ts'
import { checkIntegrity } from '../store/integrity.ts'
import { hasGit } from '../workspace/git.ts'
import { examine } from './checks.ts'
import { examineHardware } from './hardware.ts'
import { cgroupFact, memoryFact, pathFact, usernsFact } from './facts.ts'

export type DoctorInput = {
  config: Config
  paths: Paths
  parts: Parts
  sandboxReport(): Promise<SandboxReport>
  packages(): readonly PackageRow[]
}

export async function runDoctor({ config, paths, parts, sandboxReport, packages }: DoctorInput): Promise<DoctorReport> {
  const checks = examine({
    node: process.version, sqlite: process.versions['sqlite'] ?? '0', uid: process.getuid?.() ?? 0,
    database: await databaseFact(databasePath(paths)),
    folders: await Promise.all([pathFact('state', paths.state), pathFact('models', paths.models), pathFact('cache', paths.cache)]),
    socket: await pathFact('socket', paths.socket),
    freeBytes: await freeDisk(await nearestFolder(paths.state)),
    sandbox: await sandboxReport().catch(brokenSandbox),
    models: await parts.shelf().then((shelf) => shelf.list()).catch((error: unknown): ModelRow[] | string => faultFrom(error).message),
    defaultModel: await parts.defaultModel().catch(() => null),
    workers: parts.workers(), git: hasGit(), memory: await memoryFact(), cgroups: await cgroupFact(), userns: await usernsFact(),
    keys: new Map(await Promise.all(config.escalation.providers.map(async ({ id, keyFile }): Promise<[string, string | null]> => [id, await keyProblem(keyFile)]))), packages: packages(), now: Date.now(),
  }, config)
  const { readHardware } = await import('@hearth/engine/hardware/snapshot')
  checks.push(...examineHardware(await readHardware()))
  return { ok: checks.every((check) => check.state !== 'fail'), checks }
}

/** The same, with no daemon running. */
export function doctorAlone({ config, paths, parts }: Pick<DoctorInput, 'config' | 'paths' | 'parts'>): Promise<DoctorReport> {
  return runDoctor({ config, paths, parts, sandboxReport: async () => (await parts.sandbox()).report(), packages: () => [] })
}

/** For people: one line a check, the remedy below those that are not well. */
export function printReport(report: DoctorReport): string {
  const lines = report.checks.flatMap(({ name, state, detail, remedy }) => [`${state.padEnd(4)}  ${name}: ${detail}`, ...(remedy === null ? [] : [`      ${remedy}`])])
  return `${lines.join('\n')}\n`
}

async function databaseFact(path: string): Promise<readonly string[] | string | null> {
  return existsSync(path) ? checkIntegrity(path).catch((error: unknown) => faultFrom(error).message) : null
}

function brokenSandbox(error: unknown): SandboxReport {
  const why = faultFrom(error).message
  return { available: false, limits: 'none', detail: why, fault: fault('sandbox_unavailable', { why, remedy: 'Reinstall Hearth.' }) }
}

async function nearestFolder(path: string): Promise<string> {
  return await stat(path).then((info) => info.isDirectory(), () => false) ? path : nearestFolder(join(dirname(path)))
}
