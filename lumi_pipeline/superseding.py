"""Records of files that an erasure rewrote: which one counts instead of the one that was committed.

A manifest and a landing name their files for good, and a manifest's hash is public. When an erasure has to take payload
out of such a file, it writes another one, then the record that names both, and only then deletes the old one. Whoever
reads follows the records in the order of their numbers, which are those of the erasures. A record proves nothing by
itself: the rows of the new file have to give the hashes that the old ones were committed with.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from lumi_pipeline.errors import RecordError
from lumi_pipeline.lake import REWRITTEN, Lake, seal_prefix
from lumi_pipeline.records import StoredFile, json_count, json_text
from lumi_pipeline.sealedjson import encode_sealed, parse_sealed
from transparency.encoding import Json

SUPERSEDED_FORMAT: Final = "lumi/superseded/v1"
LANDED_RECORDS: Final = "superseded/"
"""Prefix of the records about landed files; those about sealed ones lie beside the seal."""

_FIELDS: Final = frozenset({"erasure", "event_id", "files"})
_NAME: Final = re.compile(r"(.*/[a-z]+-[0-9]{5,})(?:-erased-[0-9]{6,})?-[0-9a-f]{16}\.parquet")


@dataclass(frozen=True, slots=True)
class Replacement:
    """A file and the one that took its place, in which ``erased`` more rows have lost their payload."""

    old: StoredFile
    new: StoredFile
    erased: int

    def to_json(self) -> dict[str, Json]:
        """The replacement as a JSON object."""
        return {"erased": str(self.erased), "new": self.new.to_json(), "old": self.old.to_json()}

    @classmethod
    def from_json(cls, value: Json) -> "Replacement":
        """Read what :meth:`to_json` wrote; :class:`~lumi_pipeline.errors.RecordError` otherwise."""
        if not isinstance(value, dict) or set(value) != {"erased", "new", "old"}:
            raise RecordError("a replaced file is described by old, new and erased")
        old, new = StoredFile.from_json(value["old"]), StoredFile.from_json(value["new"])
        if old.rows != new.rows or stem(old.path) != stem(new.path):
            raise RecordError(f"{new.path} does not have the place and the number of rows of {old.path}")
        return cls(old, new, json_count(value["erased"]))


@dataclass(frozen=True, slots=True)
class Superseded:
    """What one erasure replaced in one folder; ``event_id`` is the operator's audit event that ordered it."""

    erasure: int
    event_id: str
    files: tuple[Replacement, ...]

    def encode(self) -> bytes:
        """The record's exact bytes."""
        files: list[Json] = [file.to_json() for file in self.files]
        fields: dict[str, Json] = {"erasure": str(self.erasure), "event_id": self.event_id, "files": files}
        return encode_sealed(SUPERSEDED_FORMAT, fields)

    @classmethod
    def parse(cls, data: bytes, key: str) -> "Superseded":
        """Read a record; :class:`~lumi_pipeline.errors.RecordError` naming ``key`` when it was altered."""
        value = parse_sealed(SUPERSEDED_FORMAT, data, _FIELDS, key)
        files = value["files"]
        if not isinstance(files, list):
            raise RecordError(f"{key} was altered: its files are no list")
        try:
            record = cls(
                json_count(value["erasure"]),
                json_text(value["event_id"]),
                tuple(Replacement.from_json(file) for file in files),
            )
        except RecordError as error:
            raise RecordError(f"{key} was altered: {error}") from None
        if not key.endswith(record_name(record.erasure)):
            raise RecordError(f"{key} was altered: it is the record of erasure {record.erasure}")
        return record


def record_name(erasure: int) -> str:
    """What the name of an erasure's record ends with."""
    return f"superseded-{erasure:06d}.json"


def stem(path: str) -> str:
    """The place and number of a part, which all files have in common that took each other's place."""
    found = _NAME.fullmatch(path)
    if found is None:
        raise RecordError(f"{path} is not the name of a file with events")
    return found[1]


def rewritten_prefix(path: str, erasure: int) -> str:
    """How the name of the file begins that an erasure writes in place of the one at ``path``."""
    return f"{stem(path)}{REWRITTEN}{erasure:06d}"


def day_records(day: date) -> str:
    """How the names of the records about a sealed day begin."""
    return f"{seal_prefix(day)}superseded-"


def landing_records(number: int) -> str:
    """Where the records about a landing lie."""
    return f"{LANDED_RECORDS}{number:012d}/"


def read_records(lake: Lake, prefix: str, keys: Iterable[str] | None = None) -> tuple[Superseded, ...]:
    """Read the records whose keys begin with ``prefix``, in the order of the erasures; ``keys`` are those known."""
    names = lake.store.list(prefix) if keys is None else (key for key in keys if key.startswith(prefix))
    found = (Superseded.parse(lake.store.get(key), key) for key in names)
    return tuple(sorted(found, key=lambda record: record.erasure))


def rewritten_landings(lake: Lake, floor: int) -> dict[int, tuple[Superseded, ...]]:
    """The records about landings from number ``floor`` on, by number; of most landings there are none."""
    found: dict[int, tuple[Superseded, ...]] = {}
    for key in lake.store.list(LANDED_RECORDS, start_after=landing_records(floor) if floor else ""):
        number = key.removeprefix(LANDED_RECORDS).partition("/")[0]
        if not number.isdecimal():
            raise RecordError(f"{key} belongs to no landing; move it away")
        if int(number) not in found:
            found[int(number)] = read_records(lake, landing_records(int(number)))
    return found


def effective(
    files: Sequence[StoredFile], records: Sequence[Superseded], *, others_gone: bool = False
) -> tuple[StoredFile, ...]:
    """The files that count now, each in the place of the one it was made from.

    With ``others_gone`` a record may also be about files that were pruned since. Otherwise raises
    :class:`~lumi_pipeline.errors.RecordError` when a record replaces a file that there was not.
    """
    current = {file: file for file in files}
    origin = {file: file for file in files}
    for record in records:
        for replaced in record.files:
            first = origin.pop(replaced.old, None)
            if first is None and others_gone:
                continue
            if first is None:
                raise RecordError(
                    f"the record of erasure {record.erasure} replaces {replaced.old.path}, which was not there; "
                    "restore the records before it from a backup"
                )
            current[first], origin[replaced.new] = replaced.new, first
    return tuple(current[file] for file in files)
