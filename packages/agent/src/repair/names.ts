// Owns which tool a written name means, and which argument a written key means. Tables, not guesses: a name is changed only when one tool is near.

const toolAliases: Readonly<Record<string, string>> = {
  read_file: 'read', readfile: 'read', view_file: 'read', open_file: 'read', write_file: 'write', writefile: 'write', create_file: 'write', edit_file: 'edit',
  str_replace: 'edit', search_replace: 'edit', replace_in_file: 'edit', run_command: 'bash', execute_command: 'bash', run_shell_command: 'bash', execute_bash: 'bash',
  run_bash: 'bash', shell: 'bash', terminal: 'bash', search_files: 'grep', grep_search: 'grep', find_files: 'glob', file_search: 'glob',
  final_answer: 'finish', attempt_completion: 'finish', task_complete: 'finish', submit: 'finish', done: 'finish',
}

const pathAliases: Readonly<Record<string, string>> = { file_path: 'path', filepath: 'path', file: 'path', filename: 'path', file_name: 'path', target_file: 'path', absolute_path: 'path', relative_path: 'path' }

/** Per tool: a key that models write -> the key that the tool has. Used only when the tool has that key and not the written one. */
const keyAliases: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  bash: { cmd: 'command', script: 'command', shell_command: 'command', command_line: 'command', bash_command: 'command', timeout_seconds: 'timeout' },
  read: { ...pathAliases, start_line: 'offset', line_start: 'offset', start: 'offset', num_lines: 'limit', max_lines: 'limit', count: 'limit' },
  write: { ...pathAliases, contents: 'content', text: 'content', file_text: 'content', file_content: 'content', new_content: 'content' },
  edit: {
    ...pathAliases, old_string: 'old', old_str: 'old', old_text: 'old', search: 'old', find: 'old', original: 'old',
    new_string: 'new', new_str: 'new', new_text: 'new', replace: 'new', replacement: 'new', updated: 'new',
  },
  grep: { query: 'pattern', regex: 'pattern', regexp: 'pattern', search: 'pattern', dir: 'path', directory: 'path', folder: 'path', ...pathAliases, glob: 'include', file_pattern: 'include', includes: 'include' },
  glob: { glob: 'pattern', glob_pattern: 'pattern', file_pattern: 'pattern', query: 'pattern' },
  plan: { plan: 'list', steps: 'list', items: 'list', todo: 'list', text: 'list' },
  process: { id: 'handle', process_id: 'handle' },
  finish: { summary: 'answer', message: 'answer', result: 'answer', text: 'answer', response: 'answer', final_answer: 'answer', output: 'answer' },
}

/** Keys that say why and change nothing: the only unknown ones that are dropped (a null is dropped under any key). */
export const idleKeys: ReadonlySet<string> = new Set([
  'description', 'explanation', 'reason', 'reasoning', 'thought', 'thoughts', 'rationale', 'justification', 'comment', 'intent', 'security_risk', 'requires_approval',
])

const prefix = /^(?:functions?|default_api|tools?|api|namespace)[.:/]+/i

/**
 * The offered tool that `written` means, or null. `near`: one letter may differ (two in names of six and more), when exactly one tool is that near.
 * Without it only the same name in another spelling counts, or an alias.
 */
export function toolNamed(written: string, names: readonly string[], near: boolean): string | null {
  if (names.includes(written)) return written
  const bare = written.trim().replace(prefix, '').replace(/:\d+$/, '')
  if (names.includes(bare)) return bare
  const plain = spelled(bare)
  const same = names.filter((name) => spelled(name) === plain)
  if (same.length === 1) return same[0] ?? null
  const alias = Object.hasOwn(toolAliases, plain) ? toolAliases[plain] : undefined
  if (alias !== undefined && names.includes(alias)) return alias
  if (!near || same.length > 1 || plain.length > 80) return null
  const close = names.filter((name) => distance(plain, spelled(name)) <= (name.length >= 6 ? 2 : 1))
  return close.length === 1 ? (close[0] ?? null) : null
}

/** The key of `keys` that `written` means for this tool, or null. */
export function keyNamed(tool: string, written: string, keys: readonly string[]): string | null {
  if (keys.includes(written)) return written
  const plain = squeezed(written)
  const same = keys.filter((key) => squeezed(key) === plain)
  if (same.length === 1) return same[0] ?? null
  const table = Object.hasOwn(keyAliases, tool) ? keyAliases[tool] : undefined
  const alias = Object.entries(table ?? {}).find(([from]) => squeezed(from) === plain)?.[1]
  return alias !== undefined && keys.includes(alias) ? alias : null
}

/** readFile, Read-File and read_file are one name. */
function spelled(name: string): string {
  return name.trim().replace(/([a-z0-9])([A-Z])/g, '$1_$2').replace(/[-\s]+/g, '_').toLowerCase()
}

function squeezed(key: string): string {
  return key.replace(/[-_\s]/g, '').toLowerCase()
}

/** Edits (insert, drop, change, swap of neighbours) from one name to the other; only small ones matter, so 3 stands for more. */
function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2) return 3
  let before: number[] = []
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const same = a[i - 1] === b[j - 1]
      let least = Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) least = Math.min(least, (before[j - 2] ?? 0) + 1)
      next.push(least)
    }
    before = row
    row = next
  }
  return Math.min(3, row[b.length] ?? 3)
}
