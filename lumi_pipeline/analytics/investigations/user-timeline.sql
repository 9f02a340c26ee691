-- title: Everything one user did, and what was done to the account
-- description: All events of one user in order of time, in every tenant, and the events whose entity is this user.
-- param user text: The actor_id.
-- param tenant text?: Only events of this tenant.
-- param from timestamp?: Only events of this moment or later.
-- param to timestamp?: Only events before this moment.
-- example: lumi investigate user-timeline --param user=u-17 --param from=2026-11-01T00:00:00Z
SELECT
    row_number() OVER (ORDER BY occurred_at, tenant_id, seq) AS number,
    occurred_at,
    recorded_at,
    tenant_id,
    actor_id,
    actor_name,
    action,
    entity_type,
    entity_id,
    outcome,
    auth_method,
    ip,
    user_agent,
    before_state,
    after_state,
    event_id
FROM activity
WHERE (actor_id = $user OR entity_id = $user)
    AND ($tenant::VARCHAR IS NULL OR tenant_id = $tenant)
    AND ($from::TIMESTAMPTZ IS NULL OR occurred_at >= $from)
    AND ($to::TIMESTAMPTZ IS NULL OR occurred_at < $to)
ORDER BY number
