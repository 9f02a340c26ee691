"""A DuckDB that sorts and joins more than fits into memory: what does not goes to a temporary directory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import duckdb

_MEMORY_LIMIT: Final = "1GB"
_THREADS: Final = 2
"""Each that reads JSON holds a buffer of twice the largest record that is allowed."""


@contextmanager
def spilling_database() -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """Yield an empty database and its temporary directory; both are gone afterwards."""
    with TemporaryDirectory(prefix="lumi-") as directory:
        spill = f"{directory}/spill"
        with duckdb.connect(config={"memory_limit": _MEMORY_LIMIT, "temp_directory": spill, "threads": _THREADS}) as db:
            db.execute("SET TimeZone = 'UTC'")
            db.execute("SET preserve_insertion_order = false")
            yield db, Path(directory)
