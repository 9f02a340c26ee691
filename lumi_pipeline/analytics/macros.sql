-- What saves analysts writing the same again. Also part of a tenant's own connection.

-- The session's time zone is the reader's own; hours and weekdays of evidence are those of UTC.
CREATE MACRO utc_hour(moment) AS extract(hour FROM make_timestamp(epoch_us(moment)));
COMMENT ON MACRO utc_hour IS 'The hour of a time in UTC, 0 to 23, whatever the time zone of the session.';

CREATE MACRO utc_weekday(moment) AS extract(isodow FROM make_timestamp(epoch_us(moment)));
COMMENT ON MACRO utc_weekday IS 'The weekday of a time in UTC, 1 (Monday) to 7, whatever the time zone of the session.';

CREATE MACRO timeline(tenant, actor) AS TABLE
    SELECT recorded_at, action, entity_type, entity_id, outcome, ip, event_id, before_state, after_state
    FROM activity WHERE tenant_id = tenant AND actor_id = actor
    ORDER BY recorded_at, seq;
COMMENT ON MACRO TABLE timeline IS 'All that one user of a tenant did, in order.';
