// Puts together what an escalation passes on its way out: the lists of secrets, the key of placeholders, the purse, and the clients of providers, which are
// imported when the first call is made.
import type { Config, Door } from '@hearth/protocol'
import type { Log } from '../log.ts'
import type { Logins } from '../mcp/logins.ts'
import type { EnergyMeter } from '../meter/energy.ts'
import { Purse } from '../meter/purse.ts'
import type { Parts } from '../parts.ts'
import type { Projects } from '../projects.ts'
import type { Store } from '../store/store.ts'
import { Experts } from './experts.ts'
import type { Packets } from './packets.ts'
import type { PacketKey } from './packets-key.ts'
import { HeldSecrets } from './scan-held.ts'

export type ExpertParts = {
  store: Store; config: Config; parts: Parts; projects: Projects; energy: EnergyMeter; packets: Packets; held: HeldSecrets; door: Door; log: Log
  packetKey(): Promise<PacketKey>
}

/** What this daemon must never say, wherever it is kept. */
export function heldSecrets(config: Config, packetKey: () => Promise<PacketKey>, logins: Logins): HeldSecrets {
  return new HeldSecrets(config, async () => [
    ...(await packetKey()).hold.map((value) => ({ kind: 'packet-key', value })), ...(await logins.secrets()).map((value) => ({ kind: 'mcp-token', value })),
  ])
}

export function makeExperts({ packetKey, log, door, held, ...rest }: ExpertParts): Experts {
  const { store, config } = rest
  const { silenceSeconds, totalSeconds, waitSeconds } = config.escalation.timeouts
  const limits = { silenceMs: silenceSeconds * 1000, totalMs: totalSeconds * 1000, patienceMs: waitSeconds * 1000 }
  const line = (text: string): void => log('info', text, { from: 'escalation' })
  return new Experts({
    ...rest, door, held, purse: new Purse({ store, config: config.escalation }), log: line,
    placeholderKey: async () => (await packetKey()).placeholders,
    remote: async (options) => (await import('@hearth/engine')).createRemoteModel({ ...options, limits, log: line }),
    thoughts: async () => new (await import('@hearth/engine')).KeptThoughts(),
    lan: async (endpoint, through) => new (await import('@hearth/engine')).CompatibleModel({ endpoint, door: through, log: line }),
    unreachable: async (endpoint, jobId) => (await import('@hearth/engine')).unreachable(endpoint, door, jobId),
    throughDoor: async (jobId) => (await import('@hearth/engine')).throughDoor(door, jobId),
  })
}
