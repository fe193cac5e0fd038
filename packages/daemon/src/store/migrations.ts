// Owns the schema's history: numbered, append-only. A migration that was released is never changed; a new one is added below it.
import { fault, FaultError } from '@hearth/protocol/fault'
import type { Db } from './db.ts'

/** Events of calls that were repaired or did not run. A query uses the index only with these very words. A call that was refused before it ran took no time. */
export const unusualCalls = `(type IN ('call_repaired', 'call_rejected') OR (type = 'tool_result' AND json_extract(body, '$.cause') = 'refused' AND json_extract(body, '$.durationMs') = 0))`

export const migrations: readonly string[] = [
  // 1: jobs and their streams, what was spent, what left the box
  `
  CREATE TABLE jobs (
    id TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    verified INTEGER,
    request TEXT NOT NULL,
    principal TEXT NOT NULL,
    principal_id TEXT NOT NULL,
    project TEXT NOT NULL,
    workspace TEXT NOT NULL,
    model TEXT NOT NULL,
    idempotency_key TEXT,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER,
    summary TEXT,
    fault TEXT,
    receipt TEXT,
    exit_code INTEGER,
    cancelled_by TEXT
  ) STRICT;
  CREATE UNIQUE INDEX jobs_key ON jobs (principal_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
  CREATE INDEX jobs_state ON jobs (state, created_at);
  CREATE INDEX jobs_created ON jobs (created_at);

  CREATE TABLE events (
    job_id TEXT NOT NULL REFERENCES jobs (id),
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    type TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (job_id, seq)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE ledger (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    job_id TEXT REFERENCES jobs (id),
    step INTEGER,
    principal TEXT NOT NULL,
    origin TEXT NOT NULL,
    model TEXT NOT NULL,
    place TEXT NOT NULL,
    purpose TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    reused_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    queued_ms REAL NOT NULL,
    prefill_ms REAL NOT NULL,
    decode_ms REAL NOT NULL,
    ttft_ms REAL,
    total_ms REAL NOT NULL,
    joules INTEGER,
    usd_micros INTEGER NOT NULL,
    ended TEXT NOT NULL
  ) STRICT;
  CREATE INDEX ledger_job ON ledger (job_id);
  CREATE INDEX ledger_at ON ledger (at);

  CREATE TABLE egress (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    job_id TEXT,
    purpose TEXT NOT NULL,
    host TEXT NOT NULL,
    bytes INTEGER
  ) STRICT;
  CREATE INDEX egress_job ON egress (job_id);
  CREATE INDEX egress_at ON egress (at);

  CREATE TRIGGER events_gapless BEFORE INSERT ON events
    WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM events WHERE job_id = NEW.job_id)
    BEGIN SELECT raise(ABORT, 'event number out of order'); END;
  CREATE TRIGGER events_keep BEFORE UPDATE ON events BEGIN SELECT raise(ABORT, 'events are append-only'); END;
  CREATE TRIGGER events_stay BEFORE DELETE ON events BEGIN SELECT raise(ABORT, 'events are append-only'); END;
  CREATE TRIGGER ledger_keep BEFORE UPDATE ON ledger BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
  CREATE TRIGGER ledger_stay BEFORE DELETE ON ledger BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
  CREATE TRIGGER egress_keep BEFORE UPDATE ON egress BEGIN SELECT raise(ABORT, 'the egress table is append-only'); END;
  CREATE TRIGGER egress_stay BEFORE DELETE ON egress BEGIN SELECT raise(ABORT, 'the egress table is append-only'); END;
  `,
  // 2: keys; a revoked one stays, because the ledger names it
  `
  CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    hash TEXT NOT NULL,
    scopes TEXT NOT NULL,
    origin TEXT NOT NULL,
    class TEXT NOT NULL,
    models TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER,
    revoked_at INTEGER
  ) STRICT;
  CREATE TRIGGER keys_stay BEFORE DELETE ON keys BEGIN SELECT raise(ABORT, 'a key is revoked, not deleted'); END;
  `,
  // 3: calls that were repaired or refused are few among very many events
  `
  CREATE INDEX events_calls ON events (at) WHERE ${unusualCalls};
  `,
  // 4: what a connection sent is known when it ends; nothing else of a row may ever change
  `
  ALTER TABLE egress ADD COLUMN connection TEXT;
  CREATE UNIQUE INDEX egress_connection ON egress (connection) WHERE connection IS NOT NULL;
  DROP TRIGGER egress_keep;
  CREATE TRIGGER egress_keep BEFORE UPDATE ON egress
    WHEN NOT (OLD.connection IS NOT NULL AND OLD.bytes IS NULL AND NEW.bytes IS NOT NULL AND NEW.connection = OLD.connection AND NEW.id = OLD.id
      AND NEW.at = OLD.at AND NEW.job_id IS OLD.job_id AND NEW.purpose = OLD.purpose AND NEW.host = OLD.host)
    BEGIN SELECT raise(ABORT, 'the egress table is append-only'); END;
  `,
  // 5: what was sent to whom, for good; the bodies are sealed, and go when they are old
  `
  CREATE TABLE packets (
    id TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    job_id TEXT,
    escalation TEXT,
    principal TEXT NOT NULL,
    purpose TEXT NOT NULL,
    host TEXT NOT NULL,
    model TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    redactions TEXT NOT NULL
  ) STRICT;
  CREATE INDEX packets_job ON packets (job_id);
  CREATE INDEX packets_at ON packets (at);
  CREATE TABLE packet_bodies (
    packet_id TEXT PRIMARY KEY REFERENCES packets (id),
    at INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    sealed BLOB NOT NULL
  ) STRICT;
  CREATE INDEX packet_bodies_at ON packet_bodies (at);
  CREATE TRIGGER packets_keep BEFORE UPDATE ON packets BEGIN SELECT raise(ABORT, 'the record of what was sent is append-only'); END;
  CREATE TRIGGER packets_stay BEFORE DELETE ON packets BEGIN SELECT raise(ABORT, 'the record of what was sent is append-only'); END;
  CREATE TRIGGER packet_bodies_keep BEFORE UPDATE ON packet_bodies BEGIN SELECT raise(ABORT, 'what was sent does not change'); END;
  `,
  // 6: money: reserved before it is spent, settled once; what a key may spend
  `
  CREATE TABLE reservations (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    day TEXT NOT NULL,
    job_id TEXT REFERENCES jobs (id),
    step INTEGER,
    escalation TEXT NOT NULL,
    project TEXT,
    principal TEXT NOT NULL,
    origin TEXT NOT NULL,
    purpose TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    place TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    usd_micros INTEGER NOT NULL,
    list_usd_micros INTEGER NOT NULL,
    cover TEXT,
    covered INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX reservations_at ON reservations (at);
  CREATE INDEX reservations_day ON reservations (day);
  CREATE INDEX reservations_job ON reservations (job_id, escalation);
  CREATE INDEX reservations_cover ON reservations (cover) WHERE cover IS NOT NULL;
  CREATE TABLE settlements (
    reservation INTEGER PRIMARY KEY REFERENCES reservations (id),
    at INTEGER NOT NULL,
    how TEXT NOT NULL,
    usd_micros INTEGER NOT NULL,
    list_usd_micros INTEGER NOT NULL,
    covered INTEGER NOT NULL
  ) STRICT;
  CREATE TRIGGER reservations_keep BEFORE UPDATE ON reservations BEGIN SELECT raise(ABORT, 'reservations are append-only'); END;
  CREATE TRIGGER reservations_stay BEFORE DELETE ON reservations BEGIN SELECT raise(ABORT, 'reservations are append-only'); END;
  CREATE TRIGGER settlements_keep BEFORE UPDATE ON settlements BEGIN SELECT raise(ABORT, 'settlements are append-only'); END;
  CREATE TRIGGER settlements_stay BEFORE DELETE ON settlements BEGIN SELECT raise(ABORT, 'settlements are append-only'); END;
  ALTER TABLE ledger ADD COLUMN cache_write_tokens INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE ledger ADD COLUMN prepaid_usd_micros INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE ledger ADD COLUMN escalation TEXT;
  ALTER TABLE keys ADD COLUMN budget TEXT;
  `,
  // 7: projects; each row is a version of one's rules, so what held at any time can be looked up
  `
  CREATE TABLE projects (
    version INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    path TEXT NOT NULL,
    rules TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    at INTEGER NOT NULL,
    by TEXT NOT NULL,
    removed INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX projects_id ON projects (id);
  CREATE TRIGGER projects_keep BEFORE UPDATE ON projects BEGIN SELECT raise(ABORT, 'versions of projects are append-only'); END;
  CREATE TRIGGER projects_stay BEFORE DELETE ON projects BEGIN SELECT raise(ABORT, 'versions of projects are append-only'); END;
  `,
  // 8: what came of help is few among very many events
  `
  CREATE INDEX events_effects ON events (at) WHERE type = 'effect';
  `,
  // 9: what was bought, how it came back, and jobs that are over: few among very many rows, and read for every report of usage
  `
  CREATE INDEX ledger_bought ON ledger (job_id, escalation, at, usd_micros, prepaid_usd_micros) WHERE escalation IS NOT NULL;
  CREATE INDEX events_handed_back ON events (at) WHERE type = 'handed_back';
  CREATE INDEX jobs_over ON jobs (ended_at, state, json_array_length(request, '$.checks')) WHERE ended_at IS NOT NULL;
  `,
  // 10: what an open connection sent at least, so that a daemon that is killed leaves more than nothing; `cut`: it was open then. Only upwards, and once to its end
  `
  ALTER TABLE egress ADD COLUMN least INTEGER;
  ALTER TABLE egress ADD COLUMN cut INTEGER NOT NULL DEFAULT 0;
  CREATE INDEX egress_open ON egress (id) WHERE connection IS NOT NULL AND bytes IS NULL;
  DROP TRIGGER egress_keep;
  CREATE TRIGGER egress_keep BEFORE UPDATE ON egress
    WHEN NOT (OLD.connection IS NOT NULL AND OLD.bytes IS NULL AND NEW.connection = OLD.connection AND NEW.id = OLD.id
      AND NEW.at = OLD.at AND NEW.job_id IS OLD.job_id AND NEW.purpose = OLD.purpose AND NEW.host = OLD.host
      AND ((NEW.bytes IS NULL AND NEW.cut = 0 AND NEW.least > coalesce(OLD.least, -1)) OR (NEW.bytes >= coalesce(OLD.least, 0) AND NEW.least IS OLD.least)))
    BEGIN SELECT raise(ABORT, 'the egress table is append-only'); END;
  `,
]

/** Brings the schema up to date, one transaction a migration. Throws FaultError `database` for a database of a newer Hearth. */
export function migrate(db: Db, path: string, steps: readonly string[] = migrations): void {
  db.exec('CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT')
  const row = db.prepare("SELECT value FROM meta WHERE key = 'schema'").get()
  const found = row === undefined ? 0 : Number(row['value'])
  if (found > steps.length) {
    throw new FaultError(fault('database', {
      path, problem: `its schema is number ${found} and this program knows ${steps.length}, so a newer Hearth made it; update Hearth or use another folder`,
    }))
  }
  for (const [index, sql] of steps.entries()) {
    if (index < found) continue
    db.exec('BEGIN IMMEDIATE')
    try {
      db.exec(sql)
      db.prepare("INSERT INTO meta (key, value) VALUES ('schema', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value").run(String(index + 1))
      db.exec('COMMIT')
    } catch (error) {
      if (db.isTransaction) db.exec('ROLLBACK')
      throw error
    }
  }
}
