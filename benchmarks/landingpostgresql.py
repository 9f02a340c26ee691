"""Landing from PostgreSQL."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import adbc_driver_postgresql.dbapi as adbc
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql

from benchmarks.dataset import Dataset, read_events
from benchmarks.measuring import compare
from benchmarks.row import Row
from benchmarks.server import postgresql
from lumi_pipeline.events import COLUMNS, EVENT_SCHEMA
from lumi_pipeline.lake import Lake
from lumi_pipeline.landing import land
from lumi_pipeline.outbox import HEAD_SCHEMA
from lumi_pipeline.outbox.postgresql import PostgresOutbox
from lumi_pipeline.outbox.sqlite import SqliteOutbox
from lumi_pipeline.outboxaddress import postgresql_address
from transparency.filestore import FileStore

_SELECTED = ", ".join("event_id::text" if column == "event_id" else column for column in COLUMNS)
SELECT = f"SELECT {_SELECTED} FROM audit_outbox ORDER BY tenant_id, seq"  # noqa: S608 - constants


def measure(data: Dataset, runs: int) -> Row:
    """Land everything in a new lake."""
    with postgresql() as url:
        outbox = PostgresOutbox.init(postgresql_address(url), "operator")
        fill(url, data)

        def mine() -> Callable[[], list[Path]]:
            lake = data.fresh("land-postgresql")
            store = FileStore(lake)

            def run() -> list[Path]:
                land(outbox, Lake(store, lambda key: str(store.path(key))), None)
                return sorted(lake.glob("landed/*/part-*.parquet"))

            return run

        compared = compare(mine, lambda: lambda: fetch(url), same_rows, runs)
    return Row(
        name="land-postgresql",
        what="landing: read the PostgreSQL outbox, verify every chain, write Parquet durably",
        against="fetching the same rows as Arrow (ADBC, one connection), unverified, and keeping nothing",
        amount=data.events,
        unit="events",
        mine=compared.mine,
        plain=compared.plain,
    )


def fill(url: str, data: Dataset) -> None:
    """Copy the data set's events and heads into the outbox in PostgreSQL."""
    with SqliteOutbox.open(data.outbox).snapshot() as snapshot, psycopg.connect(url) as connection:
        _copy(connection, "audit_chain_head", HEAD_SCHEMA.names, snapshot.heads())
        connection.execute("CREATE TABLE arrived (LIKE audit_outbox)")
        connection.execute("ALTER TABLE arrived ALTER event_id TYPE text")
        connection.commit()
        with closing(adbc.connect(url)) as arrow, arrow.cursor() as cursor:
            for file in data.landed_files():
                cursor.adbc_ingest("arrived", pa.Table.from_batches(pq.ParquetFile(file).iter_batches()), mode="append")
            arrow.commit()
        columns = ", ".join("event_id::uuid" if column == "event_id" else column for column in COLUMNS)
        connection.execute(f"INSERT INTO audit_outbox ({', '.join(COLUMNS)}) SELECT {columns} FROM arrived")  # noqa: S608
        connection.execute("DROP TABLE arrived")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def _copy(connection: psycopg.Connection, table: str, columns: Iterator[str], rows: pa.Table) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for batch in rows.to_batches():
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                copy.write_row(row)


def fetch(url: str) -> pa.Table:
    """All rows, in order, in memory."""
    with closing(adbc.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(SELECT)
        return cursor.fetch_arrow_table()


def same_rows(files: list[Path], fetched: pa.Table) -> bool:
    """Whether the files hold the rows that were fetched, in the same order."""
    landed = pa.concat_tables([table for file in files for table in read_events(file)])
    return bool(landed.combine_chunks().equals(fetched.cast(EVENT_SCHEMA).combine_chunks()))
