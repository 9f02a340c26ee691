"""Recompute the payload and integrity hashes of many events at once, straight from Arrow columns.

This is the one hot kernel of verification: a table in, two columns of digests out, no Python object per row. The bytes
hashed are those of docs/formats.md §1; :mod:`lumi_pipeline.hashing` computes the same for a single event, and tests
hold the two against each other. DuckDB does the work here; a faster kernel only has to keep these signatures.
"""

from typing import Any, TypeAlias

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lumi_pipeline.hashing import EVENT_TAG, PAYLOAD_TAG
from transparency.merkle import HASH_SIZE

Digests: TypeAlias = npt.NDArray[np.uint8]
"""``(rows, 32)``: one SHA-256 digest a row."""

_PAYLOAD = ("hex payload_salt", "actor_name", "ip", "user_agent", "request_id", "before_state", "after_state")
_CORE = (
    "hex prev_hash",
    "tenant_id",
    "int seq",
    "event_id",
    "time recorded_at",
    "time occurred_at",
    "action",
    "entity_type",
    "entity_id",
    "outcome",
    "actor_type",
    "actor_id",
    "auth_method",
    "hex payload_hash",
)
_BATCH_ROWS = 8192
"""DuckDB's threads share out whole record batches: rows that come in one batch, as a row group's do, keep one busy."""

_AS_TEXT = {
    "hex": "lower(hex({}))",
    "int": "{}::VARCHAR",
    "time": "strftime(make_timestamp(epoch_us({})), '%Y-%m-%dT%H:%M:%S.%fZ')",
}


def recompute_hashes(events: pa.Table) -> tuple[Digests, Digests]:
    """Return (payload hashes, integrity hashes) as the columns of ``events`` (``EVENT_SCHEMA``) imply them.

    The integrity hash is computed from the *stored* ``prev_hash`` and ``payload_hash``, so each row stands alone;
    whether rows link up is :mod:`lumi_pipeline.chain`'s question.
    """
    with duckdb.connect() as db:
        db.register("events", pa.Table.from_batches(events.to_batches(max_chunksize=_BATCH_ROWS), events.schema))
        digests = db.sql(_QUERY).to_arrow_table()
    return digest_column(digests.column("payload")), digest_column(digests.column("integrity"))


def digest_column(column: "pa.ChunkedArray[Any]") -> Digests:
    """Return a column of 32-byte binary values (no nulls) as a ``(rows, 32)`` array of bytes."""
    chunks = []
    for chunk in column.cast(pa.binary(HASH_SIZE)).chunks:
        data = chunk.buffers()[1]
        if data is not None and len(chunk):
            flat = np.frombuffer(memoryview(data), np.uint8)
            chunks.append(flat[chunk.offset * HASH_SIZE : (chunk.offset + len(chunk)) * HASH_SIZE])
    return np.concatenate(chunks or [np.empty(0, np.uint8)]).reshape(-1, HASH_SIZE)


def _netstring(field: str) -> str:
    """A column's netstring as arguments of concat(), which leaves out nulls."""
    kind, _, column = field.rpartition(" ")
    text = _AS_TEXT[kind].format(column) if kind else column
    return f"strlen({text})::VARCHAR, CASE WHEN {column} IS NULL THEN '-' ELSE ':' END, {text}, ','"


def _digest(tag: bytes, fields: tuple[str, ...]) -> str:
    # One concat() of all the parts: a chain of || would copy what there is so far with every part.
    return f"unhex(sha256(concat('{tag.decode()}', {', '.join(map(_netstring, fields))})))"


_QUERY = f"SELECT {_digest(PAYLOAD_TAG, _PAYLOAD)} AS payload, {_digest(EVENT_TAG, _CORE)} AS integrity FROM events"  # noqa: S608 - constants
