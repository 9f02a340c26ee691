"""What is landed and not yet sealed: which rows belong to which day, and the rows themselves, sorted.

A day's rows are a range of seqs for each tenant. Where chains are intact the range follows from ``recorded_at`` alone.
Where a time was tampered with, the range is cut so that as few rows as possible end up on the wrong side, so one bad
row costs one break and no row is ever left out.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import duckdb
import numpy as np
import pyarrow as pa

from lumi_pipeline.chain import ChainEnd
from lumi_pipeline.days import DAY_MICROS, day_end
from lumi_pipeline.errors import LakeError
from lumi_pipeline.events import EVENT_SCHEMA, from_micros
from lumi_pipeline.lake import ROW_GROUP_ROWS, Lake
from lumi_pipeline.landing import Cursor, Landing, landed_tenants, landings

_MEMORY_LIMIT = "512MB"


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


class Pending:
    """The landings from ``floor`` on, opened for reading: every file's SHA-256 is checked before a row is used.

    Use as a context manager; it holds a DuckDB connection that may spill sorted runs to a temporary directory.
    """

    def __init__(self, lake: Lake, floor: int) -> None:
        self._landings = list(landings(lake, floor))
        self._reach: list[tuple[Landing, dict[str, int]]] = []
        self.tenants: dict[str, Cursor] = {}
        self.floor = floor
        for landing in self._landings:
            shares = landed_tenants(lake, landing)
            self.tenants.update({share.tenant_id: share.cursor for share in shares})
            self._reach.append((landing, {share.tenant_id: share.cursor.next_seq for share in shares}))
        files = [file for landing in self._landings for file in landing.files]
        for file in files:
            lake.read(file)
        self._spans: dict[str, list[_Span]] = {}
        with ExitStack() as opened:
            spill = opened.enter_context(TemporaryDirectory(prefix="lumi-"))
            self._db = duckdb.connect(config={"memory_limit": _MEMORY_LIMIT, "temp_directory": spill})
            opened.callback(self._db.close)
            self._db.execute("SET TimeZone = 'UTC'")
            if files:
                paths = [lake.locate(file.path) for file in files]
                with _reading():
                    self._db.from_parquet(paths, hive_partitioning=False).create_view("landed")
                    self._spans = self._load_spans()
            self._opened = opened.pop_all()
        self._days = {span.day for spans in self._spans.values() for span in spans}
        self._disordered = {
            tenant_id
            for tenant_id, spans in self._spans.items()
            if any(left.last_seq >= right.first_seq for left, right in pairwise(spans))
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def first_day(self) -> date | None:
        """The earliest UTC day of any landed row; None when there is none."""
        return from_micros(min(self._days) * DAY_MICROS).date() if self._days else None

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
        """Whether some row may belong to ``day``; surely not, if chains are in order and no row lies in it."""
        number = day_end(day) // DAY_MICROS - 1
        return bool(self._disordered) or number in self._days

    def rows(self, ranges: Mapping[str, DayRange]) -> Iterator[pa.Table]:
        """Yield the rows of these ranges sorted by (tenant_id, seq), in tables of bounded size."""
        wanted = {tenant_id: r for tenant_id, r in ranges.items() if self._has_rows(tenant_id, r)}
        if not wanted:
            return
        self._db.register("wanted", _ranges_table(wanted))
        with _reading():
            reader = self._db.sql(
                "SELECT landed.* FROM landed JOIN wanted USING (tenant_id) WHERE seq >= first_seq AND seq < next_seq "
                "ORDER BY tenant_id, seq"
            ).to_arrow_reader(ROW_GROUP_ROWS)
            for batch in reader:
                yield pa.Table.from_batches([batch]).cast(EVENT_SCHEMA)
        self._db.unregister("wanted")

    def floor_after(self, sealed: Mapping[str, int]) -> int:
        """The first landing that holds rows past ``sealed`` (tenant → next seq), else the number of the next one."""
        for landing, reach in self._reach:
            if any(sealed.get(tenant_id, 0) < next_seq for tenant_id, next_seq in reach.items()):
                return landing.number
        return self._landings[-1].number + 1 if self._landings else self.floor

    def _has_rows(self, tenant_id: str, r: DayRange) -> bool:
        spans = self._spans.get(tenant_id, [])
        return any(span.last_seq >= r.first and span.first_seq < r.end.next_seq for span in spans)

    def _load_spans(self) -> dict[str, list[_Span]]:
        spans: dict[str, list[_Span]] = {}
        for tenant_id, day, first_seq, last_seq in self._db.sql(
            "SELECT tenant_id, floor(epoch_us(recorded_at) / 86400000000.0)::BIGINT AS day, min(seq), max(seq) "
            "FROM landed GROUP BY ALL ORDER BY ALL"
        ).fetchall():
            spans.setdefault(tenant_id, []).append(_Span(day, first_seq, last_seq))
        return spans

    def _cut(self, tenant_id: str, first: int, end: int) -> int | None:
        """The seq at which to cut a disordered chain so that the fewest rows are on the wrong side of ``end`` (µs)."""
        with _reading():
            table = self._db.sql(
                "SELECT seq, epoch_us(recorded_at) AS time FROM landed WHERE tenant_id = $tenant AND seq >= $first "
                "ORDER BY seq",
                params={"tenant": tenant_id, "first": first},
            ).to_arrow_table()
        inside = np.asarray(table.column("time").to_numpy()) < end
        outside_kept = np.concatenate([[0], np.cumsum(~inside)])
        inside_left = inside.sum() - np.concatenate([[0], np.cumsum(inside)])
        position = int(np.argmin(outside_kept + inside_left))
        return int(table.column("seq")[position].as_py()) if position < len(table) else None

    def prev_hash(self, tenant_id: str, seq: int) -> bytes:
        """The hash that a landed row says it follows."""
        with _reading():
            rows = self._db.sql(
                "SELECT prev_hash FROM landed WHERE tenant_id = $tenant AND seq = $seq",
                params={"tenant": tenant_id, "seq": seq},
            ).fetchall()
        return bytes(rows[0][0])


@contextmanager
def _reading() -> Iterator[None]:
    """Make DuckDB's errors ours: a landed file that is gone since it was checked, or a disk too full to sort on."""
    try:
        yield
    except (duckdb.Error, pa.ArrowException) as error:
        raise LakeError(f"the landed events can't be read: {error}") from None


def _ranges_table(ranges: Mapping[str, DayRange]) -> pa.Table:
    return pa.table(
        {
            "tenant_id": pa.array(list(ranges), pa.string()),
            "first_seq": pa.array([r.first for r in ranges.values()], pa.int64()),
            "next_seq": pa.array([r.end.next_seq for r in ranges.values()], pa.int64()),
        }
    )
