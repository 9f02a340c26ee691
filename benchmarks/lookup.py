"""Look one event up in sealed Parquet files with DuckDB, and prove nothing.

``python -m benchmarks.lookup LAKE EVENT_ID``
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import duckdb


def main(arguments: Sequence[str]) -> None:
    lake, event_id = arguments
    print(json.dumps(find_event(Path(lake), event_id)))


def find_event(lake: Path, event_id: str) -> dict[str, str]:
    """Return the event's columns as text, nulls left out."""
    with duckdb.connect() as db:
        files = str(lake / "events" / "*" / "part-*.parquet")
        found = db.execute("SELECT * FROM read_parquet($files) WHERE event_id = $id", {"files": files, "id": event_id})
        names = [column[0] for column in found.description or ()]
        (row,) = found.fetchall()
    columns = zip(names, row, strict=True)
    return {
        name: value.hex() if isinstance(value, bytes) else str(value) for name, value in columns if value is not None
    }


if __name__ == "__main__":
    main(sys.argv[1:])
