"""Importing NDJSON: one event a line, under our own column names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import date, datetime
from difflib import get_close_matches
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from lumi_pipeline.errors import EventRejected, ImportFailed
from lumi_pipeline.events import COLUMNS, MAX_EVENT_BYTES, NewEvent, state_text, uuid8
from lumi_pipeline.importers.driver import ImportReport, Progress, RecordedAt, bring_in
from lumi_pipeline.importers.source import Record, read_lines
from lumi_pipeline.outbox import Outbox

MAX_LINE_BYTES: Final = 8 * MAX_EVENT_BYTES
"""Limit of one line: the largest event with all its text escaped as ``\\u00xx`` still fits."""

_KNOWN: Final = tuple(field.name for field in fields(NewEvent))
_REQUIRED: Final = ("tenant_id", "action", "entity_type", "entity_id", "actor_type", "actor_id")
_RECORDERS: Final = frozenset(COLUMNS) - frozenset(_KNOWN)


def import_ndjson(
    outbox: Outbox,
    path: Path | str,
    *,
    tenant: str | None = None,
    recorded_at: RecordedAt = "now",
    first_day: date | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Record the events of an NDJSON file, gzipped or not, that the outbox does not hold yet.

    A line is one JSON object with the columns of :class:`~lumi_pipeline.events.NewEvent`; times are ISO 8601 with a
    zone, states are JSON text or JSON itself. ``tenant`` overrides every ``tenant_id``. A line without ``event_id``
    gets one made from its content and number, so that importing the same file again still adds nothing. See
    :func:`~lumi_pipeline.importers.driver.bring_in` for the times. Raises :class:`ImportFailed`, naming file and line,
    for a line that is no event; nothing is recorded then.
    """
    required = (*_REQUIRED, "occurred_at") if recorded_at == "occurred" else _REQUIRED
    events = _events(Path(path), tenant, required)
    return bring_in(outbox, events, recorded_at=recorded_at, first_day=first_day, progress=progress)


def _events(path: Path, tenant: str | None, required: Sequence[str]) -> Iterator[NewEvent]:
    for record in read_lines(path, MAX_LINE_BYTES):
        try:
            yield _event(record, tenant, required)
        except EventRejected as error:
            raise ImportFailed(f"{path}: {record.place}: {error}") from None


def _event(record: Record, tenant: str | None, required: Sequence[str]) -> NewEvent:
    for name in record.values:
        _check_name(name)
    values: dict[str, Any] = {name: value for name, value in record.values.items() if value is not None}
    if tenant is not None:
        values["tenant_id"] = tenant
    for name in required:
        if name not in values:
            raise EventRejected(name, f"{name} is missing")
    for name in ("before_state", "after_state"):
        if isinstance(values.get(name), dict | list):
            values[name] = state_text(name, values[name])
    if "occurred_at" in values:
        values["occurred_at"] = _time(values["occurred_at"])
    if "event_id" not in values:
        values["event_id"] = _derived_id(record, values["tenant_id"])
    return NewEvent(**values)


def _check_name(name: str) -> None:
    if name in _RECORDERS:
        raise EventRejected(name, f"{name} is set by the recorder; leave it out")
    if name not in _KNOWN:
        near = get_close_matches(name, _KNOWN, 1)
        hint = f"did you mean {near[0]}?" if near else f"the columns are {', '.join(_KNOWN)}"
        raise EventRejected(name[:140], f"there is no column {name[:140]!r}; {hint}")


def _time(value: object) -> datetime:
    try:
        return datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise EventRejected(
            "occurred_at", f"occurred_at must be like 2026-11-21T09:00:00.000000Z; got {value!r:.60}"
        ) from None


def _derived_id(record: Record, tenant_id: object) -> str:
    """Return an id that depends on nothing but the line, where it stands, and whose it is."""
    return uuid8(sha256(f"lumi/ndjson-line/v1\n{tenant_id}\n{record.place}\n{record.text}".encode()).digest())
