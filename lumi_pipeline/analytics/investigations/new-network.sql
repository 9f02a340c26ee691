-- title: Activity from a network or user agent never seen for that user
-- description: A known user comes from a network, or with a user agent, that this user never had before, and does from
--   there more of what counts (exports, privileges, settings, decisions, failures) than usual. New networks alone are
--   common; the score adds how rare they are for this user and how far the share of what counts lies above that of
--   everything else the user did.
-- param tenant text?: Only events of this tenant.
-- param since date?: Only what began on this day (UTC) or later.
-- param until date?: Only what began on this day (UTC) or earlier.
-- param score number = 3.5: Report what comes by chance once in 10^score times, or less often.
-- example: lumi investigate new-network --param score=2
WITH places AS (
    SELECT
        actor_type, actor_id, ip, user_agent, day_number(occurred_at) AS on_day,
        count(*) AS events,
        count(*) FILTER (WHERE outcome = 'failure' OR action IN (
            SELECT action FROM action_kinds() WHERE kind IN ('export', 'privilege', 'setting', 'decision')
        )) AS counting
    FROM activity
    WHERE actor_type != 'system' AND ip IS NOT NULL AND ($tenant::VARCHAR IS NULL OR tenant_id = $tenant)
    GROUP BY ALL
), origins AS (
    SELECT actor_type, actor_id, 'network' AS kind, network(ip) AS origin, on_day, events, counting FROM places
    UNION ALL
    SELECT actor_type, actor_id, 'user agent', user_agent, on_day, events, counting FROM places
    WHERE user_agent IS NOT NULL
), daily AS (
    SELECT actor_type, actor_id, kind, origin, on_day, sum(events) AS events, sum(counting) AS counting
    FROM origins
    GROUP BY ALL
), compared AS (
    SELECT
        *,
        min(on_day) OVER per_origin AS first_day,
        sum(events) OVER per_person AS own,
        sum(counting) OVER per_person AS own_counting,
        sum(events) OVER per_type AS everybody,
        sum(counting) OVER per_type AS everybody_counting
    FROM daily
    WINDOW
        per_origin AS (PARTITION BY actor_id, kind, origin),
        per_person AS (PARTITION BY actor_id, kind),
        per_type AS (PARTITION BY actor_type, kind)
), firsts AS (
    SELECT *, count(*) OVER (PARTITION BY actor_id, kind) AS origins
    FROM compared
    WHERE on_day = first_day
), rated AS (
    SELECT
        actor_id, kind, origin, on_day, events, counting,
        (own_counting - counting + 10 * (everybody_counting + 1) / (everybody + 2)) / (own - events + 10) AS expected,
        surprise(counting, events * expected, own_counting - counting + 1)
            - log10(least(1, origins / (own - events + 1))) AS score
    FROM firsts
    WHERE events < own
), found AS (
    SELECT *, row_number() OVER (ORDER BY score DESC, actor_id, kind, origin) AS finding
    FROM rated
    WHERE score >= $score
        AND ($since::DATE IS NULL OR on_day >= day_number($since::DATE))
        AND ($until::DATE IS NULL OR on_day <= day_number($until::DATE))
)
SELECT
    finding,
    round(score, 1) AS score,
    tenant_id,
    a.actor_id,
    actor_name,
    occurred_at,
    action,
    entity_id,
    outcome,
    ip,
    user_agent,
    format('new {}; {} of {} events count, {:.0f} % expected', kind, f.counting, f.events, 100 * expected) AS why,
    event_id
FROM activity AS a
JOIN found AS f
    ON f.actor_id = a.actor_id AND f.origin = CASE f.kind WHEN 'network' THEN network(a.ip) ELSE a.user_agent END
WHERE day_number(a.occurred_at) = f.on_day AND ($tenant::VARCHAR IS NULL OR a.tenant_id = $tenant)
ORDER BY finding, occurred_at, tenant_id, seq
