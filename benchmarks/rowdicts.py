"""Events as one writes them without columns: a dict a row, for ``json.dumps``."""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

from benchmarks.dataset import read_events
from lumi_pipeline.catalogue import find_action
from lumi_pipeline.siem.ocsfactions import Shape, activity_name, shape

Row = Mapping[str, Any]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_ACTORS: Final = {"user": ("User", 1), "service": ("Service", 4), "system": ("System", 3)}
_STATUS: Final = {"success": ("Success", 1), "failure": ("Failure", 2)}
_PROTOCOLS: Final = {"saml": ("SAML", 5), "oidc": ("OpenID", 4)}
_ACCOUNTS: Final = frozenset({"user", "scim_user", "service_account"})
_OPTIONAL: Final = ("auth_method", "before_state", "after_state")
_UNKNOWN: Final = {"name": "unknown"}


def rows_of(files: Sequence[Path]) -> Iterator[Row]:
    """The rows of event files."""
    for file in files:
        for table in read_events(file):
            yield from table.to_pylist()


def native(row: Row) -> dict[str, Any]:
    """An event under our columns' names."""
    return {
        **{name: value for name, value in row.items() if name != "erased_at"},
        **{name: _time(row[name]) for name in ("recorded_at", "occurred_at")},
        **{name: row[name].hex() for name in ("payload_hash", "prev_hash", "integrity_hash")},
        "payload_salt": None if row["payload_salt"] is None else row["payload_salt"].hex(),
    }


def ocsf(row: Row) -> dict[str, Any]:
    """An event of OCSF 1.8.0."""
    kind, kind_id = _ACTORS.get(row["actor_type"], (row["actor_type"], 99))
    actor = {"type": kind, "type_id": kind_id, "uid": row["actor_id"]}
    if row["actor_name"] is not None:
        actor["name"] = row["actor_name"]
    status, status_id = _STATUS.get(row["outcome"], ("Unknown", 0))
    members, metadata = _of_action(row["action"])
    unmapped = {
        "recorded_at": _time(row["recorded_at"]),
        **{name: row[name].hex() for name in ("payload_hash", "prev_hash", "integrity_hash")},
        **{name: row[name] for name in _OPTIONAL if row[name] is not None},
    }
    if row["payload_salt"] is not None:
        unmapped["payload_salt"] = row["payload_salt"].hex()
    event = {
        **members,
        "metadata": {
            **metadata,
            "uid": row["event_id"],
            "tenant_uid": row["tenant_id"],
            "sequence": row["seq"],
            "original_time": _time(row["occurred_at"]),
            "logged_time": _millis(row["recorded_at"]),
        },
        "time": _millis(row["occurred_at"]),
        "status": status,
        "status_id": status_id,
        "actor": {"user": actor},
    }
    request = {"uid": row["request_id"], "user_agent": row["user_agent"]}
    if any(value is not None for value in request.values()):
        event["http_request"] = {name: value for name, value in request.items() if value is not None}
    event |= _of_class(row, actor, unmapped)
    if _is_address(row["ip"]):
        event["src_endpoint"] = {"ip": row["ip"]}
    else:
        unmapped |= {} if row["ip"] is None else {"ip": row["ip"]}
        if shape(find_action(row["action"])) in {Shape.API, Shape.DATASTORE}:
            event["src_endpoint"] = _UNKNOWN
    return {**event, "unmapped": unmapped}


def _of_class(row: Row, actor: dict[str, Any], unmapped: dict[str, Any]) -> dict[str, Any]:
    """The members that only some classes have; what is left of the entity goes into ``unmapped``."""
    entity = {"uid": row["entity_id"]}
    typed = {**entity, "type": row["entity_type"]}
    is_account = row["entity_type"] in _ACCOUNTS
    which = shape(find_action(row["action"]))
    match which:
        case Shape.ENTITY:
            return {"entity": typed}
        case Shape.GROUP:
            return {"group": typed}
        case Shape.WEB:
            return {"web_resources": [typed]}
        case Shape.API:
            return {"api": {"operation": row["action"], "service": {"name": "lumi"}}, "resources": [typed]}
        case Shape.OWN_ACCESS | Shape.ACCESS if not is_account:
            subject = actor if which is Shape.OWN_ACCESS else _UNKNOWN
            return {"privileges": [], "user": subject, "resources": [typed]}
    if which is Shape.DATASTORE or (which in {Shape.OWN_SESSION, Shape.SESSION} and row["entity_type"] != "session"):
        unmapped |= {"entity_type": row["entity_type"]} | ({} if is_account else {"entity_id": row["entity_id"]})
    match which:
        case Shape.DATASTORE:
            unmapped["entity_id"] = row["entity_id"]
            return {"table": {"name": "audit_outbox"}}
        case Shape.OWN_SESSION | Shape.SESSION:
            subject = entity if is_account else actor if which is Shape.OWN_SESSION else _UNKNOWN
            session = {"session": entity} if row["entity_type"] == "session" else {}
            return {"service": {"name": "lumi"}, "user": subject, **session, **_protocol(row["auth_method"])}
        case _:
            unmapped["entity_type"] = row["entity_type"]
            return {"user": entity} if which is Shape.ACCOUNT else {"privileges": [], "user": entity}


def _protocol(method: str | None) -> dict[str, Any]:
    if method is None:
        return {}
    name, number = _PROTOCOLS.get(method, (method, 99))
    return {"auth_protocol": name, "auth_protocol_id": number}


@cache
def _of_action(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What all events of an action have, outside ``metadata`` and in it."""
    action = find_action(name)
    caption = activity_name(action)
    members = {
        "activity_id": action.activity_id,
        "activity_name": name if action.activity_id == 99 else caption,
        "category_name": {3: "Identity & Access Management", 6: "Application Activity"}[action.class_uid // 1000],
        "category_uid": action.class_uid // 1000,
        "class_name": action.class_name,
        "class_uid": action.class_uid,
        "severity": "Informational",
        "severity_id": 1,
        "type_name": f"{action.class_name}: {caption}",
        "type_uid": action.class_uid * 100 + action.activity_id,
    }
    product = {"name": "lumi-pipeline", "vendor_name": "Lumi"}
    metadata = {"event_code": name, "product": product, "version": "1.8.0"}
    return members, metadata | ({"profiles": ["host"]} if shape(action) is Shape.WEB else {})


@cache
def _is_address(text: str | None) -> bool:
    try:
        return text is not None and bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _millis(moment: datetime) -> int:
    return (moment - _EPOCH) // _MILLISECOND
