"""Comparing exported values with the lake's without keeping them: marks that tell whether two values are the same.

All expressions are DuckDB's. A mark is 64 bits of an MD5. Where the event's hashes can be recomputed from the export,
SHA-256 decides, and ``weak`` marks only say which columns differ: some bits of DuckDB's own hash, which costs a tenth.
(They also decide for what is left of the payload of an event that was sent without its large values.)
"""

from collections.abc import Iterator
from typing import Final

from lumi_pipeline.events import CORE_COLUMNS, HASH_COLUMNS, PAYLOAD_COLUMNS
from lumi_pipeline.hashing import EVENT_TAG, PAYLOAD_TAG
from lumi_pipeline.siem.exportfields import OMITTED, Layout

COMPARED: Final = (*CORE_COLUMNS, *PAYLOAD_COLUMNS, *HASH_COLUMNS)
"""Columns of an event that are compared."""

_TIMES: Final = frozenset({"recorded_at", "occurred_at"})
_BINARY: Final = frozenset({"payload_salt", *HASH_COLUMNS})
_HASHED_CORE: Final = ("prev_hash", *CORE_COLUMNS, "payload_hash")
_HASHED_PAYLOAD: Final = ("payload_salt", *(name for name in PAYLOAD_COLUMNS if name != "payload_salt"))
_NULL: Final = "chr(0)"
"""No text of an event holds a NUL, so it can stand for a null."""


def lake_marks(*, weak: bool) -> str:
    """What is kept of a lake's row: a SELECT list over the columns of ``EVENT_SCHEMA``, ``row`` and the own hashes.

    ``own_integrity`` and ``own_payload`` are its hashes as they recompute: a row that is broken in the lake goes out as
    it is.
    """
    marks = (f"{_mark(name, f'coalesce({_lake_text(name)}, {_NULL})', weak=weak)} AS m_{name}" for name in COMPARED)
    return ", ".join(
        [
            "row",
            "event_id",
            "tenant_id",
            "seq",
            "recorded_at::DATE AS day",
            "own_integrity",
            "CASE WHEN erased_at IS NULL THEN own_payload ELSE payload_hash END AS own_payload",
            "erased_at IS NOT NULL AS erased",
            *marks,
        ]
    )


def export_marks(layout: Layout, *, weak: bool) -> str:
    """The query over the relation ``records`` that gives the same of exported records."""
    columns = layout.columns
    source = f"SELECT *, {layout.values} AS v FROM records"  # noqa: S608
    texts = ", ".join(f"{expression} AS {name}" for name, expression in columns.items())
    marks = [
        f"{_mark(name, f'coalesce({_export_text(name)}, {_NULL})', weak=weak)} AS m_{name}"
        for name in COMPARED
        if name in columns
    ]
    nulls = [f"{name} IS NULL AS n_{name}" for name in COMPARED if name in columns and not layout.exact]
    own = []
    if layout.complete:
        own = [f"{_digest(EVENT_TAG, _HASHED_CORE)} AS own_integrity"]
        own += [f"{_digest(PAYLOAD_TAG, _HASHED_PAYLOAD)} AS own_payload", "payload_salt IS NOT NULL AS salted"]
    omitted = f"coalesce({OMITTED}, '')" if OMITTED in columns else "''"
    given = {
        "event_id": "lower(event_id)",
        "tenant_id": "tenant_id" if "tenant_id" in columns else "NULL",
        "seq": "seq" if "seq" in columns else "NULL",
        "recorded": _export_text("recorded_at") if "recorded_at" in columns else "NULL",
        OMITTED: omitted,
    }
    names = [f"{expression}::VARCHAR AS {name}" for name, expression in given.items()]
    return f"SELECT {', '.join([*names, *marks, *nulls, *own])} FROM (SELECT {texts} FROM ({source}))"  # noqa: S608


def differences(layout: Layout, *, weak: bool) -> str:
    """The list of what differs between an exported record ``e`` and the lake's row ``x``, as an expression."""
    return f"list_filter([{', '.join(_differences(layout, weak=weak))}], lambda name: name IS NOT NULL)"


def _differences(layout: Layout, *, weak: bool) -> Iterator[str]:
    for name in COMPARED:
        if name not in layout.columns:
            continue
        differs = f"e.m_{name} <> x.m_{name}"
        if not layout.exact:
            empty = ", ".join(_mark(name, text, weak=weak) for text in ("''", _NULL))
            differs = f"CASE WHEN e.n_{name} THEN x.m_{name} NOT IN ({empty}) ELSE {differs} END"
        if name in PAYLOAD_COLUMNS:
            # What was erased here may still be there; what was too large for a record is not in it.
            differs = f"NOT x.erased AND NOT contains(e.{OMITTED}, '{name}') AND {differs}"
        yield f"CASE WHEN {differs} THEN '{name}' END"
    if layout.complete:
        yield "CASE WHEN e.own_integrity <> x.own_integrity THEN 'recomputed integrity_hash' END"
        whole = f"e.salted AND e.{OMITTED} IN ('', '[]', 'null')"
        yield f"CASE WHEN {whole} AND e.own_payload <> x.own_payload THEN 'recomputed payload_hash' END"


def _mark(name: str, text: str, *, weak: bool) -> str:
    if not weak:
        return f"md5_number_lower({text})"
    return f"hash({text})" if name in PAYLOAD_COLUMNS else f"(hash({text}) & 65535)::USMALLINT"


def _lake_text(name: str) -> str:
    """A lake's value as text, as :func:`_export_text` writes exported ones."""
    if name in _TIMES:
        return f"epoch_us({name})::VARCHAR"
    return f"lower(hex({name}))" if name in _BINARY else f"{name}::VARCHAR"


def _micros(name: str) -> str:
    """An exported time in microseconds; products write fewer or more digits, and a space in the place of the T."""
    return f"epoch_us(TRY_CAST(regexp_replace({name}, '([.][0-9]{{6}})0+', '\\1') AS TIMESTAMPTZ))"


def _export_text(name: str) -> str:
    if name in _TIMES:
        return f"coalesce({_micros(name)}::VARCHAR, {name})"
    if name == "seq":
        return "coalesce(TRY_CAST(seq AS BIGINT)::VARCHAR, seq)"
    return f"lower({name})" if name in _BINARY else name


def _hashed(name: str) -> str:
    """An exported value as it is hashed."""
    if name in _TIMES:
        own = f"length({name}) = 27 AND {name}[11] = 'T' AND {name}[27] = 'Z'"
        return (
            f"CASE WHEN {own} THEN {name} ELSE strftime(make_timestamp({_micros(name)}), '%Y-%m-%dT%H:%M:%S.%fZ') END"
        )
    return _export_text(name)


def _digest(tag: bytes, names: tuple[str, ...]) -> str:
    """SHA-256 over the netstrings of columns (docs/formats.md section 1)."""
    parts = ", ".join(
        f"strlen({_hashed(name)})::VARCHAR, CASE WHEN {name} IS NULL THEN '-' ELSE ':' END, {_hashed(name)}, ','"
        for name in names
    )
    return f"unhex(sha256(concat('{tag.decode()}', {parts})))"
