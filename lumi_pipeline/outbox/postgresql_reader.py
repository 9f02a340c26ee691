"""One more connection on an exported snapshot, which gives query results as Arrow (ADBC, binary COPY)."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Final, Self

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa

from lumi_pipeline.errors import OutboxError, OutboxLocked

_BATCH_BYTES: Final = str(8 << 20)
_BATCH_OPTION: Final = "adbc.postgresql.batch_size_hint_bytes"

_NO_RIGHT: Final = "42501"
"""PostgreSQL's code of insufficient_privilege."""

# A walk along the primary key for each tenant in turn: sorted as it comes, and no plan that reads the whole table.
_PLANNING: Final = (
    "enable_seqscan",
    "enable_bitmapscan",
    "enable_hashjoin",
    "enable_mergejoin",
    "enable_material",
    "enable_memoize",
    "jit",
)


class PostgresReader:
    """Reads what the transaction that exported ``snapshot`` sees. Use as a context manager.

    ``conninfo`` is a libpq connection string, ``name`` the database's name for messages.
    """

    def __init__(self, conninfo: str, snapshot: str, name: str) -> None:
        self._name = name
        with self._explained():
            # Autocommit is the driver's word for not beginning transactions by itself: this one is begun below.
            self._connection = adbc.connect(conninfo, autocommit=True)
            try:
                self._run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                self._run(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
                self._run("SET LOCAL max_parallel_workers_per_gather = 0")
                for setting in _PLANNING:
                    self._run(f"SET LOCAL {setting} = off")
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(adbc.Error):  # closing rolls back; a connection that is gone has done so
            self._connection.close()

    def fetch(self, query: str) -> Iterator[pa.RecordBatch]:
        """Yield a query's rows in batches of about 8 MiB, at least one row each."""
        with self._explained(), self._connection.cursor() as cursor:
            cursor.adbc_statement.set_options(**{_BATCH_OPTION: _BATCH_BYTES})
            cursor.execute(query)
            reader = cursor.fetch_record_batch()
            for batch in reader:
                if len(batch):
                    yield batch

    def _run(self, statement: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the driver's errors into ours. Only the first line is repeated: what follows may quote a row."""
        try:
            yield
        except (adbc.Error, pa.ArrowException, OSError) as error:
            reason = str(error).partition("\n")[0].removesuffix(":")
            if "canceling statement" in reason or "deadlock" in reason:
                raise OutboxLocked(f"reading the outbox {self._name} was cut short: {reason}") from None
            remedy = ""
            if isinstance(error, adbc.Error) and error.sqlstate == _NO_RIGHT:
                remedy = ". Grant the role lumi_pipeline to the one that connects"
            raise OutboxError(f"the outbox {self._name} can't be read: {reason}{remedy}") from None
