"""Comparing by numbers: the result of a generated query, per tenant and UTC day of recording, against the lake.

It says how many events are missing, unknown or there more than once, and on which day, but not which, and it can't tell
altered ones: an export of the events does (siemside.py).
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Final

import duckdb
import pyarrow as pa

from lumi_pipeline.errors import SiemError
from lumi_pipeline.siem.expected import Expected
from lumi_pipeline.siem.exportfile import SUMMARY, Export, opened_text, reading_export
from lumi_pipeline.siem.spilling import spilling_database
from transparency.encoding import MAX_INT64, parse_day
from transparency.errors import EncodingError

MAX_ROWS: Final = 5_000_000
_KEPT: Final = "SELECT tenant_id, seq, recorded_at::DATE AS day FROM chunk"
_DAYS: Final = """
SELECT x.tenant_id, x.day, count(*), min(x.seq), max(x.seq),
    count(*) FILTER (WHERE a.seq IS NULL), min(x.seq) FILTER (WHERE a.seq IS NULL),
    max(x.seq) FILTER (WHERE a.seq IS NULL)
FROM expected x LEFT JOIN (SELECT DISTINCT tenant_id, seq FROM absent) a USING (tenant_id, seq) GROUP BY ALL
"""


@dataclass(frozen=True, slots=True)
class DaySummary:
    """One tenant's day as a query counted it."""

    events: int
    distinct: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class DayFinding:
    """What is wrong with a tenant's day: events ``missing``, ``unknown`` ones, or copies (``duplicated``).

    ``kind`` may also be ``range``: as many as should be there, but the first or last seq is another one; and
    ``foreign``: a tenant that the destination does not get.
    """

    tenant_id: str
    day: date
    kind: str
    count: int


@dataclass(frozen=True, slots=True)
class SummaryComparison:
    """``days`` of tenants were compared, ``expected`` events should be there, ``found`` distinct ones are.

    ``absent`` events are known not to be there: put aside, given up, under way or never sent. ``outside`` rows are of
    days outside the period.
    """

    days: int
    expected: int
    found: int
    absent: int
    outside: int
    findings: tuple[DayFinding, ...]

    @property
    def agrees(self) -> bool:
        """Whether the numbers leave nothing open. Duplicates do no harm: ids tell them."""
        return all(finding.kind == "duplicated" for finding in self.findings)


def compare_summary(expected: Expected, exports: Sequence[Export]) -> SummaryComparison:
    """Compare results of generated queries, one for each route or one for all, with the lake."""
    read = _read(exports)
    period = expected.period
    found = {key: day for key, day in read.items() if period.first <= key[1] <= period.last}
    with spilling_database() as (db, _):
        lake = _lake_days(db, expected)
    findings: list[DayFinding] = []
    for key in sorted(lake.keys() | found.keys()):
        findings += _compare(key, lake.get(key), found.get(key), foreign=key[0] not in expected.tenants)
    return SummaryComparison(
        days=len(lake.keys() | found.keys()),
        expected=sum(day.all.distinct for day in lake.values()),
        found=sum(day.distinct for day in found.values()),
        absent=sum(day.all.distinct - day.sure.distinct for day in lake.values()),
        outside=len(read) - len(found),
        findings=tuple(findings),
    )


@dataclass(frozen=True, slots=True)
class _LakeDay:
    """A tenant's day in the lake: with the events that are known not to be there, and without."""

    all: DaySummary
    sure: DaySummary


def _lake_days(db: duckdb.DuckDBPyConnection, expected: Expected) -> Mapping[tuple[str, date], _LakeDay]:
    db.execute("CREATE TEMP TABLE expected (tenant_id VARCHAR, seq BIGINT, day DATE)")
    for table, chosen in expected.rows():
        db.register("chunk", table.select(["tenant_id", "seq", "recorded_at"]).filter(pa.array(chosen)))
        db.execute(f"INSERT INTO expected {_KEPT}")
        db.unregister("chunk")
    expected.load_absent(db)
    return {
        (tenant_id, day): _LakeDay(DaySummary(n, n, low, high), DaySummary(sure, sure, first or 0, last or 0))
        for tenant_id, day, n, low, high, sure, first, last in db.sql(_DAYS).fetchall()
    }


def _compare(
    key: tuple[str, date], lake: _LakeDay | None, found: DaySummary | None, *, foreign: bool
) -> Iterator[DayFinding]:
    tenant_id, day = key
    if found is not None and found.events > found.distinct:
        yield DayFinding(tenant_id, day, "duplicated", found.events - found.distinct)
    if lake is None:
        if found is not None and found.distinct:
            yield DayFinding(tenant_id, day, "foreign" if foreign else "unknown", found.distinct)
    elif found is None or found.distinct < lake.sure.distinct:
        missing = lake.sure.distinct - (found.distinct if found else 0)
        if missing:
            yield DayFinding(tenant_id, day, "missing", missing)
    elif found.distinct > lake.all.distinct:
        yield DayFinding(tenant_id, day, "unknown", found.distinct - lake.all.distinct)
    elif found.distinct and not (
        lake.all.first <= found.first
        and found.last <= lake.all.last
        and (not lake.sure.distinct or (found.first <= lake.sure.first and lake.sure.last <= found.last))
    ):
        yield DayFinding(tenant_id, day, "range", 1)


def _read(exports: Sequence[Export]) -> dict[tuple[str, date], DaySummary]:
    """Read summaries; rows of one tenant and day are added up, as routes count their own events each."""
    days: dict[tuple[str, date], DaySummary] = {}
    for export in exports:
        for number, row in _rows(export):
            try:
                tenant_id, day = row["tenant_id"], parse_day(row["day"][:10])
                counts = [_number(row[name]) for name in SUMMARY[2:]]
            except (EncodingError, ValueError):
                raise SiemError(
                    f"{export.path}, row {number}: it is not {', '.join(SUMMARY)}, with a day as YYYY-MM-DD and whole "
                    "numbers"
                ) from None
            new = DaySummary(*counts)
            old = days.get((tenant_id, day))
            days[tenant_id, day] = new if old is None else _sum(old, new)
            if len(days) > MAX_ROWS:
                raise SiemError(f"{export.path}: more than {MAX_ROWS:,} tenants and days; compare a shorter period")
    return days


def _rows(export: Export) -> Iterator[tuple[int, Mapping[str, str]]]:
    with reading_export(export.path), opened_text(export) as stream:
        rows = csv.reader(stream, strict=True)
        try:
            next(rows)
            for number, row in enumerate(rows, start=1):
                if row:
                    cells = dict(zip(export.header, row, strict=False))
                    yield number, {name: cells.get(name, "") for name in SUMMARY}
        except csv.Error:
            raise SiemError(f"{export.path}, line {rows.line_num}: it is not CSV") from None


def _sum(one: DaySummary, other: DaySummary) -> DaySummary:
    return DaySummary(
        one.events + other.events,
        one.distinct + other.distinct,
        min(one.first, other.first),
        max(one.last, other.last),
    )


def _number(text: str) -> int:
    """A whole number, however a product writes it: ``12``, ``12.0``, ``1.2E1``."""
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        raise ValueError(text) from None
    if not value.is_finite() or not 0 <= value <= MAX_INT64 or value != value.to_integral_value():
        raise ValueError(text)
    return int(value)
