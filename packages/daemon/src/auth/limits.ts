// Owns how far a principal's request may go: which models, which priority class. Pure.
import { jobClasses, type JobClass, type Principal } from '@hearth/protocol'

/**
 * Whether this model is within the principal's list; `asked` is another name the request had for it. A script is a file of this box: only
 * the owner's socket reaches any of them, a key only one that its list names.
 */
export function mayUse(principal: Principal, id: string, asked: string = id): boolean {
  if (principal.models !== undefined) return principal.models.includes(id) || principal.models.includes(asked)
  return principal.kind !== 'key' || !id.startsWith('scripted:')
}

/** The class of lower priority: a key's class is the highest that its requests get. */
export function lowerClass(one: JobClass, other: JobClass): JobClass {
  return jobClasses.indexOf(one) > jobClasses.indexOf(other) ? one : other
}
