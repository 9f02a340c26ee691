"""Write sealed events as the CSV of an evidence bundle, the common way: a dict a row. Nothing is verified.

``python -m benchmarks.csvrows LAKE FILE`` writes the events of a lake with one tenant, and prints how many there are
and the SHA-256 of the file.
"""

import csv
import hashlib
import io
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from benchmarks.rowdicts import Row, rows_of

_ROWS: Final = 8192
_FORMULA: Final = tuple("'=+-@\t\r\n\uff07\uff1d\uff0b\uff0d\uff20")


def main(arguments: Sequence[str]) -> None:
    lake, target = map(Path, arguments)
    digest = hashlib.sha256()
    rows = 0
    with target.open("wb") as file:
        for portion, count in portions(rows_of(sorted(lake.glob("events/*/part-*.parquet")))):
            digest.update(portion)
            file.write(portion)
            rows += count
    print(json.dumps({"rows": rows, "sha256": digest.hexdigest()}))


def portions(rows: Iterator[Row]) -> Iterator[tuple[bytes, int]]:
    """Yield the file in portions, and how many rows each has."""
    text = io.StringIO(newline="")
    writer: csv.DictWriter[str] | None = None
    count = 0
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(text, row)
            writer.writeheader()
        writer.writerow({name: _cell(value) for name, value in row.items()})
        count += 1
        if count == _ROWS:
            yield text.getvalue().encode(), count
            text.seek(0)
            text.truncate()
            count = 0
    yield text.getvalue().encode(), count


def _cell(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


if __name__ == "__main__":
    main(sys.argv[1:])
