"""Erasing payloads in a PostgreSQL outbox, by the one function that may (``audit_erase`` in the schema)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import psycopg
from psycopg import errors
from psycopg.rows import TupleRow

from lumi_pipeline.errors import OutboxError, OutboxNotInitialised
from lumi_pipeline.events import PAYLOAD_COLUMNS

_ERASE: Final = "SELECT audit_erase(%s, %s::bigint[], %s, %s::uuid)"
_MARKED: Final = (
    f"SELECT seq, CASE WHEN num_nonnulls({', '.join(PAYLOAD_COLUMNS)}) = 0 AND isfinite(erased_at)"  # noqa: S608 - constants
    " THEN (extract(epoch FROM erased_at) * 1000000)::bigint END"
    " FROM audit_outbox WHERE tenant_id = %s AND seq = ANY (%s::bigint[])"
)


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


def marked_in_postgresql(
    connection: psycopg.Connection[TupleRow], tenant_id: str, seqs: Sequence[int]
) -> dict[int, int | None]:
    """When each of these rows was erased as a whole (µs), by seq; None where it was not."""
    return dict(connection.execute(_MARKED, (tenant_id, list(seqs))).fetchall())
