-- The audit outbox in SQLite. Applying this again changes nothing.
-- Times are microseconds since 1970-01-01T00:00:00Z; columns follow docs/formats.md section 1.

CREATE TABLE IF NOT EXISTS audit_identity (
    system_id TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS audit_identity_one_row ON audit_identity ((system_id IS NOT NULL));

CREATE TABLE IF NOT EXISTS audit_close (
    closed_before INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS audit_close_one_row ON audit_close ((closed_before IS NOT NULL));

CREATE TABLE IF NOT EXISTS audit_chain_head (
    tenant_id        TEXT    NOT NULL PRIMARY KEY,
    chain_id         BLOB    NOT NULL CHECK (length(chain_id) = 16),
    next_seq         INTEGER NOT NULL,
    head_hash        BLOB    NOT NULL CHECK (length(head_hash) = 32),
    last_recorded_at INTEGER NOT NULL
) STRICT;

-- Without rowid, a tenant's rows lie together in the order in which they are landed.
CREATE TABLE IF NOT EXISTS audit_outbox (
    tenant_id      TEXT    NOT NULL,
    seq            INTEGER NOT NULL CHECK (seq >= 0),
    event_id       TEXT    NOT NULL UNIQUE,
    recorded_at    INTEGER NOT NULL,
    occurred_at    INTEGER NOT NULL,
    action         TEXT    NOT NULL,
    entity_type    TEXT    NOT NULL,
    entity_id      TEXT    NOT NULL,
    outcome        TEXT    NOT NULL,
    actor_type     TEXT    NOT NULL,
    actor_id       TEXT    NOT NULL,
    auth_method    TEXT,
    actor_name     TEXT,
    ip             TEXT,
    user_agent     TEXT,
    request_id     TEXT,
    before_state   TEXT,
    after_state    TEXT,
    payload_salt   BLOB CHECK (length(payload_salt) = 16),
    payload_hash   BLOB    NOT NULL CHECK (length(payload_hash) = 32),
    prev_hash      BLOB    NOT NULL CHECK (length(prev_hash) = 32),
    integrity_hash BLOB    NOT NULL CHECK (length(integrity_hash) = 32),
    erased_at      INTEGER,
    PRIMARY KEY (tenant_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER IF NOT EXISTS audit_outbox_no_update BEFORE UPDATE ON audit_outbox
BEGIN
    SELECT RAISE(ABORT, 'audit_outbox is append-only: recorded events cannot be changed');
END;

CREATE TRIGGER IF NOT EXISTS audit_outbox_no_delete BEFORE DELETE ON audit_outbox
BEGIN
    SELECT RAISE(ABORT, 'audit_outbox is append-only: recorded events cannot be deleted');
END;

-- INSERT OR REPLACE deletes the row in its way without firing the trigger above, hence this one.
CREATE TRIGGER IF NOT EXISTS audit_outbox_no_replace BEFORE INSERT ON audit_outbox
WHEN EXISTS (SELECT 1 FROM audit_outbox WHERE tenant_id = NEW.tenant_id AND seq = NEW.seq)
  OR EXISTS (SELECT 1 FROM audit_outbox WHERE event_id = NEW.event_id)
BEGIN
    SELECT RAISE(ABORT, 'audit_outbox is append-only: an event of this event_id, or of this tenant and seq, exists');
END;

INSERT INTO audit_identity (system_id)
SELECT lower(hex(randomblob(16))) WHERE NOT EXISTS (SELECT 1 FROM audit_identity);

INSERT INTO audit_close (closed_before)
SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM audit_close);
