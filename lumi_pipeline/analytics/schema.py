"""The form of the analyst database: its tables (``schema.sql``) and its view of the lake."""

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import Final

import duckdb
import pyarrow as pa

from lumi_pipeline.catalogue import CATALOGUE
from lumi_pipeline.events import COLUMNS, EVENT_SCHEMA, HASH_COLUMNS

_SQL: Final = ("schema.sql", "macros.sql")

ACTIVITY_COLUMNS: Final = tuple(name for name in COLUMNS if name not in {*HASH_COLUMNS, "payload_salt", "erased_at"})
"""The columns of an event that ``activity`` holds too, in order, between ``day`` and ``sealed``."""

DAY_OF: Final = "CAST(make_timestamp(epoch_us(recorded_at)) AS DATE)"
"""SQL for a row's UTC day, whatever the time zone of the session."""

_TYPES: Final = {pa.int64(): "BIGINT", pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ", pa.string(): "VARCHAR"}
_SEALED: Final = """
    SELECT {columns}, day, true AS sealed
    FROM read_parquet({files}, hive_partitioning = true, hive_types = {{'day': DATE}})
"""
_LANDED: Final = """
    SELECT {columns}, {day} AS day, false AS sealed
    FROM read_parquet({files}, hive_partitioning = false) AS landed LEFT JOIN lake.sealed_through USING (tenant_id)
    WHERE seq >= coalesce(next_seq, 0)
"""
_NONE: Final = "SELECT {columns}, NULL::DATE AS day, NULL::BOOLEAN AS sealed WHERE false"
_ABOUT_EVENTS: Final = (
    "Every event of the lake with all its columns, read from the files that were committed when this database was "
    "built: sealed days, and what is landed and not sealed yet. No event is there twice."
)


@cache
def form() -> str:
    """Name the form, which changes with what is in the SQL files. A database of another form is made anew."""
    return f"lumi/analyst/v1 {hashlib.sha256(b''.join(map(_content, _SQL))).hexdigest()[:16]}"


def create_tables(db: duckdb.DuckDBPyConnection) -> None:
    """Create the tables and macros in an empty database."""
    _run(db, "schema.sql")
    create_macros(db)


def create_macros(db: duckdb.DuckDBPyConnection) -> None:
    """Create the macros (``macros.sql``) in a database that has ``activity``."""
    _run(db, "macros.sql")


def _run(db: duckdb.DuckDBPyConnection, name: str) -> None:
    db.execute(_content(name).decode())


def _content(name: str) -> bytes:
    return files("lumi_pipeline.analytics").joinpath(name).read_bytes()


def fill_actions(db: duckdb.DuckDBPyConnection) -> None:
    """Write the catalogue of actions as this version knows it."""
    rows = [(a.name, a.entity_type, a.description, a.class_name) for a in CATALOGUE.values()]
    columns = [pa.array(values, pa.string()) for values in zip(*rows, strict=True)]
    db.register("catalogue", pa.table(columns, names=["action", "entity_type", "description", "ocsf_class"]))
    db.execute("DELETE FROM actions; INSERT INTO actions SELECT * FROM catalogue")
    db.unregister("catalogue")


def create_events(db: duckdb.DuckDBPyConnection, sealed: Sequence[str], landed: Sequence[str]) -> None:
    """Create or replace the view ``events`` over sealed and landed files, given as paths or URLs.

    DuckDB opens a file to create it, so URLs need their file system registered.
    """
    parts = []
    columns = ", ".join(COLUMNS)
    if sealed:
        parts.append(_SEALED.format(columns=columns, files=_list(sealed)))
    if landed:
        parts.append(_LANDED.format(columns=columns, day=DAY_OF, files=_list(landed)))
    if not parts:
        nulls = ", ".join(f"NULL::{_TYPES.get(field.type, 'BLOB')} AS {field.name}" for field in EVENT_SCHEMA)
        parts.append(_NONE.format(columns=nulls))
    db.execute(f"CREATE OR REPLACE VIEW events AS {'UNION ALL'.join(parts)}")
    db.execute(f"COMMENT ON VIEW events IS '{_ABOUT_EVENTS}'")


def _list(paths: Iterable[str]) -> str:
    """Paths of the lake as an SQL list. A view can't have parameters; none of these is anybody's input."""
    return "[" + ", ".join("'" + path.replace("'", "''") + "'" for path in paths) + "]"
