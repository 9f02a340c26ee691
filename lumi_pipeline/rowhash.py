"""Recompute the payload and integrity hashes of many events at once, straight from Arrow columns.

This is where verification spends its time: a table in, two columns of digests out, no Python object per row. The bytes
hashed are those of docs/formats.md §1; :mod:`lumi_pipeline.hashing` computes the same for a single event, and tests
hold them against each other. Compiled kernels do the work; DuckDB where they aren't worth loading or can't be had, and
plain Python for a handful of rows.
"""

from datetime import datetime
from hashlib import sha256
from typing import Any, TypeAlias

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lumi_pipeline.hashing import CORE_FIELDS, EVENT_TAG, PAYLOAD_FIELDS, PAYLOAD_TAG, net
from lumi_pipeline.kernels.engine import engine
from transparency.encoding import format_timestamp
from transparency.merkle import HASH_SIZE

Digests: TypeAlias = npt.NDArray[np.uint8]
"""``(rows, 32)``: one SHA-256 digest a row."""

_FEW = 512
"""Rows that Python hashes while DuckDB still prepares."""

_BATCH_ROWS = 8192
"""DuckDB's threads share out whole record batches: rows that come in one batch, as a row group's do, keep one busy."""

_HEX, _TIME = "lower(hex({}))", "strftime(make_timestamp(epoch_us({})), '%Y-%m-%dT%H:%M:%S.%fZ')"
_AS_TEXT = {
    **dict.fromkeys(("payload_salt", "prev_hash", "payload_hash"), _HEX),
    **dict.fromkeys(("recorded_at", "occurred_at"), _TIME),
    "seq": "{}::VARCHAR",
}


def recompute_hashes(events: pa.Table) -> tuple[Digests, Digests]:
    """Return (payload hashes, integrity hashes) as the columns of ``events`` (``EVENT_SCHEMA``) imply them.

    The integrity hash is computed from the *stored* ``prev_hash`` and ``payload_hash``, so each row stands alone;
    whether rows link up is :mod:`lumi_pipeline.chain`'s question.
    """
    if len(events) <= _FEW:
        return _one_by_one(events, PAYLOAD_FIELDS, PAYLOAD_TAG), _one_by_one(events, CORE_FIELDS, EVENT_TAG)
    kernels = engine(len(events))
    if kernels is not None:
        payload, integrity = kernels.events(events, (PAYLOAD_TAG, PAYLOAD_FIELDS), (EVENT_TAG, CORE_FIELDS))
        return payload, integrity
    return _by_duckdb(events)


def _one_by_one(events: pa.Table, fields: tuple[str, ...], tag: bytes) -> Digests:
    columns = [[net(_text(value)) for value in events.column(name).to_pylist()] for name in fields]
    digests = b"".join(sha256(tag + b"".join(values)).digest() for values in zip(*columns, strict=True))
    return np.frombuffer(digests, np.uint8).reshape(-1, HASH_SIZE)


def _text(value: object) -> str | None:
    match value:
        case bytes():
            return value.hex()
        case datetime():
            return format_timestamp(value)
        case _:
            return None if value is None else str(value)


def _by_duckdb(events: pa.Table) -> tuple[Digests, Digests]:
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


def _netstring(column: str) -> str:
    """A column's netstring as arguments of concat(), which leaves out nulls."""
    text = _AS_TEXT.get(column, "{}").format(column)
    return f"strlen({text})::VARCHAR, CASE WHEN {column} IS NULL THEN '-' ELSE ':' END, {text}, ','"


def _digest(tag: bytes, fields: tuple[str, ...]) -> str:
    # One concat() of all the parts: a chain of || would copy what there is so far with every part.
    return f"unhex(sha256(concat('{tag.decode()}', {', '.join(map(_netstring, fields))})))"


_QUERY = (
    f"SELECT {_digest(PAYLOAD_TAG, PAYLOAD_FIELDS)} AS payload, "  # noqa: S608 - constants
    f"{_digest(EVENT_TAG, CORE_FIELDS)} AS integrity FROM events"
)
