"""Where the columns of an event are in what a SIEM exports: by destination's envelope, by format, by product's names.

An export's first record says how it is laid out; all others are taken to be like it. Expressions are DuckDB's.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lumi_pipeline.events import COLUMNS, CORE_COLUMNS, HASH_COLUMNS, PAYLOAD_COLUMNS
from lumi_pipeline.siem.sqltext import quoted

OMITTED: Final = "omitted"
KNOWN: Final = (*(name for name in COLUMNS if name != "erased_at"), OMITTED)
"""What an export may have of an event."""

REQUIRED: Final = frozenset({*CORE_COLUMNS, *HASH_COLUMNS} - {"auth_method"})
"""What has to be there for the hashes to be recomputed: all that is never null."""

SENTINEL: Final = {
    "EventId": "event_id",
    "TenantKey": "tenant_id",
    "Seq": "seq",
    "RecordedTime": "recorded_at",
    "EventTime": "occurred_at",
    "Action": "action",
    "EntityType": "entity_type",
    "EntityId": "entity_id",
    "Outcome": "outcome",
    "ActorType": "actor_type",
    "ActorId": "actor_id",
    "AuthMethod": "auth_method",
    "ActorName": "actor_name",
    "IpAddress": "ip",
    "UserAgent": "user_agent",
    "RequestId": "request_id",
    "BeforeState": "before_state",
    "AfterState": "after_state",
    "PayloadSalt": "payload_salt",
    "PayloadHash": "payload_hash",
    "PrevHash": "prev_hash",
    "IntegrityHash": "integrity_hash",
    "Omitted": OMITTED,
}
"""The columns of the destination ``sentinel``."""

_TEXTS: Final = ("_raw", "Raw", "raw", "message", "Message", "Event")
"""Members and columns that may hold a whole record as JSON text."""

_OBJECTS: Final = ("result", "attributes", "ocsf", "lumi", "event", "Event", "_source", "fields")
"""Members that may hold it as an object: of search results, of the HEC's and Datadog's envelopes, of archives."""

_PREFIX: Final = re.compile(r"^@?(?:(?:result|attributes|lumi|event|fields)\.)*")
_SUFFIX: Final = re.compile(r" \[UTC\]$")
_MAX_DEPTH: Final = 5


@dataclass(frozen=True, slots=True)
class Layout:
    """An export's columns: name → expression of its text, NULL where there is none.

    ``values`` is the expression over a record of what these expressions call ``v``: JSON is parsed once, not for each
    column. ``exact``: nulls can be told from empty texts, as in JSON; CSV has only one of them.
    """

    columns: Mapping[str, str]
    values: str
    exact: bool

    @property
    def complete(self) -> bool:
        """Whether all is there that the hashes are made of."""
        return self.exact and set(self.columns) >= REQUIRED


def json_layout(first: object, root: str) -> Layout | None:
    """Return the layout of JSON records like ``first``; ``root`` is the expression of one. None: it has no event id."""
    found = _unwrap(first, root, 0)
    if found is None:
        return None
    event, expression = found
    paths = _Paths()
    if isinstance(event.get("metadata"), dict):
        return Layout(_ocsf(paths), paths.values(expression), exact=True)
    names = SENTINEL if "EventId" in event else {name: name for name in KNOWN}
    given = {column: name for name, column in names.items() if name in event}
    if given.keys() >= REQUIRED:  # products drop members that are null
        given = {column: name for name, column in names.items()}
    columns = {column: paths.at(json.dumps(name)) for column, name in given.items()}
    return Layout(columns, paths.values(expression), exact=True)


def csv_layout(header: Mapping[str, str], first: Mapping[str, str]) -> Layout | None:
    """Return the layout of CSV with this header (name → expression of its cell), or None if it has no event id.

    ``first`` is the first row. A column that holds the record itself is preferred to columns that were made of it.
    """
    for name in _TEXTS:
        if name in header:
            layout = json_layout(_parsed(first.get(name, "")), f"TRY_CAST({header[name]} AS JSON)")
            if layout is not None:
                return layout
    columns: dict[str, str] = {}
    for name, expression in header.items():
        plain = _SUFFIX.sub("", name)
        plain = SENTINEL.get(plain, _PREFIX.sub("", plain))
        if plain in KNOWN and plain not in columns and not _is_local_time(plain, first.get(name, "")):
            columns[plain] = f"nullif({_once(plain, expression)}, '')"
    return Layout(columns, "NULL", exact=False) if "event_id" in columns else None


def _is_local_time(column: str, value: str) -> bool:
    """Whether a time is written for people, in a way that loses digits, so that it can't be compared."""
    return column in {"recorded_at", "occurred_at"} and not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]", value)


def _once(column: str, expression: str) -> str:
    """One value of a cell that lists it twice, line by line: Splunk does so for what is a field and in the event."""
    if column in PAYLOAD_COLUMNS or column == OMITTED:
        return expression
    half = f"{expression}[:length({expression}) // 2]"
    return f"CASE WHEN {expression} = concat({half}, chr(10), {half}) THEN {half} ELSE {expression} END"


def _unwrap(value: object, expression: str, depth: int) -> tuple[Mapping[str, object], str] | None:
    """Find the event in a record, and the expression that takes it out."""
    if not isinstance(value, dict) or depth > _MAX_DEPTH:
        return None
    for name in _TEXTS:
        if isinstance(value.get(name), str):
            inner = f"TRY_CAST({_text(expression, f'$.{json.dumps(name)}')} AS JSON)"
            found = _unwrap(_parsed(str(value[name])), inner, depth + 1)
            if found is not None:
                return found
    for name in ("ocsf", "Event"):  # beside the event's names
        found = _unwrap(value.get(name), f"({expression}->{quoted(f'$.{name}')})", depth + 1)
        if found is not None:
            return found
    metadata = value.get("metadata")
    if {"event_id", "EventId"} & value.keys() or (isinstance(metadata, dict) and "uid" in metadata):
        return value, expression
    for name in _OBJECTS:
        found = _unwrap(value.get(name), f"({expression}->{quoted(f'$.{json.dumps(name)}')})", depth + 1)
        if found is not None:
            return found
    return None


def _parsed(text: str) -> object:
    if not text.lstrip().startswith("{"):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _text(expression: str, path: str) -> str:
    return f"json_extract_string({expression}, {quoted(path)})"


class _Paths:
    """Paths that are taken out of a record together."""

    def __init__(self) -> None:
        self._paths: dict[str, int] = {}

    def at(self, path: str) -> str:
        """The expression of the text at a path, which begins with a member's name."""
        return f"v[{self._paths.setdefault(f'$.{path}', len(self._paths) + 1)}]"

    def values(self, expression: str) -> str:
        """The expression of the texts at all paths so far, as a list."""
        return f"json_extract_string({expression}, [{', '.join(map(quoted, self._paths))}])"


def _ocsf(paths: _Paths) -> dict[str, str]:
    """The columns in an event of the format ``ocsf``."""
    at = paths.at

    def first(*paths: str) -> str:
        return f"coalesce({', '.join(at(path) for path in paths)})"

    account = f"CASE WHEN {at('unmapped.entity_type')} IS NOT NULL THEN {at('user.uid')} END"
    session = f"CASE WHEN {at('session.uid')} IS NOT NULL THEN 'session' END"
    typed = ("entity", "group", "web_resources[0]", "resources[0]")
    return {
        "event_id": at("metadata.uid"),
        "tenant_id": at("metadata.tenant_uid"),
        "seq": at("metadata.sequence"),
        "recorded_at": at("unmapped.recorded_at"),
        "occurred_at": at("metadata.original_time"),
        "action": at("metadata.event_code"),
        "entity_type": f"coalesce({at('unmapped.entity_type')}, {session}, {first(*(f'{t}.type' for t in typed))})",
        "entity_id": f"coalesce({first('unmapped.entity_id', 'session.uid')}, {account}, "
        f"{first(*(f'{t}.uid' for t in typed))})",
        "outcome": f"CASE {at('status_id')} WHEN '1' THEN 'success' WHEN '2' THEN 'failure' WHEN '0' THEN 'unknown' "
        f"ELSE {at('status_id')} END",
        "actor_type": f"CASE {at('actor.user.type_id')} WHEN '1' THEN 'user' WHEN '4' THEN 'service' "
        f"WHEN '3' THEN 'system' ELSE {at('actor.user.type')} END",
        "actor_id": at("actor.user.uid"),
        "auth_method": at("unmapped.auth_method"),
        "actor_name": at("actor.user.name"),
        "ip": first("src_endpoint.ip", "unmapped.ip"),
        "user_agent": at("http_request.user_agent"),
        "request_id": at("http_request.uid"),
        "before_state": at("unmapped.before_state"),
        "after_state": at("unmapped.after_state"),
        "payload_salt": at("unmapped.payload_salt"),
        "payload_hash": at("unmapped.payload_hash"),
        "prev_hash": at("unmapped.prev_hash"),
        "integrity_hash": at("unmapped.integrity_hash"),
        OMITTED: at("unmapped.omitted"),
    }
