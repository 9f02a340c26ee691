"""JSON records of many events, straight from Arrow buffers (RFC 8259).

A program says what a record consists of: a row for each part, constants and values of columns in turn. All records are
measured first (jsonlengths.py), then each is written where it belongs, so that threads share the rows and nothing is
copied twice.
"""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from lumi_pipeline.kernels.columns import ColumnTable
from lumi_pipeline.kernels.compiling import inlined, kernel
from lumi_pipeline.kernels.escaping import write_escaped
from lumi_pipeline.kernels.fields import (
    BYTES16,
    is_null,
    text_bounds,
    write_decimal,
    write_hex,
    write_time,
)
from lumi_pipeline.kernels.memory import copy, copy_block, load_int64, store_byte
from lumi_pipeline.kernels.parts import BLOCK, AnyPart, Choice, Part

Program: TypeAlias = npt.NDArray[np.int64]
"""``(parts, 5)``: what to write (:class:`~lumi_pipeline.kernels.parts.Part`), the number of its column, where its
constant begins and ends, and the number of the part that follows, -1 behind the last; the last row is the first part.

A choice is a part too: in the place of its constant it has where its branches begin among the program's branches, each
of which is the number of a part.
"""

Bytes: TypeAlias = npt.NDArray[np.uint8]
Numbers: TypeAlias = npt.NDArray[np.int64]

_CONSTANT, _RAW, _STRING, _MEMBER, _NUMBER, _TIME, _MILLIS, _DIGITS, _DIGITS_MEMBER = map(int, Part)
_CHOICE: Final = len(Part)
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
def write(
    program: Program,
    branches: Numbers,
    constants: Bytes,
    columns: ColumnTable,
    first: int,
    places: Numbers,
    out: Bytes,
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
        part = len(program) - 1
        while part >= 0:
            kind, number = program[part, 0], program[part, 1]
            if kind == _CHOICE:
                part = branches[program[part, 2] + load_int64(columns[number, 1] + 8 * row)]
                continue
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
            part = program[part, 4]
        right &= at == base + places[record + 1]
    return right


def program_of(parts: Sequence[AnyPart]) -> tuple[Program, Numbers, Bytes]:
    """Return parts as the kernel wants them: the program, its branches, and all constants, with a block's room."""
    rows: list[tuple[int, ...]] = []
    branches: list[int] = []
    text = bytearray()

    def lay(parts: Sequence[AnyPart], after: int) -> int:
        """Lay down parts before the one with that number, the last first; return the number of the first."""
        for part in reversed(parts):
            if isinstance(part, Choice):
                begins = [lay(branch, after) for branch in part.branches]
                rows.append((_CHOICE, part.column, len(branches), 0, after))
                branches.extend(begins)
            else:
                rows.append((part.part, part.column, len(text), len(text) + len(part.constant), after))
                text.extend(part.constant)
            after = len(rows) - 1
        return after

    lay(parts, -1)
    program = np.array(rows, np.int64).reshape(-1, 5)
    return program, np.array(branches, np.int64), np.frombuffer(bytes(text) + bytes(BLOCK), np.uint8)
