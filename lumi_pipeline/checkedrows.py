"""Committed event files opened in DuckDB, which sorts and joins them in bounded memory: checked first, then read.

DuckDB spills what does not fit into a temporary directory; of a lake that is not on a disk, another one holds the files
as they were checked. A process that is killed leaves both to whoever cleans temporary directories.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import duckdb
import pyarrow as pa

from lumi_pipeline.errors import LakeError
from lumi_pipeline.events import EVENT_SCHEMA
from lumi_pipeline.interrupting import interruptible
from lumi_pipeline.lake import ROW_GROUP_ROWS, Lake, check_values, in_groups
from lumi_pipeline.records import StoredFile

_MEMORY_LIMIT: Final = "512MB"


@dataclass(frozen=True, slots=True)
class CheckedViews:
    """A DuckDB with the views, and for each of them where its files lie, as they were checked."""

    db: duckdb.DuckDBPyConnection
    places: Mapping[str, Sequence[str]]


@contextmanager
def checked_views(lake: Lake, views: Mapping[str, Sequence[StoredFile]]) -> Iterator[CheckedViews]:
    """Open event files in DuckDB, as one view for each name; of no files a view is empty.

    Every file's SHA-256 is checked before; :class:`~lumi_pipeline.errors.LakeError` when one is not what was committed.
    """
    with ExitStack() as opened:
        spill = opened.enter_context(TemporaryDirectory(prefix="lumi-"))
        db = duckdb.connect(config={"memory_limit": _MEMORY_LIMIT, "temp_directory": spill})
        opened.callback(db.close)
        db.execute("SET TimeZone = 'UTC'")
        places: dict[str, Sequence[str]] = {}
        for name, files in views.items():
            paths = lake.fetch_events(files, Path(opened.enter_context(TemporaryDirectory(prefix="lumi-"))))
            places[name] = paths
            with reading_rows():
                if paths:
                    db.from_parquet(paths, hive_partitioning=False).create_view(name)
                else:
                    db.register(name, EVENT_SCHEMA.empty_table())
        yield CheckedViews(db, places)


@contextmanager
def reading_rows() -> Iterator[None]:
    """Make DuckDB's errors ours: a file that is gone since it was checked, or a disk too full to sort on."""
    try:
        with interruptible():
            yield
    except (duckdb.Error, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise LakeError(f"the landed events can't be read: {reason}") from None


def sorted_events(db: duckdb.DuckDBPyConnection, query: str) -> Iterator[pa.Table]:
    """Yield the rows of a query over such views by (tenant_id, seq), in tables of bounded size, every value checked."""
    with reading_rows():
        batches = db.sql(f"{query} ORDER BY tenant_id, seq").to_arrow_reader(ROW_GROUP_ROWS)
        for table in in_groups(pa.Table.from_batches([batch]).cast(EVENT_SCHEMA) for batch in batches):
            check_values(table, "the lake")
            yield table
