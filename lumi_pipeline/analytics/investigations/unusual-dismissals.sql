-- title: Dismissals at unusual hours or in bursts
-- description: Somebody dismissed recommendations at an hour at which they do not usually work, or far more of them than
--   usual for how much they did. What is usual follows from their other days, together with two days of working hours and
--   twenty events of what is usual among their colleagues.
-- param tenant text?: Only events of this tenant.
-- param since date?: Only dismissals of this day (UTC) or later.
-- param until date?: Only dismissals of this day (UTC) or earlier.
-- param score number = 3.6: Report what comes by chance once in 10^score hours of a user's work, or less often.
-- example: lumi investigate unusual-dismissals --param score=5
WITH dismissed AS (
    -- Users and tenants are told apart by a hash of their id, which is faster than the text.
    SELECT hash(actor_id) AS who, hour_number(occurred_at) AS on_hour, count(*) AS dismissals
    FROM activity
    WHERE action = 'RECOMMENDATION_DISMISSED' AND outcome = 'success' AND actor_type != 'system'
        AND ($tenant::VARCHAR IS NULL OR tenant_id = $tenant)
    GROUP BY ALL
), worked AS (
    SELECT hash(actor_id) AS who, hour_number(occurred_at) AS on_hour, min(hash(tenant_id)) AS tenant, count(*) AS events
    FROM activity
    WHERE actor_type IN (SELECT actor_type FROM activity WHERE action = 'RECOMMENDATION_DISMISSED')
        AND ($tenant::VARCHAR IS NULL OR tenant_id = $tenant)
    GROUP BY ALL
), own_days AS (
    SELECT who, on_hour // 24 AS on_day, min(tenant) AS tenant, sum(events) AS today_events FROM worked GROUP BY ALL
), own_dismissals AS (
    SELECT who, on_hour // 24 AS on_day, sum(dismissals) AS today FROM dismissed GROUP BY ALL
), own AS (
    SELECT who, count(*) AS days, sum(today_events) AS events, any_value(dismissals) AS dismissals
    FROM own_days
    JOIN (SELECT who, sum(today) AS dismissals FROM own_dismissals GROUP BY who) USING (who)
    GROUP BY who
), everybody AS (
    SELECT sum(dismissals) / sum(events) AS share FROM own
), own_hours AS (
    SELECT who, on_hour % 24 AS hour, count(*) AS days FROM worked GROUP BY ALL
), tenant_hours AS (
    SELECT tenant, on_hour % 24 AS hour, count(*) AS days FROM worked GROUP BY ALL
), tenant_days AS (
    SELECT tenant, count(*) AS days FROM own_days GROUP BY ALL
), near AS (
    -- Nobody keeps to the hour: a burst may lie across the full hour, and work in the hour before or after counts as
    -- work at this hour.
    SELECT who, on_hour, on_hour + shifted AS near_hour, shifted
    FROM dismissed, (VALUES (-1), (0), (1)) AS shifts(shifted)
    WHERE ($since::DATE IS NULL OR on_hour >= 24 * day_number($since::DATE))
        AND ($until::DATE IS NULL OR on_hour < 24 * day_number($until::DATE) + 24)
), windows AS (
    SELECT
        n.who, n.on_hour, n.on_hour // 24 AS on_day,
        min(w.tenant) AS tenant,
        sum(w.events) FILTER (WHERE shifted < 1) AS did,
        sum(d.dismissals) FILTER (WHERE shifted < 1) AS dismissed,
        count(w.events) AS worked_today,
        sum(o.days) AS own_at_hour
    FROM near AS n
    LEFT JOIN worked AS w ON w.who = n.who AND w.on_hour = near_hour
    LEFT JOIN dismissed AS d ON d.who = n.who AND d.on_hour = near_hour
    LEFT JOIN own_hours AS o ON o.who = n.who AND o.hour = near_hour % 24
    GROUP BY ALL
), tenants AS (
    SELECT h.tenant, (h.hour + shifted + 24) % 24 AS hour, least(sum(h.days) / any_value(d.days), 1) AS at_hour
    FROM tenant_hours AS h
    JOIN tenant_days AS d USING (tenant)
    CROSS JOIN (VALUES (-1), (0), (1)) AS shifts(shifted)
    GROUP BY ALL
), rated AS (
    SELECT
        w.who, w.on_hour, w.on_day, w.did, w.dismissed,
        (o.dismissals - b.today + 20 * e.share) / (o.events - d.today_events + 20) AS usual,
        (least(w.own_at_hour - worked_today, o.days - 1) + 2 * t.at_hour) / (o.days + 1) AS works,
        surprise(w.dismissed, w.did * usual, o.dismissals - b.today + 1) - log10(works) AS score
    FROM windows AS w
    JOIN own AS o USING (who)
    JOIN own_days AS d USING (who, on_day)
    JOIN own_dismissals AS b USING (who, on_day)
    JOIN tenants AS t ON t.tenant = w.tenant AND t.hour = w.on_hour % 24
    CROSS JOIN everybody AS e
), peaks AS (
    SELECT who, on_day, max(score) AS score, min(on_hour) - 1 AS from_hour, max(on_hour) AS to_hour,
        arg_max(did, score) AS did, arg_max(dismissed, score) AS dismissed, arg_max(usual, score) AS usual,
        arg_max(works, score) AS works
    FROM rated
    WHERE score >= $score
    GROUP BY ALL
), found AS (
    SELECT *, row_number() OVER (ORDER BY score DESC, who, on_day) AS finding FROM peaks
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
    format('{} of {} events are dismissals, {:.0f} % are usual; works at this hour on {:.1f} % of days',
        dismissed, did, 100 * usual, 100 * works) AS why,
    event_id
FROM activity
JOIN found ON who = hash(actor_id)
WHERE action = 'RECOMMENDATION_DISMISSED' AND outcome = 'success'
    AND hour_number(occurred_at) BETWEEN from_hour AND to_hour
    AND ($tenant::VARCHAR IS NULL OR tenant_id = $tenant)
ORDER BY finding, occurred_at, tenant_id, seq
