-- title: Attempts that were refused
-- description: On one day far more of what a user or key tried failed than is usual for it: somebody tries doors.
--   Logins are left out; guessed-login is about those.
-- param tenant text?: Only events of this tenant.
-- param since date?: Only attempts of this day (UTC) or later.
-- param until date?: Only attempts of this day (UTC) or earlier.
-- param score number = 5: Report what comes by chance once in 10^score days of a user, or less often.
-- example: lumi investigate refused-attempts --param score=3
WITH counted AS (
    SELECT actor_type, actor_id, day_number(occurred_at) AS on_day, count(*) AS attempts,
        count(*) FILTER (WHERE outcome = 'failure') AS refused
    FROM activity
    WHERE action NOT IN (SELECT action FROM action_kinds() WHERE kind = 'login')
        AND ($tenant::VARCHAR IS NULL OR tenant_id = $tenant)
    GROUP BY ALL
), compared AS (
    SELECT
        *,
        sum(attempts) OVER (PARTITION BY actor_type, actor_id) AS own,
        sum(refused) OVER (PARTITION BY actor_type, actor_id) AS own_refused,
        sum(attempts) OVER (PARTITION BY actor_type) AS everybody,
        sum(refused) OVER (PARTITION BY actor_type) AS everybody_refused
    FROM counted
), rated AS (
    SELECT
        *,
        (own_refused - refused + 20 * (everybody_refused - own_refused + 1) / (everybody - own + 2)) / (own - attempts + 20)
            AS expected,
        surprise(refused, attempts * expected, own_refused - refused + 1) AS score
    FROM compared
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
    format('{} of {} attempts refused in a day; {:.1f} % expected', refused, attempts, 100 * expected) AS why,
    event_id
FROM activity
JOIN found USING (actor_type, actor_id)
WHERE outcome = 'failure' AND day_number(occurred_at) = on_day
    AND action NOT IN (SELECT action FROM action_kinds() WHERE kind = 'login')
    AND ($tenant::VARCHAR IS NULL OR tenant_id = $tenant)
ORDER BY finding, occurred_at, tenant_id, seq
