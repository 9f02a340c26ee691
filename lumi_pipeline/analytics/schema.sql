-- The analyst database. What analysts query is in the schema main; how it came about is in the schema lake.

CREATE SCHEMA lake;

CREATE TABLE lake.build (
    format VARCHAR NOT NULL,
    root VARCHAR NOT NULL,
    built_at TIMESTAMP NOT NULL,
    state VARCHAR NOT NULL
);
COMMENT ON TABLE lake.build IS 'One row: the form of this database, the lake it was made from, when (UTC), and a digest of what the lake held.';

CREATE TABLE lake.files (
    file INTEGER NOT NULL,
    key VARCHAR NOT NULL,
    size BIGINT NOT NULL,
    sha256 VARCHAR NOT NULL,
    rows BIGINT NOT NULL,
    day DATE
);
COMMENT ON TABLE lake.files IS 'The committed event files that activity was read from, each checked against its SHA-256. day is null for landed files.';

CREATE TABLE lake.sealed_days (
    day DATE NOT NULL,
    content VARCHAR NOT NULL
);
COMMENT ON TABLE lake.sealed_days IS 'A digest of the names of what a sealed day consisted of when it was read; when it differs, the day is read again.';

CREATE TABLE lake.sealed_through (
    tenant_id VARCHAR NOT NULL,
    next_seq BIGINT NOT NULL
);
COMMENT ON TABLE lake.sealed_through IS 'The first seq of each tenant that is not in a sealed day: landed rows count from here on.';

CREATE TABLE lake.breaks (
    day DATE NOT NULL,
    tenant_id VARCHAR NOT NULL,
    breaks BIGINT NOT NULL
);
COMMENT ON TABLE lake.breaks IS 'How many breaks a sealed day has in the chain of a tenant; tenants without any are left out.';

CREATE TABLE activity (
    day DATE NOT NULL,
    tenant_id VARCHAR NOT NULL,
    seq BIGINT NOT NULL,
    event_id VARCHAR NOT NULL,
    recorded_at TIMESTAMPTZ NOT NULL,
    occurred_at TIMESTAMPTZ NOT NULL,
    action VARCHAR NOT NULL,
    entity_type VARCHAR NOT NULL,
    entity_id VARCHAR NOT NULL,
    outcome VARCHAR NOT NULL,
    actor_type VARCHAR NOT NULL,
    actor_id VARCHAR NOT NULL,
    auth_method VARCHAR,
    actor_name VARCHAR,
    ip VARCHAR,
    user_agent VARCHAR,
    request_id VARCHAR,
    before_state VARCHAR,
    after_state VARCHAR,
    sealed BOOLEAN NOT NULL,
    file INTEGER NOT NULL,
    file_row BIGINT NOT NULL
);
COMMENT ON TABLE activity IS 'Every event without its hashes, in the order in which one user''s events of a day lie together. For finding things and for investigations; what is shown as evidence is read from the lake.';
COMMENT ON COLUMN activity.day IS 'UTC day: the sealed day that holds the event, or that of recorded_at while it is not sealed.';
COMMENT ON COLUMN activity.recorded_at IS 'When the outbox took the event; never decreases within a tenant.';
COMMENT ON COLUMN activity.occurred_at IS 'When it happened, as the caller claims.';
COMMENT ON COLUMN activity.before_state IS 'JSON text as recorded, for instance before_state->>''$.role''.';
COMMENT ON COLUMN activity.after_state IS 'JSON text as recorded, for instance after_state->>''$.role''.';
COMMENT ON COLUMN activity.sealed IS 'Whether the event is in a sealed day; before that it is only landed.';
COMMENT ON COLUMN activity.file IS 'Where the event lies: the file, see lake.files.';
COMMENT ON COLUMN activity.file_row IS 'Where the event lies: its row in that file, from 0.';

CREATE TABLE actions (
    action VARCHAR NOT NULL,
    entity_type VARCHAR NOT NULL,
    description VARCHAR NOT NULL,
    ocsf_class VARCHAR NOT NULL
);
COMMENT ON TABLE actions IS 'The catalogue of actions. Others may be recorded too.';

CREATE TABLE days (
    day DATE NOT NULL,
    tenants BIGINT NOT NULL,
    events BIGINT NOT NULL,
    sealed BOOLEAN NOT NULL,
    published BOOLEAN NOT NULL,
    breaks BIGINT
);
COMMENT ON TABLE days IS 'Every sealed day, idle ones too, and the days of landed events.';
COMMENT ON COLUMN days.tenants IS 'Tenants with an event on the day.';
COMMENT ON COLUMN days.breaks IS 'Breaks in the day''s chains, accepted when it was sealed; null before.';
