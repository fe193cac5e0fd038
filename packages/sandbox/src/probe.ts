// Owns why the sandbox cannot start here: reads the system's own switches and turns bubblewrap's complaint into cause and remedy.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export type Reason = { why: string; remedy: string }

export const bwrapMissing: Reason = {
  why: 'bubblewrap is not installed (no /usr/bin/bwrap)',
  remedy: 'Install it: apt-get install bubblewrap (Debian, Ubuntu) or dnf install bubblewrap (Fedora).',
}

/** Older ones have no --disable-userns, no --size and no --bind-fd. */
export const oldestBwrap = [0, 8] as const

/** Reason when `bwrap --version` printed an older one; null when it is new enough. */
export function tooOld(versionLine: string): Reason | null {
  const [, major, minor] = /(\d+)\.(\d+)/.exec(versionLine) ?? []
  const [needMajor, needMinor] = oldestBwrap
  if (major === undefined || minor === undefined) return { why: `bubblewrap says '${versionLine.trim()}' and no version`, remedy: bwrapMissing.remedy }
  if (Number(major) > needMajor || (Number(major) === needMajor && Number(minor) >= needMinor)) return null
  return { why: `bubblewrap ${major}.${minor} is too old, ${needMajor}.${needMinor} is needed`, remedy: 'Install a newer one from the distribution (Debian 12, Ubuntu 24.04 or Fedora 38 and later have it).' }
}

/**
 * The reason behind a probe that failed. `complaint` is what bubblewrap said; `sysctlRoot` is normally /proc/sys.
 * A switch is named only when it stands on "forbidden", because bubblewrap's own words are the same for all of them.
 */
export function whyNot(complaint: string, uid: number, sysctlRoot = '/proc/sys'): Reason {
  const value = (name: string): string => {
    try {
      return readFileSync(join(sysctlRoot, name.replaceAll('.', '/')), 'latin1').trim()
    } catch {
      return ''
    }
  }
  const said = complaint.trim().split('\n').at(-1)?.trim() ?? ''
  const quoted = said === '' ? '' : `; bubblewrap said: ${said}`
  if (value('user.max_user_namespaces') === '0') {
    return { why: `user namespaces are switched off (user.max_user_namespaces = 0)${quoted}`, remedy: 'Run: sysctl -w user.max_user_namespaces=15000 (and keep it in /etc/sysctl.d).' }
  }
  if (uid !== 0 && value('kernel.unprivileged_userns_clone') === '0') {
    return { why: `user namespaces are forbidden to ordinary users (kernel.unprivileged_userns_clone = 0)${quoted}`, remedy: 'Run: sysctl -w kernel.unprivileged_userns_clone=1 (and keep it in /etc/sysctl.d).' }
  }
  if (uid !== 0 && value('kernel.apparmor_restrict_unprivileged_userns') === '1') {
    return {
      why: `AppArmor forbids user namespaces to this bubblewrap (kernel.apparmor_restrict_unprivileged_userns = 1)${quoted}`,
      remedy: "Use the distribution's own /usr/bin/bwrap with an AppArmor profile that allows userns (package apparmor-profiles: bwrap-userns-restrict), or run: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0.",
    }
  }
  return {
    why: said === '' ? 'bubblewrap ended without a word' : `bubblewrap said: ${said}`,
    remedy: 'Under systemd take RestrictNamespaces, PrivateUsers, ProtectKernelTunables and SystemCallFilter=~@mount off the unit; in a container allow user namespaces and mounts.',
  }
}
