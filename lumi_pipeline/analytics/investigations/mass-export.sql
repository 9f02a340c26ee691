-- title: Mass export or report generation
-- description: Days on which somebody took out far more reports, exports or secrets than is usual for them. What is
--   usual is the average of their other days, together with one day of what their peers do.
-- param tenant text?: Only events of this tenant.
-- param since date?: Only exports of this day (UTC) or later.
-- param until date?: Only exports of this day (UTC) or earlier.
-- param score number = 6: Report what comes by chance once in 10^score days of a user, or less often.
-- example: lumi investigate mass-export --param score=10
WITH active AS (
    SELECT actor_type, actor_id, count(*) AS days
    FROM (
        SELECT DISTINCT actor_type, actor_id, day_number(occurred_at) AS on_day
        FROM activity
        WHERE $tenant::VARCHAR IS NULL OR tenant_id = $tenant
    )
    GROUP BY ALL
), exports AS (
    SELECT *, day_number(occurred_at) AS on_day
    FROM activity
    WHERE action IN (SELECT action FROM action_kinds() WHERE kind = 'export')
        AND outcome = 'success'
        AND actor_type != 'system'
        AND ($tenant::VARCHAR IS NULL OR tenant_id = $tenant)
), counted AS (
    SELECT actor_type, actor_id, on_day, count(*) AS exports
    FROM exports
    GROUP BY ALL
), compared AS (
    SELECT
        *,
        sum(exports) OVER (PARTITION BY actor_type, actor_id) AS own,
        sum(exports) OVER (PARTITION BY actor_type) AS everybody
    FROM counted
), rated AS (
    SELECT
        actor_type, actor_id, on_day, exports, days - 1 AS other_days,
        (own - exports + (everybody - own + 1) / (everybody_days - days + 1)) / days AS expected,
        surprise(exports, expected, own - exports + 1) AS score
    FROM compared
    JOIN active USING (actor_type, actor_id)
    JOIN (SELECT actor_type, sum(days) AS everybody_days FROM active GROUP BY ALL) USING (actor_type)
), found AS (
    SELECT *, row_number() OVER (ORDER BY score DESC, actor_id, on_day) AS finding
    FROM rated
    WHERE score >= $score
        AND ($since::DATE IS NULL OR on_day >= day_number($since::DATE))
        AND ($until::DATE IS NULL OR on_day <= day_number($until::DATE))
)
SELECT
    finding,
    round(score, 1) AS score,
    tenant_id,
    actor_id,
    actor_name,
    occurred_at,
    action,
    entity_id,
    ip,
    format('{} exports in a day; {:.1f} expected from {} other days', f.exports, expected, other_days) AS why,
    event_id
FROM exports AS e
JOIN found AS f USING (actor_type, actor_id, on_day)
ORDER BY finding, occurred_at, tenant_id, seq
