// Owns the owner's projects: which folders have rules of their own. Every change is a row that stays, so what held at any time can be looked up.
import { realpath, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { fault, FaultError, ProjectRules, type Config, type Principal, type ProjectChange, type ProjectEntry, type ProjectList, type ProjectRequest, type ProjectView } from '@hearth/protocol'
import { below, projectOf, projectsInside, saysProject, strictest, type Effective, type Says, type Source } from './egress/policy.ts'
import { globInside, type PathLists } from './egress/paths.ts'
import type { Store } from './store/store.ts'

export type ProjectsOptions = { store: Store; config: Config; now?: () => number }

export class Projects {
  readonly #o: ProjectsOptions
  readonly #now: () => number

  constructor(options: ProjectsOptions) {
    this.#o = options
    this.#now = options.now ?? Date.now
  }

  /** The project of a folder (real path); null = only the box's rules hold. Read anew each time: a rule that was made stricter holds at once. */
  of(path: string): ProjectEntry | null {
    return projectOf(path, this.#o.store.read.projects())
  }

  /** What projects say of a job in this folder: its own, and those inside it, which its tools reach too. Of one that lets nothing leave only the files are kept. */
  say(path: string): (readonly [Source, Says])[] {
    const all = this.#o.store.read.projects()
    const own = projectOf(path, all)
    return [...(own === null ? [] : [own]), ...projectsInside(path, all).filter((project) => !letsNothingLeave(project))].map(({ rules }) => ['project', saysProject(rules)] as const)
  }

  /** Files of a job in this folder that its projects keep here: those that its own names, and of those inside it what they name, or all. */
  keeps(path: string): Pick<PathLists, 'localOnly' | 'within'> {
    const all = this.#o.store.read.projects()
    const own = projectOf(path, all)
    const inside = projectsInside(path, all).flatMap((project) => (letsNothingLeave(project) ? ['**'] : project.rules.localOnly).map((glob) => globInside(below(project.path, path), glob)))
    const localOnly = [...own?.rules.localOnly ?? [], ...inside]
    return own === null || own.path === path ? { localOnly } : { localOnly, within: below(path, own.path) }
  }

  list(): ProjectList {
    const { consent, modes, dataClass } = this.#o.config.escalation
    return { projects: this.#o.store.read.projects().map((entry) => this.#view(entry)), box: { consent, modes, dataClass } }
  }

  /** Throws FaultError `bad_cwd` for a folder that is none, `conflict` for an id or a folder that is taken. */
  async add(request: ProjectRequest, by: Principal): Promise<ProjectView> {
    const path = await realFolder(request.path)
    const known = this.#o.store.read.projects()
    const same = known.find((project) => project.path === path)
    if (same !== undefined) throw conflict(`The folder ${path} is the project '${same.id}' already; 'hearth project set ${same.id}' changes its rules.`)
    const id = request.id ?? freeId(basename(path), known)
    if (known.some((project) => project.id === id)) throw conflict(`There is a project '${id}' already.`)
    const at = this.#now()
    return this.#write({ id, path, rules: request.rules, createdAt: at, changedAt: at }, by)
  }

  /** Throws FaultError `not_found`. */
  change(id: string, change: ProjectChange, by: Principal): Promise<ProjectView> {
    const found = this.#find(id)
    return this.#write({ ...found, rules: ProjectRules.parse({ ...found.rules, ...change, budget: { ...found.rules.budget, ...change.budget } }), changedAt: this.#now() }, by)
  }

  /** Its jobs and what they cost stay; only the rules are gone. Throws FaultError `not_found`. */
  async remove(id: string, by: Principal): Promise<void> {
    await this.#o.store.project({ ...this.#find(id), changedAt: this.#now() }, by.id, true)
  }

  async #write(entry: ProjectEntry, by: Principal): Promise<ProjectView> {
    await this.#o.store.project(entry, by.id, false)
    return this.#view(entry)
  }

  #find(id: string): ProjectEntry {
    const found = this.#o.store.read.projects().find((project) => project.id === id)
    if (found === undefined) throw new FaultError(fault('not_found', { what: `project '${id}'; 'hearth project ls' lists them` }))
    return found
  }

  #view(entry: ProjectEntry): ProjectView {
    const { consent, modes, dataClass }: Effective = strictest(this.#o.config.escalation, this.say(entry.path))
    return { ...entry, effective: { consent, modes, dataClass } }
  }
}

function letsNothingLeave({ rules: { dataClass, consent } }: ProjectEntry): boolean {
  return dataClass === 'local-only' || consent === 'never'
}

function conflict(problem: string): FaultError {
  return new FaultError(fault('conflict', { problem }))
}

async function realFolder(path: string): Promise<string> {
  const refuse = (problem: string): never => { throw new FaultError(fault('bad_cwd', { path, problem })) }
  const real = await realpath(path).catch(() => refuse('it does not exist'))
  return (await stat(real)).isDirectory() ? real : refuse('it is not a folder')
}

/** A short name of the folder's own, with a number when it is taken. */
function freeId(name: string, known: readonly ProjectEntry[]): string {
  const plain = name.toLowerCase().replace(/[^a-z0-9._-]+/g, '-').replace(/^[^a-z0-9]+/, '').slice(0, 50) || 'project'
  const taken = (id: string): boolean => known.some((project) => project.id === id)
  let id = plain
  for (let n = 2; taken(id); n += 1) id = `${plain}-${n}`
  return id
}
