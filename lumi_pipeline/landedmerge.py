"""Rows of landings in the order of (tenant_id, seq), without sorting them.

A landing's rows are in that order already, and a tenant's rows of one landing follow those of the landing before. Where
nothing was missing or out of place when it was landed, it is even known in which row of its files each seq is. Should a
file say otherwise, the rows come out as they lie there, and whoever verifies their chains will find breaks.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from lumi_pipeline.events import EVENT_SCHEMA
from lumi_pipeline.lake import check_values, in_groups, reading
from lumi_pipeline.landing import LandedTenant, Landing

_LANDINGS: Final = 64
_HELD_BYTES: Final = 256 * 2**20
"""What the row groups may have, encoded, that are held at a time: one of each landing."""


class LandedMerge:
    """Intact landings opened for reading in order."""

    def __init__(self, landings: Sequence["_OpenedLanding"]) -> None:
        self._landings = landings

    @classmethod
    def open(cls, landings: Sequence[tuple[Landing, Sequence[LandedTenant], Sequence[str]]]) -> Self | None:
        """Open landings with their tenants and the places of their event files.

        None if rows of one of them are missing or out of place, or if they are too many to be merged in little memory.
        """
        found = [landing for landing in landings if landing[0].files]
        if len(found) > _LANDINGS or not all(_is_intact(landing, tenants) for landing, tenants, _ in found):
            return None
        opened = [_OpenedLanding(tenants, places) for _, tenants, places in found]
        return cls(opened) if sum(landing.largest for landing in opened) <= _HELD_BYTES else None

    def rows(self, wanted: Mapping[str, tuple[int, int]]) -> Iterator[pa.Table]:
        """Yield the rows of these tenants from the first seq given to before the second, in order and regrouped."""
        return in_groups(self._pieces(wanted))

    def _pieces(self, wanted: Mapping[str, tuple[int, int]]) -> Iterator[pa.Table]:
        readers = [_Reader(landing) for landing in self._landings]
        for tenant_id in sorted(wanted):
            first, after = wanted[tenant_id]
            for landing, reader in zip(self._landings, readers, strict=True):
                rows = landing.rows_of(tenant_id, first, after)
                if rows:
                    yield from reader.read(rows)


class _OpenedLanding:
    """One landing: its row groups, and in which row each tenant begins."""

    def __init__(self, tenants: Sequence[LandedTenant], places: Sequence[str]) -> None:
        self.groups: list[tuple[pq.ParquetFile, int]] = []
        """Every row group: the file it is in, and its number there."""
        sizes = []
        for place in places:
            with reading(place):
                file = pq.ParquetFile(place)
            groups = [file.metadata.row_group(group) for group in range(file.num_row_groups)]
            self.groups += [(file, group) for group in range(len(groups))]
            sizes += [(group.num_rows, group.total_byte_size) for group in groups]
        self.ends = list(accumulate(rows for rows, _ in sizes))
        """The number of the row behind each row group."""
        self.largest = max(size for _, size in sizes)
        ordered = sorted(tenants, key=lambda tenant: tenant.tenant_id)
        begins = accumulate((tenant.rows for tenant in ordered), initial=0)
        self._tenants = {tenant.tenant_id: (begin, tenant) for begin, tenant in zip(begins, ordered, strict=False)}

    def rows_of(self, tenant_id: str, first: int, after: int) -> range:
        """Where the rows of a tenant are that have these seqs."""
        begin, tenant = self._tenants.get(tenant_id, (0, None))
        if tenant is None:
            return range(0)
        first, after = max(first, tenant.first), min(after, tenant.cursor.next_seq)
        return range(begin + first - tenant.first, begin + after - tenant.first)


class _Reader:
    """Reads a landing from the front to the back, holding one row group."""

    def __init__(self, landing: _OpenedLanding) -> None:
        self._landing = landing
        self._at = 0
        self._held: pa.Table | None = None

    def read(self, rows: range) -> Iterator[pa.Table]:
        """Yield the rows with these numbers, which are not before those of the last call."""
        ends = self._landing.ends
        at = rows.start
        while at < rows.stop and self._at < len(ends):
            end = ends[self._at]
            if at >= end:
                self._at += 1
                self._held = None
                continue
            group = self._group()
            begin = end - len(group)
            yield group.slice(at - begin, min(rows.stop, end) - at)
            at = min(rows.stop, end)

    def _group(self) -> pa.Table:
        if self._held is None:
            file, number = self._landing.groups[self._at]
            with reading("a landed file"):
                self._held = file.read_row_group(number, use_threads=False).cast(EVENT_SCHEMA)
                check_values(self._held, "a landed file")
        return self._held


def _is_intact(landing: Landing, tenants: Sequence[LandedTenant]) -> bool:
    rows = sum(file.rows for file in landing.event_files)
    return (
        landing.breaks is None
        and rows == sum(tenant.rows for tenant in tenants)
        and all(tenant.rows == tenant.cursor.next_seq - tenant.first for tenant in tenants)
    )
