"""What a PostgreSQL outbox says when something is wrong with it, and the one value that is read in two places."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

import psycopg
from psycopg import errors
from psycopg.rows import TupleRow

from lumi_pipeline.errors import OutboxError, OutboxLocked, OutboxNotInitialised, OutboxTampered
from lumi_pipeline.events import MAX_MICROS, MIN_MICROS, from_micros

_CLOSED_BEFORE: Final = """
SELECT CASE WHEN isfinite(closed_before) THEN (extract(epoch FROM closed_before) * 1000000)::bigint END FROM audit_close
"""


def read_closed_before(connection: psycopg.Connection[TupleRow]) -> datetime:
    """Return the midnight before which every day is closed."""
    rows = connection.execute(_CLOSED_BEFORE).fetchall()
    if len(rows) != 1 or rows[0][0] is None or not MIN_MICROS <= rows[0][0] <= MAX_MICROS:
        raise OutboxTampered(
            "audit_close does not hold one time within the years 0001 to 9999; restore it from a backup"
        )
    return from_micros(rows[0][0])


@contextmanager
def database_errors(name: str) -> Iterator[None]:
    """Turn errors of the database into ours, which name it and what to do; rows that it quotes are left out."""
    try:
        yield
    except psycopg.Error as error:
        reason = error.diag.message_primary or str(error).partition("\n")[0]
        if isinstance(error, errors.LockNotAvailable | errors.DeadlockDetected | errors.SerializationFailure):
            raise OutboxLocked(f"another transaction is in the way in {name} ({reason}); try again") from None
        if isinstance(error, errors.UndefinedTable | errors.UndefinedFunction | errors.UndefinedColumn):
            raise OutboxNotInitialised(
                f"{name} has not the tables of this version ({reason}); apply them with `lumi outbox init`"
            ) from None
        if isinstance(error, errors.InsufficientPrivilege):
            raise OutboxError(
                f"{name}: {reason}. Grant the role lumi_pipeline to the one that connects; `lumi outbox init` needs an"
                " owner who may create roles"
            ) from None
        raise OutboxError(f"{name}: {reason}") from None
