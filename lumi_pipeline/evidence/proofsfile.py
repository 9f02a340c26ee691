"""Reading ``evidence.json`` (docs/formats.md section 9): in form or not, and nothing verified yet."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from lumi_pipeline.chain import BreakKind
from lumi_pipeline.events import CHAIN_ID_SIZE, TENANT_ID_SYNTAX
from transparency.encoding import Json, b64decode, hex_decode, parse_canonical_json, parse_day, parse_decimal
from transparency.entries import Genesis
from transparency.errors import EncodingError

MAX_SIZE: Final = 64 << 20
TYPE: Final = "lumi/evidence/v1"
_FIELDS: Final = frozenset(
    ("chain_id", "checkpoint", "days", "from", "genesis", "genesis_path", "origin", "tenant_id", "to", "type")
)
_DAY_FIELDS: Final = frozenset(
    ("breaks", "day", "day_record", "first_checkpoint", "first_path", "path", "tenant_proof", "tenant_record")
)
_KINDS: Final = frozenset(kind.value for kind in BreakKind)

DeclaredBreak = tuple[int, str]
"""Seq and kind."""


@dataclass(frozen=True, slots=True)
class EvidenceDay:
    """One day as the file says it. Texts of records and checkpoints are not looked into yet."""

    day: date
    day_record: bytes
    path: tuple[bytes, ...]
    first_checkpoint: bytes
    first_path: tuple[bytes, ...]
    tenant_record: bytes | None
    tenant_proof: bytes
    breaks: tuple[DeclaredBreak, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """The whole file."""

    tenant_id: str
    chain_id: bytes
    first: date
    last: date
    origin: str
    checkpoint: bytes
    genesis_text: bytes
    genesis: Genesis
    genesis_path: tuple[bytes, ...]
    days: tuple[EvidenceDay, ...]


def parse_evidence(data: bytes) -> Evidence:
    """Read the file; :class:`~transparency.errors.FormatError` when it is not in form."""
    if not data.endswith(b"\n"):
        raise EncodingError("evidence.json does not end with a line feed")
    fields = _object(parse_canonical_json(data[:-1], MAX_SIZE), _FIELDS, "evidence.json")
    if fields["type"] != TYPE:
        raise EncodingError(f"evidence.json is of a type that this version does not know; {TYPE} is expected")
    days = fields["days"]
    if not isinstance(days, list):
        raise EncodingError("days: a list is expected")
    tenant_id = _text(fields, "tenant_id")
    if not TENANT_ID_SYNTAX.fullmatch(tenant_id):
        raise EncodingError("tenant_id does not have its form")
    genesis = _text(fields, "genesis").encode()
    return Evidence(
        tenant_id,
        hex_decode(_text(fields, "chain_id"), CHAIN_ID_SIZE),
        parse_day(_text(fields, "from")),
        parse_day(_text(fields, "to")),
        _text(fields, "origin"),
        _text(fields, "checkpoint").encode(),
        genesis,
        Genesis.parse(genesis),
        _hashes(fields, "genesis_path"),
        tuple(_day(day) for day in days),
    )


def _day(value: Json) -> EvidenceDay:
    fields = _object(value, _DAY_FIELDS, "a day")
    record = fields["tenant_record"]
    return EvidenceDay(
        parse_day(_text(fields, "day")),
        _text(fields, "day_record").encode(),
        _hashes(fields, "path"),
        _text(fields, "first_checkpoint").encode(),
        _hashes(fields, "first_path"),
        None if record is None else _text(fields, "tenant_record").encode(),
        b64decode(_text(fields, "tenant_proof")),
        _breaks(fields["breaks"]),
    )


def _breaks(value: Json) -> tuple[DeclaredBreak, ...]:
    if not isinstance(value, list):
        raise EncodingError("breaks: a list is expected")
    found = []
    for item in value:
        fields = _object(item, frozenset(("kind", "seq")), "a break")
        kind = _text(fields, "kind")
        if kind not in _KINDS:
            raise EncodingError("a break is of an unknown kind")
        found.append((parse_decimal(_text(fields, "seq")), kind))
    if found != sorted(set(found)):
        raise EncodingError("breaks are not sorted by seq and kind, or one is there twice")
    return tuple(found)


def _object(value: Json, names: frozenset[str], what: str) -> Mapping[str, Json]:
    if not isinstance(value, dict) or value.keys() != names:
        raise EncodingError(f"{what}: an object with exactly the fields {', '.join(sorted(names))} is expected")
    return value


def _text(fields: Mapping[str, Json], name: str) -> str:
    text = fields[name]
    if not isinstance(text, str):
        raise EncodingError(f"{name}: text is expected")
    return text


def _hashes(fields: Mapping[str, Json], name: str) -> tuple[bytes, ...]:
    items = fields[name]
    if not isinstance(items, list):
        raise EncodingError(f"{name}: a list of hashes is expected")
    found = []
    for item in items:
        if not isinstance(item, str):
            raise EncodingError(f"{name}: a list of hashes is expected")
        found.append(b64decode(item, 32))
    return tuple(found)
