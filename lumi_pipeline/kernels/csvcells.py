"""Cells of CSV (RFC 4180) found and copied by compiled loops, for files too large to go through in Python.

They take what is beyond doubt and stop at the first record that is not; who calls looks at that one more closely.
"""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from lumi_pipeline.kernels.compiling import kernel
from lumi_pipeline.kernels.formula import MARK, is_formula

Data: TypeAlias = npt.NDArray[np.uint8]
Places: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.uint8]

NULL, PLAIN, ESCAPED = 0, 1, 2
"""Kinds of cells: empty without quotes; the bytes as they stand; with doubled quotes in them."""

_COMMA, _QUOTE, _CR, _LF = 44, 34, 13, 10
_DIGITS: Final = np.full(256, 255, np.uint8)
"""Values of lower-case hexadecimal digits."""
_DIGITS[list(b"0123456789abcdef")] = np.arange(16)


@kernel
def mark(data: Data, marks: Flags) -> None:
    """Set ``marks`` to 1 where there is a comma, a quote, CR, LF or NUL: all that :func:`split` looks at."""
    for at in range(len(data)):
        byte = data[at]
        marks[at] = (byte == _COMMA) | (byte == _QUOTE) | (byte == _CR) | (byte == _LF) | (byte == 0)


@kernel
def split(  # noqa: C901, PLR0912, PLR0915 - one loop over the cells
    data: Data, marked: Places, columns: int, starts: Places, sizes: Places, kinds: Flags
) -> tuple[int, int]:
    """Find the cells of as many whole, faultless records as there are and room is for.

    ``marked`` are the places that :func:`mark` marks. ``starts``, ``sizes`` and ``kinds`` have a place for each cell,
    record by record: where its bytes begin, without quotes and mark, how many it has once doubled quotes are single,
    and what it is. Returns the number of records, and where the first byte behind them is.
    """
    end, signs, base = len(data), len(marked), data.ctypes.data
    at, cell, records, begun, sign = 0, 0, 0, 0, 0  # the next of the marked places is marked[sign], at or after ``at``
    most = len(starts) // columns
    while at < end and records < most:
        quoted = data[at] == _QUOTE
        start, doubled = at, 0
        if quoted:
            start += 1
            sign += 1
            while sign < signs and data[marked[sign]] != 0:
                if data[marked[sign]] != _QUOTE:
                    sign += 1
                elif sign + 1 < signs and marked[sign + 1] == marked[sign] + 1 and data[marked[sign + 1]] == _QUOTE:
                    doubled += 1
                    sign += 2
                else:
                    break
            if sign == signs:
                break  # the quotes are not closed yet
            stop = marked[sign]
            if data[stop] != _QUOTE:
                break
            at = stop + 1
            sign += 1
        else:
            if sign == signs:
                break
            stop = at = marked[sign]
        if at + 1 >= end and not (at < end and data[at] == _COMMA):
            break  # the record goes on behind the end, or is cut off
        last = data[at] == _CR and data[at + 1] == _LF
        if not last and data[at] != _COMMA:
            break
        sign += 2 if last else 1
        place = records * columns + cell
        if start < stop and data[start] == MARK:
            if not is_formula(base + start + 1, stop - start - 1):
                break
            start += 1
        elif is_formula(base + start, stop - start):
            break
        starts[place] = start
        sizes[place] = stop - start - doubled
        kinds[place] = ESCAPED if doubled else PLAIN if quoted or stop > start else NULL
        cell += 1
        at += 2 if last else 1
        if last:
            if cell != columns:
                break
            records += 1
            cell = 0
            begun = at
        elif cell == columns:
            break
    return records, begun


@kernel
def gather(data: Data, starts: Places, sizes: Places, kinds: Flags, columns: Places, places: Places, out: Data) -> None:
    """Copy the cells of some columns to ``out``, those of a column one after the other from its place of ``places`` on.

    ``places`` are where each ends, afterwards. It goes by records, as one record's cells lie together.
    """
    records, width = kinds.shape
    for record in range(records):
        for number in range(len(columns)):
            cell = record * width + columns[number]
            source, size, at = starts[cell], sizes[cell], places[number]
            if kinds[record, columns[number]] == ESCAPED:
                for byte in range(at, at + size):
                    out[byte] = data[source]
                    source += 2 if data[source] == _QUOTE else 1
            else:
                for byte in range(size):
                    out[at + byte] = data[source + byte]
            places[number] = at + size


@kernel
def read_numbers(data: Data, starts: Places, sizes: Places, first: int, step: int, out: Places) -> bool:
    """Read one column of decimals below 2^63 without leading zeros; tell whether all are."""
    for row in range(len(out)):
        start, size = starts[first + row * step], sizes[first + row * step]
        if not 1 <= size <= 19 or (size > 1 and data[start] == 48):
            return False
        value = np.uint64(0)
        for at in range(start, start + size):
            digit = data[at] - 48
            if not 0 <= digit <= 9:
                return False
            value = value * np.uint64(10) + np.uint64(digit)
        if value > np.uint64(0x7FFFFFFFFFFFFFFF):
            return False
        out[row] = np.int64(value)
    return True


@kernel
def _number(data: Data, start: int, count: int) -> int:
    """Return some digits as a number, or -1 if one is none."""
    value = 0
    for at in range(start, start + count):
        digit = data[at] - 48
        if not 0 <= digit <= 9:
            return -1
        value = value * 10 + digit
    return value


@kernel
def read_times(data: Data, starts: Places, sizes: Places, first: int, step: int, out: Places) -> bool:
    """Read one column of times (``YYYY-MM-DDTHH:MM:SS.ffffffZ``) as microseconds since 1970; 0 for cells without bytes.

    Tells whether all are times that exist. The reckoning of days is that of :mod:`lumi_pipeline.kernels.fields`.
    """
    for row in range(len(out)):
        start, size = starts[first + row * step], sizes[first + row * step]
        if size == 0:
            out[row] = 0
            continue
        if size != 27 or data[start + 4] != 45 or data[start + 7] != 45 or data[start + 10] != 84:
            return False
        if data[start + 13] != 58 or data[start + 16] != 58 or data[start + 19] != 46 or data[start + 26] != 90:
            return False
        year, month, day = _number(data, start, 4), _number(data, start + 5, 2), _number(data, start + 8, 2)
        hour, minute = _number(data, start + 11, 2), _number(data, start + 14, 2)
        second, fraction = _number(data, start + 17, 2), _number(data, start + 20, 6)
        if year < 1 or not 1 <= month <= 12 or not 0 <= hour <= 23 or not 0 <= minute <= 59:
            return False
        if not 0 <= second <= 59 or fraction < 0 or day < 1:
            return False
        longest = 30 + ((month + (month > 7)) & 1)
        if month == 2:
            longest = 28 + (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0))
        if day > longest:
            return False
        shifted_year = year - (month <= 2)
        era, of_era = shifted_year // 400, shifted_year % 400
        of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
        days = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
        out[row] = (days * 86_400 + hour * 3600 + minute * 60 + second) * 1_000_000 + fraction
    return True


@kernel
def read_hex(data: Data, starts: Places, sizes: Places, first: int, step: int, out: Data) -> bool:
    """Read one column of bytes in lower-case hexadecimal into rows of ``out``; cells without bytes stay as they are.

    Tells whether each has just as many digits as a row has place for.
    """
    width = out.shape[1]
    for row in range(len(out)):
        start, size = starts[first + row * step], sizes[first + row * step]
        if size == 0:
            continue
        if size != 2 * width:
            return False
        wrong = np.uint8(0)
        for byte in range(width):
            high, low = _DIGITS[data[start + 2 * byte]], _DIGITS[data[start + 2 * byte + 1]]
            wrong |= high | low
            out[row, byte] = (high << np.uint8(4)) | low
        if wrong > 15:
            return False
    return True


@kernel
def are_uuids(data: Data, starts: Places, sizes: Places, first: int, step: int, rows: int) -> bool:
    """Tell whether all cells of one column are UUIDs in lower case."""
    for row in range(rows):
        start = starts[first + row * step]
        if sizes[first + row * step] != 36:
            return False
        wrong = np.uint8(0)
        for at in range(36):
            if at == 8 or at == 13 or at == 18 or at == 23:  # noqa: PLR1714 - compiled
                wrong |= np.uint8(data[start + at] != 45) << np.uint8(7)
            else:
                wrong |= _DIGITS[data[start + at]]
        if wrong > 15:
            return False
    return True
