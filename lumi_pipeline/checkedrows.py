"""Committed event files opened in DuckDB, which sorts and joins them in bounded memory: checked first, then read.

Long rows it can't sort: it moves some thousands at a time, whatever they take. It sorts the places where those lie, and
they are read from there.

DuckDB spills what does not fit into a temporary directory; of a lake that is not on a disk, another one holds the files
as they were checked. A process that is killed leaves both to whoever cleans temporary directories.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.cutting import ROW_GROUP_ROWS, in_groups
from lumi_pipeline.errors import LakeError
from lumi_pipeline.events import EVENT_SCHEMA
from lumi_pipeline.interrupting import interruptible
from lumi_pipeline.lake import Lake, check_values
from lumi_pipeline.records import StoredFile
from lumi_pipeline.rowgroups import long_rows
from lumi_pipeline.stretches import Stretch, read_stretches

_MEMORY_LIMIT: Final = "512MB"
_COLUMNS: Final = ", ".join(EVENT_SCHEMA.names)
_NO_ROWS: Final = pa.schema([*EVENT_SCHEMA, ("file_number", pa.int64()), ("file_row_number", pa.int64())]).empty_table()


@dataclass(frozen=True, slots=True)
class CheckedViews:
    """A DuckDB with the views, the files of all of them, and where those lie, as they were checked.

    Besides the columns of events, views have ``file_number``, the number of the file among ``files``, and
    ``file_row_number``, the number of the row in that file.
    """

    db: duckdb.DuckDBPyConnection
    files: Sequence[StoredFile]
    places: Mapping[StoredFile, str]


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
        checked: list[StoredFile] = []
        places: dict[StoredFile, str] = {}
        for name, files in views.items():
            paths = lake.fetch_events(files, Path(opened.enter_context(TemporaryDirectory(prefix="lumi-"))))
            with reading_rows():
                if paths:
                    # Signed as in a view of no files: together with unsigned numbers, they would be of 128 bits.
                    number = f"(file_index + {len(checked)})::BIGINT AS file_number"
                    numbered = f"{_COLUMNS}, {number}, file_row_number"
                    db.from_parquet(paths, hive_partitioning=False).project(numbered).create_view(name)
                else:
                    db.register(name, _NO_ROWS)
            checked += files
            places.update(zip(files, paths, strict=True))
        yield CheckedViews(db, checked, places)


@contextmanager
def reading_rows() -> Iterator[None]:
    """Make DuckDB's errors ours: a file that is gone since it was checked, or a disk too full to sort on."""
    try:
        with interruptible():
            yield
    except (duckdb.Error, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise LakeError(f"the landed events can't be read: {reason}") from None


def sorted_events(views: CheckedViews, query: str) -> Iterator[pa.Table]:
    """Yield the rows of a query over such views by (tenant_id, seq), in tables of bounded size, every value checked.

    ``query`` selects all columns of rows of the views.
    """
    if long_rows(views.places.values()):
        yield from read_stretches(_sorted_stretches(views, query), views.places)
        return
    with reading_rows():
        found = views.db.sql(f"SELECT {_COLUMNS} FROM ({query}) ORDER BY tenant_id, seq")  # noqa: S608 - constants
        batches = found.to_arrow_reader(ROW_GROUP_ROWS)
        for table in in_groups(pa.Table.from_batches([batch]).cast(EVENT_SCHEMA) for batch in batches):
            check_values(table, "the lake")
            yield table


def _sorted_stretches(views: CheckedViews, query: str) -> Iterator[Stretch]:
    """Yield where the rows of a query lie, in order; rows that follow one another in a file as one."""
    places = "tenant_id, file_number, file_row_number"
    with reading_rows():
        found = views.db.sql(f"SELECT {places} FROM ({query}) ORDER BY tenant_id, seq")  # noqa: S608 - constants
        for batch in found.to_arrow_reader(ROW_GROUP_ROWS):
            file, row = (batch.column(name).to_numpy() for name in ("file_number", "file_row_number"))
            tenants = pc.dictionary_encode(batch.column("tenant_id"))
            other = np.diff(tenants.indices.to_numpy()) != 0
            begins = np.flatnonzero(other | (np.diff(file) != 0) | (np.diff(row) != 1)) + 1
            for begin, end in pairwise([0, *begins.tolist(), len(batch)]):
                number, first = int(file[begin]), int(row[begin])
                yield Stretch(tenants[begin].as_py(), number, views.files[number], first, first + end - begin)
