-- title: Privileges gained, then sensitive actions
-- description: Somebody was given privileges, or changed what a role may do, and within hours did more of what is
--   sensitive (exports, settings) than they do on other days. A grant to oneself weighs more, the more so the rarer
--   this user grants anything.
-- param tenant text?: Only events of this tenant.
-- param since date?: Only grants of this day (UTC) or later.
-- param until date?: Only grants of this day (UTC) or earlier.
-- param hours integer = 24: How long after the grant a sensitive action may lie.
-- param score number = 4: Report what comes by chance once in 10^score days of a user, or less often.
-- example: lumi investigate privilege-escalation --param hours=72
WITH telling AS (
    -- One row for each event, though its action may be both.
    SELECT a.*, k.is_grant, k.is_sensitive
    FROM activity AS a
    JOIN (
        SELECT action, bool_or(kind = 'privilege') AS is_grant, bool_or(kind != 'privilege') AS is_sensitive
        FROM action_kinds()
        WHERE kind IN ('privilege', 'export', 'setting')
        GROUP BY action
    ) AS k USING (action)
    WHERE a.outcome = 'success' AND a.actor_type != 'system' AND ($tenant::VARCHAR IS NULL OR a.tenant_id = $tenant)
), active AS (
    SELECT actor_type, actor_id, count(*) AS days
    FROM (
        SELECT DISTINCT actor_type, actor_id, day_number(occurred_at) AS on_day
        FROM activity
        WHERE $tenant::VARCHAR IS NULL OR tenant_id = $tenant
    )
    GROUP BY ALL
), own AS (
    SELECT actor_type, actor_id, days, count(*) FILTER (WHERE is_sensitive) AS sensitive,
        count(*) FILTER (WHERE is_grant) AS grants
    FROM active
    LEFT JOIN telling USING (actor_type, actor_id)
    GROUP BY ALL
), everybody AS (
    SELECT actor_type, (sum(sensitive) + 1) / (sum(days) + 1) AS daily FROM own GROUP BY ALL
), grants AS (
    SELECT event_id, occurred_at, actor_id AS granter, unnest(list_distinct([actor_id, entity_id])) AS actor_id
    FROM telling
    WHERE is_grant
        AND ($since::DATE IS NULL OR day_number(occurred_at) >= day_number($since::DATE))
        AND ($until::DATE IS NULL OR day_number(occurred_at) <= day_number($until::DATE))
), followed AS (
    SELECT t.actor_type, g.actor_id, g.event_id AS grant_event_id, g.granter, g.occurred_at AS granted_at, count(*) AS sensitive
    FROM grants AS g
    JOIN telling AS t
        ON t.actor_id = g.actor_id AND t.is_sensitive AND t.event_id != g.event_id
        AND t.occurred_at >= g.occurred_at AND t.occurred_at < g.occurred_at + to_hours($hours)
    GROUP BY ALL
), rated AS (
    SELECT
        f.*,
        greatest(o.sensitive - f.sensitive, 0) AS otherwise,
        (otherwise + e.daily) / o.days * ceil($hours / 24) AS expected,
        surprise(f.sensitive, expected, otherwise + 1)
            -- At least this grant, though it may have been made under another actor type.
            + CASE WHEN granter = actor_id THEN -log10(least(1, greatest(o.grants, 1) / (o.days + 1))) ELSE 0 END AS score
    FROM followed AS f
    JOIN own AS o USING (actor_type, actor_id)
    JOIN everybody AS e USING (actor_type)
), found AS (
    SELECT *, row_number() OVER (ORDER BY score DESC, actor_id) AS finding
    FROM (FROM rated WHERE score >= $score QUALIFY row_number() OVER (PARTITION BY actor_id ORDER BY score DESC, granted_at) = 1)
)
SELECT
    finding,
    round(score, 1) AS score,
    tenant_id,
    f.actor_id,
    actor_name,
    occurred_at,
    action,
    entity_id,
    ip,
    format('{} sensitive actions within {} h of the grant; {:.1f} expected', f.sensitive, $hours, expected) AS why,
    grant_event_id,
    event_id
FROM telling AS t
JOIN found AS f
    ON t.event_id = f.grant_event_id
    OR (t.actor_id = f.actor_id AND t.occurred_at >= granted_at AND t.occurred_at < granted_at + to_hours($hours))
ORDER BY finding, occurred_at, tenant_id, seq
