// Owns every statement that writes: a closed list by name, so that the thread that writes runs nothing else.

export const statements = {
  insertJob: `INSERT INTO jobs (id, state, request, principal, principal_id, project, workspace, model, idempotency_key, created_at)
    VALUES (?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?)`,
  insertEvent: 'INSERT INTO events (job_id, seq, at, type, body) VALUES (?, ?, ?, ?, ?)',
  setState: 'UPDATE jobs SET state = ? WHERE id = ? AND ended_at IS NULL',
  setWoken: "UPDATE jobs SET state = 'queued' WHERE id = ? AND state IN ('paused', 'waiting_approval') AND ended_at IS NULL",
  setCancelled: 'UPDATE jobs SET cancelled_by = coalesce(cancelled_by, ?) WHERE id = ? AND ended_at IS NULL',
  setStarted: "UPDATE jobs SET state = 'running', started_at = coalesce(started_at, ?) WHERE id = ? AND ended_at IS NULL",
  setEnded: 'UPDATE jobs SET state = ?, verified = ?, summary = ?, fault = ?, receipt = ?, exit_code = ?, ended_at = ? WHERE id = ? AND ended_at IS NULL',
  insertLedger: `INSERT INTO ledger (at, job_id, step, principal, origin, model, place, purpose, prompt_tokens, reused_tokens, completion_tokens,
    queued_ms, prefill_ms, decode_ms, ttft_ms, total_ms, joules, usd_micros, ended, cache_write_tokens, prepaid_usd_micros, escalation) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  insertKey: 'INSERT INTO keys (id, name, hash, scopes, origin, class, models, created_at, expires_at, budget) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
  insertProject: 'INSERT INTO projects (id, path, rules, created_at, at, by, removed) VALUES (?, ?, ?, ?, ?, ?, ?)',
  revokeKey: 'UPDATE keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?',
  useKey: 'UPDATE keys SET last_used_at = ? WHERE id = ?',
  insertReservation: `INSERT INTO reservations (at, day, job_id, step, escalation, project, principal, origin, purpose, provider, model, place, prompt_tokens,
    completion_tokens, usd_micros, list_usd_micros, cover, covered) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  insertSettlement: 'INSERT INTO settlements (reservation, at, how, usd_micros, list_usd_micros, covered) VALUES (?, ?, ?, ?, ?, ?)',
  insertEgress: 'INSERT INTO egress (at, job_id, purpose, host, bytes) VALUES (?, ?, ?, ?, ?)',
  openEgress: 'INSERT INTO egress (at, job_id, purpose, host, connection) VALUES (?, ?, ?, ?, ?)',
  settleEgress: 'UPDATE egress SET bytes = ? WHERE connection = ?',
  noteEgress: 'UPDATE egress SET least = ?1 WHERE connection = ?2 AND bytes IS NULL AND ?1 > coalesce(least, -1)',
  insertPacket: `INSERT INTO packets (id, at, job_id, escalation, principal, purpose, host, model, bytes, sha256, redactions)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  insertPacketBody: 'INSERT INTO packet_bodies (packet_id, at, key_id, sealed) VALUES (?, ?, ?, ?)',
  dropPacketBodies: 'DELETE FROM packet_bodies WHERE at < ?',
} as const

export type StatementName = keyof typeof statements
export type Value = string | number | null | Uint8Array
/** One statement with its values, in the order of its question marks. */
export type Write = readonly [StatementName, readonly Value[]]
