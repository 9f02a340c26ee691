"""The event: its columns, their order, types and limits (docs/formats.md section 1).

The order of the columns is the same in the outbox, in Parquet and in CSV. :class:`NewEvent` is what a caller claims,
:class:`Event` is what the recorder made of it: numbered, timed, salted and hashed.
"""

import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import pyarrow as pa

from lumi_pipeline.errors import EventRejected

MAX_TEXT_BYTES: Final = 1 << 20
"""Limit of one text column, in UTF-8 bytes."""

MAX_EVENT_BYTES: Final = 4 << 20
"""Limit of all text columns of one event together, in UTF-8 bytes."""

SALT_SIZE: Final = 16
CHAIN_ID_SIZE: Final = 16

OUTCOMES: Final = ("success", "failure", "unknown")
ACTOR_TYPES: Final = ("user", "service", "system", "support")

CORE_COLUMNS: Final = (
    "tenant_id",
    "seq",
    "event_id",
    "recorded_at",
    "occurred_at",
    "action",
    "entity_type",
    "entity_id",
    "outcome",
    "actor_type",
    "actor_id",
    "auth_method",
)
"""Never erased or withheld; hashed directly into ``integrity_hash``."""

PAYLOAD_COLUMNS: Final = ("actor_name", "ip", "user_agent", "request_id", "before_state", "after_state", "payload_salt")
"""What may have to be erased or withheld; covered through the salted ``payload_hash``."""

HASH_COLUMNS: Final = ("payload_hash", "prev_hash", "integrity_hash")

COLUMNS: Final = (*CORE_COLUMNS, *PAYLOAD_COLUMNS, *HASH_COLUMNS, "erased_at")
"""All columns in order; ``erased_at`` comes last and is outside every hash."""

NULLABLE_COLUMNS: Final = frozenset({"auth_method", *PAYLOAD_COLUMNS, "erased_at"})

_TIME = pa.timestamp("us", tz="UTC")
_ARROW_TYPES: Final[Mapping[str, pa.DataType]] = {
    "seq": pa.int64(),
    "recorded_at": _TIME,
    "occurred_at": _TIME,
    "payload_salt": pa.binary(SALT_SIZE),
    "payload_hash": pa.binary(32),
    "prev_hash": pa.binary(32),
    "integrity_hash": pa.binary(32),
    "erased_at": _TIME,
}
EVENT_SCHEMA: Final = pa.schema([(name, _ARROW_TYPES.get(name, pa.string())) for name in COLUMNS])
"""Events as Arrow. Nullability is left open: it is checked on values, never believed of a schema."""

TEXT_COLUMNS: Final = tuple(name for name in COLUMNS if name not in _ARROW_TYPES)
"""The columns whose UTF-8 bytes count against :data:`MAX_EVENT_BYTES`."""

TENANT_ID_SYNTAX: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
ACTION_SYNTAX: Final = re.compile(r"[A-Z][A-Z0-9_]{0,127}")
EVENT_ID_SYNTAX: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
MIN_MICROS: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
MAX_MICROS: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND


def to_micros(value: datetime) -> int:
    """Return an aware time as microseconds since 1970-01-01T00:00:00Z, exactly."""
    return (value - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return microseconds since 1970-01-01T00:00:00Z as an aware time in UTC; years 0001 to 9999."""
    return _EPOCH + timedelta(microseconds=micros)


def uuid7() -> str:
    """Return a fresh UUID of version 7: 48 bits of Unix milliseconds, then 74 random bits (RFC 9562 section 5.7)."""
    return _uuid(7, time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10)))


def uuid8(digest: bytes) -> str:
    """Return the UUID of version 8 that carries the first bits of ``digest`` (RFC 9562 section 5.8)."""
    return _uuid(8, int.from_bytes(digest[:16]))


def _uuid(version: int, value: int) -> str:
    value = value & ~(0xF << 76) | version << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """What a caller says happened. Creating one checks every column, so an invalid one cannot exist.

    ``before_state`` and ``after_state`` are JSON text, kept exactly as given and never parsed. ``occurred_at`` is any
    aware time, None for the moment of recording. Raises :class:`EventRejected`, which names the column and the limit.
    """

    tenant_id: str
    action: str
    entity_type: str
    entity_id: str
    actor_type: str
    actor_id: str
    outcome: str = "success"
    occurred_at: datetime | None = None
    auth_method: str | None = None
    actor_name: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    before_state: str | None = None
    after_state: str | None = None
    event_id: str = field(default_factory=uuid7)

    def __post_init__(self) -> None:
        """Check syntax, limits and Unicode of every column."""
        size = sum(_text_size(name, getattr(self, name)) for name in TEXT_COLUMNS)
        if size > MAX_EVENT_BYTES:
            raise EventRejected("event", f"the event has {size} bytes of text; the limit is {MAX_EVENT_BYTES}")
        _check_syntax("tenant_id", self.tenant_id, TENANT_ID_SYNTAX, "1 to 128 of A-Z a-z 0-9 . _ -, no . _ - first")
        _check_syntax("action", self.action, ACTION_SYNTAX, "1 to 128 of A-Z 0-9 _, a letter first")
        _check_syntax("event_id", self.event_id, EVENT_ID_SYNTAX, "a UUID, 36 characters, lower case")
        _check_choice("outcome", self.outcome, OUTCOMES)
        _check_choice("actor_type", self.actor_type, ACTOR_TYPES)
        if self.occurred_at is not None:
            object.__setattr__(self, "occurred_at", utc("occurred_at", self.occurred_at))


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A recorded event: the columns of :data:`COLUMNS`, in order, as Python values.

    After erasure the payload columns and ``payload_salt`` are None and ``erased_at`` is set.
    """

    tenant_id: str
    seq: int
    event_id: str
    recorded_at: datetime
    occurred_at: datetime
    action: str
    entity_type: str
    entity_id: str
    outcome: str
    actor_type: str
    actor_id: str
    auth_method: str | None
    actor_name: str | None
    ip: str | None
    user_agent: str | None
    request_id: str | None
    before_state: str | None
    after_state: str | None
    payload_salt: bytes | None
    payload_hash: bytes
    prev_hash: bytes
    integrity_hash: bytes
    erased_at: datetime | None = None


def state_text(column: str, value: str | Mapping[str, object] | Sequence[object] | None) -> str | None:
    """Return a state as the JSON text to record: text as it is, a mapping or sequence serialised once, here."""
    if value is None or isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise EventRejected(column, f"{column} cannot be written as JSON: {error}") from None


def utc(column: str, value: datetime) -> datetime:
    """Return an aware time in UTC; refuse a time without zone and one outside the years 0001 to 9999."""
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise EventRejected(column, f"{column} must be a datetime with a time zone, got {value!r}")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise EventRejected(column, f"{column} is outside the years 0001 to 9999 in UTC: {value!r}") from None


def _text_size(column: str, value: object) -> int:
    if value is None and column in NULLABLE_COLUMNS:
        return 0
    if not isinstance(value, str):
        raise EventRejected(column, f"{column} must be text, got {type(value).__name__}")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise EventRejected(column, f"{column} has a lone surrogate at character {error.start}") from None
    if size > MAX_TEXT_BYTES:
        raise EventRejected(column, f"{column} has {size} bytes of UTF-8; the limit is {MAX_TEXT_BYTES}")
    if "\0" in value:
        raise EventRejected(column, f"{column} has a NUL at character {value.index(chr(0))}; no text may hold one")
    return size


def _check_syntax(column: str, value: str, syntax: re.Pattern[str], meaning: str) -> None:
    if not syntax.fullmatch(value):
        raise EventRejected(column, f"{column} must be {meaning}; got {value[:140]!r}")


def _check_choice(column: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise EventRejected(column, f"{column} must be one of {', '.join(choices)}; got {value[:140]!r}")
