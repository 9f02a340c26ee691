"""JSON records of many events, straight from Arrow buffers (RFC 8259).

A program says what a record consists of: a row for each part, constants and values of columns in turn. All records are
measured first, then each is written where it belongs, so that threads share the rows and nothing is copied twice.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from lumi_pipeline.kernels.columns import ColumnTable
from lumi_pipeline.kernels.compiling import kernel
from lumi_pipeline.kernels.fields import (
    BYTES16,
    TIME_LENGTH,
    decimal_length,
    is_null,
    text_bounds,
    write_decimal,
    write_hex,
    write_time,
)
from lumi_pipeline.kernels.memory import copy, load_byte, load_int64, store_byte, store_int64
from lumi_pipeline.kernels.parts import Part, RecordPart

Program: TypeAlias = npt.NDArray[np.int64]
"""``(parts, 4)``: what to write (:class:`~lumi_pipeline.kernels.parts.Part`), the number of its column, and where its
constant begins and ends."""

Constants: TypeAlias = npt.NDArray[np.uint8]
Places: TypeAlias = npt.NDArray[np.int64]


_CONSTANT, _RAW, _STRING, _MEMBER, _NUMBER, _TIME, _MILLIS, _DIGITS, _DIGITS_MEMBER = map(int, Part)
_QUOTE: Final = 34

_ESCAPE: Final = np.zeros(256, np.uint8)
"""How a byte is escaped: not at all (0), by a backslash and this byte, or (1) in six bytes."""
_ESCAPE[:32] = 1
for _plain, _letter in zip(b'"\\\b\f\n\r\t', b'"\\bfnrt', strict=True):
    _ESCAPE[_plain] = _letter
_GROWTH: Final = np.where(_ESCAPE == 0, 0, np.where(_ESCAPE == 1, 5, 1)).astype(np.int64)
_ONES: Final = 0x0101010101010101
_SPACES: Final = 0x20 * _ONES
_QUOTES: Final = 0x22 * _ONES
_SLASHES: Final = 0x5C * _ONES
_HIGHEST: Final = -0x7F7F7F7F7F7F7F80
"""The highest bit of each of eight bytes, in a signed number."""
_HEX: Final = np.frombuffer(b"0123456789ABCDEF", np.uint8)
"""Capitals, as DuckDB writes them: the same events have to give the same bytes, whoever encodes them."""


@kernel
def _needs_escapes(eight: int) -> bool:
    """Tell whether any of eight bytes is a control character, a quote or a backslash.

    A byte's highest bit survives ``x - n & ~x`` if the byte is below n and has no such bit itself. A borrow from below
    may also leave it in a byte above, but only where the byte below is one of those, so the answer is right.
    """
    quotes, slashes = eight ^ _QUOTES, eight ^ _SLASHES
    found = ((eight - _SPACES) & ~eight) | ((quotes - _ONES) & ~quotes) | ((slashes - _ONES) & ~slashes)
    return (found & _HIGHEST) != 0


@kernel
def _escaped_length(start: int, length: int) -> int:
    """Return the bytes of a text with its escapes."""
    place, end = start, start + length
    while place < end:
        if end - place >= 8 and not _needs_escapes(load_int64(place)):
            place += 8
        else:
            for _ in range(min(8, end - place)):
                length += _GROWTH[load_byte(place)]
                place += 1
    return length


@kernel
def _write_escaped(at: int, start: int, length: int) -> int:
    place, end = start, start + length
    while place < end:
        if end - place >= 8:
            eight = load_int64(place)
            if not _needs_escapes(eight):
                store_int64(at, eight)
                at += 8
                place += 8
                continue
        for _ in range(min(8, end - place)):
            at = _write_byte(at, load_byte(place))
            place += 1
    return at


@kernel
def _write_byte(at: int, byte: int) -> int:
    letter = _ESCAPE[byte]
    if letter == 0:
        store_byte(at, byte)
        return at + 1
    store_byte(at, 92)
    if letter != 1:
        store_byte(at + 1, letter)
        return at + 2
    store_byte(at + 1, 117)
    store_byte(at + 2, 48)
    store_byte(at + 3, 48)
    store_byte(at + 4, _HEX[byte >> 4])
    store_byte(at + 5, _HEX[byte & 15])
    return at + 6


@kernel
def _write_null(at: int) -> int:
    store_byte(at, 110)
    store_byte(at + 1, 117)
    store_byte(at + 2, 108)
    store_byte(at + 3, 108)
    return at + 4


@kernel
def _part_length(program: Program, part: int, columns: ColumnTable, row: int) -> int:
    """Return the length of a part that is not the same in every record."""
    kind, number = program[part, 0], program[part, 1]
    constant = program[part, 3] - program[part, 2]
    length = 0
    if kind == _NUMBER:
        length = decimal_length(load_int64(columns[number, 1] + 8 * row))
    elif kind == _MILLIS:
        length = decimal_length(load_int64(columns[number, 1] + 8 * row) // 1000)
    elif is_null(columns, number, row):
        length = 4 if kind == _STRING or kind == _DIGITS else 0  # noqa: PLR1714, SIM109 - what numba compiles best
    elif kind == _DIGITS or kind == _DIGITS_MEMBER:  # noqa: PLR1714, SIM109
        length = constant + 2 + (32 if columns[number, 0] == BYTES16 else 64)
    else:
        start, length = text_bounds(columns, number, row)
        if kind != _RAW:
            length = 2 + _escaped_length(start, length)
        length += constant
    return length


@kernel
def _write_part(at: int, program: Program, part: int, constants: int, columns: ColumnTable, row: int) -> int:
    kind, number = program[part, 0], program[part, 1]
    constant, length = constants + program[part, 2], program[part, 3] - program[part, 2]
    if kind == _CONSTANT:
        copy(at, constant, length)
        at += length
    elif kind == _NUMBER:
        at = write_decimal(at, load_int64(columns[number, 1] + 8 * row))
    elif kind == _TIME:
        store_byte(at, _QUOTE)
        at = write_time(at + 1, load_int64(columns[number, 1] + 8 * row))
        store_byte(at, _QUOTE)
        at += 1
    elif kind == _MILLIS:
        at = write_decimal(at, load_int64(columns[number, 1] + 8 * row) // 1000)
    elif is_null(columns, number, row):
        if kind == _STRING or kind == _DIGITS:  # noqa: PLR1714, SIM109
            at = _write_null(at)
    else:
        copy(at, constant, length)
        at += length
        if kind == _RAW:
            start, size = text_bounds(columns, number, row)
            copy(at, start, size)
            return at + size
        store_byte(at, _QUOTE)
        if kind == _DIGITS or kind == _DIGITS_MEMBER:  # noqa: PLR1714, SIM109
            width = 16 if columns[number, 0] == BYTES16 else 32
            at = write_hex(at + 1, columns[number, 1] + width * row, width)
        else:
            start, size = text_bounds(columns, number, row)
            at = _write_escaped(at + 1, start, size)
        store_byte(at, _QUOTE)
        at += 1
    return at


@kernel
def measure(program: Program, fixed: int, columns: ColumnTable, first: int, after: int, lengths: Places) -> None:
    """Write the length of each record from number ``first`` on to ``lengths``; see :func:`varying`."""
    for row in range(first, after):
        length = fixed
        for part in range(len(program)):
            length += _part_length(program, part, columns, row)
        lengths[row] = length


@kernel
def write(
    program: Program,
    constants: Constants,
    columns: ColumnTable,
    first: int,
    after: int,
    places: Places,
    out: Constants,
) -> bool:
    """Write each record from number ``first`` on to its place in ``out``; tell whether each ended where it had to."""
    base = out.ctypes.data
    text = constants.ctypes.data
    right = True
    for row in range(first, after):
        at = base + places[row]
        for part in range(len(program)):
            at = _write_part(at, program, part, text, columns, row)
        right &= at == base + places[row + 1]
    return right


def varying(program: Program) -> tuple[Program, int]:
    """Return the parts of a program that differ in length from record to record, and the length of the others."""
    kinds = program[:, 0]
    constant = kinds == _CONSTANT
    fixed = int((program[constant, 3] - program[constant, 2]).sum()) + (TIME_LENGTH + 2) * int((kinds == _TIME).sum())
    return np.ascontiguousarray(program[~constant & (kinds != _TIME)]), fixed


def program_of(parts: Sequence[RecordPart]) -> tuple[Program, Constants]:
    """Return parts as the kernels want them: numbers, and all constants one after the other."""
    text = b"".join(part.constant for part in parts)
    ends = np.cumsum([len(part.constant) for part in parts])
    rows = [
        (part.part, part.column, end - len(part.constant), end) for part, end in zip(parts, ends.tolist(), strict=True)
    ]
    return np.array(rows, np.int64).reshape(-1, 4), np.frombuffer(text, np.uint8)
