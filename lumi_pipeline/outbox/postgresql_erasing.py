"""Erasing payloads in a PostgreSQL outbox, by the one function that may (``audit_erase`` in the schema)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import psycopg
from psycopg import errors
from psycopg.rows import TupleRow

from lumi_pipeline.errors import OutboxError, OutboxNotInitialised

_ERASE: Final = "SELECT audit_erase(%s, %s::bigint[], %s, %s::uuid)"


def erase_in_postgresql(
    connection: psycopg.Connection[TupleRow], tenant_id: str, seqs: Sequence[int], at: datetime, event_id: str
) -> int:
    """Null the payload of these rows in a transaction of its own; return how many had one."""
    try:
        row = connection.execute(_ERASE, (tenant_id, list(seqs), at, event_id)).fetchone()
        # A crash before this undoes everything of this call.
        connection.commit()
    except errors.UndefinedFunction:
        raise OutboxNotInitialised(
            "the outbox was set up by a version that could not erase; as its owner, run `lumi outbox init` again"
        ) from None
    except errors.InvalidParameterValue as error:
        raise OutboxError(f"nothing was erased in the outbox: {error.diag.message_primary}") from None
    finally:
        connection.rollback()
    return row[0] if row else 0
