// Owns how long the yes of a person to a text holds: not forever, not for another text, and for one sending only, also when the daemon is killed in between. Sends nothing.
import type { Offer } from '@hearth/protocol'
import type { Query } from '../store/db.ts'
import { number, text } from '../store/rows.ts'

export type ApprovalFacts = { query: Query; jobId: string; approvalSeconds: number; now: number }

/** Why a yes to this offer of the escalation `id` holds no more, as a sentence; null = it holds. `sha256`: of the packet as it would leave now. */
export function lapsedApproval(id: string, offer: Pick<Offer, 'place' | 'sha256'>, sha256: string, { query, jobId, approvalSeconds, now }: ApprovalFacts): string | null {
  const [given] = query(`SELECT at, json_extract(body, '$.by') AS by FROM events WHERE job_id = ? AND type = 'approval_given' AND json_extract(body, '$.callId') = ? ORDER BY seq DESC LIMIT 1`, jobId, `escalation:${id}`)
  if (given === undefined) return 'Nobody has said yes to it.'
  const at = number(given, 'at')
  // Held and not settled, though something of it is on record: a start of the daemon charged it.
  if (query("SELECT 1 FROM settlements s JOIN reservations r ON r.id = s.reservation WHERE r.job_id = ? AND r.escalation = ? AND s.how = 'charged' AND s.at >= ? LIMIT 1", jobId, id, at).length > 0) {
    return 'It was sent once, and the daemon was killed before the answer was stored; that call counts at its worst price.'
  }
  // What costs nothing is held by nobody: that it is on record says that it was sent.
  if (offer.place !== 'remote' && query('SELECT 1 FROM packets WHERE job_id = ? AND escalation = ? AND at >= ? LIMIT 1', jobId, id, at).length > 0) {
    return 'It was sent once, and the daemon was killed before the answer was stored.'
  }
  if (now - at >= approvalSeconds * 1000) return `The yes of ${text(given, 'by')} is older than ${approvalSeconds} s (escalation.approvalSeconds).`
  return sha256 === offer.sha256 ? null : 'What would leave is another text now: something in it is held as a secret that was none when it was approved, or the other way round.'
}
