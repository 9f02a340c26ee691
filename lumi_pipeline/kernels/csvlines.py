"""Records of ``events.csv`` of many events, straight from Arrow buffers (docs/formats.md section 9).

One pass over the rows: the most that they could take is reckoned first, then they are written one after the other, and
what is left of the room is cut off. Kernels don't hold Python's lock, so threads share the rows.
"""

from typing import Final

import numpy as np

from lumi_pipeline.kernels.columns import ColumnTable
from lumi_pipeline.kernels.compiling import kernel
from lumi_pipeline.kernels.fields import (
    BYTES16,
    BYTES32,
    INT64,
    LARGE_TEXT,
    TIME,
    is_null,
    text_bounds,
    write_decimal,
    write_hex,
    write_text,
    write_time,
)
from lumi_pipeline.kernels.formula import MARK, is_formula
from lumi_pipeline.kernels.memory import load_byte, load_int64, store_byte

_COMMA, _QUOTE, _CR, _LF = 44, 34, 13, 10
_APART: Final = np.zeros(256, np.bool_)
"""What a cell that isn't in quotes can't hold."""
_APART[[_COMMA, _QUOTE, _CR, _LF]] = True
_ONES: Final = 0x0101010101010101
_COMMAS, _QUOTES, _CRS, _LFS = (byte * _ONES for byte in (_COMMA, _QUOTE, _CR, _LF))
_HIGHEST: Final = -0x7F7F7F7F7F7F7F80
"""The highest bit of each of eight bytes, in a signed number."""
_TEXT_MORE: Final = 4
"""Bytes that a cell has besides its text, with the comma or a byte of the line end behind it."""
_VALUE_MOST: Final = 65
"""Bytes that any other cell has at most, with that."""


@kernel
def _is_apart(eight: int) -> bool:
    """Tell whether any of eight bytes is in ``_APART``.

    ``x - 1 & ~x`` keeps the highest bit of a byte that is zero. A borrow may leave it in a byte above one that is zero,
    so the answer is right.
    """
    commas, quotes, crs, lfs = eight ^ _COMMAS, eight ^ _QUOTES, eight ^ _CRS, eight ^ _LFS
    found = ((commas - _ONES) & ~commas) | ((quotes - _ONES) & ~quotes)
    found |= ((crs - _ONES) & ~crs) | ((lfs - _ONES) & ~lfs)
    return (found & _HIGHEST) != 0


@kernel
def _needs_quotes(start: int, length: int) -> bool:
    at, end = start, start + length
    while end - at >= 8:
        if _is_apart(load_int64(at)):
            return True
        at += 8
    if at < end and length >= 8:
        return _is_apart(load_int64(end - 8))
    while at < end:
        if _APART[load_byte(at)]:
            return True
        at += 1
    return False


@kernel
def _write_text(at: int, start: int, length: int) -> int:
    quoted = length == 0 or _needs_quotes(start, length)
    if quoted:
        store_byte(at, _QUOTE)
        at += 1
    if is_formula(start, length):
        store_byte(at, MARK)
        at += 1
    if not quoted:
        return write_text(at, start, length)
    for place in range(start, start + length):
        byte = load_byte(place)
        store_byte(at, byte)
        store_byte(at + 1, _QUOTE)  # stays where the byte was one, else it is written over
        at += 1 + (byte == _QUOTE)
    store_byte(at, _QUOTE)
    return at + 1


@kernel
def _write_cell(at: int, columns: ColumnTable, number: int, row: int) -> int:
    if is_null(columns, number, row):
        return at
    kind, values = columns[number, 0], columns[number, 1]
    if kind <= LARGE_TEXT:
        start, length = text_bounds(columns, number, row)
        at = _write_text(at, start, length)
    elif kind == BYTES32:
        at = write_hex(at, values + 32 * row, 32)
    elif kind == BYTES16:
        at = write_hex(at, values + 16 * row, 16)
    elif kind == TIME:
        at = write_time(at, load_int64(values + 8 * row))
    elif kind == INT64:
        at = write_decimal(at, load_int64(values + 8 * row))
    return at


@kernel
def _most(columns: ColumnTable, first: int, after: int) -> int:
    """Return the bytes that records can't have more than: a text may consist of quotes only, which are doubled."""
    most = after - first  # a line end has two bytes
    for number in range(len(columns)):
        if columns[number, 0] > LARGE_TEXT:
            most += (after - first) * _VALUE_MOST
        elif after > first:
            begin, _ = text_bounds(columns, number, first)
            last, length = text_bounds(columns, number, after - 1)
            most += (after - first) * _TEXT_MORE + 2 * (last + length - begin)
    return most


@kernel
def _write(columns: ColumnTable, first: int, after: int, out: int) -> int:
    at = out
    for row in range(first, after):
        for number in range(len(columns)):
            at = _write_cell(at, columns, number, row)
            store_byte(at, _COMMA)
            at += 1
        store_byte(at - 1, _CR)
        store_byte(at, _LF)
        at += 1
    return at - out


def lines(columns: ColumnTable, rows: range) -> memoryview:
    """Return the records of these rows of Arrow columns, with a cell for each column."""
    out = np.empty(_most(columns, rows.start, rows.stop), np.uint8)
    return out[: _write(columns, rows.start, rows.stop, out.ctypes.data)].data
