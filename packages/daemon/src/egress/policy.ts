// Owns what may leave the house, as a decision: of box, project, principal and job the strictest holds in each field. Pure; knows no budget and no secret.
import {
  consents, dataClasses, escalationModes, type Consent, type DataClass, type EscalationMode, type Principal, type ProjectEntry, type ProjectRules,
} from '@hearth/protocol'
import { sep } from 'node:path'

/** What one of them says; null or absent = it says nothing of it. */
export type Says = { consent?: Consent | null | undefined; modes?: readonly EscalationMode[] | null | undefined; dataClass?: DataClass | null | undefined }
export type Source = 'box' | 'project' | 'key' | 'job'

/** What holds, and who made it so: the first of those that are as strict as it is. */
export type Effective = {
  consent: Consent
  modes: EscalationMode[]
  dataClass: DataClass
  because: { consent: Source; dataClass: Source; modes: Partial<Record<EscalationMode, Source>> }
}

/** `modes` of `because`: who forbids a mode that is not allowed. */
export function strictest(box: Required<{ [K in keyof Says]: NonNullable<Says[K]> }>, others: readonly (readonly [Source, Says])[]): Effective {
  const all: readonly (readonly [Source, Says])[] = [['box', box], ...others]
  const least = <T extends string>(order: readonly T[], of: (says: Says) => T | null | undefined): [T, Source] => {
    let found: [T, Source] = [order.at(-1) as T, 'box']
    for (const [source, says] of all) {
      const said = of(says)
      if (said != null && (source === 'box' || order.indexOf(said) < order.indexOf(found[0]))) found = [said, source]
    }
    return found
  }
  const [consent, consentBy] = least(consents, (says) => says.consent)
  const [dataClass, dataClassBy] = least(dataClasses, (says) => says.dataClass)
  const forbids = (mode: EscalationMode): Source | undefined => all.find(([, { modes }]) => modes != null && !modes.includes(mode))?.[0]
  const forbidden = Object.fromEntries(escalationModes.flatMap((mode) => {
    const source = forbids(mode)
    return source === undefined ? [] : [[mode, source]]
  })) as Partial<Record<EscalationMode, Source>>
  return { consent, dataClass, modes: escalationModes.filter((mode) => forbidden[mode] === undefined), because: { consent: consentBy, dataClass: dataClassBy, modes: forbidden } }
}

/** A principal without the scope `escalate` buys nothing, whatever the others say. */
export function saysPrincipal({ scopes }: Principal): Says {
  return scopes.includes('escalate') ? {} : { consent: 'never' }
}

export function saysProject({ consent, modes, dataClass }: ProjectRules): Says {
  return { consent, modes, dataClass }
}

/** The project of a folder: the innermost whose folder it is or lies in. */
export function projectOf(path: string, projects: readonly ProjectEntry[]): ProjectEntry | null {
  const around = projects.filter((project) => path === project.path || liesIn(path, project.path))
  return around.reduce<ProjectEntry | null>((inner, project) => (inner === null || project.path.length > inner.path.length ? project : inner), null)
}

/** Projects inside a folder: who works in it reaches them too, so their rules hold with its own. */
export function projectsInside(path: string, projects: readonly ProjectEntry[]): ProjectEntry[] {
  return projects.filter((project) => liesIn(project.path, path))
}

/** Where a folder is below another one, as a relative path; both are real paths. */
export function below(path: string, folder: string): string {
  return path.slice(folder.endsWith(sep) ? folder.length : folder.length + 1)
}

function liesIn(path: string, folder: string): boolean {
  return path !== folder && path.startsWith(folder.endsWith(sep) ? folder : folder + sep)
}
