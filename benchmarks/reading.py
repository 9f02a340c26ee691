"""Read every sealed event and every row of the outbox, check nothing, and say how many there were.

``python -m benchmarks.reading LAKE OUTBOX``: what a verification of the whole history can't take less than, unless it
reads faster than this.
"""

import json
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq

_ROWS = 8192


def main(arguments: Sequence[str]) -> None:
    lake, outbox = map(Path, arguments)
    print(json.dumps({"sealed": count_sealed(lake), "outbox": count_outbox(outbox)}))


def count_sealed(lake: Path) -> int:
    files = sorted(lake.glob("events/*/part-*.parquet"))
    return sum(len(batch) for file in files for batch in pq.ParquetFile(file).iter_batches(_ROWS))


def count_outbox(outbox: Path) -> int:
    count = 0
    with closing(sqlite3.connect(outbox)) as connection:
        cursor = connection.execute("SELECT * FROM audit_outbox ORDER BY tenant_id, seq")
        while rows := cursor.fetchmany(_ROWS):
            count += len(rows)
    return count


if __name__ == "__main__":
    main(sys.argv[1:])
