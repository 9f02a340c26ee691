"""The account of a destination: every row of the lake in a period, and what became of it.

Three tables in DuckDB, which spills what does not fit: the lake's rows, where each was planned, and what the receipts
say. What they leave open is looked up in the ledger; what nothing accounts for is missing, and named.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, datetime
from tempfile import TemporaryDirectory
from typing import Final, Self

import duckdb
import numpy as np
import pyarrow as pa

from lumi_pipeline.days import DAY_MICROS, day_end, day_start
from lumi_pipeline.events import from_micros
from lumi_pipeline.lake import Lake
from lumi_pipeline.records import json_text
from lumi_pipeline.siem.batching import codes, matches, micros
from lumi_pipeline.siem.destination import AgeRule
from lumi_pipeline.siem.ledger import Key, State
from lumi_pipeline.siem.ledgerbook import LedgerBook
from lumi_pipeline.siem.planhistory import plans_about
from lumi_pipeline.siem.plans import Plan, PlanBook, Planned, Ranges
from lumi_pipeline.siem.receipts import ReceiptBook
from lumi_pipeline.siem.settings import Selection
from lumi_pipeline.siem.source import Source

_MEMORY_LIMIT: Final = "512MB"
_ROWS_AT_ONCE: Final = 50_000
_SETTLED: Final = frozenset({"delivered", "discarded"})

_TABLES: Final = """
CREATE TABLE rows (tenant_id VARCHAR, seq BIGINT, day INTEGER, occurred BIGINT, wanted BOOLEAN, due BOOLEAN);
CREATE TABLE planned (tenant_id VARCHAR, seq BIGINT, plan BIGINT, batch INTEGER, place BIGINT);
CREATE TABLE settled (plan BIGINT, batch INTEGER, first BIGINT, "end" BIGINT, outcome VARCHAR, duplicate BOOLEAN);
CREATE TABLE waiting (plan BIGINT, batch INTEGER, first BIGINT, "end" BIGINT, aside BOOLEAN);
"""

# Of a row that was sent more than once, delivered counts.
_FATES: Final = """
CREATE TABLE fates AS
WITH sent AS (
    SELECT p.tenant_id, p.seq, s.outcome, s.duplicate, w.plan IS NOT NULL AS waiting, w.aside
    FROM planned p
    LEFT JOIN settled s ON s.plan = p.plan AND s.batch = p.batch AND p.place >= s.first AND p.place < s."end"
    LEFT JOIN waiting w ON w.plan = p.plan AND w.batch = p.batch AND p.place >= w.first AND p.place < w."end"
),
summed AS (
    SELECT tenant_id, seq, bool_or(outcome = 'delivered') AS delivered, bool_or(outcome = 'discarded') AS discarded,
        bool_or(aside) AS quarantined, bool_or(waiting) AS waiting,
        bool_or(duplicate) OR count(*) FILTER (WHERE outcome = 'delivered') > 1 AS duplicate
    FROM sent GROUP BY ALL
)
SELECT r.tenant_id, r.seq, r.day, r.occurred, coalesce(s.duplicate, false) AS duplicate,
    CASE WHEN s.delivered THEN 'delivered' WHEN s.discarded THEN 'discarded' WHEN s.quarantined THEN 'quarantined'
        WHEN s.waiting THEN 'open' WHEN NOT r.wanted THEN 'filtered' WHEN r.due THEN 'open' ELSE 'missing' END AS fate
FROM rows r LEFT JOIN summed s USING (tenant_id, seq)
"""
_RUNS: Final = """
WITH numbered AS (
    SELECT tenant_id, seq, fate, sum(CASE WHEN fate NOT IN ('missing', 'filtered') THEN 1 ELSE 0 END)
        OVER (PARTITION BY tenant_id ORDER BY seq) AS run
    FROM fates
)
SELECT tenant_id, min(seq), max(seq), count(*) FROM numbered WHERE fate = 'missing' GROUP BY tenant_id, run ORDER BY ALL
"""


@dataclass(frozen=True, slots=True)
class DayAccount:
    """What became of one tenant's rows of one UTC day (of recording); ``duplicates`` may be there more than once."""

    day: date
    tenant_id: str
    rows: int
    delivered: int
    filtered: int
    quarantined: int
    discarded: int
    open: int
    missing: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class MissingRange:
    """Rows that nothing accounts for: ``count`` of a tenant's, from seq ``first`` to ``last``."""

    tenant_id: str
    first: int
    last: int
    count: int


@dataclass(frozen=True, slots=True)
class Period:
    """Days of recording, both included, of one tenant or of all."""

    first: date
    last: date
    tenant_id: str | None = None


@dataclass(frozen=True, slots=True)
class Reach:
    """Which rows an account can know of.

    ``landed_through`` is when the latest event that was landed was recorded, of whichever tenant, or the end of the
    last sealed day where that is later (None: neither is there); ``landings`` is the number of landings that were
    looked at. ``sealed``: every day of the period is sealed, so that no other row of it can come.
    """

    landed_through: datetime | None
    landings: int
    sealed: bool

    @classmethod
    def of(cls, source: Source, period: Period) -> "Reach":
        """What a lake, as it was looked at, can say of a period."""
        latest = max((cursor.not_before for cursor in source.cursors.values() if cursor.next_seq), default=None)
        sealed = bool(source.days) and period.last <= source.days[-1]
        return cls(None if latest is None else from_micros(latest), source.landings, sealed)


class Account:
    """A destination's account of a period. Use as a context manager.

    ``wants`` says which tenants the destination gets, ``actions`` which of their events (None: all), ``since`` from
    which day on live planning sends them. ``next_plan`` is the number of the first plan that it may not know.
    """

    def __init__(
        self,
        lake: Lake,
        destination: str,
        source: Source,
        receipts: ReceiptBook,
        *,
        period: Period,
        wants: Callable[[str], bool],
        actions: frozenset[str] | None,
        since: date,
    ) -> None:
        self.period = period
        self.reach = Reach.of(source, period)
        self._plans = PlanBook(lake, destination)
        # Before the plans themselves: a plan that is committed in between is known then, and moves no cursor.
        planned = self._plans.planned()
        self.next_plan = planned.next_number
        self.ledger = LedgerBook(lake, destination)
        self._receipts = receipts
        with ExitStack() as opened:
            spill = opened.enter_context(TemporaryDirectory(prefix="lumi-"))
            self._db = duckdb.connect(f"{spill}/account.db", config={"memory_limit": _MEMORY_LIMIT})
            opened.callback(self._db.close)
            self._db.execute(_TABLES)
            ranges = self._ranges(source)
            self._read_rows(source, ranges, planned, wants, actions, since)
            self._read_receipts(*self._read_plans(ranges, planned))
            self._db.execute(_FATES)
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def days(self) -> list[DayAccount]:
        """What became of the rows, by day and tenant."""
        fates = ", ".join(
            f"count(*) FILTER (WHERE fate = '{fate}')"
            for fate in ("delivered", "filtered", "quarantined", "discarded", "open", "missing")
        )
        query = f"SELECT day, tenant_id, count(*), {fates}, count(*) FILTER (WHERE duplicate)"
        found = self._db.execute(f"{query} FROM fates GROUP BY ALL ORDER BY day, tenant_id").fetchall()
        return [DayAccount(from_micros(day * DAY_MICROS).date(), *rest) for day, *rest in found]

    def missing(self) -> list[MissingRange]:
        """The rows that nothing accounts for, in runs; in between lie only rows that the destination does not get."""
        return [MissingRange(*row) for row in self._db.execute(_RUNS).fetchall()]

    def undelivered(self) -> Iterator[pa.Table]:
        """Yield tenant_id, seq and fate of the rows that the destination is to get and did not, as far as is known."""
        query = "SELECT tenant_id, seq, fate FROM fates WHERE fate NOT IN ('delivered', 'filtered')"
        for batch in self._db.sql(query).to_arrow_reader():
            yield pa.Table.from_batches([batch])

    def touched(self, rule: AgeRule, now: datetime, *, everything: bool) -> int:
        """How many of the rows that are not delivered (or of all) have a time that an age rule does not take."""
        limits = [_micros_of(now - rule.older), _micros_of(now + rule.ahead)]
        which = "fate <> 'filtered'" if everything else "fate IN ('missing', 'open')"
        query = f"SELECT count(*) FROM fates WHERE {which} AND (occurred < ? OR occurred > ?)"  # noqa: S608 - constants
        return int(self._db.execute(query, limits).fetchall()[0][0])

    def wanted(self) -> list[MissingRange]:
        """All rows that the destination is to get, as if it had none of them."""
        query = "SELECT tenant_id, min(seq), max(seq), count(*) FROM rows WHERE wanted GROUP BY ALL ORDER BY ALL"
        return [MissingRange(*row) for row in self._db.execute(query).fetchall()]

    def _ranges(self, source: Source) -> Ranges:
        """The seqs of each tenant that the period may hold, as far as it is about that tenant."""
        firsts, nexts = source.first_seqs(self.period.first), source.next_seqs(self.period.last)
        return {
            tenant_id: (firsts.get(tenant_id, 0), after)
            for tenant_id, after in nexts.items()
            if firsts.get(tenant_id, 0) < after and self.period.tenant_id in {None, tenant_id}
        }

    def _read_rows(  # noqa: PLR0917 - what it takes to say of a row that it is due
        self,
        source: Source,
        ranges: Ranges,
        planned: Planned,
        wants: Callable[[str], bool],
        actions: frozenset[str] | None,
        since: date,
    ) -> None:
        starts = source.first_seqs(since)
        begin, end = day_start(self.period.first), day_end(self.period.last)
        for table in source.rows(ranges) if ranges else ():
            times = micros(table, "recorded_at")
            inside = (times >= begin) & (times < end)
            tenants, names = codes(table, "tenant_id")
            wanted = np.array([wants(name) for name in names], np.bool_)[tenants]
            nexts_planned = np.array([planned.next_seq(name, starts) for name in names], np.int64)[tenants]
            seqs = np.asarray(table.column("seq").to_numpy(), np.int64)
            columns = {
                "tenant_id": table.column("tenant_id"),
                "seq": table.column("seq"),
                "day": pa.array((times // DAY_MICROS).astype(np.int32)),
                "occurred": pa.array(micros(table, "occurred_at")),
                "wanted": pa.array(wanted & matches(table, Selection(None, actions))),
                # What live planning is going to take is on its way, and not for anybody else to plan as well.
                "due": pa.array((seqs >= nexts_planned) & (times >= day_start(since))),
            }
            self._insert("rows", pa.table(columns).filter(pa.array(inside)))

    def _read_plans(self, ranges: Ranges, planned: Planned) -> tuple[set[int], int]:
        """Read where the rows were planned; return the plans that were taken up, and the events of them settled."""
        ledger = self.ledger.ledger
        taken: set[int] = set()
        settled = 0
        # Nothing is planned long before it was recorded: the clock that plans may be behind, though never by a day.
        begin = from_micros(day_start(self.period.first) - DAY_MICROS)
        for plan in plans_about(self._plans, ranges, begin, planned):
            self._insert("planned", _places(plan, self._plans.events(plan), ranges))
            refused = [(r.tenant_id, r.seq, plan.number, -1 - i, 0) for i, r in enumerate(plan.refused)]
            self._insert_rows("planned", refused)
            if ledger.is_taken(plan.number):
                taken.add(plan.number)
                settled += sum(batch.count for batch in plan.batches) + len(plan.refused)
            else:
                self._insert_rows("waiting", [(plan.number, i, 0, b.count, False) for i, b in enumerate(plan.batches)])
                self._insert_rows("waiting", [(plan.number, -1 - i, 0, 1, False) for i in range(len(plan.refused))])
        waiting = [delivery for delivery in ledger.open.values() if delivery.key.plan in taken]
        rows = [(d.key.plan, d.key.batch, d.key.first, d.key.end, d.state is State.QUARANTINED) for d in waiting]
        self._insert_rows("waiting", rows)
        return taken, settled - sum(delivery.key.count for delivery in waiting)

    def _read_receipts(self, plans: set[int], settled: int) -> None:
        """Read the receipts of so many events that were settled, each of which has one that says how."""
        rows = []
        receipts = self._receipts.about(self.ledger, min(plans)) if settled else iter(())
        while settled and (receipt := next(receipts, None)) is not None:
            key, outcome = Key.parse(json_text(receipt["key"])), json_text(receipt["outcome"])
            if key.plan not in plans or outcome not in _SETTLED:
                continue
            duplicate = receipt.get("possible_duplicate") is True
            rows.append((key.plan, key.batch, key.first, key.end, outcome, duplicate))
            settled -= key.count
            if len(rows) == _ROWS_AT_ONCE:
                self._insert_rows("settled", rows)
                rows.clear()
        self._insert_rows("settled", rows)

    def _insert(self, name: str, table: pa.Table) -> None:
        self._db.register("fresh", table)
        self._db.execute(f"INSERT INTO {name} SELECT * FROM fresh")  # noqa: S608 - a name of ours
        self._db.unregister("fresh")

    def _insert_rows(self, name: str, rows: Sequence[tuple[object, ...]]) -> None:
        if rows:
            columns: Mapping[str, list[object]] = {
                f"c{i}": list(column) for i, column in enumerate(zip(*rows, strict=True))
            }
            self._insert(name, pa.table(columns))


def _places(plan: Plan, events: pa.Table, ranges: Ranges) -> pa.Table:
    """Where in a plan's batches those of its events are that the ranges hold."""
    numbers = np.asarray(events.column("batch").to_numpy(), np.int64)
    tenants, names = codes(events, "tenant_id")
    bounds = np.array([ranges.get(name, (0, 0)) for name in names], np.int64).reshape(-1, 2)[tenants]
    seqs = np.asarray(events.column("seq").to_numpy(), np.int64)
    columns = {
        "tenant_id": events.column("tenant_id"),
        "seq": events.column("seq"),
        "plan": pa.array(np.full(len(events), plan.number, np.int64)),
        "batch": events.column("batch"),
        "place": pa.array(np.arange(len(events)) - np.searchsorted(numbers, numbers)),
    }
    return pa.table(columns).filter(pa.array((seqs >= bounds[:, 0]) & (seqs < bounds[:, 1])))


def _micros_of(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)
