"""JSON records of many events, straight from Arrow buffers (RFC 8259).

A program says what a record consists of: a row for each part, constants and values of columns in turn. All records are
measured first, then each is written where it belongs, so that threads share the rows and nothing is copied twice.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from lumi_pipeline.kernels.columns import ColumnTable
from lumi_pipeline.kernels.compiling import inlined, kernel
from lumi_pipeline.kernels.escaping import escaped_length, write_escaped
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
from lumi_pipeline.kernels.memory import copy, copy_block, load_int64, store_byte
from lumi_pipeline.kernels.parts import BLOCK, Part, RecordPart

Program: TypeAlias = npt.NDArray[np.int64]
"""``(parts, 4)``: what to write (:class:`~lumi_pipeline.kernels.parts.Part`), the number of its column, and where its
constant begins and ends."""

Constants: TypeAlias = npt.NDArray[np.uint8]
Places: TypeAlias = npt.NDArray[np.int64]


_CONSTANT, _RAW, _STRING, _MEMBER, _NUMBER, _TIME, _MILLIS, _DIGITS, _DIGITS_MEMBER = map(int, Part)
_QUOTE: Final = 34


@inlined
def _write_constant(at: int, constant: int, length: int) -> int:
    """Write whole blocks: what is too much is overwritten by what follows."""
    for done in range(0, length, BLOCK):
        copy_block(at + done, constant + done)
    return at + length


@kernel
def _write_null(at: int) -> int:
    store_byte(at, 110)
    store_byte(at + 1, 117)
    store_byte(at + 2, 108)
    store_byte(at + 3, 108)
    return at + 4


@kernel
def measure(program: Program, fixed: int, columns: ColumnTable, first: int, after: int, lengths: Places) -> None:
    """Write the length of each record from number ``first`` on to ``lengths``; see :func:`varying`.

    Part by part, so that what a part is gets decided once for all rows.
    """
    lengths[first:after] = fixed
    for part in range(len(program)):
        kind, number = program[part, 0], program[part, 1]
        constant = program[part, 3] - program[part, 2]
        null = 4 if kind == _STRING or kind == _DIGITS else 0  # noqa: PLR1714, SIM109 - what numba compiles best
        if kind == _NUMBER:
            for row in range(first, after):
                lengths[row] += decimal_length(load_int64(columns[number, 1] + 8 * row))
        elif kind == _MILLIS:
            for row in range(first, after):
                lengths[row] += decimal_length(load_int64(columns[number, 1] + 8 * row) // 1000)
        elif kind == _DIGITS or kind == _DIGITS_MEMBER:  # noqa: PLR1714, SIM109
            digits = constant + 2 + (32 if columns[number, 0] == BYTES16 else 64)
            for row in range(first, after):
                lengths[row] += null if is_null(columns, number, row) else digits
        else:
            for row in range(first, after):
                lengths[row] += (
                    null if is_null(columns, number, row) else constant + _text_length(kind, columns, number, row)
                )


@inlined
def _text_length(kind: int, columns: ColumnTable, number: int, row: int) -> int:
    start, length = text_bounds(columns, number, row)
    return length if kind == _RAW else 2 + escaped_length(start, length, columns[number, 5])


@kernel
def write(
    program: Program,
    constants: Constants,
    columns: ColumnTable,
    first: int,
    places: Places,
    out: Constants,
) -> bool:
    """Write records from number ``first`` on to their places in ``out``; tell whether each ended where it had to.

    The last of ``places`` is where the last record ends, and where there has to be room for a block, which is
    overwritten.
    """
    base = out.ctypes.data
    text = constants.ctypes.data
    right = True
    for record in range(len(places) - 1):
        row = first + record
        at = base + places[record]
        for part in range(len(program)):
            kind, number = program[part, 0], program[part, 1]
            constant, length = text + program[part, 2], program[part, 3] - program[part, 2]
            if kind == _CONSTANT:
                at = _write_constant(at, constant, length)
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
                at = _write_constant(at, constant, length)
                if kind == _RAW:
                    start, size = text_bounds(columns, number, row)
                    copy(at, start, size)
                    at += size
                else:
                    store_byte(at, _QUOTE)
                    if kind == _DIGITS or kind == _DIGITS_MEMBER:  # noqa: PLR1714, SIM109
                        width = 16 if columns[number, 0] == BYTES16 else 32
                        at = write_hex(at + 1, columns[number, 1] + width * row, width)
                    else:
                        start, size = text_bounds(columns, number, row)
                        at = write_escaped(at + 1, start, size, columns[number, 5])
                    store_byte(at, _QUOTE)
                    at += 1
        right &= at == base + places[record + 1]
    return right


def varying(program: Program) -> tuple[Program, int]:
    """Return the parts of a program that differ in length from record to record, and the length of the others."""
    kinds = program[:, 0]
    constant = kinds == _CONSTANT
    fixed = int((program[constant, 3] - program[constant, 2]).sum()) + (TIME_LENGTH + 2) * int((kinds == _TIME).sum())
    return np.ascontiguousarray(program[~constant & (kinds != _TIME)]), fixed


def program_of(parts: Sequence[RecordPart]) -> tuple[Program, Constants]:
    """Return parts as the kernels want them: numbers, and all constants one after the other, and a block's room."""
    text = b"".join(part.constant for part in parts) + bytes(BLOCK)
    ends = np.cumsum([len(part.constant) for part in parts])
    rows = [
        (part.part, part.column, end - len(part.constant), end) for part, end in zip(parts, ends.tolist(), strict=True)
    ]
    return np.array(rows, np.int64).reshape(-1, 4), np.frombuffer(text, np.uint8)
