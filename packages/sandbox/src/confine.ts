// Owns how a long-lived child of our own (the engine worker) is wrapped: no network, no home, only the named files. Starts nothing.
import { fault, type Confine } from '@hearth/protocol'
import { findBwrap, kernelArgs, loaderArgs, pathArgs, systemArgs } from './bubblewrap.ts'
import { bwrapMissing } from './probe.ts'

/**
 * Wraps a command in bubblewrap. The result's `env` is the whole environment to start it with: bubblewrap passes its own on,
 * which lets the starter add NODE_CHANNEL_FD for an ipc channel; so it must not be merged with another environment.
 */
export function createConfine(options: { bwrap?: string } = {}): Confine {
  return {
    wrap(spec) {
      const file = findBwrap(options.bwrap)
      if (file === null) return { fault: fault('sandbox_unavailable', bwrapMissing) }
      const args = [
        '--unshare-all', '--cap-drop', 'ALL', '--new-session', '--die-with-parent', '--hostname', 'hearth',
        ...systemArgs(), ...loaderArgs(), ...kernelArgs(process.getuid?.() === 0), '--perms', '1777', '--tmpfs', '/tmp',
        // The drivers find the device by what /sys says of it.
        ...(spec.gpu ? ['--dev-bind-try', '/dev/dri', '/dev/dri', '--dev-bind-try', '/dev/kfd', '/dev/kfd', '--ro-bind', '/sys', '/sys'] : []),
        ...pathArgs(spec.readOnly, spec.readWrite),
        '--remount-ro', '/', '--chdir', '/', '--', ...spec.argv,
      ]
      return { file, args, env: { ...spec.env } }
    },
  }
}
