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

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lumi_pipeline.errors import LakeError
from lumi_pipeline.events import EVENT_SCHEMA
from lumi_pipeline.lake import PART_BYTES, ROW_GROUP_ROWS, check_columns, check_values, in_groups, reading
from lumi_pipeline.landings import LANDED_GROUP_ROWS, LandedTenant, Landing
from lumi_pipeline.records import StoredFile

_LANDINGS: Final = 64
_HELD_BYTES: Final = 256 * 2**20
"""What the row groups may have, encoded, that are held at a time: one of each landing."""

_SPARSE: Final = 4
"""Decoding so many rows for each that is wanted costs more than sorting."""

_FEW_ROWS: Final = 4 * ROW_GROUP_ROWS
"""Rows that are decoded so fast that it does not matter for how many."""

_LONG_ROWS: Final = 256
"""Rows of a piece that is copied by itself."""


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

    def stretches(self, wanted: Mapping[str, tuple[int, int]]) -> Iterator[Stretch] | None:
        """Yield where the rows of these tenants are that have the first seq given up to before the second, in order.

        None if they are few among those that would be decoded for them, as one day's are in a long backlog of many
        tenants: a query that sorts them looks for them first, and decodes less.
        """
        rows = decoded = 0
        last: dict[int, tuple[StoredFile, int]] = {}
        for found in self._stretches(wanted):
            rows += found.after - found.first
            for number in range(found.first // LANDED_GROUP_ROWS, (found.after - 1) // LANDED_GROUP_ROWS + 1):
                if last.get(found.stream) != (found.file, number):
                    last[found.stream] = (found.file, number)
                    decoded += min(LANDED_GROUP_ROWS, found.file.rows - number * LANDED_GROUP_ROWS)
        return None if decoded > max(_FEW_ROWS, rows * _SPARSE) else self._stretches(wanted)

    def _stretches(self, wanted: Mapping[str, tuple[int, int]]) -> Iterator[Stretch]:
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
    return in_groups(_joined(_pieces(stretches, places)))


@dataclass(frozen=True, slots=True)
class _Piece:
    """Rows of a row group that was decoded: ``count`` of them from number ``first`` on."""

    stream: int
    group: pa.Table
    first: int
    count: int


def _pieces(stretches: Iterable[Stretch], places: Mapping[StoredFile, str]) -> Iterator[_Piece]:
    streams: dict[int, _Reader] = {}
    for stream, file, rows in _coalesced(stretches):
        reader = streams.get(stream)
        if reader is None or reader.file != file:
            reader = streams[stream] = _Reader(file, places[file])
        for group, first, count in reader.read(rows):
            yield _Piece(stream, group, first, count)


def _joined(pieces: Iterable[_Piece]) -> Iterator[pa.Table]:
    """Make tables of pieces, each of about a row group's rows, or ``PART_BYTES``.

    A piece keeps all of its row group in memory. Where only some rows of each are wanted, as of one day of a long
    backlog, pieces are copied before the row groups that their streams have left add up.
    """
    held: list[_Piece] = []
    groups: dict[int, tuple[pa.Table, int]] = {}
    rows = size = left = 0
    for piece in pieces:
        group, width = groups.get(piece.stream, (None, 0))
        if group is not piece.group:
            left += group.nbytes if group is not None else 0
            width = piece.group.nbytes // len(piece.group)
            groups[piece.stream] = piece.group, width
        held.append(piece)
        rows += piece.count
        size += piece.count * width
        if rows >= ROW_GROUP_ROWS or size >= PART_BYTES or left >= PART_BYTES:
            yield _copied(held, rows)
            held, groups = [], {}
            rows = size = left = 0
    if held:
        yield _copied(held, rows)


def _copied(pieces: Sequence[_Piece], rows: int) -> pa.Table:
    if len(pieces) == 1:
        return pieces[0].group.slice(pieces[0].first, rows)
    if len(pieces) * _LONG_ROWS <= rows:
        return pa.concat_tables([piece.group.slice(piece.first, piece.count) for piece in pieces]).combine_chunks()
    # What Arrow does for a table costs as much as it does for hundreds of rows. So of each row group all rows that are
    # wanted are taken at once, and then put in order.
    groups: dict[int, tuple[int, pa.Table]] = {}
    numbers = [groups.setdefault(id(piece.group), (len(groups), piece.group))[0] for piece in pieces]
    counts = np.array([piece.count for piece in pieces])
    begins = np.array([piece.first for piece in pieces]) - np.cumsum(counts) + counts
    wanted = np.repeat(begins, counts) + np.arange(rows)
    group = np.repeat(numbers, counts)
    by_group = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group))[:-1]
    parts = zip(groups.values(), np.split(wanted[by_group], ends), strict=True)
    taken = pa.concat_tables([table.take(found) for (_, table), found in parts]).combine_chunks()
    order = np.empty(rows, np.int64)
    order[by_group] = np.arange(rows)
    return taken.take(order)


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
        # On a disk the file is opened where it lies, and may be another than was checked: its rows are verified again,
        # once they are written.
        check_columns(self._parquet, file)
        groups = range(self._parquet.num_row_groups)
        self._ends = list(accumulate(self._parquet.metadata.row_group(group).num_rows for group in groups))
        if (self._ends or [0])[-1] != file.rows:
            raise _other_rows(file)
        self._at = 0
        self._held: pa.Table | None = None

    def read(self, rows: range) -> Iterator[tuple[pa.Table, int, int]]:
        """Yield where the rows with these numbers are, which are not before those of the last call.

        That is in a row group, from which of its rows on, and how many.
        """
        at = rows.start
        while at < rows.stop:
            end = self._ends[self._at]
            if at >= end:
                self._at += 1
                self._held = None
                continue
            begin = self._ends[self._at - 1] if self._at else 0
            after = min(rows.stop, end)
            yield self._group(end - begin), at - begin, after - at
            at = after

    def _group(self, rows: int) -> pa.Table:
        if self._held is None:
            with reading(self.file.path):
                held = self._parquet.read_row_group(self._at, use_threads=False).cast(EVENT_SCHEMA)
                check_values(held, self.file.path)
            if len(held) != rows:
                raise _other_rows(self.file)
            self._held = held
        return self._held


def _other_rows(file: StoredFile) -> LakeError:
    return LakeError(f"{file.path} was altered: it does not hold the {file.rows} rows that were committed; restore it")


def _is_intact(landing: Landing, tenants: Sequence[LandedTenant]) -> bool:
    files = landing.event_files
    return (
        landing.breaks is None
        and sum(file.rows for file in files) == sum(tenant.rows for tenant in tenants)
        and all(0 <= tenant.rows == tenant.cursor.next_seq - tenant.first for tenant in tenants)
        # A commit object that was altered may list anything.
        and len(set(files)) == len(files)
        and len({tenant.tenant_id for tenant in tenants}) == len(tenants)
    )


def _largest_group(place: str) -> int:
    with reading(place):
        metadata = pq.read_metadata(place)
    return max((metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups)), default=0)
