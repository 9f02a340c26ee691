"""What a destination should have of a period: the rows of the lake that it is set to get, less what is known not there.

The period is of days of recording. What was put aside or given up is not there by decision, what is under way or was
never sent is not there yet; all are named as such, so that what is missing beyond them was lost behind the receipts.
"""

from collections.abc import Iterator
from datetime import datetime
from functools import cached_property

import duckdb
import pyarrow as pa

from lumi_pipeline.days import day_end, day_start
from lumi_pipeline.errors import SiemError
from lumi_pipeline.events import from_micros
from lumi_pipeline.siem.account import Period
from lumi_pipeline.siem.batching import Flags, matches, micros
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.siem.settings import Selection


class Expected:
    """What one destination should have of a period; :class:`~lumi_pipeline.errors.SiemError` for an empty one."""

    def __init__(self, exports: Exports, name: str, period: Period) -> None:
        if period.last < period.first:
            raise SiemError(f"the period ends on {period.last}, before it begins on {period.first}")
        self.period = period
        self.settings = exports.settings(name)
        self._exports = exports

    @cached_property
    def tenants(self) -> frozenset[str]:
        """The tenants whose events it gets and the period is about, as far as there are any."""
        name, only = self.settings.name, self.period.tenant_id
        return frozenset(t for t in self._exports.source.cursors if self._exports.wants(name, t) and only in {None, t})

    def rows(self) -> Iterator[tuple[pa.Table, Flags]]:
        """Yield the period's rows of its tenants by (tenant_id, seq), and which of them it is set to get."""
        source = self._exports.source
        firsts, nexts = source.first_seqs(self.period.first), source.next_seqs(self.period.last)
        ranges = {t: (firsts.get(t, 0), nexts.get(t, 0)) for t in sorted(self.tenants)}
        ranges = {t: span for t, span in ranges.items() if span[0] < span[1]}
        actions = Selection(None, self.settings.selection.actions)
        start, end = day_start(self.period.first), day_end(self.period.last)
        since = day_start(self._exports.since(self.settings.name))
        for table in source.rows(ranges) if ranges else ():
            recorded = micros(table, "recorded_at")
            inside = (recorded >= start) & (recorded < end)
            if inside.any():
                kept = table.filter(pa.array(inside))
                yield kept, matches(kept, actions) & (recorded[inside] >= since)

    def occurred(self) -> tuple[datetime, datetime] | None:
        """When the earliest and the latest of the events that it is set to get occurred; None without any."""
        bounds: list[int] = []
        for table, selected in self.rows():
            times = micros(table, "occurred_at")[selected]
            if len(times):
                bounds = [min([*bounds, int(times.min())]), max([*bounds, int(times.max())])]
        return (from_micros(bounds[0]), from_micros(bounds[1])) if bounds else None

    def load_absent(self, db: duckdb.DuckDBPyConnection) -> None:
        """Make the table ``absent`` of what is known not to be there.

        Its columns are tenant_id, seq and state: ``quarantined``, ``discarded``, ``open`` (under way) or ``not sent``.
        """
        db.execute("CREATE TEMP TABLE absent (tenant_id VARCHAR, seq BIGINT, state VARCHAR)")
        with self._exports.account(self.settings.name, self.period) as account:
            for table in account.undelivered():
                db.register("chunk", table)
                db.execute(
                    "INSERT INTO absent SELECT * REPLACE (replace(fate, 'missing', 'not sent') AS fate) FROM chunk"
                )
                db.unregister("chunk")
