"""One tenant's rows of one sealed day, from files that are checked before a row is used."""

from collections.abc import Iterator

import pyarrow as pa

from lumi_pipeline.chain import Break, ChainEnd, ChainFold, ChainState
from lumi_pipeline.checkedrows import checked_views, sorted_events
from lumi_pipeline.days import day_end, day_start
from lumi_pipeline.lake import Lake
from lumi_pipeline.records import TenantDay
from lumi_pipeline.sealedday import SealedDay

QUERY = "SELECT * FROM sealed WHERE tenant_id = $tenant ORDER BY tenant_id, seq"
"""What is asked of each day's files, as the bundle's README says it."""


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
        if tenant.record.count:
            with checked_views(self._lake, {"sealed": self._sealed.event_files}) as db:
                for table in sorted_events(db, "SELECT * FROM sealed WHERE tenant_id = $tenant", self._tenant_id):
                    if fold is not None:
                        fold.add(table)
                    yield table
        if fold is not None:
            end = ChainEnd(tenant.record.next, tenant.record.head_after)
            self.breaks = fold.finish(self._tenant_id, end).breaks


def _fold(record: TenantDay) -> ChainFold:
    """What finds the breaks again that the day was sealed with: as sealing did."""
    state = ChainState(record.first, record.head_before, day_start(record.day))
    return ChainFold(lambda _: state, until=day_end(record.day), trees=False)
