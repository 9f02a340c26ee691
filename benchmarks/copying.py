"""Copy an outbox in PostgreSQL into Parquet, check nothing, and say how many rows there were.

``python -m benchmarks.copying URL DIRECTORY``: what any job that takes the rows into a lake has to do at least, written
as one would write it: one connection, one batch after the other.
"""

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.landingpostgresql import SELECT
from lumi_pipeline.cutting import PART_ROWS, ROW_GROUP_ROWS
from lumi_pipeline.events import EVENT_SCHEMA
from lumi_pipeline.lake import DISTINCT_COLUMNS

ENCODING: Final[Any] = {
    "compression": "zstd",
    "write_page_index": True,
    "use_dictionary": [name for name in EVENT_SCHEMA.names if name not in DISTINCT_COLUMNS],
}
"""How the lake writes event files, as pyarrow's writers want to be told."""


def main(arguments: Sequence[str]) -> None:
    url, directory = arguments
    print(copy(url, Path(directory)))


def copy(url: str, directory: Path) -> int:
    """Write every row, in order, as files of ``PART_ROWS`` rows."""
    count = 0
    held: list[pa.Table] = []
    with closing(adbc.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(SELECT)
        for batch in cursor.fetch_record_batch():
            held.append(pa.Table.from_batches([batch]).cast(EVENT_SCHEMA))
            while sum(map(len, held)) >= PART_ROWS:
                table = pa.concat_tables(held)
                write(table.slice(0, PART_ROWS), directory / f"{count // PART_ROWS}.parquet")
                count += PART_ROWS
                held = [table.slice(PART_ROWS)]
    rest = pa.concat_tables(held) if held else EVENT_SCHEMA.empty_table()
    if len(rest):
        write(rest, directory / f"{count // PART_ROWS}.parquet")
    return count + len(rest)


def write(table: pa.Table, file: Path) -> None:
    pq.write_table(table, file, row_group_size=ROW_GROUP_ROWS, **ENCODING)


if __name__ == "__main__":
    main(sys.argv[1:])
