"""Reading one snapshot of a PostgreSQL outbox, side by side on several connections, as Arrow.

The first connection holds the snapshot open and exports it; the others import it, so all of them see the same rows and
heads. Rows travel as binary COPY straight into Arrow: no Python object is made for a value.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias

import psycopg
import pyarrow as pa
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from lumi_pipeline.events import COLUMNS, EVENT_SCHEMA
from lumi_pipeline.outbox import CHUNK_BYTES, CHUNK_ROWS, HEAD_SCHEMA
from lumi_pipeline.outbox.arrow import checked_table, pieces
from lumi_pipeline.outbox.inorder import in_order
from lumi_pipeline.outbox.postgresql_errors import read_closed_before

if TYPE_CHECKING:
    from lumi_pipeline.outbox.postgresql_reader import PostgresReader

READERS: Final = 2
"""Connections that fetch rows. More of them would take the server's processors from those who record."""

UNIT_ROWS: Final = 65_536
"""Rows that one connection fetches at a time, more or less: small tenants together, large ones in several units."""

UNIT_TENANTS: Final = 4096
"""Tenants in one query at most, which keeps its text small."""

_LAST_SEQ: Final = (1 << 63) - 1
_SELECTED: Final = ", ".join("event_id::text" if column == "event_id" else column for column in COLUMNS)

_IDENTITY: Final = "SELECT (pg_control_system()).system_identifier::text || '-' || system_id FROM audit_identity"
_HEADS: Final = f"SELECT {', '.join(HEAD_SCHEMA.names)} FROM audit_chain_head ORDER BY tenant_id"  # noqa: S608
_PAST_HEADS: Final = """
SELECT tenant_id, past.seq FROM audit_chain_head AS head, LATERAL (
    SELECT seq FROM audit_outbox AS o WHERE o.tenant_id = head.tenant_id AND o.seq >= head.next_seq ORDER BY seq LIMIT 1
) AS past
"""
# One step of the index a tenant, however many events each has.
_HEADLESS: Final = """
WITH RECURSIVE tenants (tenant_id) AS (
    (SELECT tenant_id FROM audit_outbox ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT o.tenant_id FROM audit_outbox AS o WHERE o.tenant_id > tenants.tenant_id ORDER BY 1 LIMIT 1)
    FROM tenants WHERE tenants.tenant_id IS NOT NULL
)
SELECT tenant_id FROM tenants
WHERE tenant_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM audit_chain_head AS h WHERE h.tenant_id = tenants.tenant_id)
LIMIT 1
"""
_FIND: Final = "SELECT event_id::text, tenant_id, seq FROM audit_outbox WHERE event_id = ANY(%s::uuid[])"
_NTH: Final = "SELECT seq FROM audit_outbox WHERE tenant_id = %s AND seq >= %s ORDER BY seq OFFSET %s LIMIT 1"

_ROWS: Final = (
    f"SELECT found.* FROM unnest({{}}::text[], {{}}::bigint[], {{}}::bigint[]) AS wanted (tenant, low, high), LATERAL ("  # noqa: S608
    f"SELECT {_SELECTED} FROM audit_outbox WHERE tenant_id = wanted.tenant AND seq BETWEEN wanted.low AND wanted.high"
    " ORDER BY seq) AS found"
)

Range: TypeAlias = tuple[str, int, int]
"""A tenant, and the first and last seq of a range of its rows."""


class PostgresSnapshot:
    """One read transaction on the outbox; see :class:`lumi_pipeline.outbox.Snapshot`.

    ``connection`` is in a REPEATABLE READ READ ONLY transaction; ``url`` is where the readers connect to, and ``name``
    is its name for messages.
    """

    def __init__(self, connection: psycopg.Connection[TupleRow], url: str, name: str) -> None:
        self._connection = connection
        self._name = name
        row = connection.execute("SELECT pg_export_snapshot()").fetchone()
        self._exported = str(row[0]) if row else ""
        info = connection.info
        # The server that was reached, should the URL name several: a snapshot can be imported there alone.
        self._conninfo = make_conninfo(url, host=info.host, port=info.port, fallback_application_name="lumi-pipeline")
        self._heads: pa.Table | None = None
        identity = connection.execute(_IDENTITY).fetchone()
        self.system_id = str(identity[0]) if identity else ""

    @property
    def closed_before(self) -> datetime:
        """Return the midnight before which every day is closed."""
        return read_closed_before(self._connection)

    def headless(self) -> str | None:
        """Return a tenant that has events but no chain head, or None."""
        row = self._connection.execute(_HEADLESS).fetchone()
        return None if row is None else str(row[0])

    def past_heads(self) -> dict[str, int]:
        """Return tenants that have an event at or past their head's next_seq, with its seq."""
        return dict(self._connection.execute(_PAST_HEADS).fetchall())

    def heads(self) -> pa.Table:
        """Return every chain head in HEAD_SCHEMA, sorted by tenant_id."""
        if self._heads is None:
            with self._reader() as reader:
                batches = [checked_table(batch, HEAD_SCHEMA, "audit_chain_head") for batch in reader.fetch(_HEADS)]
            self._heads = pa.concat_tables([HEAD_SCHEMA.empty_table(), *batches]).combine_chunks()
        return self._heads

    def rows(
        self,
        cursors: Sequence[tuple[str, int]],
        *,
        chunk_rows: int = CHUNK_ROWS,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> Iterator[pa.Table]:
        """Yield every row at or past its tenant's cursor, ordered by (tenant_id, seq); see the protocol."""
        for batch in in_order(self._units(cursors), [self._reader] * READERS, self._fetch):
            yield from pieces(checked_table(batch, EVENT_SCHEMA, "audit_outbox"), chunk_rows, chunk_bytes)

    def find(self, event_ids: Collection[str]) -> dict[str, tuple[str, int]]:
        """Return (tenant_id, seq) of each of these events that the outbox holds, by event_id."""
        rows = self._connection.execute(_FIND, (list(event_ids),)).fetchall()
        return {event_id: (tenant_id, seq) for event_id, tenant_id, seq in rows}

    def _reader(self) -> "PostgresReader":
        # Not at the top: ADBC loads Polars, in whose presence Control-C no longer interrupts a blocking read.
        from lumi_pipeline.outbox.postgresql_reader import PostgresReader  # noqa: PLC0415

        return PostgresReader(self._conninfo, self._exported, self._name)

    def _fetch(self, reader: "PostgresReader", ranges: Sequence[Range]) -> Iterator[pa.RecordBatch]:
        columns = (sql.Literal(list(column)) for column in zip(*ranges, strict=True))
        return reader.fetch(sql.SQL(_ROWS).format(*columns).as_string(self._connection))

    def _units(self, cursors: Sequence[tuple[str, int]]) -> Iterator[Sequence[Range]]:
        """Cut what is wanted into queries of about UNIT_ROWS rows each, in order.

        How many rows a tenant has is taken from its head, and only as a hint: where one large unit is to be cut is
        looked up among the rows, and the last range of a tenant has no end.
        """
        heads = self.heads()
        next_seqs = dict(zip(heads["tenant_id"].to_pylist(), heads["next_seq"].to_pylist(), strict=True))
        unit: list[Range] = []
        rows = 0
        for tenant_id, first in sorted(cursors):
            low, expected = first, int(next_seqs.get(tenant_id) or 0) - first
            while expected > UNIT_ROWS and (after := self._seq_after(tenant_id, low, UNIT_ROWS)) is not None:
                if unit:
                    yield unit
                    unit, rows = [], 0
                yield [(tenant_id, low, after - 1)]
                low, expected = after, expected - UNIT_ROWS
            unit.append((tenant_id, low, _LAST_SEQ))
            rows += max(expected, 0)
            if rows >= UNIT_ROWS or len(unit) >= UNIT_TENANTS:
                yield unit
                unit, rows = [], 0
        if unit:
            yield unit

    def _seq_after(self, tenant_id: str, low: int, rows: int) -> int | None:
        """Return the seq of the row that comes ``rows`` rows after the first at or past ``low``, if there is one."""
        row = self._connection.execute(_NTH, (tenant_id, low, rows)).fetchone()
        return None if row is None else int(row[0])
