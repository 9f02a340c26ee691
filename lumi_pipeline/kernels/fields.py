"""Values of Arrow columns as the text that is hashed or sent, written into memory, for kernels.

Every function that writes returns the address behind what it wrote. Columns are those of
:func:`~lumi_pipeline.kernels.columns.column_table`.
"""

from typing import Final

import numpy as np

from lumi_pipeline.kernels.columns import ColumnTable, Kind
from lumi_pipeline.kernels.compiling import inlined, kernel
from lumi_pipeline.kernels.hexdigits import write_sixteen
from lumi_pipeline.kernels.memory import (
    copy,
    load_byte,
    load_int32,
    load_int64,
    store_byte,
    store_int32,
    store_int64,
    store_pair,
)

_SECOND: Final = 1_000_000
_DAY: Final = 86_400

TEXT: Final = int(Kind.TEXT)
LARGE_TEXT: Final = int(Kind.LARGE_TEXT)
INT64: Final = int(Kind.INT64)
BYTES16: Final = int(Kind.BYTES16)
BYTES32: Final = int(Kind.BYTES32)
TIME: Final = int(Kind.TIME)

TIME_LENGTH: Final = 27
"""Bytes of ``YYYY-MM-DDTHH:MM:SS.ffffffZ``."""


_PAIRS: Final = np.frombuffer(b"".join(b"%02d" % number for number in range(100)), np.uint16)
"""The two digits of every number below 100, as they lie in memory."""


@inlined
def is_null(columns: ColumnTable, number: int, row: int) -> bool:
    """Tell whether column ``number`` has no value in that row."""
    if columns[number, 3] == 0:
        return False
    bit = columns[number, 4] + row
    valid: bool = (load_byte(columns[number, 3] + (bit >> 3)) >> (bit & 7)) & 1 == 1
    return not valid


@inlined
def text_bounds(columns: ColumnTable, number: int, row: int) -> tuple[int, int]:
    """Return the address and the length of a text."""
    if columns[number, 0] == TEXT:
        start, end = load_int32(columns[number, 2] + 4 * row), load_int32(columns[number, 2] + 4 * row + 4)
        return columns[number, 1] + start, end - start
    first, after = load_int64(columns[number, 2] + 8 * row), load_int64(columns[number, 2] + 8 * row + 8)
    return columns[number, 1] + first, after - first


@inlined
def write_text(at: int, start: int, length: int) -> int:
    """Write so many bytes as they are; most texts are so short that a call to copy them takes longer than copying."""
    if length > 16:
        copy(at, start, length)
    elif length >= 8:
        store_int64(at, load_int64(start))
        store_int64(at + length - 8, load_int64(start + length - 8))
    elif length >= 4:
        store_int32(at, load_int32(start))
        store_int32(at + length - 4, load_int32(start + length - 4))
    else:
        for place in range(length):
            store_byte(at + place, load_byte(start + place))
    return at + length


@kernel
def _digits(value: int) -> int:
    """Return how many decimal digits a number has that is not negative."""
    count = 1
    while value >= 10:
        value //= 10
        count += 1
    return count


@kernel
def decimal_length(value: int) -> int:
    """Return how many characters a number has in decimal."""
    if value >= 0:
        return _digits(value)
    others = value // -10  # -2^63 has no opposite, so the last digit goes apart from the others
    return 2 + _digits(others) if others else 2


@kernel
def _write_digits(at: int, value: int, count: int) -> None:
    for place in range(count - 1, -1, -1):
        store_byte(at + place, 48 + value % 10)
        value //= 10


@inlined
def write_decimal(at: int, value: int) -> int:
    """Write a number in decimal."""
    if 0 <= value < 10:
        store_byte(at, 48 + value)
        return at + 1
    if 0 <= value < 100:
        store_pair(at, _PAIRS[value])
        return at + 2
    length = decimal_length(value)
    if value >= 0:
        _write_digits(at, value, length)
    else:
        store_byte(at, 45)
        _write_digits(at + 1, value // -10, length - 2)
        store_byte(at + length - 1, 48 - value % -10)
    return at + length


@inlined
def write_hex(at: int, values: int, count: int) -> int:
    """Write that many bytes, 16 or a multiple, in lower-case hexadecimal digits."""
    for i in range(0, count, 16):
        write_sixteen(at + 2 * i, values + i)
    return at + 2 * count


@inlined
def write_time(at: int, micros: int) -> int:
    """Write microseconds since 1970 as ``YYYY-MM-DDTHH:MM:SS.ffffffZ``: the years 1 to 9999.

    The date is that of the proleptic Gregorian calendar, reckoned in years that begin with March, so that a leap day
    is the last of its year, and in eras of 400 years, which all have 146,097 days.
    """
    seconds, fraction = micros // _SECOND, micros % _SECOND
    days, second = seconds // _DAY, seconds % _DAY
    days += 719_468  # from 1 March of the year 0
    era, of_era = days // 146_097, days % 146_097
    year_of_era = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * of_year + 2) // 153
    day = of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + 400 * era + (month <= 2)
    store_pair(at, _PAIRS[year // 100])
    store_pair(at + 2, _PAIRS[year % 100])
    store_byte(at + 4, 45)
    store_pair(at + 5, _PAIRS[month])
    store_byte(at + 7, 45)
    store_pair(at + 8, _PAIRS[day])
    store_byte(at + 10, 84)
    store_pair(at + 11, _PAIRS[second // 3600])
    store_byte(at + 13, 58)
    store_pair(at + 14, _PAIRS[second // 60 % 60])
    store_byte(at + 16, 58)
    store_pair(at + 17, _PAIRS[second % 60])
    store_byte(at + 19, 46)
    store_pair(at + 20, _PAIRS[fraction // 10_000])
    store_pair(at + 22, _PAIRS[fraction // 100 % 100])
    store_pair(at + 24, _PAIRS[fraction % 100])
    store_byte(at + 26, 90)
    return at + TIME_LENGTH
