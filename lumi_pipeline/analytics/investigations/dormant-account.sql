-- title: A dormant account that woke up
-- description: A user did nothing for much longer than ever before, and then something. Each row is something done on
--   the first two days after the pause.
-- param tenant text?: Only events of this tenant.
-- param since date?: Only awakenings of this day (UTC) or later.
-- param until date?: Only awakenings of this day (UTC) or earlier.
-- param days integer = 30: A pause of fewer days is none, however busy the user was before.
-- param times number = 3: How many times longer than the user's second longest pause.
-- example: lumi investigate dormant-account --param days=90
WITH active AS (
    SELECT DISTINCT actor_id, day_number(occurred_at) AS on_day
    FROM activity
    WHERE actor_type != 'system' AND ($tenant::VARCHAR IS NULL OR tenant_id = $tenant)
), pauses AS (
    SELECT actor_id, on_day, on_day - lag(on_day) OVER (PARTITION BY actor_id ORDER BY on_day) AS days
    FROM active
), compared AS (
    SELECT actor_id, max(days) AS longest, arg_max(on_day, days) AS on_day, list_reverse_sort(list(days))[2] AS second
    FROM pauses
    WHERE days IS NOT NULL
    GROUP BY actor_id
), found AS (
    SELECT *, row_number() OVER (ORDER BY longest DESC, actor_id) AS finding
    FROM compared
    WHERE longest >= $days
        AND longest >= $times * coalesce(second, 0)
        AND ($since::DATE IS NULL OR on_day >= day_number($since::DATE))
        AND ($until::DATE IS NULL OR on_day <= day_number($until::DATE))
)
SELECT
    finding,
    longest AS days,
    tenant_id,
    actor_id,
    actor_name,
    occurred_at,
    action,
    entity_id,
    outcome,
    ip,
    event_id
FROM activity
JOIN found USING (actor_id)
WHERE day_number(occurred_at) BETWEEN on_day AND on_day + 1 AND ($tenant::VARCHAR IS NULL OR tenant_id = $tenant)
ORDER BY finding, occurred_at, tenant_id, seq
