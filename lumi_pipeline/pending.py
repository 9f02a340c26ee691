"""What is landed and not yet sealed: which rows belong to which day, and the rows themselves, sorted.

A day's rows are a range of seqs for each tenant. Where chains are intact the range follows from ``recorded_at`` alone.
Where they are not, two rules see to it that a tampered time costs few breaks and leaves no row out:

- A row is *in doubt* when its landing found that its hash does not fit, or that what follows does not link to it. Its
  time counts only if it lies between those of the rows around it; otherwise the row goes where the row before it goes.
  So a last row that was moved into the far future does not wait for it, outside every sealed day and unreported.
- A chain that is out of order all the same is cut so that the fewest rows end up on the wrong side of midnight.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import pairwise
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lumi_pipeline.chain import Break, BreakKind, ChainEnd
from lumi_pipeline.checkedrows import checked_views, reading_rows, sorted_events
from lumi_pipeline.days import DAY_MICROS, day_end
from lumi_pipeline.errors import LakeError
from lumi_pipeline.events import MIN_MICROS, from_micros
from lumi_pipeline.lake import Lake
from lumi_pipeline.landedmerge import LandedMerge
from lumi_pipeline.landings import Cursor, LandedTenant, landed_breaks, landed_tenants, landings
from lumi_pipeline.records import StoredFile
from lumi_pipeline.stretches import Stretch, read_stretches

_DOUBTS = frozenset({BreakKind.INTEGRITY, BreakKind.LINK})
_DAY_OF = f"(epoch_us(recorded_at) - {MIN_MICROS}) // {DAY_MICROS} + {MIN_MICROS // DAY_MICROS}"
"""SQL for a row's UTC day since 1970: in integers, and from a time that is never negative, as // cuts towards zero."""


@dataclass(frozen=True, slots=True)
class DayRange:
    """One tenant's rows of a day: seqs ``first`` to ``end.next_seq`` - 1, and what pins the end."""

    first: int
    end: ChainEnd


@dataclass(frozen=True, slots=True)
class _Span:
    """Rows of one tenant whose recorded_at lies in one UTC day (days since 1970)."""

    day: int
    first_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class _Reach:
    """How far a landing read each tenant (next seq), and the latest time (µs) up to then that is not in doubt."""

    number: int
    next_seqs: dict[str, int]
    latest: int


class Pending:
    """The landings from ``floor`` on, opened for reading: every file's SHA-256 is checked before a row is used.

    Use as a context manager; it holds a DuckDB connection that may spill sorted runs to a temporary directory, and, of
    a lake that is not on a disk, the files as they were checked.
    """

    def __init__(self, lake: Lake, floor: int) -> None:
        self._landings = list(landings(lake, floor))
        found = list(lake.side_by_side(lambda landing: list(landed_breaks(lake, landing)), self._landings))
        landed = list(lake.side_by_side(partial(landed_tenants, lake), self._landings))
        self._doubtful = _doubtful_rows(landed, found)
        self._reach: list[_Reach] = []
        self.tenants: dict[str, Cursor] = {}
        self.floor = floor
        latest = MIN_MICROS
        for landing, shares in zip(self._landings, landed, strict=True):
            self.tenants.update({share.tenant_id: share.cursor for share in shares})
            for share in shares:
                if share.rows and share.cursor.next_seq - 1 not in self._doubtful.get(share.tenant_id, ()):
                    latest = max(latest, share.cursor.not_before)
            next_seqs = {share.tenant_id: share.cursor.next_seq for share in shares}
            self._reach.append(_Reach(landing.number, next_seqs, latest))
        files = [file for landing in self._landings for file in landing.event_files]
        self._spans: dict[str, list[_Span]] = {}
        with ExitStack() as opened:
            views = opened.enter_context(checked_views(lake, {"landed": files}))
            self._views, self._db = views, views.db
            self._merge = LandedMerge.plan(
                [
                    (landing, shares, [views.places[file] for file in landing.event_files])
                    for landing, shares in zip(self._landings, landed, strict=True)
                ]
            )
            if files:
                with reading_rows():
                    self._spans = self._load_spans()
            self._opened = opened.pop_all()
        self._days = {span.day for spans in self._spans.values() for span in spans}
        self._disordered = set(self._doubtful) | {
            tenant_id
            for tenant_id, spans in self._spans.items()
            if any(left.last_seq >= right.first_seq for left, right in pairwise(spans))
        }

    @property
    def places(self) -> Mapping[StoredFile, str]:
        """Where the files of all landings lie, as they were checked."""
        return self._views.places

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def first_day(self) -> date | None:
        """The earliest UTC day of any landed row whose time is not in doubt, else of any row; None without rows."""
        days = self._days
        if not days and any(landing.files for landing in self._landings):
            with reading_rows():
                days = {day for (day,) in self._db.sql(f"SELECT min({_DAY_OF}) FROM landed").fetchall()}  # noqa: S608
        return from_micros(min(days) * DAY_MICROS).date() if days else None

    def day_range(self, tenant_id: str, first: int, day: date) -> DayRange:
        """Where the rows of ``day`` end for a tenant whose rows from seq ``first`` on are not sealed yet."""
        head = self.tenants[tenant_id]
        spans = self._spans.get(tenant_id, [])
        number = (day_end(day) // DAY_MICROS) - 1
        if tenant_id not in self._disordered:
            later = min((span.first_seq for span in spans if span.day > number), default=None)
        else:
            later = self._cut(tenant_id, first, day_end(day))
        if later is None:
            return DayRange(first, ChainEnd(head.next_seq, head.head))
        return DayRange(first, ChainEnd(later, None))

    def may_have_rows(self, day: date) -> bool:
        """Whether some row may belong to ``day``; surely not, if chains are intact and no row lies in it."""
        number = day_end(day) // DAY_MICROS - 1
        return bool(self._disordered) or number in self._days

    def rows(self, ranges: Mapping[str, DayRange]) -> Iterator[pa.Table]:
        """Yield the rows of these ranges sorted by (tenant_id, seq), in tables of bounded size."""
        wanted = {tenant_id: r for tenant_id, r in ranges.items() if r.first < r.end.next_seq}
        if not wanted or not any(landing.files for landing in self._landings):
            return
        stretches = self.stretches(wanted)
        if stretches is not None:
            yield from read_stretches(stretches, self.places)
            return
        self._db.register("wanted", _ranges_table(wanted))
        yield from sorted_events(
            self._views,
            "SELECT landed.* FROM landed JOIN wanted USING (tenant_id) WHERE seq >= first_seq AND seq < next_seq",
        )
        self._db.unregister("wanted")

    def stretches(self, ranges: Mapping[str, DayRange]) -> Iterator[Stretch] | None:
        """Where the rows of these ranges lie, in order.

        None if they are to be sorted, because that is not known, or because they are too few among others.
        """
        if self._merge is None:
            return None
        return self._merge.stretches({tenant_id: (r.first, r.end.next_seq) for tenant_id, r in ranges.items()})

    def floor_after(self, sealed: Mapping[str, int]) -> int:
        """The first landing that holds rows past ``sealed`` (tenant → next seq), else the number of the next one."""
        for reach in self._reach:
            if any(sealed.get(tenant_id, 0) < next_seq for tenant_id, next_seq in reach.next_seqs.items()):
                return reach.number
        return self._landings[-1].number + 1 if self._landings else self.floor

    def _load_spans(self) -> dict[str, list[_Span]]:
        """The days of each tenant's rows, without those whose time is in doubt."""
        nulls = "tenant_id IS NULL OR seq IS NULL OR recorded_at IS NULL"
        if self._db.sql(f"SELECT 1 FROM landed WHERE {nulls} LIMIT 1").fetchall():  # noqa: S608 - constants
            raise LakeError("landed/ has a row without tenant, seq or time, which no landing wrote; restore its files")
        self._db.register("doubtful", _rows_table(self._doubtful))
        spans: dict[str, list[_Span]] = {}
        for tenant_id, day, first_seq, last_seq in self._db.sql(
            f"SELECT tenant_id, {_DAY_OF} AS day, min(seq), max(seq) "  # noqa: S608 - constants
            "FROM landed ANTI JOIN doubtful USING (tenant_id, seq) GROUP BY ALL ORDER BY ALL"
        ).fetchall():
            spans.setdefault(tenant_id, []).append(_Span(day, first_seq, last_seq))
        return spans

    def _cut(self, tenant_id: str, first: int, end: int) -> int | None:
        """The seq at which to cut a broken chain so that the fewest rows are on the wrong side of ``end`` (µs).

        Of several such places the last is taken: what could be sealed earlier does not wait.
        """
        with reading_rows():
            table = self._db.sql(
                "SELECT seq, epoch_us(recorded_at) AS time FROM landed WHERE tenant_id = $tenant AND seq >= $first "
                "ORDER BY seq",
                params={"tenant": tenant_id, "first": first},
            ).to_arrow_table()
        seq, time = np.asarray(table.column("seq").to_numpy()), np.asarray(table.column("time").to_numpy())
        counts = ~self._misdated(tenant_id, seq, time)
        kept = np.concatenate([[0], np.cumsum(counts & (time >= end))])
        left = np.concatenate([np.cumsum((counts & (time < end))[::-1])[::-1], [0]])
        position = len(seq) - int(np.argmin((kept + left)[::-1]))
        return int(seq[position]) if position < len(seq) else None

    def _misdated(
        self, tenant_id: str, seq: npt.NDArray[np.int64], time: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Which rows are in doubt and have a time that does not fit between those of the rows around them.

        The last rows have none after them, but were landed: by then it was not later than the latest time landed.
        """
        doubtful = np.isin(seq, list(self._doubtful.get(tenant_id, ())))
        latest = np.zeros_like(time)
        reached = 0
        for reach in self._reach:
            next_seq = reach.next_seqs.get(tenant_id, reached)
            latest[(seq >= reached) & (seq < next_seq)] = reach.latest
            reached = max(reached, next_seq)
        before = np.maximum.accumulate(np.where(doubtful, MIN_MICROS, time))
        after = np.minimum.accumulate(np.where(doubtful, latest, time)[::-1])[::-1]
        return doubtful & ((time < before) | (time > after))

    def prev_hash(self, tenant_id: str, seq: int) -> bytes:
        """The hash that a landed row says it follows."""
        with reading_rows():
            rows = self._db.sql(
                "SELECT prev_hash FROM landed WHERE tenant_id = $tenant AND seq = $seq",
                params={"tenant": tenant_id, "seq": seq},
            ).fetchall()
        return bytes(rows[0][0])


def _doubtful_rows(landed: Sequence[list[LandedTenant]], found: Sequence[list[Break]]) -> dict[str, set[int]]:
    """The rows (tenant → seqs) that may be other than they were recorded, by what each landing read and found."""
    doubtful: dict[str, set[int]] = {}
    by_head: dict[str, int] = {}
    for shares, breaks in zip(landed, found, strict=True):
        unlinked = {(broken.tenant_id, broken.seq) for broken in breaks if broken.kind is BreakKind.LINK}
        for share in shares:
            # A head that did not fit, and what came next does: then the head was wrong, and not the row before it.
            if (share.tenant_id, share.first) not in unlinked:
                by_head.pop(share.tenant_id, None)
        for broken in breaks:
            if broken.kind is BreakKind.HEAD:
                by_head[broken.tenant_id] = broken.seq
            elif broken.kind in _DOUBTS:
                # A row that does not link casts doubt on the one before it. Were it itself the wrong one, its own hash
                # would not fit, or else the row after it, or the head, would not link to it.
                seq = broken.seq - 1 if broken.kind is BreakKind.LINK else broken.seq
                doubtful.setdefault(broken.tenant_id, set()).add(seq)
    for tenant_id, seq in by_head.items():
        doubtful.setdefault(tenant_id, set()).add(seq)
    return doubtful


def _rows_table(rows: Mapping[str, set[int]]) -> pa.Table:
    return pa.table(
        {
            "tenant_id": pa.array([tenant_id for tenant_id, seqs in rows.items() for _ in seqs], pa.string()),
            "seq": pa.array([seq for seqs in rows.values() for seq in seqs], pa.int64()),
        }
    )


def _ranges_table(ranges: Mapping[str, DayRange]) -> pa.Table:
    return pa.table(
        {
            "tenant_id": pa.array(list(ranges), pa.string()),
            "first_seq": pa.array([r.first for r in ranges.values()], pa.int64()),
            "next_seq": pa.array([r.end.next_seq for r in ranges.values()], pa.int64()),
        }
    )
