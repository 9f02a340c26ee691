"""Rows of landings in the order of (tenant_id, seq), without sorting them.

A landing's rows are in that order already, and a tenant's rows of one landing follow those of the landing before. Where
nothing was missing or out of place when it was landed, it is even known in which row of its files each seq is. Should a
file say otherwise, the rows come out as they lie there, and whoever verifies their chains will find breaks.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from lumi_pipeline.events import EVENT_SCHEMA
from lumi_pipeline.lake import check_values, in_groups, reading
from lumi_pipeline.landings import LandedTenant, Landing
from lumi_pipeline.records import StoredFile

_LANDINGS: Final = 64
_HELD_BYTES: Final = 256 * 2**20
"""What the row groups may have, encoded, that are held at a time: one of each landing."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows ``first`` to ``after`` - 1 of a landed file, all of them one tenant's. ``stream`` tells landings apart.

    Of each stream the stretches come in the order of its files and rows.
    """

    tenant_id: str
    stream: int
    file: StoredFile
    first: int
    after: int


class LandedMerge:
    """Where the rows of intact landings lie."""

    def __init__(self, landings: Sequence["_IntactLanding"]) -> None:
        self._landings = landings

    @classmethod
    def plan(cls, landings: Sequence[tuple[Landing, Sequence[LandedTenant], Sequence[str]]]) -> Self | None:
        """Look at landings, each with its tenants and with the places of its event files.

        None if rows of one of them are missing or out of place, or if they are too many to be merged in little memory.
        """
        found = [landing for landing in landings if landing[0].files]
        if len(found) > _LANDINGS or not all(_is_intact(landing, tenants) for landing, tenants, _ in found):
            return None
        if sum(max(map(_largest_group, places)) for _, _, places in found) > _HELD_BYTES:
            return None
        return cls([_IntactLanding(landing.event_files, tenants) for landing, tenants, _ in found])

    def stretches(self, wanted: Mapping[str, tuple[int, int]]) -> Iterator[Stretch]:
        """Yield where the rows of these tenants are that have the first seq given up to before the second, in order."""
        for tenant_id in sorted(wanted):
            for stream, landing in enumerate(self._landings):
                for file, rows in landing.files_with(tenant_id, *wanted[tenant_id]):
                    yield Stretch(tenant_id, stream, file, rows.start, rows.stop)


class _IntactLanding:
    """One landing: in which of its rows each tenant begins, and at which row each file ends."""

    def __init__(self, files: Sequence[StoredFile], tenants: Sequence[LandedTenant]) -> None:
        self._files = files
        self._ends = list(accumulate(file.rows for file in files))
        ordered = sorted(tenants, key=lambda tenant: tenant.tenant_id)
        begins = accumulate((tenant.rows for tenant in ordered), initial=0)
        self._tenants = {tenant.tenant_id: (begin, tenant) for begin, tenant in zip(begins, ordered, strict=False)}

    def files_with(self, tenant_id: str, first: int, after: int) -> Iterator[tuple[StoredFile, range]]:
        """Yield the files that hold rows of a tenant with these seqs, and the numbers of those rows in them."""
        begin, tenant = self._tenants.get(tenant_id, (0, None))
        if tenant is None:
            return
        start = begin + max(first, tenant.first) - tenant.first
        stop = begin + min(after, tenant.cursor.next_seq) - tenant.first
        while start < stop:
            number = bisect_right(self._ends, start)
            file, end = self._files[number], self._ends[number]
            begin = end - file.rows
            yield file, range(start - begin, min(stop, end) - begin)
            start = end


def read_stretches(stretches: Iterable[Stretch], places: Mapping[StoredFile, str]) -> Iterator[pa.Table]:
    """Yield the rows of stretches, in order and regrouped; ``places`` is where the files lie as they were checked."""
    return in_groups(_pieces(stretches, places))


def _pieces(stretches: Iterable[Stretch], places: Mapping[StoredFile, str]) -> Iterator[pa.Table]:
    streams: dict[int, _Reader] = {}
    for stream, file, rows in _coalesced(stretches):
        reader = streams.get(stream)
        if reader is None or reader.file != file:
            reader = streams[stream] = _Reader(file, places[file])
        yield from reader.read(rows)


def _coalesced(stretches: Iterable[Stretch]) -> Iterator[tuple[int, StoredFile, range]]:
    """Join stretches that are one behind the other in a file; whole row groups need no copying then."""
    held: Stretch | None = None
    start = 0
    for stretch in stretches:
        if held is None or stretch.file != held.file or stretch.first != held.after:
            if held is not None:
                yield held.stream, held.file, range(start, held.after)
            start = stretch.first
        held = stretch
    if held is not None:
        yield held.stream, held.file, range(start, held.after)


class _Reader:
    """Reads a file from the front to the back, holding one row group."""

    def __init__(self, file: StoredFile, place: str) -> None:
        self.file = file
        with reading(file.path):
            self._parquet = pq.ParquetFile(place)
        groups = range(self._parquet.num_row_groups)
        self._ends = list(accumulate(self._parquet.metadata.row_group(group).num_rows for group in groups))
        self._at = 0
        self._held: pa.Table | None = None

    def read(self, rows: range) -> Iterator[pa.Table]:
        """Yield the rows with these numbers, which are not before those of the last call."""
        at = rows.start
        while at < rows.stop and self._at < len(self._ends):
            end = self._ends[self._at]
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
            with reading(self.file.path):
                self._held = self._parquet.read_row_group(self._at, use_threads=False).cast(EVENT_SCHEMA)
                check_values(self._held, self.file.path)
        return self._held


def _is_intact(landing: Landing, tenants: Sequence[LandedTenant]) -> bool:
    rows = sum(file.rows for file in landing.event_files)
    return (
        landing.breaks is None
        and rows == sum(tenant.rows for tenant in tenants)
        and all(tenant.rows == tenant.cursor.next_seq - tenant.first for tenant in tenants)
    )


def _largest_group(place: str) -> int:
    with reading(place):
        metadata = pq.read_metadata(place)
    return max((metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups)), default=0)
