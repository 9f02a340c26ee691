"""The columns of an event in Microsoft Sentinel: what is sent, and the table and stream that take it.

``TenantId`` belongs to Log Analytics (the workspace), so our tenant is ``TenantKey``. ``TimeGenerated`` is the column
that every table has; Log Analytics replaces it where it is too old, so ``EventTime`` says the same and stays. States
are text, exactly as recorded. With the format ``ocsf`` the event is one column, ``Event``. (Microsoft Learn: "Add or
delete tables and columns in Azure Monitor Logs", "Structure of a data collection rule in Azure Monitor".)
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from lumi_pipeline.siem.sqltext import (
    BATCH_ID,
    json_hex,
    json_number,
    json_object,
    json_text,
    json_time,
    quoted,
)
from transparency.encoding import Json


class Column(NamedTuple):
    """A column: its type in Log Analytics, and the SQL expression of the JSON text of its value."""

    type: str
    expression: str


_TIMES: Final = {
    "TimeGenerated": Column("datetime", json_time("occurred_at")),
    "EventTime": Column("datetime", json_time("occurred_at")),
    "RecordedTime": Column("datetime", json_time("recorded_at")),
    "EventId": Column("string", json_text("event_id")),
    "TenantKey": Column("string", json_text("tenant_id")),
    "Seq": Column("long", json_number("seq")),
    "Action": Column("string", json_text("action")),
}
_HASHES: Final = {
    "PrevHash": Column("string", json_hex("prev_hash")),
    "IntegrityHash": Column("string", json_hex("integrity_hash")),
    "BatchId": Column("string", quoted(f'"{BATCH_ID}"')),
}
_NATIVE: Final = {
    **_TIMES,
    "EntityType": Column("string", json_text("entity_type")),
    "EntityId": Column("string", json_text("entity_id")),
    "Outcome": Column("string", json_text("outcome")),
    "ActorType": Column("string", json_text("actor_type")),
    "ActorId": Column("string", json_text("actor_id")),
    "AuthMethod": Column("string", json_text("auth_method")),
    "ActorName": Column("string", json_text("actor_name")),
    "IpAddress": Column("string", json_text("ip")),
    "UserAgent": Column("string", json_text("user_agent")),
    "RequestId": Column("string", json_text("request_id")),
    "BeforeState": Column("string", json_text("before_state")),
    "AfterState": Column("string", json_text("after_state")),
    "PayloadSalt": Column("string", json_hex("payload_salt")),
    "PayloadHash": Column("string", json_hex("payload_hash")),
    **_HASHES,
    "Omitted": Column("dynamic", "coalesce(omitted, 'null')"),
}


def columns(format_name: str, event: str = "'null'") -> Mapping[str, Column]:
    """Return the columns of a format by name; ``event`` is the expression of the event's JSON text."""
    return MappingProxyType(
        _NATIVE if format_name == "native" else {**_TIMES, **_HASHES, "Event": Column("dynamic", event)}
    )


def record(format_name: str, event: str) -> str:
    """Return the expression of a record's JSON text."""
    return json_object({name: column.expression for name, column in columns(format_name, event).items()})


def table_schema(table: str, format_name: str) -> dict[str, Json]:
    """Return the body of the request that creates the table (``Tables - Create Or Update`` of Log Analytics).

    ``table`` ends with ``_CL``, as all tables of one's own do.
    """
    return {"properties": {"schema": {"columns": _declared(format_name), "name": table}}}


def stream_declaration(stream: str, format_name: str) -> dict[str, Json]:
    """Return ``streamDeclarations`` of the data collection rule; ``stream`` begins with ``Custom-``."""
    return {stream: {"columns": _declared(format_name)}}


def _declared(format_name: str) -> list[Json]:
    return [{"name": name, "type": column.type} for name, column in columns(format_name).items()]
