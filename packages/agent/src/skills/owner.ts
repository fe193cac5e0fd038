// Owns the owner's skill folders: outside of any workspace, named in the configuration, read by the daemon itself and therefore confined by real paths.
import { open, readdir, realpath } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { skillFrom, type Skill } from './skill.ts'

const fileBytes = 64 * 1024
const skillsAtMost = 64

/** The skills of the owner's folders, in order; folders and files that cannot be read are left out. */
export async function ownerSkills(folders: readonly string[]): Promise<Skill[]> {
  const skills: Skill[] = []
  for (const folder of folders) {
    const names = await readdir(folder).catch(() => [])
    for (const name of names.toSorted()) {
      if (skills.length >= skillsAtMost) return skills
      const path = join(folder, name)
      const text = await readInside(path, 'SKILL.md')
      const skill = text === null ? null : skillFrom(path, text)
      if (skill !== null) skills.push(skill)
    }
  }
  return skills
}

/** The first 64 KiB of a file inside a skill's folder; null when it is none, or when a link leads out of the folder. */
export async function readInside(folder: string, file: string): Promise<string | null> {
  try {
    const root = await realpath(folder)
    const path = await realpath(join(root, file))
    if (!path.startsWith(root + sep)) return null
    await using handle = await open(path)
    if (!(await handle.stat()).isFile()) return null
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(fileBytes), 0, fileBytes, 0)
    return buffer.subarray(0, bytesRead).toString('utf8')
  } catch {
    return null
  }
}
