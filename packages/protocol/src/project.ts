// Owns the words of a project: a folder of the owner's with rules of its own for what may leave the house. Rules only ever make it stricter.
import { z } from 'zod'
import { Budget, escalationModes } from './escalation.ts'
import { consents, dataClasses } from './principal.ts'

const rules = {
  consent: z.enum(consents).nullable().describe('never: nothing is bought for it; ask: a person approves each packet; auto: within the budget'),
  modes: z.array(z.enum(escalationModes)).nullable().describe('the only modes that are allowed'),
  dataClass: z.enum(dataClasses).nullable().describe('local-only: nothing of it leaves'),
  budget: Budget.describe('what may be spent on it'),
  localOnly: z.array(z.string().min(1).max(500)).max(200).describe('files of it that never leave, as globs relative to the folder'),
}

/** null (or an empty budget) = as the box has it. Nothing here can allow what the box forbids. */
export const ProjectRules = z.strictObject({
  consent: rules.consent.default(null), modes: rules.modes.default(null), dataClass: rules.dataClass.default(null), budget: rules.budget.prefault({}), localOnly: rules.localOnly.default([]),
})
export type ProjectRules = z.infer<typeof ProjectRules>

/** Jobs in the folder, or in one inside it, are jobs of the project; of two that fit, the inner one. */
export const ProjectEntry = z.strictObject({
  id: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,60}$/).describe('what people type'),
  path: z.string().min(1).describe('absolute path of the folder, links resolved'),
  rules: ProjectRules,
  createdAt: z.int(),
  changedAt: z.int(),
})
export type ProjectEntry = z.infer<typeof ProjectEntry>

export const ProjectRequest = z.strictObject({
  id: ProjectEntry.shape.id.nullable().default(null).describe('null = made of the name of the folder'),
  path: z.string().startsWith('/'),
  rules: ProjectRules.prefault({}),
})
export type ProjectRequest = z.infer<typeof ProjectRequest>
export type ProjectRequestInput = z.input<typeof ProjectRequest>

/** What changes; a field that is absent, also one of the budget, stays as it is. */
export const ProjectChange = z.strictObject({ ...rules, budget: z.partialRecord(Budget.keyof(), z.int().min(0).nullable()) }).partial()
export type ProjectChange = z.infer<typeof ProjectChange>

/** `effective`: what holds for a job of the owner's in it now, of box and project the stricter, and who says so. */
export type ProjectView = ProjectEntry & { effective: { consent: string; modes: readonly string[]; dataClass: string } }
export type ProjectList = { projects: ProjectView[]; box: { consent: string; modes: readonly string[]; dataClass: string } }
