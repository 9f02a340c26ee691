"""Lengths of the JSON records that jsonrecords.py writes. What a part is gets decided once for all rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from lumi_pipeline.kernels.columns import ColumnTable
from lumi_pipeline.kernels.compiling import inlined, kernel
from lumi_pipeline.kernels.escaping import escaped_length
from lumi_pipeline.kernels.fields import BYTES16, TIME_LENGTH, decimal_length, is_null, text_bounds
from lumi_pipeline.kernels.jsonrecords import Numbers, Program
from lumi_pipeline.kernels.memory import load_int64
from lumi_pipeline.kernels.parts import AnyPart, Choice, Part, RecordPart

_RAW: Final = int(Part.RAW)
_STRING: Final = int(Part.STRING)
_NUMBER: Final = int(Part.NUMBER)
_MILLIS: Final = int(Part.MILLIS)
_DIGITS: Final = int(Part.DIGITS)
_DIGITS_MEMBER: Final = int(Part.DIGITS_MEMBER)


@dataclass(frozen=True, slots=True)
class Lengths:
    """What lengths depend on: so many bytes in every row, and parts: what each is, its column, its constant's length.

    Of a choice each branch says the same for the rows that take it.
    """

    fixed: int
    varying: Program
    choices: "tuple[tuple[int, tuple[Lengths, ...]], ...]"

    @property
    def constant(self) -> bool:
        """Whether they are the same in every row."""
        return not len(self.varying) and not self.choices


def lengths_of(parts: Sequence[AnyPart]) -> Lengths:
    """Return what the length of records of these parts depends on."""
    single = [part for part in parts if isinstance(part, RecordPart)]
    times = [part for part in single if part.part is Part.TIME]
    constants = [part for part in single if part.part is Part.CONSTANT]
    fixed = sum(len(part.constant) for part in constants) + (TIME_LENGTH + 2) * len(times)
    rows = [(p.part, p.column, len(p.constant)) for p in single if p.part not in {Part.CONSTANT, Part.TIME}]
    choices = [
        (part.column, tuple(lengths_of(branch) for branch in part.branches))
        for part in parts
        if isinstance(part, Choice)
    ]
    return Lengths(fixed, np.array(rows, np.int64).reshape(-1, 3), tuple(choices))


def add_lengths(
    measured: Lengths, batch: pa.RecordBatch, columns: ColumnTable, rows: Numbers, lengths: Numbers
) -> None:
    """Add to ``lengths`` what these rows of a batch have; ``columns`` are the batch's, and hold no null in a choice."""
    measure(measured.varying, measured.fixed, columns, rows, lengths)
    for column, branches in measured.choices:
        chosen = np.asarray(batch.column(column).to_numpy(), np.int64)[rows]
        lengths[rows] += np.array([branch.fixed if branch.constant else 0 for branch in branches], np.int64)[chosen]
        for number, branch in enumerate(branches):
            if not branch.constant:
                add_lengths(branch, batch, columns, rows[chosen == number], lengths)


@kernel
def measure(varying: Program, fixed: int, columns: ColumnTable, rows: Numbers, lengths: Numbers) -> None:
    """Add to the lengths of some rows what is in :class:`Lengths` besides choices."""
    for row in rows:
        lengths[row] += fixed
    for part in range(len(varying)):
        kind, number, constant = varying[part, 0], varying[part, 1], varying[part, 2]
        null = 4 if kind == _STRING or kind == _DIGITS else 0  # noqa: PLR1714, SIM109 - what numba compiles best
        if kind == _NUMBER:
            for row in rows:
                lengths[row] += decimal_length(load_int64(columns[number, 1] + 8 * row))
        elif kind == _MILLIS:
            for row in rows:
                lengths[row] += decimal_length(load_int64(columns[number, 1] + 8 * row) // 1000)
        elif kind == _DIGITS or kind == _DIGITS_MEMBER:  # noqa: PLR1714, SIM109
            digits = constant + 2 + (32 if columns[number, 0] == BYTES16 else 64)
            for row in rows:
                lengths[row] += null if is_null(columns, number, row) else digits
        else:
            for row in rows:
                lengths[row] += (
                    null if is_null(columns, number, row) else constant + _text_length(kind, columns, number, row)
                )


@inlined
def _text_length(kind: int, columns: ColumnTable, number: int, row: int) -> int:
    start, length = text_bounds(columns, number, row)
    return length if kind == _RAW else 2 + escaped_length(start, length, columns[number, 5])
