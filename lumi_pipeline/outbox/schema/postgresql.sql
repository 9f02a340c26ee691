-- The audit outbox in PostgreSQL 14 or newer. Applying this again changes nothing.
-- Columns follow docs/formats.md section 1. Text that has an order is COLLATE "C", which is the order of code points.

-- Two roles without login; grant them to the roles that log in. lumi_writer is the application: it records through
-- AuditRecorder. lumi_pipeline lands and closes days, and records for the operator's own tenant alone.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['lumi_writer', 'lumi_pipeline'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- roles belong to the whole server: another database is being set up at this moment
            END;
        END IF;
    END LOOP;
END $$;

CREATE TABLE IF NOT EXISTS audit_identity (
    system_id       text    NOT NULL,
    operator_tenant text    NOT NULL COLLATE "C"
);
CREATE UNIQUE INDEX IF NOT EXISTS audit_identity_one_row ON audit_identity ((system_id IS NOT NULL));

-- Before closed_before no event can be recorded any more. closing_before runs ahead of it while a day is being closed:
-- chains that start meanwhile start there.
CREATE TABLE IF NOT EXISTS audit_close (
    closed_before  timestamptz NOT NULL,
    closing_before timestamptz NOT NULL CHECK (closing_before >= closed_before)
);
CREATE UNIQUE INDEX IF NOT EXISTS audit_close_one_row ON audit_close ((closed_before IS NOT NULL));

-- Half-filled pages: a head is updated with every event, and finds room beside its old version.
CREATE TABLE IF NOT EXISTS audit_chain_head (
    tenant_id        text        NOT NULL COLLATE "C" PRIMARY KEY,
    chain_id         bytea       NOT NULL CHECK (octet_length(chain_id) = 16),
    next_seq         bigint      NOT NULL,
    head_hash        bytea       NOT NULL CHECK (octet_length(head_hash) = 32),
    last_recorded_at timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE IF NOT EXISTS audit_outbox (
    tenant_id      text        NOT NULL COLLATE "C",
    seq            bigint      NOT NULL CHECK (seq >= 0),
    event_id       uuid        NOT NULL,
    recorded_at    timestamptz NOT NULL,
    occurred_at    timestamptz NOT NULL,
    action         text        NOT NULL,
    entity_type    text        NOT NULL,
    entity_id      text        NOT NULL,
    outcome        text        NOT NULL,
    actor_type     text        NOT NULL,
    actor_id       text        NOT NULL,
    auth_method    text,
    actor_name     text,
    ip             text,
    user_agent     text,
    request_id     text,
    before_state   text,
    after_state    text,
    payload_salt   bytea CHECK (octet_length(payload_salt) = 16),
    payload_hash   bytea       NOT NULL CHECK (octet_length(payload_hash) = 32),
    prev_hash      bytea       NOT NULL CHECK (octet_length(prev_hash) = 32),
    integrity_hash bytea       NOT NULL CHECK (octet_length(integrity_hash) = 32),
    erased_at      timestamptz,
    PRIMARY KEY (tenant_id, seq),
    CONSTRAINT audit_outbox_event_id UNIQUE (event_id)
);

-- Which transaction is erasing right now, by audit_erase; empty but for that transaction's own sight.
CREATE TABLE IF NOT EXISTS audit_erasing (
    transaction_id xid8 NOT NULL PRIMARY KEY
);

-- Likewise, by audit_prune.
CREATE TABLE IF NOT EXISTS audit_pruning (
    transaction_id xid8 NOT NULL PRIMARY KEY
);

CREATE OR REPLACE FUNCTION audit_outbox_refuse() RETURNS trigger
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path FROM CURRENT
AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND EXISTS (
        SELECT 1 FROM audit_erasing WHERE transaction_id = pg_current_xact_id_if_assigned()
    ) THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' AND EXISTS (
        SELECT 1 FROM audit_pruning WHERE transaction_id = pg_current_xact_id_if_assigned()
    ) THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'audit_outbox is append-only: % is refused', TG_OP
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'Recorded events cannot be changed. Record another event that says what has become different.';
END $$;

-- By statement, so that even one that finds no row is refused; always, so that replication does not get round it.
CREATE OR REPLACE TRIGGER audit_outbox_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_outbox
    FOR EACH STATEMENT EXECUTE FUNCTION audit_outbox_refuse();
ALTER TABLE audit_outbox ENABLE ALWAYS TRIGGER audit_outbox_append_only;

-- The first event of a tenant. The lock on audit_close keeps a day from being closed before the transaction ends, as
-- the new head is invisible until then. Whoever waited for it in a snapshot of before gets a serialization failure.
CREATE OR REPLACE FUNCTION audit_start_chain(tenant text, chain bytea, genesis bytea) RETURNS void
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path FROM CURRENT
AS $$
DECLARE
    start timestamptz;
BEGIN
    IF session_user <> current_user -- who is the owner here, and could insert the head without this function
       AND NOT pg_has_role(session_user, 'lumi_writer', 'MEMBER')
       AND tenant IS DISTINCT FROM (SELECT operator_tenant FROM audit_identity)
    THEN
        RAISE EXCEPTION 'role % may record for the operator''s tenant only, not for %', session_user, tenant
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF session_user <> current_user
       AND NOT pg_has_role(session_user, 'lumi_pipeline', 'MEMBER')
       AND tenant = (SELECT operator_tenant FROM audit_identity)
    THEN
        RAISE EXCEPTION 'role % may not record for the operator''s own tenant %', session_user, tenant
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    SELECT closing_before INTO STRICT start FROM audit_close FOR SHARE;
    INSERT INTO audit_chain_head (tenant_id, chain_id, next_seq, head_hash, last_recorded_at)
    VALUES (tenant, chain, 0, genesis, start)
    ON CONFLICT (tenant_id) DO NOTHING;
END $$;

-- Closes every day up to and including the given one, a step with every call: call it again, each time in a transaction
-- of its own, until it returns 0, the number of heads still to be raised. No step waits for a head while it holds
-- another, so closing is never part of a deadlock, whatever order applications lock heads in.
CREATE OR REPLACE FUNCTION audit_close_day(day date) RETURNS bigint
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path FROM CURRENT
AS $$
DECLARE
    midnight CONSTANT timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
    held text;
    raised bigint;
    remaining bigint;
BEGIN
    IF clock_timestamp() < midnight THEN
        RAISE EXCEPTION '% is not over: the clock says % UTC', day,
            to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- The bar for new chains, by itself: it waits for the transactions that are starting one.
    UPDATE audit_close SET closing_before = midnight WHERE closing_before < midnight;
    IF FOUND THEN
        RETURN 1 + (SELECT count(*) FROM audit_chain_head WHERE last_recorded_at < midnight);
    END IF;

    -- The heads that nobody holds, without waiting for the others.
    WITH unheld AS (
        SELECT tenant_id FROM audit_chain_head WHERE last_recorded_at < midnight FOR UPDATE SKIP LOCKED
    )
    UPDATE audit_chain_head AS head SET last_recorded_at = midnight
    FROM unheld WHERE head.tenant_id = unheld.tenant_id;
    GET DIAGNOSTICS raised = ROW_COUNT;
    SELECT count(*), min(tenant_id) INTO remaining, held FROM audit_chain_head WHERE last_recorded_at < midnight;
    IF raised > 0 THEN
        RETURN greatest(remaining, 1);
    END IF;

    -- One that somebody holds: wait for it, as long as lock_timeout allows.
    IF remaining > 0 THEN
        UPDATE audit_chain_head SET last_recorded_at = midnight WHERE tenant_id = held AND last_recorded_at < midnight;
        RETURN remaining;
    END IF;

    UPDATE audit_close SET closed_before = midnight WHERE closed_before < midnight;
    RETURN 0;
END $$;

-- Takes the payload out of rows, and leaves their hashes: the only update that the outbox ever sees. It takes an event of
-- the operator's chain that orders it, and touches no row of that chain.
CREATE OR REPLACE FUNCTION audit_erase(tenant text, seqs bigint[], moment timestamptz, ordered_by uuid) RETURNS bigint
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path FROM CURRENT
AS $$
DECLARE
    operator CONSTANT text := (SELECT operator_tenant FROM audit_identity);
    erased bigint;
BEGIN
    IF tenant = operator THEN
        RAISE EXCEPTION 'what the operator did is never erased'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT EXISTS (
        SELECT 1 FROM audit_outbox
        WHERE event_id = ordered_by AND tenant_id = operator AND action = 'OUTBOX_ERASED'
    ) THEN
        RAISE EXCEPTION 'event % does not order an erasure', ordered_by
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO audit_erasing VALUES (pg_current_xact_id());
    UPDATE audit_outbox
    SET actor_name = NULL, ip = NULL, user_agent = NULL, request_id = NULL, before_state = NULL, after_state = NULL,
        payload_salt = NULL, erased_at = moment
    WHERE tenant_id = tenant AND seq = ANY (seqs) AND (
        erased_at IS NULL
        -- Marked by somebody else, and with something left.
        OR num_nonnulls(actor_name, ip, user_agent, request_id, before_state, after_state, payload_salt) > 0
    );
    GET DIAGNOSTICS erased = ROW_COUNT;
    DELETE FROM audit_erasing;
    RETURN erased;
END $$;

-- Removes rows of a day that is closed, of a tenant of which nothing stays: the only deletion that the outbox ever sees.
-- It takes an event of the operator's chain that says so, and touches no row of that chain, and no row of another day.
CREATE OR REPLACE FUNCTION audit_prune(tenant text, first bigint, after bigint, day date, ordered_by uuid) RETURNS bigint
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path FROM CURRENT
AS $$
DECLARE
    operator CONSTANT text := (SELECT operator_tenant FROM audit_identity);
    midnight CONSTANT timestamptz := day::timestamp AT TIME ZONE 'UTC';
    next_midnight CONSTANT timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
    removed bigint;
BEGIN
    IF tenant = operator THEN
        RAISE EXCEPTION 'what the operator did is never removed'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT EXISTS (SELECT 1 FROM audit_close WHERE closed_before >= next_midnight) THEN
        RAISE EXCEPTION '% is not closed', day
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT EXISTS (
        SELECT 1
        FROM audit_outbox, jsonb_array_elements(after_state::jsonb -> 'days') AS pruned
        WHERE event_id = ordered_by AND tenant_id = operator AND action = 'OUTBOX_PRUNED'
            AND pruned ->> 'day' = to_char(day, 'YYYY-MM-DD') AND NOT (pruned -> 'kept') ? tenant
    ) THEN
        RAISE EXCEPTION 'event % does not say that the rows of tenant % of % are pruned', ordered_by, tenant, day
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO audit_pruning VALUES (pg_current_xact_id()) ON CONFLICT DO NOTHING;
    DELETE FROM audit_outbox
    WHERE tenant_id = tenant AND seq >= first AND seq < after
        AND recorded_at >= midnight AND recorded_at < next_midnight;
    GET DIAGNOSTICS removed = ROW_COUNT;
    DELETE FROM audit_pruning;
    RETURN removed;
END $$;

-- Who may do what. Row security applies to neither the owner nor a superuser.
ALTER TABLE audit_outbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_chain_head ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS audit_read ON audit_outbox;
DROP POLICY IF EXISTS audit_record ON audit_outbox;
DROP POLICY IF EXISTS audit_record_operator ON audit_outbox;
DROP POLICY IF EXISTS audit_read ON audit_chain_head;
DROP POLICY IF EXISTS audit_record ON audit_chain_head;
DROP POLICY IF EXISTS audit_record_operator ON audit_chain_head;
CREATE POLICY audit_read ON audit_outbox FOR SELECT USING (true);
-- Not for the operator: legal holds, erasures and prunings follow from that chain, and an application orders none.
CREATE POLICY audit_record ON audit_outbox FOR INSERT TO lumi_writer
    WITH CHECK (tenant_id <> (SELECT operator_tenant FROM audit_identity));
CREATE POLICY audit_record_operator ON audit_outbox FOR INSERT TO lumi_pipeline
    WITH CHECK (tenant_id = (SELECT operator_tenant FROM audit_identity));
CREATE POLICY audit_read ON audit_chain_head FOR SELECT USING (true);
CREATE POLICY audit_record ON audit_chain_head FOR UPDATE TO lumi_writer
    USING (tenant_id <> (SELECT operator_tenant FROM audit_identity));
CREATE POLICY audit_record_operator ON audit_chain_head FOR UPDATE TO lumi_pipeline
    USING (tenant_id = (SELECT operator_tenant FROM audit_identity));

DO $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO lumi_writer, lumi_pipeline', current_schema());
END $$;
REVOKE ALL ON audit_identity, audit_close, audit_chain_head, audit_outbox, audit_erasing, audit_pruning
    FROM PUBLIC, lumi_writer, lumi_pipeline;
REVOKE ALL ON FUNCTION audit_start_chain(text, bytea, bytea), audit_close_day(date), audit_outbox_refuse(),
    audit_erase(text, bigint[], timestamptz, uuid), audit_prune(text, bigint, bigint, date, uuid)
    FROM PUBLIC, lumi_writer, lumi_pipeline;
-- Whoever imports history records like an application, and has to see which days are closed.
GRANT SELECT ON audit_identity, audit_close TO lumi_writer;
GRANT SELECT (tenant_id, seq, event_id), INSERT ON audit_outbox TO lumi_writer;
GRANT SELECT, UPDATE (next_seq, head_hash, last_recorded_at) ON audit_chain_head TO lumi_writer;
GRANT EXECUTE ON FUNCTION audit_start_chain(text, bytea, bytea) TO lumi_writer;
GRANT SELECT ON audit_identity, audit_close, audit_chain_head, audit_outbox TO lumi_pipeline;
GRANT INSERT ON audit_outbox TO lumi_pipeline;
GRANT UPDATE (next_seq, head_hash, last_recorded_at) ON audit_chain_head TO lumi_pipeline;
GRANT EXECUTE ON FUNCTION audit_start_chain(text, bytea, bytea), audit_close_day(date),
    audit_erase(text, bigint[], timestamptz, uuid), audit_prune(text, bigint, bigint, date, uuid) TO lumi_pipeline;
