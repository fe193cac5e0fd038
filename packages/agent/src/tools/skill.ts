// Owns the skill tool: reads a skill that was listed when the job began, or a file beside it. Never a file outside of the skill's folder.
import { isAbsolute } from 'node:path'
import { z } from 'zod'
import { readInside } from '../skills/owner.ts'
import type { Skill } from '../skills/skill.ts'
import { outcomeOf, runProgram } from './run.ts'
import { commandWord, defineTool, refused, type Tool, type ToolContext, type ToolOutcome } from './tool.ts'

/** The tool over the skills of one job; the list stands in the prompt. */
export function skillTool(skills: readonly Skill[]): Tool {
  return defineTool({
    name: 'skill',
    description: 'Read a skill before you do what it is for. file reads another file of it.',
    parameters: z.strictObject({
      name: z.string().describe('name of a listed skill'),
      file: commandWord().max(1024).optional().describe('path inside the skill; default: SKILL.md'),
    }),
    idempotency: 'pure',
    async run({ name, file = 'SKILL.md' }, context) {
      const skill = skills.find((one) => one.name === name)
      if (skill === undefined) return refused(`there is no skill ${name.slice(0, 64)}; there are: ${skills.map((one) => one.name).join(', ')}`)
      if (isAbsolute(file) || file.split('/').includes('..')) return refused('file is a path inside the skill, without ..')
      return isAbsolute(skill.path) ? ownerFile(skill, file) : folderFile(skill, file, context)
    },
  })
}

async function ownerFile(skill: Skill, file: string): Promise<ToolOutcome> {
  const text = await readInside(skill.path, file)
  if (text === null) return refused(`the skill ${skill.name} has no file ${file}`)
  return { ok: true, exitCode: 0, cause: 'exited', text, totalBytes: Buffer.byteLength(text), outputFile: null, wrote: false }
}

// A link in a skill may lead anywhere in the sandbox's view; what it must not do is lead out of the skill.
const script = `
root=$(realpath -- "$1") && path=$(realpath -- "$1/$2") 2> /dev/null || { echo "the skill has no file $2" >&2; exit 2; }
case $path in "$root"/*) ;; *) echo "the skill has no file $2" >&2; exit 2;; esac
[ -f "$path" ] && head -c 65536 -- "$path"`

async function folderFile(skill: Skill, file: string, context: ToolContext): Promise<ToolOutcome> {
  const result = await runProgram({ argv: ['sh', '-c', script, 'sh', skill.path, file], readOnly: true }, context)
  return outcomeOf(result, context, false, false)
}
