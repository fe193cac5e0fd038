// Owns the command line around bubblewrap: into the group, easier to kill than the daemon, another user where needed. Starts nothing.

/** The launcher writes its pid into each group file and then becomes the rest of the line, so that nothing runs outside the group. */
const script = 'n=$1; shift; while [ "$n" -gt 0 ]; do echo $$ > "$1" || exit 125; shift; n=$((n - 1)); done; echo 500 > /proc/self/oom_score_adj; exec "$@"'

/** Exit code of the launcher when a group refused it. bubblewrap never started then. */
export const launcherRefused = 125

export type Launch = {
  bwrap: string
  /** From sandboxArgs. */
  args: readonly string[]
  /** Group files to enter. */
  enter: readonly string[]
  /** Extra prlimit arguments of the limits kind. */
  rlimits: readonly string[]
  fileBytes: number
  /** uid and gid to become first; null = stay. */
  runAs: { uid: number; gid: number } | null
  argv: readonly string[]
}

/** File and arguments to spawn. File descriptor 3 takes bubblewrap's status lines. */
export function launchCommand(launch: Launch): { file: string; args: string[] } {
  const become = launch.runAs === null ? [] : ['/usr/bin/setpriv', `--reuid=${launch.runAs.uid}`, `--regid=${launch.runAs.gid}`, '--clear-groups', '--']
  const rlimits = ['/usr/bin/prlimit', '--core=0', '--nofile=4096', `--fsize=${launch.fileBytes}`, ...launch.rlimits, '--']
  return {
    file: '/bin/sh',
    args: ['-c', script, 'sh', String(launch.enter.length), ...launch.enter, ...become, launch.bwrap, '--json-status-fd', '3', ...launch.args, '--', ...rlimits, ...launch.argv],
  }
}
