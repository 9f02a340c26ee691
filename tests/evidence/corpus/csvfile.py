"""events.csv as the format has it, and as programs write it that open it and save it again."""

from collections.abc import Iterable
from functools import cache

from tests.evidence.corpus.events import COLUMNS, LEADS, Row


def cell(text: str | None, *, quote_all: bool = False) -> str:
    if text is None:
        return ""
    guarded = f"'{text}" if text.startswith(LEADS) else text
    return quoted(guarded) if quote_all or not guarded or any(c in guarded for c in '",\r\n') else guarded


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def line(row: Row, *, quote_all: bool = False) -> bytes:
    return _line(tuple(row[name] for name in COLUMNS), quote_all=quote_all)


@cache
def _line(texts: tuple[str | None, ...], *, quote_all: bool) -> bytes:
    return (",".join(cell(text, quote_all=quote_all) for text in texts) + "\r\n").encode()


HEADER = (",".join(COLUMNS) + "\r\n").encode()


def events_csv(rows: Iterable[Row], *, quote_all: bool = False) -> bytes:
    header = (",".join(map(quoted, COLUMNS)) + "\r\n").encode() if quote_all else HEADER
    return header + b"".join(line(row, quote_all=quote_all) for row in rows)


def resaved(rows: Iterable[Row], *, separator: str = ",", end: str = "\r\n") -> str:
    """What a spreadsheet makes of the file: it can't tell null from empty, and quotes only what it has to."""
    special = ('"', separator, "\r", "\n")
    lines = [list(COLUMNS)]
    for row in rows:
        texts = [cell(row[name]) for name in COLUMNS]
        lines.append([t[1:-1].replace('""', '"') if t.startswith('"') else t for t in texts])
    return "".join(
        separator.join(quoted(t) if any(c in t for c in special) else t for t in texts) + end for texts in lines
    )
