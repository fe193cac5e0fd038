// Owns the translation between the rows of what left the box and their words, and the sums over them.
import type { EgressEntry, EgressReply, PacketEntry } from '@hearth/protocol'
import type { Db, Query } from './db.ts'
import { number, numberOrNull, text, type Row } from './rows.ts'
import type { Write } from './statements.ts'

/** A body as it lies on disk; `keyId` names the key it was sealed with. */
export type SealedBody = { keyId: string; sealed: Uint8Array }

export function packetWrites(entry: PacketEntry, body: SealedBody): Write[] {
  return [
    ['insertPacket', [entry.id, entry.at, entry.jobId, entry.escalation, entry.principal, entry.purpose, entry.host, entry.model, entry.bytes, entry.sha256, JSON.stringify(entry.redactions)]],
    ['insertPacketBody', [entry.id, entry.at, body.keyId, body.sealed]],
  ]
}

function packetOf(row: Row): PacketEntry {
  return {
    id: text(row, 'id'), at: number(row, 'at'), jobId: row['job_id'] as string | null, escalation: row['escalation'] as string | null, principal: text(row, 'principal'),
    purpose: text(row, 'purpose') as PacketEntry['purpose'], host: text(row, 'host'), model: text(row, 'model'), bytes: number(row, 'bytes'), sha256: text(row, 'sha256'),
    redactions: JSON.parse(text(row, 'redactions')) as PacketEntry['redactions'],
  }
}

function egressOf(row: Row): EgressEntry {
  return {
    id: number(row, 'id'), at: number(row, 'at'), jobId: row['job_id'] as string | null, purpose: text(row, 'purpose') as EgressEntry['purpose'],
    host: text(row, 'host'), bytes: numberOrNull(row, 'bytes'), ...(row['cut'] === 1 ? { cut: true } : {}),
  }
}

const where = '(?1 IS NULL OR at >= ?1) AND (?2 IS NULL OR job_id = ?2)'
const sums = 'count(*) AS n, coalesce(sum(coalesce(bytes, least)), 0) AS bytes, count(*) FILTER (WHERE bytes IS NULL OR cut = 1) AS uncounted'
const groups = { purpose: 'purpose', host: 'host', job: "coalesce(job_id, '')", day: "date(at / 1000, 'unixepoch')" } as const

/** What left since a moment (null = ever) for a job (null = any). `limit`: entries and packets each. */
export function egressReply(all: Query, since: number | null, jobId: string | null, limit: number): EgressReply {
  const total = all(`SELECT ${sums} FROM egress WHERE ${where}`, since, jobId)[0] ?? {}
  const sent = all(`SELECT count(*) AS n, coalesce(sum(bytes), 0) AS bytes, coalesce(sum((SELECT sum(json_extract(value, '$.count')) FROM json_each(redactions))), 0) AS redactions FROM packets WHERE ${where}`, since, jobId)[0] ?? {}
  const by = (group: keyof typeof groups): EgressReply['by']['purpose'] => all(`SELECT ${groups[group]} AS name, ${sums} FROM egress WHERE ${where}
    GROUP BY name ORDER BY ${group === 'day' ? 'name DESC' : 'bytes DESC, n DESC, name'} LIMIT 100`, since, jobId)
    .map((row) => ({ name: text(row, 'name'), connections: number(row, 'n'), bytes: number(row, 'bytes'), uncounted: number(row, 'uncounted') }))
  return {
    since,
    totals: {
      connections: number(total, 'n'), bytes: number(total, 'bytes'), uncounted: number(total, 'uncounted'),
      packets: number(sent, 'n'), packetBytes: number(sent, 'bytes'), redactions: number(sent, 'redactions'),
    },
    by: { purpose: by('purpose'), host: by('host'), job: by('job'), day: by('day') },
    entries: all(`SELECT id, at, job_id, purpose, host, coalesce(bytes, least) AS bytes, cut FROM egress WHERE ${where} ORDER BY id DESC LIMIT ?3`, since, jobId, limit).map(egressOf),
    packets: all(`SELECT *, EXISTS (SELECT 1 FROM packet_bodies WHERE packet_id = packets.id) AS kept FROM packets WHERE ${where} ORDER BY at DESC, rowid DESC LIMIT ?3`, since, jobId, limit)
      .map((row) => ({ ...packetOf(row), hasBody: row['kept'] === 1 })),
  }
}

/** Of a connection that was open when the daemon was killed, what it sent at least is all that will ever be known. To be called before there is any other. */
export function closeCut(db: Db): void {
  db.exec('UPDATE egress SET bytes = coalesce(least, 0), cut = 1 WHERE connection IS NOT NULL AND bytes IS NULL')
}

/** One packet and its body; null = there is no such packet, `body` null = it is gone. */
export function packetWithBody(all: Query, id: string): { entry: PacketEntry; body: SealedBody | null } | null {
  const row = all('SELECT packets.*, key_id, sealed FROM packets LEFT JOIN packet_bodies ON packet_id = id WHERE id = ?', id)[0]
  if (row === undefined) return null
  const sealed = row['sealed']
  return { entry: packetOf(row), body: sealed instanceof Uint8Array ? { keyId: text(row, 'key_id'), sealed } : null }
}
