"""Landed rows of chosen tenants from chosen seqs on, wherever in the lake they lie: in sealed days or in landings.

Every file that may hold one of them is checked against its SHA-256 before any row is used, and memory is bounded.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from types import TracebackType
from typing import Final, Self

import pyarrow as pa

from lumi_pipeline.checkedrows import checked_views, reading_rows, sorted_events
from lumi_pipeline.events import COLUMNS
from lumi_pipeline.lake import Lake
from lumi_pipeline.landings import Cursor, landings
from lumi_pipeline.outbox.repair import same_row
from lumi_pipeline.records import StoredFile
from lumi_pipeline.rewritten import check_rewritten_day, check_rewritten_landing
from lumi_pipeline.sealedday import SealedDay, load_sealed_day

# A landing keeps its files until all of it is sealed, so those rows of it that are sealed already are left out.
_ROWS: Final = """
SELECT sealed.* FROM sealed JOIN wanted USING (tenant_id)
WHERE seq >= first_seq AND seq < least(sealed_next, next_seq)
UNION ALL
SELECT landed.* FROM landed JOIN wanted USING (tenant_id)
WHERE seq >= greatest(first_seq, sealed_next) AND seq < next_seq
"""
_COLUMNS: Final = ", ".join(COLUMNS)
_DIFFERS: Final = f"NOT ({same_row('l', 's')})"
_COMPARE: Final = f"""
WITH l AS ({_ROWS}),
s AS (SELECT stored.* FROM stored JOIN wanted USING (tenant_id) WHERE seq >= first_seq AND seq < next_seq),
pairs AS (
    SELECT coalesce(l.tenant_id, s.tenant_id) AS tenant_id, coalesce(l.seq, s.seq) AS seq, s.seq IS NULL AS missing,
        s.seq IS NOT NULL AND (l.seq IS NULL OR {_DIFFERS}) AS other
    FROM l FULL JOIN s ON l.tenant_id = s.tenant_id AND l.seq = s.seq
)
SELECT tenant_id, min(seq) FILTER (WHERE missing OR other), count(*) FILTER (WHERE missing),
    count(*) FILTER (WHERE other)
FROM pairs GROUP BY tenant_id
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Difference:
    """Where stored rows first differ from the landed ones (None: nowhere), landed rows missing, other rows there."""

    first: int | None
    missing: int
    others: int


class LandedRows:
    """The landed rows of the tenants of ``firsts`` from these seqs up to their cursors. Use as a context manager.

    ``days`` are all sealed days, in order. ``since`` is a landing before which none of the rows was landed, so that the
    files of a whole day need not be read for the rows of its last minutes. Raises
    :class:`~lumi_pipeline.errors.LakeError` when a file that is needed is not what was committed.
    """

    def __init__(
        self,
        lake: Lake,
        days: Sequence[date],
        cursors: Mapping[str, Cursor],
        firsts: Mapping[str, int],
        since: int = 0,
    ) -> None:
        last = load_sealed_day(lake, days[-1]) if days else None
        sealed_next = {t: s.record.next for t, s in last.tenants.tenants.items()} if last else {}
        floor = last.tenants.landing_floor if last else 0
        sealed = _sealed_files(lake, days, {t: first for t, first in firsts.items() if first < sealed_next.get(t, 0)})
        pending = any(cursors[t].next_seq > max(first, sealed_next.get(t, 0)) for t, first in firsts.items())
        landed = _landed_files(lake, max(floor, since)) if pending else []
        wanted = pa.table(
            {
                "tenant_id": pa.array(list(firsts), pa.string()),
                "first_seq": pa.array(list(firsts.values()), pa.int64()),
                "next_seq": pa.array([cursors[t].next_seq for t in firsts], pa.int64()),
                "sealed_next": pa.array([sealed_next.get(t, 0) for t in firsts], pa.int64()),
            }
        )
        with ExitStack() as opened:
            self._views = opened.enter_context(checked_views(lake, {"sealed": sealed, "landed": landed}))
            self._db = self._views.db
            self._db.register("wanted", wanted)
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows sorted by (tenant_id, seq), in tables of bounded size and EVENT_SCHEMA."""
        return sorted_events(self._views, _ROWS)

    def compare(self, stored: Iterable[pa.Table]) -> dict[str, Difference]:
        """Compare rows of a database, column by column, with those landed; rows out of the range don't count.

        A tenant that has rows on neither side is left out.
        """
        self._db.execute(f"CREATE OR REPLACE TEMP TABLE stored AS SELECT {_COLUMNS} FROM landed LIMIT 0")  # noqa: S608
        for table in stored:
            self._db.register("chunk", table)
            self._db.execute("INSERT INTO stored SELECT * FROM chunk")
            self._db.unregister("chunk")
        with reading_rows():
            found = self._db.sql(_COMPARE).fetchall()
        self._db.execute("DROP TABLE stored")
        return {tenant_id: Difference(first, missing, others) for tenant_id, first, missing, others in found}


def _sealed_files(lake: Lake, days: Sequence[date], firsts: Mapping[str, int]) -> list[StoredFile]:
    """The event files that hold sealed rows at or past these seqs: from the last day backwards, as far as needed."""
    waiting = dict(firsts)
    files: list[StoredFile] = []
    for day in reversed(days):
        if not waiting:
            break
        sealed = load_sealed_day(lake, day)
        if _holds(sealed, waiting):
            check_rewritten_day(lake, sealed)
            files += sealed.event_files
        known = sealed.tenants.tenants
        waiting = {t: first for t, first in waiting.items() if t in known and known[t].record.first > first}
    return files


def _landed_files(lake: Lake, floor: int) -> list[StoredFile]:
    files: list[StoredFile] = []
    for landing in landings(lake, floor):
        check_rewritten_landing(lake, landing)
        files += landing.event_files
    return files


def _holds(sealed: SealedDay, firsts: Mapping[str, int]) -> bool:
    known = sealed.tenants.tenants
    return any(t in known and known[t].record.count and known[t].record.next > first for t, first in firsts.items())
