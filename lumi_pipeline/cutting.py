"""Where rows are cut into files and row groups: by their number, and by what they take in memory.

Arrow and Parquet count rows; an event may have 4 MiB. What is decoded at a time, and so the memory of whoever writes
and reads events, is bounded here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

PART_ROWS: Final = 250_000
PART_BYTES: Final = 128 * 2**20
ROW_GROUP_ROWS: Final = 64 * 1024
"""Small enough that a reader who wants one tenant skips most of a part, large enough to compress well."""

ROW_GROUP_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class GroupSize:
    """How many rows a row group has, and how many bytes they take, decoded; as a limit, one row may take more."""

    rows: int
    size: int


LARGE_GROUPS: Final = GroupSize(ROW_GROUP_ROWS, ROW_GROUP_BYTES)
SMALL_GROUPS: Final = GroupSize(ROW_GROUP_ROWS // 4, ROW_GROUP_BYTES // 8)
"""For files of which many are read side by side, a row group of each being held. They grow by a twentieth."""


def in_parts(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Regroup a stream of tables into parts of at most ``PART_ROWS`` rows and about ``PART_BYTES`` bytes."""
    held: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        for batch in table.to_batches(max_chunksize=ROW_GROUP_ROWS):
            part = pa.Table.from_batches([batch])
            more = int(row_sizes(part).sum())
            if held and (rows + len(part) > PART_ROWS or size + more > PART_BYTES):
                yield pa.concat_tables(held)
                held, rows, size = [], 0, 0
            held.append(part)
            rows += len(part)
            size += more
    if held:
        yield pa.concat_tables(held)


def in_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Regroup a stream of tables into tables of ``ROW_GROUP_ROWS`` rows, each column in one chunk.

    The last one may have fewer rows, and so has one that takes ``ROW_GROUP_BYTES`` with fewer. It is the rows alone
    that say where a table ends, so what is written does not depend on where they came from.
    """
    held: list[pa.Table] = []
    sizes: list[npt.NDArray[np.int64]] = []
    rows = size = 0
    for table in tables:
        held.append(table)
        sizes.append(row_sizes(table))
        rows += len(table)
        size += int(sizes[-1].sum())
        while rows >= ROW_GROUP_ROWS or size >= ROW_GROUP_BYTES:
            joined, each = pa.concat_tables(held), np.concatenate(sizes)
            full = int(np.searchsorted(np.cumsum(each), ROW_GROUP_BYTES)) + 1
            count = min(full, ROW_GROUP_ROWS)
            yield joined.slice(0, count).combine_chunks()
            held, sizes = [joined.slice(count)], [each[count:]]
            rows, size = rows - count, int(sizes[0].sum())
    if rows:
        yield pa.concat_tables(held).combine_chunks()


def row_sizes(table: pa.Table) -> npt.NDArray[np.int64]:
    """How many bytes the values of each row take; what Arrow says depends on how its buffers came about."""
    fixed = 0
    sizes = np.zeros(len(table), np.int64)
    for column in table.columns:
        if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
            sizes += pc.fill_null(pc.binary_length(column), 0).to_numpy()
        elif pa.types.is_primitive(column.type) or pa.types.is_fixed_size_binary(column.type):
            fixed += column.type.bit_width // 8
        else:  # which none of our own files has
            fixed += column.nbytes // max(len(column), 1)
    return sizes + fixed


def cut_groups(table: pa.Table, limit: GroupSize) -> list[GroupSize]:
    """Return how many rows each row group of a table is to have, and how many bytes those take."""
    reached = np.concatenate([[0], np.cumsum(row_sizes(table))])
    groups = []
    begin = 0
    while begin < len(table):
        full = int(np.searchsorted(reached, reached[begin] + limit.size, side="right")) - 1
        end = min(max(full, begin + 1), begin + limit.rows, len(table))
        groups.append(GroupSize(end - begin, int(reached[end] - reached[begin])))
        begin = end
    return groups
