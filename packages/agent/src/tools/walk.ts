// Owns which files of the folder a search sees: git's own walk, which knows every rule of .gitignore, over a repository that is empty. Starts nothing.
// The folder's own repository is never opened: its configuration is foreign, its index may be gone (a worktree's lies outside of the sandbox).

/** Environment of git for a walk. */
export const gitEnv: Readonly<Record<string, string>> = {
  GIT_DIR: '/tmp/.hearth-git', GIT_WORK_TREE: '/work', GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null', GIT_OPTIONAL_LOCKS: '0',
  GIT_CONFIG_COUNT: '3', GIT_CONFIG_KEY_0: 'core.quotePath', GIT_CONFIG_VALUE_0: 'false', GIT_CONFIG_KEY_1: 'core.excludesFile', GIT_CONFIG_VALUE_1: '/tmp/.hearth-git/skip',
  GIT_CONFIG_KEY_2: 'safe.directory', GIT_CONFIG_VALUE_2: '*',
}

/**
 * Makes the empty repository and the list of what is skipped without a word in any .gitignore. skip_hidden and skip_modules are 1 or 0. A .gitignore that
 * names such a file with `!` brings it back, as with ripgrep.
 */
export const walkScript = `
say() { printf '%s' "$1" >&2; exit 3; }
command -v git > /dev/null || say nogit
mkdir -p "$GIT_DIR/objects" "$GIT_DIR/refs" && echo 'ref: refs/heads/none' > "$GIT_DIR/HEAD" || say "failed the private /tmp is full"
prepare() {
  { [ "$1" = 1 ] && printf '.*\\n'; [ "$2" = 1 ] && printf 'node_modules/\\n'; [ -f /work/.git/info/exclude ] && cat /work/.git/info/exclude; } > "$GIT_DIR/skip"
}`

export const noGit = 'git is not installed on this box, and this tool needs it; use bash with grep -rnI or find'

// Reading the braces of a pattern takes quadratic time, and nobody means a longer one.
const longestPattern = 4096

/** `a{b,c}d` -> `abd`, `acd`; at most 64, or the pattern itself. */
export function withoutBraces(pattern: string): string[] {
  if (pattern.length > longestPattern) return [pattern]
  const done: string[] = []
  const open = [pattern]
  while (open.length > 0) {
    const one = open.shift() ?? ''
    const group = /^((?:[^\\{]|\\.)*)\{([^{}]*,[^{}]*)\}(.*)$/s.exec(one) ?? /^(.*)\{([^{}]*,[^{}]*)\}(.*)$/s.exec(one)
    if (group === null) done.push(one)
    else open.push(...(group[2] ?? '').split(',').map((word) => `${group[1] ?? ''}${word}${group[3] ?? ''}`))
    if (done.length + open.length > 64) return [pattern]
  }
  return [...new Set(done)]
}

/** A shell pattern of paths as a POSIX extended expression for a whole path. Without a slash it is met in every folder, unless it is `rooted`. */
export function pathExpression(pattern: string, rooted = pattern.includes('/')): string {
  const one = (part: string): string => {
    let out = ''
    for (let at = 0; at < part.length; at += 1) {
      const char = part[at] ?? ''
      if (part.startsWith('**/', at) && (at === 0 || part[at - 1] === '/')) {
        out += '(.*/)?'
        at += 2
      } else if (part.startsWith('**', at)) {
        out += '.*'
        at += 1
      } else if (char === '*') out += '[^/]*'
      else if (char === '?') out += '[^/]'
      else if (char === '[') {
        const set = /^\[([!^]?)(\]?[^\]/]*)\]/.exec(part.slice(at))
        if (set === null || set[2] === '') out += '\\['
        else {
          out += `[${set[1] === '' ? '' : '^'}${set[2] ?? ''}]`
          at += set[0].length - 1
        }
      } else if (char === '\\' && at + 1 < part.length) {
        at += 1
        out += quoted(part[at] ?? '')
      } else out += quoted(char)
    }
    return out
  }
  const anywhere = rooted ? '' : '(.*/)?'
  return `^${anywhere}(${withoutBraces(pattern).map(one).join('|')})$`
}

const quoted = (char: string): string => (/[.+*?()[\]{}|^$\\]/.test(char) ? `\\${char}` : char)
