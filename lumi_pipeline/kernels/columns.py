"""Columns of an Arrow record batch as addresses that kernels read from.

A kernel gets an int64 array with a row a column: its kind, the addresses of its values, offsets and validity bits,
the number of the first validity bit, and the address behind the values. The batch has to stay alive meanwhile.
"""

from enum import IntEnum
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

ColumnTable: TypeAlias = npt.NDArray[np.int64]
"""``(columns, 6)``: see :func:`column_table`."""

KIND, VALUES, OFFSETS, VALID, FIRST_BIT, END = range(6)


class Kind(IntEnum):
    """How the values of a column lie in memory; a time is microseconds since 1970 in 64 bits."""

    TEXT = 0
    LARGE_TEXT = 1
    INT64 = 2
    BYTES16 = 3
    BYTES32 = 4
    TIME = 5


_KINDS: Final[dict[pa.DataType, Kind]] = {
    pa.string(): Kind.TEXT,
    pa.large_string(): Kind.LARGE_TEXT,
    pa.int64(): Kind.INT64,
    pa.binary(16): Kind.BYTES16,
    pa.binary(32): Kind.BYTES32,
}


def column_table(batch: pa.RecordBatch) -> ColumnTable:
    """Describe every column: kind, address of values, of offsets, of validity bits (0: no nulls), first bit, end.

    Texts, 64-bit integers, timestamps in microseconds and 16 or 32 bytes; anything else is a TypeError.
    """
    return np.array([_described(column) for column in batch.columns], np.int64).reshape(-1, 6)


def _described(column: "pa.Array[Any]") -> tuple[int, int, int, int, int, int]:
    micros = pa.types.is_timestamp(column.type) and column.type.unit == "us"
    kind = Kind.TIME if micros else _KINDS.get(column.type)
    if kind is None:
        raise TypeError(f"kernels don't read columns of {column.type}")
    buffers, start = column.buffers(), column.offset
    valid = buffers[0].address if column.null_count and buffers[0] else 0
    if kind in {Kind.TEXT, Kind.LARGE_TEXT}:
        width = 4 if kind is Kind.TEXT else 8
        # An array of no rows may have no offsets, one of empty texts no values: then neither is looked at.
        offsets = buffers[1].address + width * start if buffers[1] else 0
        values, size = (buffers[2].address, buffers[2].size) if buffers[2] else (0, 0)
        return kind, values, offsets, valid, start, values + size
    width = {Kind.INT64: 8, Kind.TIME: 8, Kind.BYTES16: 16, Kind.BYTES32: 32}[kind]
    values = buffers[1].address + width * start if buffers[1] else 0
    return kind, values, 0, valid, start, values + width * len(column)
