"""Reading records of ``events.csv`` one by one, with every rule of its form (docs/formats.md section 9).

This is the reader that knows why something is refused. What is beyond doubt is read by compiled loops instead
(csvblocks.py), which give the same rows.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from lumi_pipeline.events import (
    ACTION_SYNTAX,
    ACTOR_TYPES,
    COLUMNS,
    EVENT_ID_SYNTAX,
    MAX_EVENT_BYTES,
    MAX_TEXT_BYTES,
    NULLABLE_COLUMNS,
    OUTCOMES,
    TENANT_ID_SYNTAX,
    TEXT_COLUMNS,
)
from lumi_pipeline.wording import FORMULA_STARTS
from transparency.encoding import hex_decode, parse_decimal, parse_timestamp
from transparency.errors import EncodingError

MAX_RECORD: Final = 16 << 20

RESAVED: Final = "csv-resaved"
FORMAT: Final = "csv-format"

_CELL: Final = re.compile(rb'"((?:[^"]|"")*+)"|([^",\r\n]*+)')
_BINARY: Final = {"payload_salt": 16, "payload_hash": 32, "prev_hash": 32, "integrity_hash": 32}
_TIMES: Final = frozenset(("recorded_at", "occurred_at", "erased_at"))
_SYNTAX: Final = {"tenant_id": TENANT_ID_SYNTAX, "event_id": EVENT_ID_SYNTAX, "action": ACTION_SYNTAX}
_CHOICES: Final = {"outcome": OUTCOMES, "actor_type": ACTOR_TYPES}

Row = dict[str, str | int | bytes | datetime | None]


class CsvFault(Exception):
    """Why the file is not in form: the reason code, the number of the record (the header is 0), and what is wrong."""

    def __init__(self, reason: str, record: int, message: str) -> None:
        super().__init__(f"record {record + 1}: {message}")  # for people, as the rows of a spreadsheet are counted
        self.reason = reason
        self.record = record


class _Incomplete(Exception):
    """The data end within a record."""


def read_record(data: bytes, start: int, number: int, *, final: bool) -> tuple[list[str | None], int] | None:
    """Return the cells of the record that begins there, without marks, and where the next one begins.

    None if the data end within it and more may come; :class:`CsvFault` if it is not in form.
    """
    try:
        cells, end, ending = _split(data, start)
    except _Incomplete:
        if len(data) - start > MAX_RECORD:
            raise CsvFault(FORMAT, number, f"it has more than {MAX_RECORD:,} bytes") from None
        if not final:
            return None
        raise CsvFault(FORMAT, number, "the file ends within a record") from None
    except ValueError as error:
        raise CsvFault(FORMAT, number, str(error)) from None
    if end - start > MAX_RECORD:
        raise CsvFault(FORMAT, number, f"it has more than {MAX_RECORD:,} bytes")
    if ending == b"\n":
        raise CsvFault(RESAVED, number, "its line end is LF without CR")
    return [_text(cell, number) for cell in cells], end


def _split(data: bytes, start: int) -> tuple[list[tuple[bytes, bool]], int, bytes]:
    """Cut a record into cells (bytes, whether in quotes); return where it ends, and by which line end."""
    cells = []
    at = start
    while True:
        found = _CELL.match(data, at)
        if found is None or (found[1] is None and found[2] == b"" and data[at : at + 1] == b'"'):
            raise _Incomplete  # quotes that are not closed
        cells.append((found[2], False) if found[1] is None else (found[1].replace(b'""', b'"'), True))
        at = found.end()
        following = data[at : at + 2]
        if following[:1] == b",":
            at += 1
        elif following == b"\r\n":
            return cells, at + 2, following
        elif following[:1] == b"\n":
            return cells, at + 1, b"\n"
        elif following in {b"", b"\r"}:
            raise _Incomplete
        else:
            raise ValueError("a quote or a carriage return stands where none may")


def _text(cell: tuple[bytes, bool], number: int) -> str | None:
    content, quoted = cell
    if not content:
        return "" if quoted else None
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise CsvFault(FORMAT, number, "it is not UTF-8") from None
    if "\0" in text:
        raise CsvFault(FORMAT, number, "it holds U+0000")
    if text[0] == "'":
        if len(text) < 2 or text[1] not in FORMULA_STARTS:
            raise CsvFault(FORMAT, number, "a ' stands in front of what needs none")
        return text[1:]
    if text[0] in FORMULA_STARTS:
        raise CsvFault(FORMAT, number, f"a cell that begins with {text[0]!r} has no ' in front")
    return text


def read_row(cells: Sequence[str | None], number: int) -> Row:
    """Return a record's cells as the values of an event; :class:`CsvFault` if one is not in form."""
    if len(cells) != len(COLUMNS):
        raise CsvFault(FORMAT, number, f"it has {len(cells)} cells, and {len(COLUMNS)} are expected")
    row: Row = {}
    for name, cell in zip(COLUMNS, cells, strict=True):
        if cell is None and name not in NULLABLE_COLUMNS:
            raise CsvFault(RESAVED, number, f"{name} is empty without quotes")
        try:
            row[name] = _value(name, cell)
        except EncodingError:
            raise CsvFault(RESAVED, number, f"{name} is not in its form") from None
    _check_texts(row, number)
    return row


def _value(name: str, cell: str | None) -> str | int | bytes | datetime | None:
    if cell is None:
        return None
    if name == "seq":
        return parse_decimal(cell)
    if name in _TIMES:
        return parse_timestamp(cell)
    return hex_decode(cell, _BINARY[name]) if name in _BINARY else cell


def _check_texts(row: Row, number: int) -> None:
    total = 0
    for name in TEXT_COLUMNS:
        text = row[name]
        if not isinstance(text, str):
            continue
        size = len(text.encode())
        total += size
        if size > MAX_TEXT_BYTES:
            raise CsvFault(FORMAT, number, f"{name} has {size:,} bytes; a text has at most {MAX_TEXT_BYTES:,}")
        if name in _SYNTAX and not _SYNTAX[name].fullmatch(text):
            raise CsvFault(FORMAT, number, f"{name} does not have its form")
        if name in _CHOICES and text not in _CHOICES[name]:
            raise CsvFault(FORMAT, number, f"{name} is none of {', '.join(_CHOICES[name])}")
    if total > MAX_EVENT_BYTES:
        raise CsvFault(FORMAT, number, f"its texts have {total:,} bytes; an event has at most {MAX_EVENT_BYTES:,}")


def read_header(data: bytes, *, final: bool) -> int | None:
    """Check the first record; return where the next one begins, or None if ``data`` end within it and more may come."""
    if b"\n" not in data and not final and len(data) <= MAX_RECORD:
        return None
    for mark in (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"):
        if data.startswith(mark):
            raise CsvFault(RESAVED, 0, "it begins with a byte order mark")
    line = data.partition(b"\n")[0]
    if b"," not in line and (b";" in line or b"\t" in line):
        raise CsvFault(RESAVED, 0, "its columns are separated by ; or TAB")
    found = read_record(data, 0, 0, final=final)
    if found is None:
        return None
    if tuple(found[0]) != COLUMNS:
        raise CsvFault(FORMAT, 0, "its first line is not the names of an event's columns")
    return found[1]
