-- title: Dismissals at unusual hours or in bursts
-- description: Somebody dismissed recommendations at an hour at which they do not usually work, or far more of them than
--   usual for how much they did. What is usual follows from their other days, together with two days of working hours and
--   twenty events of what is usual among their colleagues.
-- param tenant text?: Only events of this tenant.
-- param since date?: Only dismissals of this day (UTC) or later.
-- param until date?: Only dismissals of this day (UTC) or earlier.
-- param score number = 2.5: Report what comes by chance once in 10^score hours of a user's work, or less often.
-- example: lumi investigate unusual-dismissals --param score=5
WITH hourly AS (
    SELECT
        tenant_id, actor_id, hour_number(occurred_at) AS on_hour, count(*) AS events,
        count(*) FILTER (WHERE action = 'RECOMMENDATION_DISMISSED' AND outcome = 'success') AS dismissals
    FROM activity
    WHERE actor_type != 'system' AND ($tenant::VARCHAR IS NULL OR tenant_id = $tenant)
    GROUP BY ALL
), own_hours AS (
    SELECT actor_id, on_hour, sum(events) AS events, sum(dismissals) AS dismissals
    FROM hourly
    WHERE actor_id IN (SELECT actor_id FROM hourly WHERE dismissals > 0)
    GROUP BY ALL
), own AS (
    SELECT actor_id, count(DISTINCT on_hour // 24) AS days, sum(events) AS events, sum(dismissals) AS dismissals
    FROM own_hours
    GROUP BY ALL
), own_days AS (
    SELECT actor_id, on_hour // 24 AS on_day, sum(events) AS today_events, sum(dismissals) AS today
    FROM own_hours
    GROUP BY ALL
), own_profile AS (
    -- On how many days this user worked at that hour, or in the hour before or after: nobody keeps to the hour.
    SELECT actor_id, (on_hour + shifted) % 24 AS hour, count(DISTINCT (on_hour + shifted) // 24) AS at_hour
    FROM own_hours, (VALUES (-1), (0), (1)) AS shifts(shifted)
    GROUP BY ALL
), person_days AS (
    SELECT tenant_id, count(DISTINCT (actor_id, on_hour // 24)) AS person_days FROM hourly GROUP BY ALL
), at_hours AS (
    SELECT tenant_id, (on_hour + shifted) % 24 AS hour, count(DISTINCT (actor_id, (on_hour + shifted) // 24)) AS at_hour
    FROM hourly, (VALUES (-1), (0), (1)) AS shifts(shifted)
    GROUP BY ALL
), profile AS (
    SELECT tenant_id, hour, at_hour / person_days AS at_hour FROM at_hours JOIN person_days USING (tenant_id)
), colleagues AS (
    SELECT actor_id, hour, avg(at_hour) AS at_hour
    FROM (SELECT DISTINCT tenant_id, actor_id FROM hourly WHERE dismissals > 0)
    JOIN profile USING (tenant_id)
    GROUP BY ALL
), everybody AS (
    SELECT sum(dismissals) / sum(events) AS share FROM own
), windows AS (
    -- A burst may lie across the full hour.
    SELECT actor_id, on_hour, on_hour // 24 AS on_day, on_hour % 24 AS hour, dismissals,
        sum(events) OVER two_hours AS did, sum(dismissals) OVER two_hours AS dismissed
    FROM own_hours
    WINDOW two_hours AS (PARTITION BY actor_id ORDER BY on_hour RANGE BETWEEN 1 PRECEDING AND CURRENT ROW)
), rated AS (
    SELECT
        w.actor_id, w.on_hour, w.on_day, w.did, w.dismissed,
        (o.dismissals - d.today + 20 * e.share) / (o.events - d.today_events + 20) AS usual,
        (p.at_hour - 1 + 2 * c.at_hour) / (o.days + 1) AS works,
        surprise(w.dismissed, w.did * usual, o.dismissals - d.today + 1) - log10(works) AS score
    FROM windows AS w
    JOIN own AS o USING (actor_id)
    JOIN own_days AS d USING (actor_id, on_day)
    JOIN own_profile AS p USING (actor_id, hour)
    JOIN colleagues AS c USING (actor_id, hour)
    CROSS JOIN everybody AS e
    WHERE w.dismissals > 0
        AND ($since::DATE IS NULL OR on_day >= day_number($since::DATE))
        AND ($until::DATE IS NULL OR on_day <= day_number($until::DATE))
), peaks AS (
    SELECT actor_id, on_day, max(score) AS score, min(on_hour) - 1 AS from_hour, max(on_hour) AS to_hour,
        arg_max(did, score) AS did, arg_max(dismissed, score) AS dismissed, arg_max(usual, score) AS usual,
        arg_max(works, score) AS works
    FROM rated
    WHERE score >= $score
    GROUP BY ALL
), found AS (
    SELECT *, row_number() OVER (ORDER BY score DESC, actor_id, on_day) AS finding FROM peaks
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
    format('{} of {} events are dismissals, {:.0f} % are usual; works at this hour on {:.0f} % of days',
        dismissed, did, 100 * usual, 100 * works) AS why,
    event_id
FROM activity
JOIN found USING (actor_id)
WHERE action = 'RECOMMENDATION_DISMISSED' AND outcome = 'success'
    AND hour_number(occurred_at) BETWEEN from_hour AND to_hour
    AND ($tenant::VARCHAR IS NULL OR tenant_id = $tenant)
ORDER BY finding, occurred_at, tenant_id, seq
