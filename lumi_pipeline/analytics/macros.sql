-- What saves analysts writing the same again. Also part of a tenant's own connection.

-- The session's time zone is the reader's own; hours and weekdays of evidence are those of UTC.
CREATE MACRO utc_hour(moment) AS extract(hour FROM make_timestamp(epoch_us(moment)));
COMMENT ON MACRO utc_hour IS 'The hour of a time in UTC, 0 to 23, whatever the time zone of the session.';

CREATE MACRO utc_weekday(moment) AS extract(isodow FROM make_timestamp(epoch_us(moment)));
COMMENT ON MACRO utc_weekday IS 'The weekday of a time in UTC, 1 (Monday) to 7, whatever the time zone of the session.';

CREATE MACRO timeline(tenant, actor) AS TABLE
    SELECT recorded_at, action, entity_type, entity_id, outcome, ip, event_id, before_state, after_state
    FROM activity WHERE tenant_id = tenant AND actor_id = actor
    ORDER BY recorded_at, seq;
COMMENT ON MACRO TABLE timeline IS 'All that one user of a tenant did, in order.';

CREATE MACRO hour_number(moment) AS epoch_us(moment) // 3600000000;
COMMENT ON MACRO hour_number IS 'Hours from 1970 to a time, UTC, whatever the time zone of the session.';

CREATE MACRO day_number(moment) AS epoch_us(moment) // 86400000000;
COMMENT ON MACRO day_number IS 'Days from 1970 to a time or date, UTC, whatever the time zone of the session.';

-- An expectation is itself an estimate, from so many cases known. Then counts follow a negative binomial distribution,
-- and little knowledge surprises little. This is Chernoff's bound on its upper tail.
CREATE MACRO surprise(observed, expected, known) AS
    CASE WHEN observed > expected THEN
        (observed * ln(observed / expected) - (observed + known) * ln((observed + known) / (expected + known))) / ln(10)
    ELSE 0.0 END;
COMMENT ON MACRO surprise IS 'How far a count lies above what so many known cases have one expect, in powers of ten: by chance it comes at most once in 10^surprise times.';

-- The beta-binomial distribution, whose parameters are the cases known of each kind.
CREATE MACRO ln_beta_binomial(hits, total, yes, no) AS
    lgamma(total + 1) - lgamma(hits + 1) - lgamma(total - hits + 1)
    + lgamma(yes + hits) + lgamma(no + total - hits) - lgamma(yes + no + total)
    - lgamma(yes) - lgamma(no) + lgamma(yes + no);
COMMENT ON MACRO ln_beta_binomial IS 'Logarithm of the probability of so many hits in so many trials, after so many known hits and misses.';

CREATE MACRO surprise_share(hits, total, yes, no) AS
    CASE WHEN hits / total > yes / (yes + no) THEN
        (ln_beta_binomial(floor(total * yes / (yes + no)), total, yes, no) - ln_beta_binomial(hits, total, yes, no)) / ln(10)
    ELSE 0.0 END;
COMMENT ON MACRO surprise_share IS 'How far a share lies above what known hits and misses have one expect, in powers of ten: what is expected is 10^surprise_share times as likely.';

-- Of IPv6 the groups of digits before '::' and behind it, without leading zeros, and as many zeros as are left out.
CREATE MACRO network(ip) AS
    CASE
        WHEN contains(ip, ':') IS NOT TRUE THEN ip
        WHEN regexp_matches(ip, '[0-9]+([.][0-9]+){3}') THEN regexp_extract(ip, '[0-9]+([.][0-9]+){3}')
        ELSE array_to_string(list_concat(
            regexp_extract_all(split_part(lower(ip), '::', 1), '0*([0-9a-f]+)', 1),
            list_resize([]::VARCHAR[], greatest(8 - len(regexp_extract_all(lower(ip), '[0-9a-f]+')), 0), '0'),
            regexp_extract_all(split_part(lower(ip), '::', 2), '0*([0-9a-f]+)', 1)
        )[1:4], ':')
    END;
COMMENT ON MACRO network IS 'Where somebody is: the IPv4 address, also one with a port or written as IPv6, or the first 64 bits of an IPv6 address, because the rest changes by itself.';

CREATE MACRO program(user_agent) AS regexp_replace(user_agent, '[0-9a-f]{8}-[0-9a-f-]{27}|[0-9.]+', '', 'g');
COMMENT ON MACRO program IS 'What somebody uses: the user agent without numbers and UUIDs, because versions change by themselves.';

CREATE MACRO action_kinds() AS TABLE
    SELECT unnest(listed) AS action, kind
    FROM (VALUES
        ('login', ['LOGIN', 'MFA_CHALLENGED', 'CONSOLE_LOGIN']),
        ('departure', ['SCIM_USER_DEPROVISIONED', 'USER_DISABLED', 'USER_DELETED', 'SERVICE_ACCOUNT_DISABLED']),
        ('arrival', ['SCIM_USER_PROVISIONED', 'USER_CREATED', 'USER_ENABLED', 'USER_INVITED']),
        ('decision', ['RECOMMENDATION_DISMISSED']),
        ('privilege', [
            'ROLE_ASSIGNED', 'ACCESS_REQUEST_APPROVED', 'CUSTOM_ROLE_CREATED', 'CUSTOM_ROLE_UPDATED',
            'GROUP_MEMBER_ADDED', 'API_KEY_CREATED', 'MFA_REMOVED',
            'ADD_USER_TO_GROUP', 'ATTACH_ROLE_POLICY', 'ATTACH_USER_POLICY', 'ATTACH_GROUP_POLICY', 'PUT_ROLE_POLICY',
            'PUT_USER_POLICY', 'PUT_GROUP_POLICY', 'CREATE_POLICY_VERSION', 'SET_DEFAULT_POLICY_VERSION',
            'CREATE_ACCESS_KEY', 'CREATE_LOGIN_PROFILE', 'UPDATE_LOGIN_PROFILE', 'UPDATE_ASSUME_ROLE_POLICY',
            'CREATE_TRUST_ANCHOR', 'CREATE_PROFILE', 'ADD_ROLE_TO_INSTANCE_PROFILE'
        ]),
        ('export', [
            'REPORT_EXPORTED', 'AUDIT_LOG_EXPORTED', 'DATA_EXPORT_REQUESTED', 'COMPLIANCE_REPORT_GENERATED',
            'GET_SECRET_VALUE', 'GET_PASSWORD_DATA', 'GET_PARAMETER', 'GET_PARAMETERS', 'GET_PARAMETERS_BY_PATH',
            'CREATE_SNAPSHOT', 'CREATE_DB_SNAPSHOT', 'MODIFY_SNAPSHOT_ATTRIBUTE', 'MODIFY_DB_SNAPSHOT_ATTRIBUTE',
            'MODIFY_IMAGE_ATTRIBUTE', 'START_EXPORT_TASK'
        ]),
        ('setting', [
            'SSO_UPDATED', 'SSO_DISABLED', 'SSO_CONFIGURED', 'IP_ALLOWLIST_UPDATED', 'TENANT_SETTINGS_UPDATED',
            'TENANT_DELETION_REQUESTED', 'BILLING_UPDATED', 'SCIM_TOKEN_ROTATED', 'SIEM_DESTINATION_UPDATED',
            'SIEM_DESTINATION_DELETED', 'WEBHOOK_CREATED', 'WEBHOOK_UPDATED', 'INTEGRATION_CONNECTED',
            'CLOUD_ACCOUNT_UNLINKED', 'POLICY_DELETED', 'USER_DELETED', 'USER_DISABLED', 'MFA_REMOVED',
            'API_KEY_CREATED', 'SERVICE_ACCOUNT_CREATED', 'COMMITMENT_CANCELLED', 'BUDGET_DELETED',
            'RECOMMENDATION_REVERTED',
            'DELETE_TRAIL', 'STOP_LOGGING', 'UPDATE_TRAIL', 'PUT_EVENT_SELECTORS', 'DELETE_FLOW_LOGS',
            'LEAVE_ORGANIZATION', 'PUT_BUCKET_POLICY', 'PUT_BUCKET_LIFECYCLE', 'DELETE_BUCKET_POLICY',
            'AUTHORIZE_SECURITY_GROUP_INGRESS', 'ADD_PERMISSION20150331V2', 'UPDATE_FUNCTION_CODE20150331V2',
            'MODIFY_INSTANCE_ATTRIBUTE', 'SEND_COMMAND', 'START_SESSION', 'CREATE_USER', 'CREATE_ROLE'
        ])
    ) AS kinds(kind, listed);
COMMENT ON MACRO TABLE action_kinds IS 'What actions of ours and of CloudTrail mean to an investigator; one may mean several things.';
