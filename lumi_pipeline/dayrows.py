"""A few rows of a sealed day by their numbers, without reading or hashing the rest of its files.

A day's rows are numbered from 0 in the order of its files: by tenant, then by seq. What is read here was not held
against the manifest, so whoever uses it checks the rows themselves, by their hashes.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lumi_pipeline.errors import LakeError
from lumi_pipeline.events import EVENT_SCHEMA
from lumi_pipeline.lake import Lake, check_values, reading
from lumi_pipeline.records import StoredFile


def read_day_rows(
    lake: Lake, files: Sequence[StoredFile], rows: range, columns: Sequence[str] = tuple(EVENT_SCHEMA.names)
) -> pa.Table:
    """Return some columns of the rows with these numbers (step 1) of the day that consists of ``files``.

    Raises :class:`~lumi_pipeline.errors.LakeError` when a file can't be read or ends before these rows.
    """
    schema = pa.schema([EVENT_SCHEMA.field(name) for name in columns])
    parts = [schema.empty_table()]
    for file, start, count in _stretches(files, rows):
        with reading(file.path):
            part = _read(lake, file, start, count, columns).cast(schema)
            if len(part) != count:
                raise OSError(f"it ends before row {start + count}")
            check_values(part, file.path)
        parts.append(part)
    return pa.concat_tables(parts)


def _stretches(files: Sequence[StoredFile], rows: range) -> Iterator[tuple[StoredFile, int, int]]:
    """Where the rows lie: files, with the first row in each and how many."""
    ends = list(accumulate(file.rows for file in files))
    at = rows.start
    while at < rows.stop:
        number = bisect_right(ends, at)
        if number == len(files):
            raise LakeError(f"the day has {ends[-1] if ends else 0} rows, so there is no row {at}")
        file = files[number]
        start = at - (ends[number] - file.rows)
        count = min(rows.stop - at, file.rows - start)
        yield file, start, count
        at += count


def _read(lake: Lake, file: StoredFile, start: int, count: int, columns: Sequence[str]) -> pa.Table:
    if lake.file_system is None:
        # Polars skips pages by the page index: of a wide row it decodes a tenth of what a row group holds.
        scan = pl.scan_parquet(lake.locate(file.path), glob=False, hive_partitioning=False, use_statistics=False)
        try:
            return scan.select(columns).slice(start, count).collect().to_arrow()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise OSError(str(error)) from None
    with lake.open(file.path) as source:
        parquet = pq.ParquetFile(source)
        first, groups = _groups(parquet, start, count)
        return parquet.read_row_groups(groups, columns=list(columns)).slice(start - first, count)


def _groups(parquet: pq.ParquetFile, start: int, count: int) -> tuple[int, list[int]]:
    """The row groups that hold ``count`` rows from ``start`` on, and the number of the first row in them."""
    begins = [0, *accumulate(parquet.metadata.row_group(n).num_rows for n in range(parquet.num_row_groups))]
    groups = [n for n in range(parquet.num_row_groups) if begins[n] < start + count and start < begins[n + 1]]
    return (begins[groups[0]] if groups else start), groups
