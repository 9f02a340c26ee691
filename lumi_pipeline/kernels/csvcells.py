"""Cells of CSV (RFC 4180) found and copied by compiled loops, for files too large to go through in Python.

They take what is beyond doubt and stop at the first record that is not; who calls looks at that one more closely.
"""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from lumi_pipeline.kernels.compiling import kernel
from lumi_pipeline.kernels.csvmarks import COMMA, CR, LF, QUOTE, Data, Marks
from lumi_pipeline.kernels.fields import write_text
from lumi_pipeline.kernels.formula import MARK, is_formula
from lumi_pipeline.kernels.hexdigits import read_sixteen
from lumi_pipeline.kernels.memory import load_byte, load_int32, load_int64, store_byte, store_int32, store_int64

Places: TypeAlias = npt.NDArray[np.int32]
Values: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.uint8]

NULL, PLAIN, ESCAPED = 0, 1, 2
"""Kinds of cells: empty without quotes; the bytes as they stand; with doubled quotes in them."""

UUID_ROOM: Final = 48
"""The 32 digits of a UUID, and what they stand for."""

_NO_DAY: Final = -(1 << 62)


@kernel
def _doubled(start: int, stop: int) -> int:
    """Return how many quotes stand for others between these addresses, where all are doubled."""
    quotes = 0
    for place in range(start, stop):
        quotes += load_byte(place) == QUOTE
    return quotes // 2


@kernel
def split(
    data: int, marks: Marks, found: int, good: int, columns: int, starts: Places, sizes: Places, kinds: Flags
) -> tuple[int, int]:
    """Find the cells of as many whole, faultless records as there are and room is for.

    ``marks``, ``found`` and ``good`` are what :func:`~lumi_pipeline.kernels.csvmarks.find_marks` makes of the bytes at
    the address ``data``. ``starts``, ``sizes`` and ``kinds`` have a place for each cell, record by record: where its
    bytes begin, without quotes and mark, how many it has once doubled quotes are single, and what it is. Returns the
    number of records, and where the first byte behind them is.
    """
    begun, mark = 0, 0
    most = len(starts) // columns
    for record in range(most):
        if mark + columns >= found:
            return record, begun  # the last one goes on behind the end
        at = begun
        for cell in range(columns):
            stop = int(marks[mark + cell])
            if load_byte(data + stop) != (COMMA if cell + 1 < columns else CR):
                return record, begun
            start, end, doubled = data + at, data + stop, 0
            at = stop + 1
            kind = PLAIN if start < end else NULL
            if start < end and load_byte(start) == QUOTE:
                start, end = start + 1, end - 1
                doubled = _doubled(start, end)
                kind = ESCAPED if doubled else PLAIN
            if start < end and load_byte(start) == MARK:
                start += 1
                if not is_formula(start, end - start):
                    return record, begun
            elif is_formula(start, end - start):
                return record, begun
            place = record * columns + cell
            starts[place] = start - data
            sizes[place] = end - start - doubled
            kinds[place] = kind
        mark += columns
        if marks[mark] != at or load_byte(data + at) != LF or at >= good:
            return record, begun
        mark += 1
        begun = at + 1
    return most, begun


@kernel
def gather(data: int, starts: Places, sizes: Places, kinds: Flags, columns: Values, places: Values, out: Data) -> None:
    """Copy the cells of some columns to ``out``, those of a column one after the other from its place of ``places`` on.

    ``places`` are where each ends, afterwards. It goes by records, as one record's cells lie together.
    """
    records, width = kinds.shape
    base = out.ctypes.data
    for record in range(records):
        for number in range(len(columns)):
            cell = record * width + columns[number]
            source, size, at = data + starts[cell], int(sizes[cell]), base + places[number]
            if kinds[record, columns[number]] == ESCAPED:
                for place in range(at, at + size):
                    byte = load_byte(source)
                    store_byte(place, byte)
                    source += 1 + (byte == QUOTE)
            else:
                write_text(at, source, size)
            places[number] += size


@kernel
def read_numbers(data: int, starts: Places, sizes: Places, first: int, step: int, out: Values) -> bool:
    """Read one column of decimals below 2^63 without leading zeros; tell whether all are."""
    for row in range(len(out)):
        start, size = data + starts[first + row * step], sizes[first + row * step]
        if not 1 <= size <= 19 or (size > 1 and load_byte(start) == 48):
            return False
        value = np.uint64(0)
        for at in range(start, start + size):
            digit = int(load_byte(at)) - 48
            if not 0 <= digit <= 9:
                return False
            value = value * np.uint64(10) + np.uint64(digit)
        if value > np.uint64(0x7FFFFFFFFFFFFFFF):
            return False
        out[row] = np.int64(value)
    return True


@kernel
def _number(start: int, count: int) -> int:
    """Return some digits as a number, or -1 if one is none."""
    value, wrong = 0, False
    for at in range(start, start + count):
        digit = int(load_byte(at)) - 48
        wrong |= digit < 0 or digit > 9
        value = value * 10 + digit
    return -1 if wrong else value


@kernel
def _day_number(start: int) -> int:
    """Return the number since 1970 of a day (``YYYY-MM-DD``), or -2^62 if there is no such day.

    The reckoning of days is that of :mod:`lumi_pipeline.kernels.fields`.
    """
    year, month, day = _number(start, 4), _number(start + 5, 2), _number(start + 8, 2)
    if load_byte(start + 4) != 45 or load_byte(start + 7) != 45 or year < 1 or not 1 <= month <= 12 or day < 1:
        return _NO_DAY
    longest = 30 + ((month + (month > 7)) & 1)
    if month == 2:
        longest = 28 + (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0))
    if day > longest:
        return _NO_DAY
    shifted_year = year - (month <= 2)
    era, of_era = shifted_year // 400, shifted_year % 400
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


@kernel
def read_times(data: int, starts: Places, sizes: Places, first: int, step: int, out: Values) -> bool:
    """Read one column of times (``YYYY-MM-DDTHH:MM:SS.ffffffZ``) as microseconds since 1970; 0 for cells without bytes.

    Tells whether all are times that exist.
    """
    same, last = 0, 0  # the date of the row before, most often that of the next one too, as bytes
    days = _NO_DAY
    for row in range(len(out)):
        start, size = data + starts[first + row * step], sizes[first + row * step]
        if size == 0:
            out[row] = 0
            continue
        if size != 27:
            return False
        begin, end = load_int64(start), load_int64(start + 2)
        if begin != same or end != last:
            same, last = begin, end
            days = _day_number(start)
        hour, minute = _number(start + 11, 2), _number(start + 14, 2)
        second, fraction = _number(start + 17, 2), _number(start + 20, 6)
        if load_byte(start + 10) != 84 or load_byte(start + 13) != 58 or load_byte(start + 16) != 58:
            return False
        if load_byte(start + 19) != 46 or load_byte(start + 26) != 90 or days == _NO_DAY:
            return False
        if not 0 <= hour <= 23 or not 0 <= minute <= 59 or not 0 <= second <= 59 or fraction < 0:
            return False
        out[row] = (days * 86_400 + hour * 3600 + minute * 60 + second) * 1_000_000 + fraction
    return True


@kernel
def read_hex(data: int, starts: Places, sizes: Places, first: int, step: int, out: Data) -> bool:
    """Read one column of bytes in lower-case hexadecimal into rows of ``out``; cells without bytes stay as they are.

    Tells whether each has just as many digits as a row has place for: 16 bytes or a multiple.
    """
    width, target = out.shape[1], out.ctypes.data
    right = True
    for row in range(len(out)):
        start, size = data + starts[first + row * step], sizes[first + row * step]
        if size == 0:
            continue
        if size != 2 * width:
            return False
        for byte in range(0, width, 16):
            right &= read_sixteen(target + row * width + byte, start + 2 * byte)
    return right


@kernel
def are_uuids(data: int, starts: Places, sizes: Places, first: int, step: int, rows: int, digits: Data) -> bool:
    """Tell whether all cells of one column are UUIDs in lower case; ``digits`` are ``UUID_ROOM`` bytes to work in."""
    wrong, right = 0, True
    place = digits.ctypes.data
    for row in range(rows):
        start = data + starts[first + row * step]
        if sizes[first + row * step] != 36:
            return False
        for hyphen in (8, 13, 18, 23):
            wrong |= load_byte(start + hyphen) ^ 45
        store_int64(place, load_int64(start))
        store_int32(place + 8, load_int32(start + 9))
        store_int32(place + 12, load_int32(start + 14))
        store_int32(place + 16, load_int32(start + 19))
        store_int32(place + 20, load_int32(start + 24))
        store_int64(place + 24, load_int64(start + 28))
        right &= read_sixteen(place + 32, place)
    return wrong == 0 and right
