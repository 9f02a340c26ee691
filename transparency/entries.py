"""Entries of the log: the genesis at index 0, then one record for every day (docs/formats.md, "Entries").

The day fixes the index, so that no day can be left out, moved or told twice. The records hold no tenant data: only
commitments (the tenant map's root, the manifest's hash) and what a reader needs to check them.

Parsing checks form, and what can be seen in one entry; verify.py adds what holds between the entries. Nobody here
checks what an entry says of the world outside the log: ``breaks`` is the operator's count, ``sealed`` its clock,
``previous`` its word, and ``manifest`` and ``map`` are hashes of what only others hold.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TypeVar

from transparency.encoding import (
    MAX_INT64,
    b64decode,
    b64encode,
    decode_text,
    excerpt,
    format_timestamp,
    parse_day,
    parse_decimal,
    parse_timestamp,
)
from transparency.errors import EncodingError, EntryError, FormatError, KeyFormatError
from transparency.keys import ALG_ED25519, VerifierKey, check_name
from transparency.merkle import HASH_SIZE
from transparency.tiles import MAX_ENTRY_SIZE

_T = TypeVar("_T")

_GENESIS_TAG = "lumi/log/v1"
_DAY_TAG = "lumi/day/v1"


def evidence_key_name(origin: str) -> str:
    """Return the name of the key with which the log of ``origin`` signs everything but checkpoints."""
    return f"{origin}/evidence"


def day_index(first_day: date, day: date) -> int:
    """Return the only index at which the record of ``day`` may be; raise EntryError for a day before the first."""
    if day < first_day:
        raise EntryError(f"{day} is before the log's first day, {first_day}")
    return 1 + (day - first_day).days


def day_at(first_day: date, index: int) -> date:
    """Return the day whose record is at ``index`` (1 or more); raise EntryError beyond the year 9999."""
    if not 1 <= index <= 1 + (date.max - first_day).days:
        raise EntryError(f"no day can have index {index} in a log that starts on {first_day}")
    return first_day + timedelta(days=index - 1)


@dataclass(frozen=True, slots=True)
class PreviousLog:
    """The log that another one succeeds: its origin, and the size and root at which it is taken over.

    A claim: a reader who follows it verifies that other log on its own, and compares.
    """

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        _check_origin("previous", self.origin)
        if not 1 <= self.size <= MAX_INT64:
            raise EntryError(f"'previous' has the size {self.size}; a log with a successor has at least one entry")
        _check_hash("previous", self.root)

    @classmethod
    def parse(cls, text: str) -> "PreviousLog":
        """Read ``origin size root``."""
        words = text.split(" ")
        if len(words) != 3:
            raise EntryError(f"origin, size and root expected, got {excerpt(text)}")
        try:
            return cls(words[0], parse_decimal(words[1]), _parse_hash(words[2]))
        except EncodingError as error:
            raise EntryError(str(error)) from None

    @property
    def text(self) -> str:
        """The three words, as :meth:`parse` reads them."""
        return f"{self.origin} {self.size} {b64encode(self.root)}"


@dataclass(frozen=True, slots=True)
class Genesis:
    """Entry 0: what the log is called, when it starts, and the keys it starts with.

    ``key`` signs checkpoints and is named like the origin; ``evidence_key`` signs the rest and is another key.
    With ``previous``, ``first_day`` is the day after the last record of the old log at that size.
    """

    origin: str
    first_day: date
    key: VerifierKey
    evidence_key: VerifierKey
    previous: PreviousLog | None = None

    def __post_init__(self) -> None:
        _check_origin("origin", self.origin)
        _check_keys(self.origin, "", self.key, self.evidence_key)

    @classmethod
    def parse(cls, data: bytes) -> "Genesis":
        """Read the entry; raise EntryError unless it is exactly in form."""
        fields = _Fields(data, _GENESIS_TAG, ("origin", "first-day", "key", "evidence-key"), ("previous",))
        return cls(
            origin=fields.get("origin", str),
            first_day=fields.get("first-day", parse_day),
            key=fields.get("key", VerifierKey.parse),
            evidence_key=fields.get("evidence-key", VerifierKey.parse),
            previous=fields.get_optional("previous", PreviousLog.parse),
        )

    def encode(self) -> bytes:
        """Write the entry's bytes, which :meth:`parse` reads back."""
        fields = [
            ("origin", self.origin),
            ("first-day", self.first_day.isoformat()),
            ("key", self.key.vkey),
            ("evidence-key", self.evidence_key.vkey),
        ]
        if self.previous is not None:
            fields.append(("previous", self.previous.text))
        return _format_fields(_GENESIS_TAG, fields)


@dataclass(frozen=True, slots=True)
class DayRecord:
    """What the log commits to for one UTC day.

    ``map_root`` is the root of the day's tenant map and ``manifest`` the SHA-256 of its manifest, 32 bytes each;
    ``breaks`` is the number of chain breaks found; ``sealed`` is when, at the earliest the next midnight UTC.
    ``next_key`` and ``next_evidence_key`` announce keys that are valid from the next record on.
    """

    origin: str
    day: date
    index: int
    map_root: bytes
    manifest: bytes
    breaks: int
    sealed: datetime
    next_key: VerifierKey | None = None
    next_evidence_key: VerifierKey | None = None

    def __post_init__(self) -> None:
        _check_origin("origin", self.origin)
        if not 1 <= self.index <= MAX_INT64:
            raise EntryError(f"'index' is {self.index}; the index of a day record is 1 or more")
        if not 0 <= self.breaks <= MAX_INT64:
            raise EntryError(f"'breaks' is {self.breaks}, outside 0 to 2^63-1")
        _check_hash("map", self.map_root)
        _check_hash("manifest", self.manifest)
        _check_sealed(self.day, self.sealed)
        _check_keys(self.origin, "next-", self.next_key, self.next_evidence_key)

    @classmethod
    def parse(cls, data: bytes) -> "DayRecord":
        """Read the entry; raise EntryError unless it is exactly in form."""
        required = ("origin", "day", "index", "map", "manifest", "breaks", "sealed")
        fields = _Fields(data, _DAY_TAG, required, ("next-key", "next-evidence-key"))
        return cls(
            origin=fields.get("origin", str),
            day=fields.get("day", parse_day),
            index=fields.get("index", parse_decimal),
            map_root=fields.get("map", _parse_hash),
            manifest=fields.get("manifest", _parse_hash),
            breaks=fields.get("breaks", parse_decimal),
            sealed=fields.get("sealed", parse_timestamp),
            next_key=fields.get_optional("next-key", VerifierKey.parse),
            next_evidence_key=fields.get_optional("next-evidence-key", VerifierKey.parse),
        )

    def encode(self) -> bytes:
        """Write the entry's bytes, which :meth:`parse` reads back."""
        fields = [
            ("origin", self.origin),
            ("day", self.day.isoformat()),
            ("index", str(self.index)),
            ("map", b64encode(self.map_root)),
            ("manifest", b64encode(self.manifest)),
            ("breaks", str(self.breaks)),
            ("sealed", format_timestamp(self.sealed)),
        ]
        if self.next_key is not None:
            fields.append(("next-key", self.next_key.vkey))
        if self.next_evidence_key is not None:
            fields.append(("next-evidence-key", self.next_evidence_key.vkey))
        return _format_fields(_DAY_TAG, fields)


class _Fields:
    """A tagged record as text: the line ``tag``, then a line ``name value`` for each field, each ended by one LF.

    All required fields come first, in their order, then any of the optional ones, in theirs.
    """

    def __init__(self, data: bytes, tag: str, required: Sequence[str], optional: Sequence[str]) -> None:
        try:
            lines = decode_text(data, MAX_ENTRY_SIZE, "log entry").split("\n")
        except EncodingError as error:
            raise EntryError(str(error)) from None
        if lines[0] != tag:
            raise EntryError(f"line 1: {tag!r} expected, got {excerpt(lines[0])}")
        if lines.pop() != "":
            raise EntryError(f"the {tag} entry does not end with a line feed")
        self._tag = tag
        self._values: dict[str, str] = {}
        due = deque([*required, *optional])
        for number, line in enumerate(lines[1:], start=2):
            name, space, value = line.partition(" ")
            while due and due[0] != name and due[0] in optional:  # an optional field that was left out
                due.popleft()
            if not space or not due or due.popleft() != name:
                raise EntryError(f"line {number}: unknown, repeated or misplaced field {excerpt(line)}")
            self._values[name] = value
        missing = [field for field in required if field not in self._values]
        if missing:
            raise EntryError(f"the {tag} entry has no {missing[0]!r} line")

    def get(self, name: str, parse: Callable[[str], _T]) -> _T:
        """Parse the value of a field; the error names it."""
        try:
            return parse(self._values[name])
        except FormatError as error:
            raise EntryError(f"{self._tag} entry, {name!r}: {error}") from None

    def get_optional(self, name: str, parse: Callable[[str], _T]) -> _T | None:
        """Parse the value of an optional field, or return None."""
        return self.get(name, parse) if name in self._values else None


def _format_fields(tag: str, fields: Iterable[tuple[str, str]]) -> bytes:
    lines = [tag, *(f"{name} {value}" for name, value in fields)]
    return "".join(f"{line}\n" for line in lines).encode()


def _parse_hash(text: str) -> bytes:
    return b64decode(text, HASH_SIZE)


def _check_hash(field: str, value: bytes) -> None:
    if len(value) != HASH_SIZE:
        raise EntryError(f"{field!r} is a hash of {HASH_SIZE} bytes, not {len(value)}")


def _check_origin(field: str, origin: str) -> None:
    try:
        check_name(origin)
    except KeyFormatError as error:
        raise EntryError(f"{field!r}: {error}") from None


def _check_keys(origin: str, prefix: str, key: VerifierKey | None, evidence: VerifierKey | None) -> None:
    """Check the names and types of a log key and an evidence key, either of which may be absent.

    They must differ, since the log key signs checkpoints and nothing else. Keys of two different entries are not
    compared: it is the operator's to keep them apart, and no format yet carries a signature of an evidence key.
    """
    checks = ((f"{prefix}key", origin, key), (f"{prefix}evidence-key", evidence_key_name(origin), evidence))
    for field, wanted, given in checks:
        if given is None:
            continue
        if given.name != wanted:
            raise EntryError(f"{field!r} is named {excerpt(given.name)} and must be named {excerpt(wanted)}")
        if given.algorithm != ALG_ED25519:
            raise EntryError(f"{field!r} must have type 0x01 (Ed25519), not 0x{given.algorithm:02x}")
    if key is not None and evidence is not None and key.public == evidence.public:
        raise EntryError(f"'{prefix}key' and '{prefix}evidence-key' are the same key")


def _check_sealed(day: date, sealed: datetime) -> None:
    """Check that ``sealed`` is a UTC time at or after the midnight that ends ``day``."""
    if sealed.utcoffset() != timedelta(0):
        raise EntryError(f"'sealed' must be a time in UTC, got {sealed!r}")
    # In this order, the day after 9999-12-31 is not needed.
    if sealed.date() <= day:
        raise EntryError(f"'sealed' is {format_timestamp(sealed)}, before the day {day} has ended")
