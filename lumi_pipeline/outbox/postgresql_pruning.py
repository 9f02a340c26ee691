"""Removing rows of pruned days from a PostgreSQL outbox, by the one function that may (``audit_prune``)."""

from collections.abc import Sequence
from datetime import date
from typing import Final

import psycopg
from psycopg import errors
from psycopg.rows import TupleRow

from lumi_pipeline.errors import OutboxError, OutboxNotInitialised

_PRUNE: Final = "SELECT audit_prune(%s, %s, %s, %s, %s::uuid)"


def prune_in_postgresql(
    connection: psycopg.Connection[TupleRow], day: date, event_id: str, ranges: Sequence[tuple[str, int, int]]
) -> int:
    """Remove the rows of these ranges (tenant, first seq, the one behind the last) in a transaction of its own."""
    removed = 0
    try:
        for range_ in ranges:
            row = connection.execute(_PRUNE, (*range_, day, event_id)).fetchone()
            removed += row[0] if row else 0
        # A crash before this undoes everything of this call.
        connection.commit()
    except errors.UndefinedFunction:
        raise OutboxNotInitialised(
            "the outbox was set up by a version that could not prune; as its owner, run `lumi outbox init` again"
        ) from None
    except errors.InvalidParameterValue as error:
        raise OutboxError(f"nothing was removed from the outbox: {error.diag.message_primary}") from None
    finally:
        connection.rollback()
    return removed
