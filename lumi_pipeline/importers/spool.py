"""Where the events of a file wait, on disk, until all of it is read: to be sorted and freed of those known already."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from json import dumps
from types import TracebackType
from typing import Any, Final, Self

from lumi_pipeline.errors import ImportFailed
from lumi_pipeline.events import NewEvent, from_micros, to_micros

_NAMES: Final = tuple(field.name for field in fields(NewEvent))
_OCCURRED_AT: Final = _NAMES.index("occurred_at")
_COLUMNS: Final = ", ".join(_NAMES)
_CREATE: Final = f"CREATE TABLE waiting (position INTEGER PRIMARY KEY, {_COLUMNS}, UNIQUE (event_id))"
_INSERT: Final = (
    f"INSERT INTO waiting ({_COLUMNS}) VALUES ({', '.join('?' * len(_NAMES))})"  # noqa: S608
    " ON CONFLICT (event_id) DO NOTHING"
)
_OF_ID: Final = f"SELECT {_COLUMNS} FROM waiting WHERE event_id = ?"  # noqa: S608
_IN_FILE_ORDER: Final = f"SELECT {_COLUMNS} FROM waiting ORDER BY position"  # noqa: S608
_IN_ORDER_OF_TIME: Final = f"SELECT {_COLUMNS} FROM waiting ORDER BY tenant_id, occurred_at, position"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Moment:
    """When one of the waiting events occurred."""

    tenant_id: str
    event_id: str
    occurred_at: datetime


class Spool:
    """Events in a private temporary database, which SQLite keeps in memory while small and deletes when closed."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(_CREATE)
        self._database.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._database.close()
        if isinstance(error, sqlite3.Error):
            raise ImportFailed(
                f"there was no room to sort the events: {error}. SQLITE_TMPDIR can name a larger directory"
            ) from error

    def add(self, event: NewEvent) -> None:
        """Put an event in; the same event once more changes nothing, another one of the same id is refused."""
        row = [getattr(event, name) for name in _NAMES]
        if event.occurred_at is not None:
            row[_OCCURRED_AT] = to_micros(event.occurred_at)
        if self._database.execute(_INSERT, row).rowcount == 0:
            [waiting] = self._database.execute(_OF_ID, (event.event_id,)).fetchall()
            if list(waiting) != row:
                raise ImportFailed(
                    f"event {event.event_id} is there twice, and not the same; nothing was recorded. Give one of the "
                    "two another id, or leave it out"
                )

    def remove(self, known: Mapping[str, tuple[str, int]]) -> None:
        """Take out the events that are recorded already, given by id with their tenant and seq.

        An event that is recorded for another tenant is another event, and refused.
        """
        event_ids = list(known)
        for event_id, tenant_id in self._database.execute(
            "SELECT event_id, tenant_id FROM waiting WHERE event_id IN (SELECT value FROM json_each(?))",
            (dumps(event_ids),),
        ):
            if known[event_id][0] != tenant_id:
                raise ImportFailed(
                    f"event {event_id} of tenant {tenant_id} has the id of an event that tenant {known[event_id][0]} "
                    "has already; nothing was recorded. Ids are unique across tenants: give it another"
                )
        self._database.execute(
            "DELETE FROM waiting WHERE event_id IN (SELECT value FROM json_each(?))", (dumps(event_ids),)
        )

    def ids(self, count: int) -> Iterator[list[str]]:
        """Yield the ids of all events, ``count`` at a time; events may be removed meanwhile."""
        after = 0
        while rows := self._database.execute(
            "SELECT position, event_id FROM waiting WHERE position > ? ORDER BY position LIMIT ?", (after, count)
        ).fetchall():
            after = rows[-1][0]
            yield [event_id for _, event_id in rows]

    def earliest(self) -> list[Moment]:
        """Return each tenant's earliest event, tenants sorted."""
        return self._moments("SELECT tenant_id, event_id, min(occurred_at) FROM waiting GROUP BY 1 ORDER BY 1")

    def latest(self) -> list[Moment]:
        """Return each tenant's latest event, tenants sorted."""
        return self._moments("SELECT tenant_id, event_id, max(occurred_at) FROM waiting GROUP BY 1 ORDER BY 1")

    def batches(self, count: int, *, in_order_of_time: bool) -> Iterator[list[NewEvent]]:
        """Yield all events, ``count`` at a time: as added, or by tenant and time of occurrence."""
        cursor = self._database.execute(_IN_ORDER_OF_TIME if in_order_of_time else _IN_FILE_ORDER)
        while rows := cursor.fetchmany(count):
            yield [NewEvent(**_values(row)) for row in rows]

    def _moments(self, query: str) -> list[Moment]:
        return [Moment(tenant, event, from_micros(micros)) for tenant, event, micros in self._database.execute(query)]


def _values(row: Sequence[Any]) -> dict[str, Any]:
    """Return a row as the arguments of the event that it was."""
    values = dict(zip(_NAMES, row, strict=True))
    if values["occurred_at"] is not None:
        values["occurred_at"] = from_micros(values["occurred_at"])
    return values
