"""events.csv as spreadsheets and other programs save it, and as nobody may write it."""

import re
from collections.abc import Iterator
from typing import Final

from tests.evidence.corpus.bundle import Bundle, bundle
from tests.evidence.corpus.case import Case, altered
from tests.evidence.corpus.csvfile import HEADER, cell, events_csv, line, resaved
from tests.evidence.corpus.events import COLUMNS, HOSTILE
from tests.evidence.corpus.world import Chain, World, standard

BOM: Final = b"\xef\xbb\xbf"


def cases() -> Iterator[Case]:
    plain = bundle(standard())
    hostile = bundle(World([Chain("acme", (1, 1, 9, 0, len(HOSTILE) - 9), columns=[{}, {}, *HOSTILE])]).publish())
    yield from _saved(plain)
    yield from _values(plain)
    yield from _misformed(plain)
    yield from _guards(hostile)
    yield from _quoted(plain)


def _csv(name: str, description: str, of: Bundle, csv: bytes, reason: str) -> Iterator[Case]:
    yield from altered(name, description, of, of.content() | {"events.csv": csv}, reason)


def _saved(plain: Bundle) -> Iterator[Case]:
    csv, rows = plain.content()["events.csv"], plain.rows
    as_table = resaved(rows)
    for name, description, data in (
        ("libreoffice", "LibreOffice on Linux: LF, no quotes for empty texts", resaved(rows, end="\n").encode()),
        ("excel-utf8", "Excel, 'CSV UTF-8': a byte order mark", BOM + as_table.encode()),
        ("excel-semicolon", "Excel in Europe: semicolons, Windows-1252", resaved(rows, separator=";").encode("cp1252")),
        ("excel-unicode", "Excel, 'Unicode text': UTF-16 and tabs", resaved(rows, separator="\t").encode("utf-16")),
        ("semicolon-utf8", "semicolons", resaved(rows, separator=";").encode()),
        ("tabs", "tabs", resaved(rows, separator="\t").encode()),
        ("bom", "nothing but a byte order mark", BOM + csv),
        ("lf", "nothing but LF for CRLF", csv.replace(b"\r\n", b"\n")),
        ("lf-last", "the last line end only", csv.removesuffix(b"\r\n") + b"\n"),
        ("lf-header", "that of the header only", csv.replace(b"\r\n", b"\n", 1)),
        ("quotes-lost", "quotes only where they have to be: empty texts become nulls", as_table.encode()),
        ("nulls-quoted", "every cell in quotes, nulls too", csv_quoted_nulls(plain)),
        ("empty-record", "a record of empty cells at the end", csv + b"," * (len(COLUMNS) - 1) + b"\r\n"),
    ):
        yield from _csv(f"saved-{name}", description, plain, data, "csv-resaved")
    one = bundle(World([Chain("acme", (1, 1, 3))]).publish())
    lost = resaved(one.rows).encode()
    yield from _csv("saved-quotes-lost-in-payload", "only payloads have empty texts", one, lost, "payload-hash")


def csv_quoted_nulls(plain: Bundle) -> bytes:
    return (
        events_csv(plain.rows, quote_all=True)
        .replace(b",,", b',"",')
        .replace(b",,", b',"",')
        .replace(b",\r\n", b',""\r\n')
    )


def _values(plain: Bundle) -> Iterator[Case]:
    """One value as a spreadsheet shows it. The row is the second, seq 8."""
    for name, column, text in (
        ("time-local", "recorded_at", "01.11.2026 09:01"),
        ("time-space", "occurred_at", "2026-11-01 09:01:00.000008Z"),
        ("time-millis", "recorded_at", "2026-11-01T09:01:01.000Z"),
        ("time-no-such-day", "occurred_at", "2026-02-30T09:01:00.000008Z"),
        ("time-leap-second", "occurred_at", "2026-11-01T23:59:60.000000Z"),
        ("time-year-zero", "occurred_at", "0000-11-01T09:01:00.000008Z"),
        ("seq-decimal", "seq", "8.0"),
        ("seq-zeros", "seq", "08"),
        ("seq-negative", "seq", "'-8"),
        ("seq-large", "seq", "9223372036854775808"),
        ("seq-empty", "seq", None),
        ("salt-number", "payload_salt", "9"),
        ("salt-scientific", "payload_salt", "9E+00"),
        ("salt-empty", "payload_salt", ""),
        ("hash-upper", "integrity_hash", (plain.rows[1]["integrity_hash"] or "").upper()),
        ("hash-short", "payload_hash", (plain.rows[1]["payload_hash"] or "")[1:]),
        ("hash-null", "prev_hash", None),
        ("erased-empty", "erased_at", ""),
        ("null-tenant", "tenant_id", None),
        ("null-entity", "entity_id", None),
        ("null-action", "action", None),
    ):
        raw = text.removeprefix("'") if text else text  # the guard is put in front again
        changed = [dict(row) for row in plain.rows]
        changed[1][column] = raw
        yield from _csv(f"value-{name}", f"{column} as {text!r}", plain, events_csv(changed), "csv-resaved")
    for name, column, text in (
        ("tenant", "tenant_id", "acme "),
        ("tenant-empty", "tenant_id", ""),
        ("event-id-upper", "event_id", "019AA4F2-0000-7000-8000-000000000008"),
        ("event-id-short", "event_id", "019aa4f2"),
        ("action-lower", "action", "login"),
        ("outcome", "outcome", "ok"),
        ("actor-type", "actor_type", ""),
        ("nul", "entity_id", "a\0b"),
        ("large", "after_state", "x" * (2**20 + 1)),
    ):
        changed = [dict(row) for row in plain.rows]
        changed[1][column] = text
        yield from _csv(f"value-{name}", f"{column} out of its syntax", plain, events_csv(changed), "csv-format")


def _misformed(plain: Bundle) -> Iterator[Case]:
    csv = plain.content()["events.csv"]
    names = HEADER.decode()
    second = csv.index(b"\r\n", len(HEADER)) + 2
    for name, description, data in (
        ("empty", "an empty file", b""),
        ("no-header", "no header", csv.removeprefix(HEADER)),
        ("header-renamed", "another name in the header", csv.replace(b"actor_name", b"actor", 1)),
        ("header-swapped", "two names swapped", csv.replace(b"outcome,actor_type", b"actor_type,outcome", 1)),
        ("header-short", "a name less in the header", csv.replace(b",erased_at", b"", 1)),
        ("header-only-cut", "half a header", names[:40].encode()),
        (
            "column-cut",
            "the last column is gone everywhere",
            csv.replace(b",\r\n", b"\r\n").replace(b",erased_at", b"", 1),
        ),
        ("column-added", "a cell more in a row", csv[: second - 2] + b"," + csv[second - 2 :]),
        ("cell-missing", "a cell less in a row", csv[: second - 3] + csv[second - 2 :]),
        ("cr", "CR for CRLF", csv.replace(b"\r\n", b"\r")),
        ("cr-in-a-cell", "a CR outside quotes", csv.replace(b"rec-7", b"rec\r7", 1)),
        ("blank-line", "an empty line in between", csv[:second] + b"\r\n" + csv[second:]),
        ("blank-end", "an empty line at the end", csv + b"\r\n"),
        ("trailing-bytes", "a byte at the end", csv + b"x"),
        ("trailing-nul", "a NUL at the end", csv + b"\0"),
        ("quote-inside", "a quote in a cell without quotes", csv.replace(b"rec-7", b'rec"7', 1)),
        ("quote-behind", "a letter behind the closing quote", csv.replace(b',"",', b',""x,', 1)),
        ("quote-open", "a quote that is never closed", csv + b'"'),
        ("space-before-quote", "a space in front of a quote", csv.replace(b',"', b', "', 1)),
        ("latin-1", "not UTF-8", csv.replace("Zoë".encode(), b"Zo\xeb", 1)),
        ("surrogate", "half of a surrogate pair", csv.replace("ë".encode(), b"\xed\xa0\x80", 1)),
        ("overlong", "a letter in more bytes than it needs", csv.replace(b"rec-7", b"rec\xc0\xad7", 1)),
    ):
        yield from _csv(f"csv-{name}", description, plain, data, "csv-format")


def _guards(hostile: Bundle) -> Iterator[Case]:
    csv = hostile.content()["events.csv"]
    with_equals = next(row for row in hostile.rows if (row["entity_id"] or "").startswith("="))
    stripped = csv.replace(b"'=HYPERLINK", b"=HYPERLINK")
    yield from _csv("guard-stripped", "the ' in front of a formula is gone", hostile, stripped, "csv-format")
    quoted = csv.replace(b"'=HYPERLINK(1)", b'"=HYPERLINK(1)"')
    yield from _csv("guard-stripped-quoted", "the same in quotes", hostile, quoted, "csv-format")
    doubled = csv.replace(b"'=HYPERLINK", b"''=HYPERLINK")
    yield from _csv("guard-doubled", "one ' more", hostile, doubled, "integrity-hash")
    needless = csv.replace(line(with_equals), line(with_equals).replace(b"u-", b"'u-", 1))
    yield from _csv("guard-needless", "a ' in front of a letter", hostile, needless, "csv-format")
    alone = csv.replace(cell("''").encode() + b",", b"',", 1)
    yield from _csv("guard-alone", "a ' and nothing behind it", hostile, alone, "csv-format")
    wide = re.sub("'\uff1dHYPERLINK".encode(), "\uff1dHYPERLINK".encode(), csv)
    yield from _csv("guard-stripped-wide", "a full-width = without '", hostile, wide, "csv-format")


def _quoted(plain: Bundle) -> Iterator[Case]:
    """Every row verifies, and still it is not the file that was signed."""
    csv = plain.content() | {"events.csv": events_csv(plain.rows, quote_all=True)}
    text = "the same rows, written with other quotes"
    yield from altered("saved-quotes", text, plain, csv, "csv-resaved", forms=("kept",))
    yield from altered("saved-quotes", text, plain, csv, "bundle-signature", forms=("resummed",))
