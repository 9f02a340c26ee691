"""Where cells of CSV end (RFC 4180), found 64 bytes at a time with one bit for each.

Quotes take turns: one opens, the next one closes, and a doubled one inside is one of each. So how many quotes there are
before a byte tells whether it lies inside, and neighbours tell whether each quote may stand where it does: one that
opens follows a comma, a line end or a quote, and behind one that closes comes a comma, a CR or a quote.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from lumi_pipeline.kernels.compiling import kernel
from lumi_pipeline.kernels.memory import lowest_bit, matching

Data: TypeAlias = npt.NDArray[np.uint8]
Marks: TypeAlias = npt.NDArray[np.int32]

COMMA, QUOTE, CR, LF = 44, 34, 13, 10
SLACK = 64
"""Bytes that have to be readable behind the data, whatever they are."""

_NONE, _ONE, _ALL = np.uint64(0), np.uint64(1), np.uint64(0xFFFFFFFFFFFFFFFF)
_TOP = np.uint64(63)


@kernel
def _inside(quotes: np.uint64) -> np.uint64:
    """Set the bits from each quote on to the one before the next: the parity of the quotes up to each."""
    for step in (1, 2, 4, 8, 16, 32):
        quotes ^= quotes << np.uint64(step)
    return quotes


@kernel
def find_marks(data: int, size: int, marks: Marks) -> tuple[int, int]:
    """Find the commas, CR and LF outside quotes, of ``size`` bytes at an address where a record begins.

    Writes their places to ``marks``, which has one for each byte. Returns how many they are, and the place of the first
    byte that can't stand where it does, or is NUL; ``size`` if there is none. Marks behind it mean nothing.
    """
    found = 0
    open_before = _NONE  # all bits if the byte before this block lies inside quotes
    free_before, close_before = _ONE, _NONE  # the lowest bit: what the byte before was
    for block in range(0, size, 64):
        at = data + block
        valid = _ALL if size - block >= 64 else (_ONE << np.uint64(size - block)) - _ONE
        quotes = matching(at, QUOTE) & valid
        inside = _inside(quotes) ^ open_before
        outside = valid & ~inside
        commas, returns, feeds = matching(at, COMMA) & outside, matching(at, CR) & outside, matching(at, LF) & outside
        opening, closing = quotes & inside, quotes & ~inside
        free = commas | feeds | quotes
        wrong = opening & ~((free << _ONE) | free_before)
        wrong |= ((closing << _ONE) | close_before) & ~(commas | returns | quotes) & valid
        wrong |= matching(at, 0) & valid
        bits = commas | returns | feeds
        while bits:
            marks[found] = block + lowest_bit(bits)
            found += 1
            bits &= bits - _ONE
        if wrong:
            return found, block + lowest_bit(wrong)
        open_before = _NONE - (inside >> _TOP)
        free_before, close_before = free >> _TOP, closing >> _TOP
    return found, size
