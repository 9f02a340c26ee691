"""What the row groups of a file take once they are decoded, which Parquet does not tell.

Where values repeat, a dictionary holds them once: a thousand rows with the same state of a megabyte are a megabyte of
the file, and a gigabyte in memory. So a file says it among its metadata.
"""

from collections.abc import Iterable
from typing import Final

import pyarrow.parquet as pq

from lumi_pipeline.cutting import GroupSize
from lumi_pipeline.lake import GROUP_BYTES, reading

_DIGITS: Final = 18
"""Of a number of bytes, at most."""

_LONG: Final = 4096
"""Bytes of a row, on average of a row group, from which on rows are long."""


def long_rows(places: Iterable[str]) -> bool:
    """Whether rows of these files are too long for DuckDB to sort: it moves 2,048 at a time, whatever they take."""
    return any(group.size > group.rows * _LONG for place in places for group in row_groups(place))


def row_groups(place: str) -> list[GroupSize]:
    """What the file at ``place`` says of its row groups; if nothing, what they take undecoded stands for it."""
    with reading(place):
        metadata = pq.read_metadata(place)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    said = (metadata.metadata or {}).get(GROUP_BYTES, b"").split()
    if len(said) != len(groups) or not all(size.isdigit() and len(size) <= _DIGITS for size in said):
        return [GroupSize(group.num_rows, group.total_byte_size) for group in groups]
    return [GroupSize(group.num_rows, int(size)) for group, size in zip(groups, said, strict=True)]
