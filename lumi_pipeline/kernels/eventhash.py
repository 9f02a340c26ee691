"""Payload and integrity hashes of many events (docs/formats.md section 1), straight from Arrow buffers.

One pass over the rows, no Python object a row: the netstrings of an event's payload are written into a scratch buffer
one after the other, and hashed there, then those of its other fields. Kernels don't hold Python's lock, so threads
share the rows.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from lumi_pipeline.kernels.columns import ColumnTable
from lumi_pipeline.kernels.compiling import inlined, kernel
from lumi_pipeline.kernels.fields import (
    BYTES16,
    BYTES32,
    INT64,
    LARGE_TEXT,
    TIME,
    TIME_LENGTH,
    decimal_length,
    is_null,
    text_bounds,
    write_decimal,
    write_hex,
    write_text,
    write_time,
)
from lumi_pipeline.kernels.memory import copy, load_int64, store_byte
from lumi_pipeline.kernels.sha256 import digest

_FIXED: Final = 128
"""Bytes that a netstring has at most besides the text in it; the tag, and the padding behind all, have no more."""

Digests: TypeAlias = npt.NDArray[np.uint8]
"""``(rows, 32)``: one SHA-256 digest a row; ``(messages, rows, 32)`` where each row gives several."""

Bytes: TypeAlias = npt.NDArray[np.uint8]
Words: TypeAlias = npt.NDArray[np.uint32]

Messages: TypeAlias = npt.NDArray[np.int64]
"""``(messages, 3)``: the tag's address, its length, and the number of the column behind the message's last one."""


@inlined
def _write_length(at: int, length: int) -> int:
    at = write_decimal(at, length)
    store_byte(at, 58)
    return at + 1


@inlined
def _write_netstring(at: int, columns: ColumnTable, number: int, row: int) -> int:
    """Write the netstring of a value; hashes in hexadecimal, numbers in decimal, times in their form."""
    if is_null(columns, number, row):
        store_byte(at, 45)
        at += 1
    else:
        kind = columns[number, 0]
        if kind <= LARGE_TEXT:
            start, length = text_bounds(columns, number, row)
            at = write_text(_write_length(at, length), start, length)
        elif kind == BYTES32:
            at = write_hex(_write_length(at, 64), columns[number, 1] + 32 * row, 32)
        elif kind == BYTES16:
            at = write_hex(_write_length(at, 32), columns[number, 1] + 16 * row, 16)
        elif kind == TIME:
            at = write_time(_write_length(at, TIME_LENGTH), load_int64(columns[number, 1] + 8 * row))
        elif kind == INT64:
            value = load_int64(columns[number, 1] + 8 * row)
            at = write_decimal(_write_length(at, decimal_length(value)), value)
    store_byte(at, 44)
    return at + 1


@kernel
def _longest(columns: ColumnTable, first: int, after: int) -> int:
    """Return the bytes of all texts of the row that has most, of the rows from ``first`` on."""
    longest = 0
    for row in range(first, after):
        size = 0
        for number in range(len(columns)):
            kind = columns[number, 0]
            if kind <= LARGE_TEXT and not is_null(columns, number, row):
                size += text_bounds(columns, number, row)[1]
        longest = max(longest, size)
    return longest


@kernel
def _hash_rows(
    columns: ColumnTable,
    messages: Messages,
    first: int,
    after: int,
    scratch: Bytes,
    state: Words,
    out: Digests,
    native: bool,
) -> None:
    """Write SHA-256(tag, netstrings of its columns) of every message of the rows from ``first`` on to ``out``."""
    begin = scratch.ctypes.data
    for row in range(first, after):
        number = 0
        for which in range(len(messages)):
            at = write_text(begin, messages[which, 0], messages[which, 1])
            while number < messages[which, 2]:
                at = _write_netstring(at, columns, number, row)
                number += 1
            digest(begin, at - begin, state, out.ctypes.data + out.strides[0] * which + 32 * row, native)


@kernel
def _hash_prefixed(
    prefix: Bytes,
    values: Bytes,
    first: int,
    after: int,
    scratch: Bytes,
    state: Words,
    out: Digests,
    native: bool,
) -> None:
    """Write SHA-256(prefix, value) of the rows of ``values`` from ``first`` on to the rows of ``out``."""
    message, width = scratch.ctypes.data, values.shape[1]
    copy(message, prefix.ctypes.data, len(prefix))
    for row in range(first, after):
        copy(message + len(prefix), values.ctypes.data + width * row, width)
        digest(message, len(prefix) + width, state, out.ctypes.data + 32 * row, native)


def hash_rows(
    columns: ColumnTable, messages: Sequence[tuple[bytes, int]], rows: range, out: Digests, *, native: bool
) -> None:
    """Write SHA-256(tag, netstrings of its columns) of every message of these rows to ``out[message, row]``.

    ``messages`` are tags, each with the number of columns of its own; the first message has the first columns. Along
    its last two axes ``out`` is C-contiguous. Kernels work with addresses, so what they work in belongs to their
    callers.
    """
    first, after = rows.start, rows.stop
    tags = [_bytes(tag) for tag, _ in messages]  # kept until all is done
    ends = np.cumsum([count for _, count in messages])
    described = np.array([(t.ctypes.data, len(t), end) for t, end in zip(tags, ends, strict=True)], np.int64)
    size = _longest(columns, first, after) + max(map(len, tags)) + _FIXED * (len(columns) + 1)
    _hash_rows(columns, described, first, after, np.empty(size, np.uint8), np.empty(8, np.uint32), out, native)


def hash_prefixed(prefix: bytes, values: Bytes, rows: range, out: Digests, *, native: bool) -> None:
    """Write SHA-256(prefix, value) of these rows of ``values`` to the same rows of ``out``.

    Both arrays have two dimensions and are C-contiguous.
    """
    scratch = np.empty(len(prefix) + values.shape[1] + _FIXED, np.uint8)
    state = np.empty(8, np.uint32)
    _hash_prefixed(_bytes(prefix), values, rows.start, rows.stop, scratch, state, out, native)


def _bytes(data: bytes) -> Bytes:
    return np.frombuffer(data, np.uint8)
