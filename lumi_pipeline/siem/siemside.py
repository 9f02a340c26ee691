"""Reconciliation with the SIEM's side: what came out of it, held against the lake.

An export of events is compared event by event, by ``event_id``. Where all is there that the hashes are made of, these
are recomputed from the exported fields and have to be the lake's; besides, every exported field is compared with the
lake's, which names what was altered. A summary (count, distinct ids, first and last seq per tenant and day) is compared
by numbers, and so can't tell altered events.

Memory is bounded: DuckDB spills to a temporary directory, which takes a few hundred bytes an event.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa

from lumi_pipeline.days import day_end, day_start
from lumi_pipeline.events import EVENT_SCHEMA
from lumi_pipeline.rowhash import recompute_hashes
from lumi_pipeline.siem.expected import Expected
from lumi_pipeline.siem.exportfields import Layout
from lumi_pipeline.siem.exportfile import Export, opened_export, reading_export
from lumi_pipeline.siem.exportmarks import COMPARED, differences, export_marks, lake_marks
from lumi_pipeline.siem.spilling import spilling_database

DEFAULT_LIMIT: Final = 1000


@dataclass(frozen=True, slots=True)
class MissingRange:
    """Consecutive events of a tenant, as the destination gets them, that are not there: ``count`` of them.

    ``state`` says why, where that is known: quarantined, discarded, open (under way) or not sent.
    """

    tenant_id: str
    first: int
    last: int
    count: int
    state: str | None


@dataclass(frozen=True, slots=True)
class FoundEvent:
    """An exported event: an altered one with the names of what differs, or a duplicated one with its ``copies``."""

    tenant_id: str | None
    seq: int | None
    event_id: str | None
    differs: tuple[str, ...] = ()
    copies: int = 1


@dataclass(frozen=True, slots=True)
class Found:
    """Events of one kind: how many, and the first of them."""

    count: int
    shown: tuple[FoundEvent, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """An export held against the lake.

    ``records`` are those of the files, ``expected`` the events that the destination should have, ``present`` those of
    them that are there. ``foreign`` are of tenants that it does not get; ``unknown`` are in the lake neither so nor
    otherwise; ``unselected`` are of its tenants, but not what it is set to get. ``outside`` were recorded on other days
    than asked for, and not looked at. ``compared`` are the columns that the files have; ``recomputed``: so that the
    hashes could be recomputed.
    """

    records: int
    expected: int
    present: int
    missing: tuple[MissingRange, ...]
    absent: Mapping[str, int]
    lost: int
    altered: Found
    duplicated: Found
    unknown: Found
    foreign: Found
    unselected: int
    outside: int
    compared: tuple[str, ...]
    recomputed: bool

    @property
    def agrees(self) -> bool:
        """Whether all that should be there is, unaltered, and nothing else. Duplicates do no harm: ids tell them."""
        return not (self.lost or self.altered.count or self.unknown.count or self.foreign.count)


def compare_export(expected: Expected, exports: Sequence[Export], limit: int = DEFAULT_LIMIT) -> Comparison:
    """Compare exports of one destination with the lake; of each kind of finding at most ``limit`` are listed.

    Raises :class:`~lumi_pipeline.errors.SiemError` for a file that can't be read or holds no events.
    """
    with spilling_database() as (db, directory):
        layouts = []
        for export in exports:
            with opened_export(db, export, directory) as layout:
                layouts.append(layout)
        recomputed = all(layout.complete for layout in layouts)
        _load(db, expected, weak=recomputed)
        for export in exports:
            with opened_export(db, export, directory) as layout, reading_export(export.path):
                db.execute(f"INSERT INTO seen {_judging(layout, weak=recomputed)}")
        names = set().union(*(layout.columns for layout in layouts))
        return _result(db, expected, limit, tuple(name for name in COMPARED if name in names), recomputed=recomputed)


def _load(db: duckdb.DuckDBPyConnection, expected: Expected, *, weak: bool) -> None:
    """Make the tables ``expected``, rows of the period, ``absent`` and ``seen``, which is empty.

    Rows that the destination is not set to get have a ``row`` below 0; the others are numbered in order.
    """
    kept = lake_marks(weak=weak)
    empty = EVENT_SCHEMA.empty_table().append_column("row", pa.array([], pa.int64()))
    digests = {name: pa.array([], pa.binary(32)) for name in ("own_integrity", "own_payload")}
    for name, column in digests.items():
        empty = empty.append_column(name, column)
    db.register("chunk", empty)
    db.execute(f"CREATE TEMP TABLE expected AS SELECT {kept} FROM chunk")  # noqa: S608 - constants
    selected = unselected = 0
    for table, chosen in expected.rows():
        numbers = np.where(chosen, selected + np.cumsum(chosen) - 1, -unselected - np.cumsum(~chosen))
        selected, unselected = selected + int(chosen.sum()), unselected + int((~chosen).sum())
        payload, integrity = recompute_hashes(table)
        numbered = table.append_column("row", pa.array(numbers.astype(np.int64)))
        for name, digest in (("own_integrity", integrity), ("own_payload", payload)):
            numbered = numbered.append_column(
                name,
                pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(table), [None, pa.py_buffer(digest.tobytes())]),
            )
        db.register("chunk", numbered)
        db.execute(f"INSERT INTO expected SELECT {kept} FROM chunk")  # noqa: S608 - constants
    db.unregister("chunk")
    expected.load_absent(db)
    db.execute(
        "CREATE TEMP TABLE seen (row BIGINT, differs VARCHAR[], event_id VARCHAR, tenant_id VARCHAR, seq BIGINT, "
        "recorded VARCHAR)"
    )


def _judging(layout: Layout, *, weak: bool) -> str:
    """The query that looks every exported record up, and keeps of it what differs."""
    stranger = "x.row IS NULL"
    return (
        f"SELECT x.row, CASE WHEN {stranger} THEN NULL ELSE {differences(layout, weak=weak)} END, "  # noqa: S608
        f"CASE WHEN {stranger} THEN e.event_id END, CASE WHEN {stranger} THEN e.tenant_id END, "
        f"CASE WHEN {stranger} THEN TRY_CAST(e.seq AS BIGINT) END, CASE WHEN {stranger} THEN e.recorded END "
        f"FROM ({export_marks(layout, weak=weak)}) e LEFT JOIN expected x ON e.event_id = x.event_id"
    )


def _result(
    db: duckdb.DuckDBPyConnection, expected: Expected, limit: int, compared: tuple[str, ...], *, recomputed: bool
) -> Comparison:
    db.execute(
        "CREATE TEMP TABLE gone AS SELECT x.row, x.tenant_id, x.seq, a.state FROM expected x "
        "LEFT JOIN (SELECT tenant_id, seq, min(state) AS state FROM absent GROUP BY ALL) a "
        "ON a.tenant_id = x.tenant_id AND a.seq = x.seq "
        "WHERE x.row >= 0 AND x.row NOT IN (SELECT row FROM seen WHERE row >= 0)"
    )
    db.register("tenants", pa.table({"tenant_id": pa.array(sorted(expected.tenants), pa.string())}))
    start, end = day_start(expected.period.first), day_end(expected.period.last)
    db.execute(
        "CREATE TEMP TABLE strangers AS SELECT event_id, tenant_id, seq, CASE "  # noqa: S608 - numbers
        "WHEN tenant_id IS NOT NULL AND tenant_id NOT IN (FROM tenants) THEN 'foreign' "
        f"WHEN TRY_CAST(recorded AS BIGINT) NOT BETWEEN {start} AND {end - 1} THEN 'outside' "
        # An export without times: by the seqs that the period has.
        "WHEN recorded IS NULL AND seq NOT BETWEEN low AND high THEN 'outside' "
        "ELSE 'unknown' END AS kind FROM seen LEFT JOIN "
        "(SELECT tenant_id, min(seq) AS low, max(seq) AS high FROM expected GROUP BY ALL) USING (tenant_id) "
        "WHERE row IS NULL"
    )
    wanted = _one(db, "SELECT count(*) FROM expected WHERE row >= 0")
    states = dict(db.sql("SELECT state, count(*) FROM gone WHERE state IS NOT NULL GROUP BY 1 ORDER BY 1").fetchall())
    gone = _one(db, "SELECT count(*) FROM gone")
    return Comparison(
        records=_one(db, "SELECT count(*) FROM seen"),
        expected=wanted,
        present=wanted - gone,
        missing=tuple(_missing(db, limit)),
        absent=states,
        lost=gone - sum(states.values()),
        altered=_found(db, limit, _ALTERED),
        duplicated=_found(db, limit, _DUPLICATED),
        unknown=_found(db, limit, _STRANGERS.format("unknown")),
        foreign=_found(db, limit, _STRANGERS.format("foreign")),
        unselected=_one(db, "SELECT count(DISTINCT row) FROM seen WHERE row < 0"),
        outside=_one(db, "SELECT count(*) FROM strangers WHERE kind = 'outside'"),
        compared=compared,
        recomputed=recomputed,
    )


_ALTERED: Final = (
    "SELECT x.tenant_id, x.seq, x.event_id, s.differs, 1 FROM seen s JOIN expected x USING (row) "
    "WHERE len(s.differs) > 0"
)
_DUPLICATED: Final = (
    "SELECT x.tenant_id, x.seq, x.event_id, [], copies FROM expected x JOIN "
    "(SELECT row, count(*) AS copies FROM seen WHERE row IS NOT NULL GROUP BY row HAVING count(*) > 1) USING (row)"
)
_STRANGERS: Final = "SELECT tenant_id, seq, event_id, [], 1 FROM strangers WHERE kind = '{}'"
_ISLANDS: Final = """
SELECT tenant_id, min(seq), max(seq), count(*), state FROM (
    SELECT *, row - row_number() OVER (PARTITION BY tenant_id, state ORDER BY row) AS island FROM gone
) GROUP BY tenant_id, state, island ORDER BY state NULLS FIRST, tenant_id, min(seq) LIMIT ?
"""


def _missing(db: duckdb.DuckDBPyConnection, limit: int) -> Iterator[MissingRange]:
    for tenant_id, first, last, count, state in db.execute(_ISLANDS, [limit]).fetchall():
        yield MissingRange(tenant_id, first, last, count, state)


def _found(db: duckdb.DuckDBPyConnection, limit: int, query: str) -> Found:
    count = _one(db, f"SELECT count(*) FROM ({query})")  # noqa: S608 - constants
    rows = db.execute(f"{query} ORDER BY ALL LIMIT ?", [limit]).fetchall() if count else []
    return Found(count, tuple(FoundEvent(t, seq, e, tuple(differs), copies) for t, seq, e, differs, copies in rows))


def _one(db: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(db.sql(query).fetchall()[0][0])
