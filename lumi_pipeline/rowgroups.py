"""Row groups of bounded size, and what each of them takes once it is decoded, which Parquet does not tell.

Where values repeat, a dictionary holds them once: a thousand rows with the same state of a megabyte are a megabyte of
the file, and a gigabyte in memory. Whoever holds row groups of many files at a time has to know before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lumi_pipeline.lake import reading, row_sizes

GROUP_BYTES: Final = 8 * 2**20
"""What a row group takes at most, unless it is a single row."""

_KEY: Final = b"lumi.group_bytes"


@dataclass(frozen=True, slots=True)
class RowGroup:
    """How many rows a row group has, and how many bytes they take, decoded."""

    rows: int
    size: int


def grouped(table: pa.Table, max_rows: int) -> tuple[pa.Table, Sequence[int]]:
    """Cut a table into row groups; return it with their sizes among its metadata, and how many rows each has."""
    reached = np.concatenate([[0], np.cumsum(row_sizes(table))])
    ends = [0]
    while ends[-1] < len(table):
        begin = ends[-1]
        full = int(np.searchsorted(reached, reached[begin] + GROUP_BYTES, side="right")) - 1
        ends.append(min(max(full, begin + 1), begin + max_rows, len(table)))
    sizes = " ".join(map(str, np.diff(reached[ends])))
    kept = table.replace_schema_metadata({**(table.schema.metadata or {}), _KEY: sizes.encode()})
    return kept, np.diff(ends).tolist()


def row_groups(place: str) -> list[RowGroup]:
    """What the file at ``place`` says of its row groups; if nothing, what they take undecoded stands for it."""
    with reading(place):
        metadata = pq.read_metadata(place)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    said = (metadata.metadata or {}).get(_KEY, b"").split()
    if len(said) != len(groups) or not all(size.isdigit() for size in said):
        return [RowGroup(group.num_rows, group.total_byte_size) for group in groups]
    return [RowGroup(group.num_rows, int(size)) for group, size in zip(groups, said, strict=True)]
