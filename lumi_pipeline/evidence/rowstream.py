"""One tenant's rows of one sealed day, from files that are checked before a row is used."""

from collections.abc import Iterator

import pyarrow as pa

from lumi_pipeline.chain import Break, ChainEnd, ChainFold, ChainState
from lumi_pipeline.days import day_end, day_start
from lumi_pipeline.lake import Lake
from lumi_pipeline.records import TenantDay
from lumi_pipeline.sealedday import SealedDay

QUERY = "SELECT * FROM sealed WHERE tenant_id = $tenant ORDER BY tenant_id, seq"
"""Which rows of each day's files they are, as the bundle's README says it. No database is asked: a sealed day's rows
lie in this order (docs/formats.md, "Private objects"), and its tenant-day records say where a tenant's begin."""


class DayRows:
    """The rows of a tenant's day; what is learned of them on the way is there once all were read."""

    def __init__(self, lake: Lake, sealed: SealedDay, tenant_id: str) -> None:
        self._lake = lake
        self._sealed = sealed
        self._tenant_id = tenant_id
        self.breaks: list[Break] = []

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows in the order of their seqs, in tables of bounded size."""
        tenant = self._sealed.tenants.tenants.get(self._tenant_id)
        if tenant is None:
            return
        fold = _fold(tenant.record) if tenant.record.breaks else None
        for table in self._stored(tenant.record.count):
            if fold is not None:
                fold.add(table)
            yield table
        if fold is not None:
            end = ChainEnd(tenant.record.next, tenant.record.head_after)
            self.breaks = fold.finish(self._tenant_id, end).breaks

    def _stored(self, count: int) -> Iterator[pa.Table]:
        """Read the tenant's rows. Files that hold none of them are not opened."""
        present = self._sealed.present
        first = sum(other.record.count for tenant_id, other in present.items() if tenant_id < self._tenant_id)
        for file in self._sealed.event_files:
            rows = range(max(first, 0), min(first + count, file.rows))
            if rows:
                yield from self._lake.read_events(file, rows, threads=False)
            first -= file.rows


def _fold(record: TenantDay) -> ChainFold:
    """What finds the breaks again that the day was sealed with: as sealing did."""
    state = ChainState(record.first, record.head_before, day_start(record.day))
    return ChainFold(lambda _: state, until=day_end(record.day), trees=False)
