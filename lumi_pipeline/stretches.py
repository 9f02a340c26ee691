"""Rows that lie one behind the other in event files, read in whatever order they are wanted.

Row groups are decoded whole, and one of each file is held as long as they don't take too much, so that reading files
side by side from the front to the back decodes each of them once.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lumi_pipeline.cutting import PART_BYTES, ROW_GROUP_ROWS, SMALL_GROUPS, in_groups, row_sizes
from lumi_pipeline.errors import LakeError
from lumi_pipeline.events import EVENT_SCHEMA
from lumi_pipeline.lake import check_columns, check_values, reading
from lumi_pipeline.records import StoredFile

HELD_BYTES: Final = 64 * SMALL_GROUPS.size
"""What the row groups may take that are held for being read on."""

_LONG_ROWS: Final = 256
"""Rows of a piece that is copied by itself."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows ``first`` to ``after`` - 1 of a file, all of them one tenant's.

    Of each ``stream`` one row group is held: files that come one after the other are one, as those of a landing.
    """

    tenant_id: str
    stream: int
    file: StoredFile
    first: int
    after: int


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
    readers: dict[int, _Reader] = {}  # the one that was used last is the last
    held = 0
    for stream, file, rows in _coalesced(stretches):
        reader = readers.pop(stream, None)
        held -= reader.size if reader else 0
        if reader is None or reader.file != file:
            reader = _Reader(file, places[file])
        for group, first, count in reader.read(rows):
            yield _Piece(stream, group, first, count)
        readers[stream] = reader
        held += reader.size
        while held > HELD_BYTES:
            held -= readers.pop(next(iter(readers))).size


def _joined(pieces: Iterable[_Piece]) -> Iterator[pa.Table]:
    """Make tables of pieces, each of about a row group's rows, or ``PART_BYTES``.

    A piece keeps all of its row group in memory. Where only some rows of each are wanted, as of one day of a long
    backlog, pieces are copied before the row groups that their streams have left add up.
    """
    held: list[_Piece] = []
    groups: dict[int, tuple[pa.Table, int]] = {}
    rows = size = left = kept = 0
    for piece in pieces:
        group, width = groups.get(piece.stream, (None, 0))
        if group is not piece.group:
            left += group.nbytes if group is not None else 0
            kept += piece.group.nbytes
            width = piece.group.nbytes // len(piece.group)
            groups[piece.stream] = piece.group, width
        held.append(piece)
        rows += piece.count
        size += piece.count * width
        if rows >= ROW_GROUP_ROWS or max(size, left, kept - HELD_BYTES) >= PART_BYTES:
            yield _copied(held, rows)
            held, groups = [], {}
            rows = size = left = kept = 0
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
    """Reads a file, holding one row group, which takes ``size`` bytes."""

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
        self._held: tuple[int, pa.Table] | None = None
        self.size = 0

    def read(self, rows: range) -> Iterator[tuple[pa.Table, int, int]]:
        """Yield where the rows with these numbers are: in which row group, from which of its rows on, and how many."""
        at = rows.start
        while at < rows.stop:
            number = bisect_right(self._ends, at)
            begin, end = self._ends[number - 1] if number else 0, self._ends[number]
            after = min(rows.stop, end)
            yield self._group(number, end - begin), at - begin, after - at
            at = after

    def _group(self, number: int, rows: int) -> pa.Table:
        if self._held is None or self._held[0] != number:
            self._held = None  # let it go before there is another
            with reading(self.file.path):
                held = self._parquet.read_row_group(number, use_threads=False).cast(EVENT_SCHEMA)
                check_values(held, self.file.path)
            if len(held) != rows:
                raise _other_rows(self.file)
            # As files say it; Arrow takes a tenth more. Who planned with what files say, and reads row groups in turns,
            # would else have each thrown away before it is wanted again.
            self._held, self.size = (number, held), int(row_sizes(held).sum())
        return self._held[1]


def _other_rows(file: StoredFile) -> LakeError:
    return LakeError(f"{file.path} was altered: it does not hold the {file.rows} rows that were committed; restore it")
