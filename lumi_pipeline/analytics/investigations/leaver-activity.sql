-- title: Activity of people who had left
-- description: Whatever a user did after the directory deprovisioned the account, or somebody disabled or deleted it,
--   and before it was enabled again; in whatever tenant, because a guest has an account in several. Who did most of what
--   counts (exports, privileges, settings, decisions) comes first.
-- param tenant text?: Only events of this tenant.
-- param since date?: Only activity of this day (UTC) or later.
-- param until date?: Only activity of this day (UTC) or earlier.
-- param grace integer = 5: Minutes after the departure in which a session may still end.
-- example: lumi investigate leaver-activity --param grace=60
WITH changes AS (
    SELECT c.entity_id AS actor_id, c.occurred_at AS changed_at, c.event_id, k.kind, c.action
    FROM activity AS c
    JOIN action_kinds() AS k ON k.action = c.action AND k.kind IN ('departure', 'arrival')
    WHERE c.outcome = 'success' AND ($tenant::VARCHAR IS NULL OR c.tenant_id = $tenant)
), activities AS (
    SELECT *
    FROM activity
    WHERE actor_id IN (SELECT actor_id FROM changes WHERE kind = 'departure')
        AND ($tenant::VARCHAR IS NULL OR tenant_id = $tenant)
        AND ($since::DATE IS NULL OR day_number(occurred_at) >= day_number($since::DATE))
        AND ($until::DATE IS NULL OR day_number(occurred_at) <= day_number($until::DATE))
), late AS (
    SELECT a.*, c.changed_at, c.event_id AS departure_event_id,
        a.action IN (
            SELECT action FROM action_kinds() WHERE kind IN ('export', 'privilege', 'setting', 'decision')
        ) AS counts
    FROM activities AS a
    ASOF JOIN changes AS c ON a.actor_id = c.actor_id AND a.occurred_at > c.changed_at
    WHERE c.kind = 'departure' AND a.occurred_at > c.changed_at + to_minutes($grace)
), found AS (
    SELECT actor_id, count(*) AS events, count(*) FILTER (WHERE counts) AS counting,
        row_number() OVER (ORDER BY counting DESC, events DESC, actor_id) AS finding
    FROM late
    GROUP BY actor_id
)
SELECT
    finding,
    tenant_id,
    actor_id,
    actor_name,
    changed_at AS left_at,
    occurred_at,
    action,
    entity_id,
    outcome,
    ip,
    departure_event_id,
    event_id
FROM late
JOIN found USING (actor_id)
ORDER BY finding, occurred_at, tenant_id, seq
