"""Events read back from the lake, where the analyst database says they lie, with their hashes computed anew.

The files as a whole are not hashed here: a page of events comes from a few row groups, in milliseconds. What was done
to a row in a file shows in its hashes; where somebody computed those anew as well, in its differing from what was read
from that file when it was verified. 'lumi verify --all' checks the files, and the sealed roots besides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

import duckdb
import pyarrow as pa

from lumi_pipeline.analytics.schema import ACTIVITY_COLUMNS
from lumi_pipeline.chain import altered_rows
from lumi_pipeline.dayrows import read_day_rows
from lumi_pipeline.errors import LakeError
from lumi_pipeline.events import COLUMNS, CORE_COLUMNS, EVENT_SCHEMA
from lumi_pipeline.lake import Lake, check_values
from lumi_pipeline.records import StoredFile

Row: TypeAlias = Mapping[str, object]
"""An event as Python values by column."""

_Identity: TypeAlias = tuple[str, int]
"""(tenant_id, seq)."""

_COLUMNS: Final = ", ".join(COLUMNS)

_CLOSE: Final = 8192
"""Rows up to which reading all of them is faster than looking for some in their row group."""


class Check(Enum):
    """What became of an event since it was read into the analyst database."""

    VERIFIED = "verified"
    ALTERED = "altered"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class ShownEvent:
    """An event as the lake has it now. Of a missing one there is only what the analyst database knows.

    ``finding`` says what is wrong; None when nothing is.
    """

    event: Row
    sealed: bool
    check: Check
    finding: str | None = None


@dataclass(frozen=True, slots=True)
class Located:
    """An event as the analyst database knows it, and where it lies: the file, and its row there from 0."""

    known: Row
    sealed: bool
    file: StoredFile
    row: int


def recheck(db: duckdb.DuckDBPyConnection, lake: Lake, events: Sequence[Located]) -> list[ShownEvent]:
    """Read the events from the lake and verify each; the result has their order.

    ``db`` is a connection that opens the lake's files (:func:`~lumi_pipeline.analytics.connect`).
    """
    by_file: dict[StoredFile, list[Located]] = {}
    for event in events:
        by_file.setdefault(event.file, []).append(event)
    shown: dict[_Identity, ShownEvent] = {}
    for found in lake.side_by_side(lambda item: _File(db, lake, item[0]).check(item[1]), by_file.items()):
        shown.update(found)
    return [shown[_identity(event.known)] for event in events]


class _File:
    """One file of events, which may have become anything since it was read."""

    def __init__(self, db: duckdb.DuckDBPyConnection, lake: Lake, file: StoredFile) -> None:
        self._db = db
        self._lake = lake
        self._file = file
        self._key = file.path

    def check(self, events: Sequence[Located]) -> dict[_Identity, ShownEvent]:
        """Judge every event that should be in the file."""
        try:
            there = self._find(events)
        except (duckdb.Error, pa.ArrowException, LakeError, OSError, UnicodeDecodeError, OverflowError) as error:
            reason = f"{self._key} can't be read: {_reason(error)}"
            return {_identity(event.known): _missing(event, reason) for event in events}
        shown = {}
        for event in events:
            identity = _identity(event.known)
            found = there.get(identity)
            shown[identity] = _judge(event, *found) if found else _missing(event, f"{self._key} does not hold it")
        return shown

    def _find(self, events: Sequence[Located]) -> dict[_Identity, tuple[Row, str | None]]:
        """The events as they are in the file, with what is wrong with their hashes."""
        # Each thread needs a cursor of its own; it has what the connection has.
        with self._db.cursor() as db:
            rows = [event.row for event in events]
            table = self._stretch(rows)
            if table is None:
                table = self._query(db, f"WHERE file_row_number IN ({', '.join('?' * len(rows))})", rows)
            found = _by_identity(table)
            lost = [_identity(event.known) for event in events if _identity(event.known) not in found]
            if lost:
                # Not where it was: whoever took rows out or put some in moved what follows.
                tenants, seqs = (pa.array(values) for values in zip(*lost, strict=True))
                db.register("lost", pa.table({"tenant_id": tenants, "seq": seqs}))
                found |= _by_identity(self._query(db, "SEMI JOIN lost USING (tenant_id, seq)", []))
                db.unregister("lost")
        return found

    def _stretch(self, rows: Sequence[int]) -> pa.Table | None:
        """Rows that lie close together, as one user's do, in less than half the time; None where it can't be had."""
        first, last = min(rows), max(rows)
        if self._lake.file_system is not None or last - first >= _CLOSE:
            return None
        try:
            table = read_day_rows(self._lake, [self._file], range(first, last + 1))
        except LakeError:
            return None  # some row in between is damaged, or the file as a whole
        return table.take(pa.array([row - first for row in rows], pa.int64()))

    def _query(self, db: duckdb.DuckDBPyConnection, rest: str, parameters: Sequence[object]) -> pa.Table:
        query = f"SELECT {_COLUMNS} FROM read_parquet(?, file_row_number = true, hive_partitioning = false) AS f {rest}"  # noqa: S608 - constants
        place = self._lake.locate(self._key)
        table: pa.Table = db.sql(query, params=[place, *parameters]).to_arrow_table().cast(EVENT_SCHEMA)
        check_values(table, self._key)
        return table


def _by_identity(table: pa.Table) -> dict[_Identity, tuple[Row, str | None]]:
    payload, integrity = altered_rows(table)
    rows: list[dict[str, object]] = table.to_pylist()
    found: dict[_Identity, tuple[Row, str | None]] = {}
    for row, bad_payload, bad_integrity in zip(rows, payload, integrity, strict=True):
        wrong = [name for name, bad in (("payload_hash", bad_payload), ("integrity_hash", bad_integrity)) if bad]
        found[_identity(row)] = (row, f"{' and '.join(wrong)} not those of its columns" if wrong else None)
    return found


def _judge(event: Located, row: Row, finding: str | None) -> ShownEvent:
    # What was erased meanwhile differs in its payload, and its hashes still verify.
    columns = ACTIVITY_COLUMNS if row["erased_at"] is None else CORE_COLUMNS
    changed = [name for name in columns if row[name] != event.known[name]]
    if finding is None and changed:
        finding = f"{', '.join(changed)} not as when it was verified, and all hashes made to fit"
    return ShownEvent(row, event.sealed, Check.ALTERED if finding else Check.VERIFIED, finding)


def _missing(event: Located, reason: str) -> ShownEvent:
    return ShownEvent(dict.fromkeys(COLUMNS) | dict(event.known), event.sealed, Check.MISSING, reason)


def _identity(row: Row) -> _Identity:
    return str(row["tenant_id"]), int(str(row["seq"]))


def _reason(error: Exception) -> str:
    """What went wrong, in a line; of trouble with a store DuckDB repeats a traceback, whose last line says it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1] if "Traceback" in lines[0] else lines[0]
