"""Landing the outbox."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.copying import ENCODING
from benchmarks.dataset import Dataset, read_events
from benchmarks.measuring import compare
from benchmarks.row import Row
from lumi_pipeline.cutting import ROW_GROUP_ROWS
from lumi_pipeline.events import COLUMNS, EVENT_SCHEMA

_FETCH_ROWS = 8192
"""Fewer or many more rows at once take longer."""

_SELECT = f"SELECT {', '.join(COLUMNS)} FROM audit_outbox ORDER BY tenant_id, seq"  # noqa: S608 - constants


def measure(data: Dataset, runs: int) -> Row:
    """Land everything in a new lake."""

    def mine() -> Callable[[], list[Path]]:
        lake = data.fresh("land")
        pipeline = data.pipeline(lake)

        def run() -> list[Path]:
            pipeline.land()
            return sorted(lake.glob("landed/*/part-*.parquet"))

        return run

    def plain() -> Callable[[], list[Path]]:
        file = data.fresh("copy") / "events.parquet"

        def run() -> list[Path]:
            copy_rows(data.outbox, file)
            return [file]

        return run

    compared = compare(mine, plain, same_rows, runs)
    return Row(
        name="land",
        what="landing: read the SQLite outbox, verify every chain, write Parquet durably",
        against="copying the same rows from SQLite to the same Parquet, unverified",
        amount=data.events,
        unit="events",
        mine=compared.mine,
        plain=compared.plain,
    )


def copy_rows(database: Path, file: Path) -> None:
    """Copy the outbox's rows into one Parquet file, with the standard library and pyarrow."""
    with (
        closing(sqlite3.connect(database)) as connection,
        pq.ParquetWriter(file, EVENT_SCHEMA, **ENCODING) as writer,
    ):
        cursor = connection.execute(_SELECT)
        group: list[pa.Table] = []
        while rows := cursor.fetchmany(_FETCH_ROWS):
            columns = zip(*rows, strict=True)
            arrays = [pa.array(values, field.type) for values, field in zip(columns, EVENT_SCHEMA, strict=True)]
            group.append(pa.Table.from_arrays(arrays, schema=EVENT_SCHEMA))
            if len(group) * _FETCH_ROWS >= ROW_GROUP_ROWS:
                writer.write_table(pa.concat_tables(group))
                group = []
        if group:
            writer.write_table(pa.concat_tables(group))


def same_rows(ours: list[Path], theirs: list[Path]) -> bool:
    """Whether the files hold the same rows in the same order."""
    left, right = (
        pa.concat_tables([table for file in files for table in read_events(file)]) for files in (ours, theirs)
    )
    return bool(left.equals(right))
