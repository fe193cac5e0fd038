// Owns what a line typed into a chat means: words for the model, or a command for the session. Pure.
import { nearest } from '../args.ts'

export type Line =
  | { type: 'say'; text: string }
  | { type: 'command'; name: CommandName; argument: string }
  | { type: 'wrong'; problem: string }
  | { type: 'nothing' }

/** What each command does, for /help and docs/chat.md. */
export const chatCommands = {
  help: 'these lines',
  undo: '[STEP] puts the files back to before the last turn, or to after STEP (0 = before the chat)',
  diff: 'what the chat changed in the folder',
  model: 'ID goes on with another model, in a new chat with the same past',
  compact: 'shortens what the model reads of the chat so far, when that pays',
  cost: 'steps, tokens and time so far',
  quit: 'leaves; the chat waits (Ctrl-D does the same)',
} as const
export type CommandName = keyof typeof chatCommands

/** A line that begins with a slash and a letter is a command; two slashes stand for one in the words. */
export function lineOf(text: string): Line {
  const trimmed = text.trim()
  if (trimmed === '') return { type: 'nothing' }
  if (trimmed.startsWith('//')) return { type: 'say', text: trimmed.slice(1) }
  const match = /^\/([a-z]+)(?:\s+([^\n]*))?$/.exec(trimmed)
  if (match === null) return { type: 'say', text: trimmed }
  const name = match[1] ?? ''
  const argument = (match[2] ?? '').trim()
  if (Object.hasOwn(chatCommands, name)) return checked(name as CommandName, argument)
  const near = nearest(name, Object.keys(chatCommands))
  return { type: 'wrong', problem: `There is no command /${name}${near === null ? '' : `; the nearest is /${near}`}. /help lists them; two slashes say it to the model.` }
}

function checked(name: CommandName, argument: string): Line {
  if (name === 'undo' && argument !== '' && !/^\d{1,6}$/.test(argument)) return { type: 'wrong', problem: `/undo takes the number of a step, not '${argument}'.` }
  if (name === 'model' && argument === '') return { type: 'wrong', problem: "/model needs an id; 'hearth models' lists them." }
  if (name !== 'undo' && name !== 'model' && argument !== '') return { type: 'wrong', problem: `/${name} takes nothing, it got '${argument}'.` }
  return { type: 'command', name, argument }
}

/** The answer to a question of approval; null = it is none yet. Anything else than yes is a no, told the model. */
export function answerOf(text: string): { approved: boolean; note: string } | null {
  const word = text.trim()
  if (word === '') return null
  if (/^(y|yes)$/i.test(word)) return { approved: true, note: '' }
  return { approved: false, note: /^(n|no)$/i.test(word) ? '' : word }
}
