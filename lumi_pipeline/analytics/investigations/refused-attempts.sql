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
), own AS (
    SELECT actor_type, actor_id, sum(attempts) AS own, sum(refused) AS own_refused FROM counted GROUP BY ALL
), everybody AS (
    SELECT actor_type, sum(own) AS everybody, sum(own_refused) AS everybody_refused FROM own GROUP BY ALL
), rated AS (
    SELECT
        *,
        (everybody_refused - own_refused + 1) / (everybody - own + 2) AS usual,
        own_refused - refused + 20 * usual AS known_refused,
        own - attempts - own_refused + refused + 20 * (1 - usual) AS known_granted,
        known_refused / (known_refused + known_granted) AS expected,
        surprise_share(refused, attempts, known_refused, known_granted) AS score
    FROM counted
    JOIN own USING (actor_type, actor_id)
    JOIN everybody USING (actor_type)
    WHERE refused > 0
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
