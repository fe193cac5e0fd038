// Owns the file with the box profile: read once, replaced whole, never half. A file that cannot be understood is set aside with a sentence, never an error.
import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { BoxProfile, type ModelProfile } from '@hearth/protocol'
import { codeOf, makePrivate, writeJson } from '../catalog/durable.ts'

/** What must agree before a profile is used. */
export type Identity = Pick<ModelProfile, 'file' | 'library' | 'backend' | 'machine'>

export class ProfileStore {
  readonly #path: string
  readonly #log: (line: string) => void
  #profile: BoxProfile | null = null
  readonly #told = new Set<string>()

  constructor(path: string, log: (line: string) => void) {
    this.#path = path
    this.#log = log
  }

  /** All that is stored, also of other builds and machines. */
  all(): readonly ModelProfile[] {
    return this.#read().models
  }

  /** The profile of exactly this file, library, backend and machine; null when there is none. One that is out of date is said once. */
  find(model: string, look: () => Identity): ModelProfile | null {
    if (this.all().length === 0) return null
    const identity = look()
    const found = this.all().find((one) => matches(one, identity))
    if (found !== undefined) return found
    const old = this.all().find((one) => one.model === model && one.backend === identity.backend)
    if (old !== undefined && !this.#told.has(model)) {
      this.#told.add(model)
      this.#log(`the profile of '${model}' is not used: ${differs(old, identity)}; 'hearth tune ${model}' measures it again`)
    }
    return null
  }

  /** Replaces what was stored of this model and backend. */
  async put(profile: ModelProfile): Promise<void> {
    // Read again: another daemon of this folder is impossible, an owner's hand is not.
    this.#profile = null
    const others = this.all().filter((one) => one.model !== profile.model || one.backend !== profile.backend)
    const next: BoxProfile = { version: 1, models: [...others, profile] }
    await makePrivate(dirname(this.#path))
    await writeJson(this.#path, next)
    this.#profile = next
    this.#told.delete(profile.model)
  }

  #read(): BoxProfile {
    this.#profile ??= this.#load()
    return this.#profile
  }

  #load(): BoxProfile {
    const empty: BoxProfile = { version: 1, models: [] }
    let text: string
    try {
      text = readFileSync(this.#path, 'utf8')
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') this.#log(`the box profile ${this.#path} cannot be read (${error instanceof Error ? error.message : String(error)}): nothing of it is used`)
      return empty
    }
    try {
      const parsed = BoxProfile.safeParse(JSON.parse(text))
      if (parsed.success) return parsed.data
      const issue = parsed.error.issues[0]
      this.#log(`the box profile ${this.#path} is not one this version knows (${issue?.path.join('.') || 'the top'}: ${issue?.message ?? ''}): nothing of it is used; 'hearth tune' writes a new one`)
    } catch (error) {
      this.#log(`the box profile ${this.#path} is damaged (${error instanceof Error ? error.message : String(error)}): nothing of it is used; 'hearth tune' writes a new one`)
    }
    return empty
  }
}

export function matches(profile: Identity, identity: Identity): boolean {
  return profile.file === identity.file && profile.library === identity.library && profile.backend === identity.backend && profile.machine === identity.machine
}

function differs(old: Identity, now: Identity): string {
  if (old.file !== now.file) return 'the model file is another one'
  if (old.library !== now.library) return `it was measured with ${old.library}, this is ${now.library}`
  return `it was measured on ${old.machine}, this is ${now.machine}`
}
