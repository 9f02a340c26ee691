-- title: Activity from a network or with a program never seen for that user
-- description: A known user comes from a network, or with a user agent, that this user never had before, and does from
--   there, on the first day, more of what counts (exports, privileges, settings, decisions, failures) than usual. New
--   networks alone are common; the score adds how rare they are for this user and how far the number of what counts
--   lies above what everything else the user did has one expect. Versions of programs do not count as new.
-- param tenant text?: Only events of this tenant.
-- param since date?: Only what began on this day (UTC) or later.
-- param until date?: Only what began on this day (UTC) or earlier.
-- param score number = 3.5: Report what comes by chance once in 10^score times, or less often.
-- example: lumi investigate new-network --param score=2
WITH counts AS (
    SELECT action FROM action_kinds() WHERE kind IN ('export', 'privilege', 'setting', 'decision')
), places AS MATERIALIZED (
    SELECT
        actor_type, actor_id, ip, user_agent, min(occurred_at) AS first_at, count(*) AS events,
        count(*) FILTER (WHERE outcome = 'failure' OR action IN (FROM counts)) AS counting
    FROM activity
    WHERE actor_type != 'system' AND ip IS NOT NULL AND ($tenant::VARCHAR IS NULL OR tenant_id = $tenant)
    GROUP BY ALL
), networks AS (
    -- Worked out once for each address, and joined by it: there are far fewer addresses than places or events.
    SELECT ip, network(ip) AS origin FROM (SELECT DISTINCT ip FROM places)
), programs AS (
    SELECT user_agent, program(user_agent) AS origin
    FROM (SELECT DISTINCT user_agent FROM places WHERE user_agent IS NOT NULL)
), origins AS MATERIALIZED (
    SELECT places.*, 'network' AS kind, origin FROM places JOIN networks USING (ip)
    UNION ALL
    SELECT places.*, 'program', origin FROM places JOIN programs USING (user_agent)
), per_origin AS (
    SELECT actor_type, actor_id, kind, origin, min(first_at) AS first_at, sum(events) AS events,
        sum(counting) AS counting
    FROM origins
    GROUP BY ALL
), compared AS (
    SELECT
        *,
        min(first_at) OVER own AS known_since,
        count(*) OVER own AS own_origins,
        sum(events) OVER own AS own_events,
        sum(counting) OVER own AS own_counting,
        10 * (sum(counting) OVER everybody + 1) / (sum(events) OVER everybody + 2) AS usual
    FROM per_origin
    WINDOW own AS (PARTITION BY actor_type, actor_id, kind), everybody AS (PARTITION BY actor_type, kind)
), candidates AS (
    -- Those that could reach the score if nothing but what counts had been done there.
    SELECT *
    FROM compared
    WHERE first_at > known_since
        AND surprise(counting, counting * (own_counting - counting + usual) / (own_events + 10), own_counting + 1)
            - log10(least(1, own_origins / (own_events + 1))) >= $score
), first_days AS (
    SELECT c.actor_type, c.actor_id, c.kind, c.origin, day_number(c.first_at) AS on_day, count(*) AS events,
        count(*) FILTER (WHERE a.outcome = 'failure' OR a.action IN (FROM counts)) AS counting,
        any_value(own_events) AS own_events, any_value(own_counting) AS own_counting,
        any_value(own_origins) AS own_origins, any_value(usual) AS usual
    FROM candidates AS c
    JOIN origins AS o USING (actor_type, actor_id, kind, origin)
    JOIN activity AS a
        ON a.actor_type = c.actor_type AND a.actor_id = c.actor_id
        AND a.ip = o.ip AND a.user_agent IS NOT DISTINCT FROM o.user_agent
        AND day_number(a.occurred_at) = day_number(c.first_at)
    WHERE $tenant::VARCHAR IS NULL OR a.tenant_id = $tenant
    GROUP BY ALL
), rated AS (
    SELECT
        *,
        (own_counting - counting + usual) / (own_events - events + 10) AS expected,
        surprise(counting, events * expected, own_counting - counting + 1)
            - log10(least(1, own_origins / (own_events - events + 1))) AS score
    FROM first_days
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
    a.ip,
    a.user_agent,
    format('new {}; {} of {} events count, {:.0f} % expected', kind, counting, events, 100 * expected) AS why,
    event_id
FROM found AS f
JOIN (SELECT actor_type, actor_id, kind, origin, ip, user_agent FROM origins) AS o
    USING (actor_type, actor_id, kind, origin)
JOIN activity AS a
    ON a.actor_type = f.actor_type AND a.actor_id = f.actor_id AND day_number(a.occurred_at) = f.on_day
    AND a.ip = o.ip AND a.user_agent IS NOT DISTINCT FROM o.user_agent
WHERE $tenant::VARCHAR IS NULL OR a.tenant_id = $tenant
ORDER BY finding, occurred_at, tenant_id, seq
