-- title: Failed logins followed by a success
-- description: A user's logins failed several times in a row and then one succeeded, more often than this user mistypes.
--   How often that is follows from their other logins, together with two logins of the others.
-- param tenant text?: Only events of this tenant.
-- param since date?: Only successes of this day (UTC) or later.
-- param until date?: Only successes of this day (UTC) or earlier.
-- param minutes integer = 60: How long before the success a failure may lie.
-- param score number = 8: Report what comes by chance once in 10^score logins, or less often.
-- example: lumi investigate guessed-login --param minutes=240
WITH logins AS (
    SELECT
        *,
        outcome = 'failure' AS failed,
        count(*) FILTER (WHERE outcome = 'success') OVER earlier AS run
    FROM activity
    WHERE action IN (SELECT action FROM action_kinds() WHERE kind = 'login')
        AND outcome IN ('success', 'failure')
        AND ($tenant::VARCHAR IS NULL OR tenant_id = $tenant)
    WINDOW earlier AS (
        PARTITION BY tenant_id, actor_id ORDER BY occurred_at, seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
), people AS (
    SELECT tenant_id, actor_id, count(*) AS logins, count(*) FILTER (WHERE failed) AS failures
    FROM logins
    GROUP BY ALL
), everybody AS (
    SELECT (sum(failures) + 1) / (sum(logins) + 2) AS share FROM people
), successes AS (
    SELECT tenant_id, actor_id, run, occurred_at AS succeeded_at FROM logins WHERE NOT failed
), runs AS (
    SELECT l.tenant_id, l.actor_id, l.run, s.succeeded_at, count(*) AS in_a_row
    FROM logins AS l
    JOIN successes AS s USING (tenant_id, actor_id, run)
    WHERE l.failed AND l.occurred_at >= s.succeeded_at - to_minutes($minutes)
    GROUP BY ALL
), rated AS (
    SELECT
        *,
        (failures - in_a_row + 2 * share) / (logins - in_a_row + 2) AS expected,
        -in_a_row * log10(expected) AS score
    FROM runs
    JOIN people USING (tenant_id, actor_id)
    CROSS JOIN everybody
), found AS (
    SELECT *, row_number() OVER (ORDER BY score DESC, tenant_id, actor_id, run) AS finding
    FROM rated
    WHERE score >= $score
        AND ($since::DATE IS NULL OR day_number(succeeded_at) >= day_number($since::DATE))
        AND ($until::DATE IS NULL OR day_number(succeeded_at) <= day_number($until::DATE))
)
SELECT
    finding,
    round(score, 1) AS score,
    tenant_id,
    actor_id,
    actor_name,
    occurred_at,
    action,
    outcome,
    ip,
    user_agent,
    format('{} failures in a row; {:.0f} % of this user''s logins fail', in_a_row, 100 * expected) AS why,
    event_id
FROM logins
JOIN found USING (tenant_id, actor_id, run)
WHERE occurred_at >= succeeded_at - to_minutes($minutes)
ORDER BY finding, occurred_at, tenant_id, seq
