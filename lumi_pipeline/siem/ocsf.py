"""The format ``ocsf``: an event of the Open Cybersecurity Schema Framework, version 1.8.0 (schema.ocsf.io).

Which class and activity an event is, its action decides (ocsfactions.py). ``time`` is ``occurred_at`` in milliseconds;
``metadata`` has the event's id, seq, tenant, action (``event_code``) and the exact time (``original_time``). What OCSF
has no place for is in ``unmapped`` under our columns' names: states as they were recorded, hashes, the time of
recording. Whoever has the record can recompute its hashes. Optional attributes are left out, never null.

Required attributes that nobody recorded say so: the subject of somebody else's session or access request and the
source of a request without address are named ``unknown``, and ``privileges`` is empty, as what was given or taken is
in the states, which nobody but the product can read.
"""

from typing import Final

from lumi_pipeline.siem.format import Format
from lumi_pipeline.siem.ipaddresses import IP_ADDRESS, LONGEST
from lumi_pipeline.siem.ocsfactions import VERSION, Shape, beginning, by_shape, source
from lumi_pipeline.siem.sqltext import (
    BATCH_ID,
    chosen,
    joined,
    json_hex,
    json_number,
    json_object,
    json_plain,
    json_text,
    json_time,
    millis,
    optional_hex,
    optional_json,
    optional_text,
    plain_text,
    quoted,
)

_NOTHING: Final = quoted("")
_UNKNOWN: Final = quoted('{"name":"unknown"}')
_ACTOR: Final = joined(
    quoted('{"type'),
    chosen(
        [
            ("actor_type = 'user'", quoted('":"User","type_id":1')),
            ("actor_type = 'service'", quoted('":"Service","type_id":4')),
            ("actor_type = 'system'", quoted('":"System","type_id":3')),
        ],
        joined(quoted('":'), json_text("actor_type"), quoted(',"type_id":99')),
    ),
    quoted(',"uid":'),
    json_text("actor_id"),
    optional_text("name", "actor_name"),
    quoted("}"),
)
"""A user object (``type_id`` 99: support staff, whom OCSF does not know)."""

_IS_ACCOUNT: Final = "entity_type IN ('user', 'scim_user', 'service_account')"
_IS_SESSION: Final = "entity_type = 'session'"
_ENTITY_UID: Final = joined(quoted('{"uid":'), json_text("entity_id"), quoted("}"))
_TYPED_ENTITY: Final = joined(
    quoted('{"uid":'), json_text("entity_id"), quoted(',"type":'), json_text("entity_type"), quoted("}")
)


_ENTITY_TYPE: Final = joined(quoted(',"entity_type":'), json_text("entity_type"))
_ENTITY: Final = joined(_ENTITY_TYPE, quoted(',"entity_id":'), json_text("entity_id"))


def _member(name: str, value: str) -> str:
    return joined(quoted(f',"{name}":'), value)


def _listed(name: str, value: str) -> str:
    return joined(quoted(f',"{name}":['), value, quoted("]"))


def _of_class(members: str, unmapped: str = _NOTHING) -> str:
    """The members that only some classes have, then the beginning of ``unmapped`` with what is left of the entity."""
    return joined(members, quoted(f',"unmapped":{{"batch_id":"{BATCH_ID}"'), unmapped)


def _session(user: str) -> str:
    """Authentication; ``user`` is who signed in or out, if the entity is no account."""
    protocol = chosen(
        [
            ("auth_method = 'saml'", quoted(',"auth_protocol":"SAML","auth_protocol_id":5')),
            ("auth_method = 'oidc'", quoted(',"auth_protocol":"OpenID","auth_protocol_id":4')),
            ("auth_method IS NULL", _NOTHING),
        ],
        joined(optional_text("auth_protocol", "auth_method"), quoted(',"auth_protocol_id":99')),
    )
    members = joined(
        quoted(',"service":{"name":"lumi"},"user":'),
        chosen([(_IS_ACCOUNT, _ENTITY_UID)], user),
        chosen([(_IS_SESSION, _member("session", _ENTITY_UID))], _NOTHING),
        protocol,
    )
    return _of_class(members, chosen([(_IS_SESSION, _NOTHING), (_IS_ACCOUNT, _ENTITY_TYPE)], _ENTITY))


def _access(user: str) -> str:
    """User Access Management; ``user`` is whose privileges it is about, if the entity is no account."""
    other = joined(user, _listed("resources", _TYPED_ENTITY))
    members = joined(
        quoted(',"privileges":[],"user":'),
        chosen([(_IS_ACCOUNT, _ENTITY_UID)], other),
    )
    return _of_class(members, chosen([(_IS_ACCOUNT, _ENTITY_TYPE)], _NOTHING))


_OF_CLASS: Final = by_shape(
    {
        Shape.ACCOUNT: _of_class(_member("user", _ENTITY_UID), _ENTITY_TYPE),
        Shape.OWN_SESSION: _session(_ACTOR),
        Shape.SESSION: _session(_UNKNOWN),
        Shape.OWN_ACCESS: _access(_ACTOR),
        Shape.ACCESS: _access(_UNKNOWN),
        Shape.ENTITY: _of_class(_member("entity", _TYPED_ENTITY)),
        Shape.GROUP: _of_class(_member("group", _TYPED_ENTITY)),
        Shape.WEB: _of_class(_listed("web_resources", _TYPED_ENTITY)),
        Shape.API: _of_class(
            joined(
                quoted(',"api":{"operation":'),
                json_text("action"),
                quoted(',"service":{"name":"lumi"}},"resources":['),
                _TYPED_ENTITY,
                quoted("]"),
            )
        ),
        Shape.DATASTORE: _of_class(quoted(',"table":{"name":"audit_outbox"}'), _ENTITY),
    }
)

_IS_ADDRESS: Final = f"(regexp_full_match(ip, {quoted(IP_ADDRESS)}) AND length(ip) <= {LONGEST})"
_NO_SOURCE: Final = by_shape(dict.fromkeys((Shape.API, Shape.DATASTORE), _member("src_endpoint", _UNKNOWN)))
_END: Final = chosen(
    [
        (
            _IS_ADDRESS,
            joined(quoted('},"src_endpoint":'), json_object({"ip": json_plain(plain_text("ip"))}), quoted("}")),
        )
    ],
    joined(optional_text("ip", "ip"), quoted("}"), _NO_SOURCE, quoted("}")),
)
"""The end of ``unmapped``, the source of the request, the end of the event. Some classes require a source."""

_USER_AGENT: Final = optional_text("user_agent", "user_agent")
_REQUEST: Final = chosen(
    [
        (
            "request_id IS NOT NULL",
            joined(quoted(',"http_request":{"uid":'), json_text("request_id"), _USER_AGENT, quoted("}")),
        ),
        (
            "user_agent IS NOT NULL",
            joined(quoted(',"http_request":{"user_agent":'), json_text("user_agent"), quoted("}")),
        ),
    ],
    _NOTHING,
)

OCSF: Final = Format(
    f"ocsf-{VERSION}/1",
    joined(
        beginning(),
        quoted(',"uid":'),
        json_text("event_id"),
        quoted(',"tenant_uid":'),
        json_text("tenant_id"),
        quoted(',"sequence":'),
        json_number("seq"),
        quoted(',"original_time":'),
        json_time("occurred_at"),
        quoted(',"logged_time":'),
        millis("recorded_at"),
        chosen([("omitted IS NULL", _NOTHING)], quoted(',"is_truncated":true')),
        quoted('},"time":'),
        millis("occurred_at"),
        chosen(
            [
                ("outcome = 'success'", quoted(',"status":"Success","status_id":1')),
                ("outcome = 'failure'", quoted(',"status":"Failure","status_id":2')),
            ],
            quoted(',"status":"Unknown","status_id":0'),
        ),
        quoted(',"actor":{"user":'),
        _ACTOR,
        quoted("}"),
        _REQUEST,
        _OF_CLASS,
        quoted(',"recorded_at":'),
        json_time("recorded_at"),
        quoted(',"prev_hash":'),
        json_hex("prev_hash"),
        quoted(',"integrity_hash":'),
        json_hex("integrity_hash"),
        quoted(',"payload_hash":'),
        json_hex("payload_hash"),
        optional_hex("payload_salt", "payload_salt"),
        optional_text("auth_method", "auth_method"),
        optional_text("before_state", "before_state"),
        optional_text("after_state", "after_state"),
        optional_json("omitted", "omitted"),
        _END,
    ),
    source(),
)
"""OCSF 1.8.0."""
