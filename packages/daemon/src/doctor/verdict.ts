// Owns how a check of the doctor answers: well, or what is wrong and what to do about it. Looks at nothing.
import type { DoctorReport } from '@hearth/protocol'

export type Check = DoctorReport['checks'][number]

export const ok = (name: string, detail: string): Check => ({ name, state: 'ok', detail, remedy: null })
export const warn = (name: string, detail: string, remedy: string): Check => ({ name, state: 'warn', detail, remedy })
export const fail = (name: string, detail: string, remedy: string): Check => ({ name, state: 'fail', detail, remedy })

export const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`
