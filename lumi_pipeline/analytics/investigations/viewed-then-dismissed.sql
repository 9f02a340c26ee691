-- title: Who viewed a recommendation and then dismissed it
-- description: Every dismissal by somebody who had opened the recommendation before, with both moments, newest first.
--   Without an id: recommendations of high impact, as their state said when they were dismissed. Across all tenants.
-- param tenant text?: Only events of this tenant.
-- param since date?: Only dismissals of this day (UTC) or later.
-- param until date?: Only dismissals of this day (UTC) or earlier.
-- param recommendation text?: Its entity_id; without it every one of the given impact.
-- param impact text = high: The member "impact" of the state; not looked at when a recommendation is given.
-- example: lumi investigate viewed-then-dismissed --param recommendation=rec-1-00042
WITH dismissed AS (
    SELECT
        tenant_id, entity_id, actor_id, actor_name, seq, occurred_at, ip, event_id,
        CASE WHEN json_valid(coalesce(before_state, after_state))
            THEN coalesce(before_state, after_state) ->> 'impact' END AS impact,
        CASE WHEN json_valid(after_state) THEN after_state ->> 'reason' END AS reason
    FROM activity
    WHERE action = 'RECOMMENDATION_DISMISSED'
        AND outcome = 'success'
        AND ($tenant::VARCHAR IS NULL OR tenant_id = $tenant)
        AND ($recommendation::VARCHAR IS NULL OR entity_id = $recommendation)
        AND ($since::DATE IS NULL OR day_number(occurred_at) >= day_number($since::DATE))
        AND ($until::DATE IS NULL OR day_number(occurred_at) <= day_number($until::DATE))
), chosen AS (
    SELECT * FROM dismissed WHERE $recommendation::VARCHAR IS NOT NULL OR impact = $impact
), viewed AS (
    SELECT tenant_id, entity_id, actor_id, occurred_at, event_id
    FROM activity
    WHERE action = 'RECOMMENDATION_VIEWED'
        AND outcome = 'success'
        AND ($tenant::VARCHAR IS NULL OR tenant_id = $tenant)
        AND entity_id IN (SELECT entity_id FROM chosen)
)
SELECT
    row_number() OVER (ORDER BY d.occurred_at DESC, d.tenant_id, d.seq DESC) AS finding,
    d.tenant_id,
    d.entity_id AS recommendation,
    d.impact,
    d.actor_id,
    d.actor_name,
    v.occurred_at AS viewed_at,
    d.occurred_at AS dismissed_at,
    d.reason,
    d.ip,
    v.event_id AS viewed_event_id,
    d.event_id
FROM chosen AS d
ASOF JOIN viewed AS v
    ON d.tenant_id = v.tenant_id AND d.entity_id = v.entity_id AND d.actor_id = v.actor_id
    AND d.occurred_at >= v.occurred_at
ORDER BY finding
