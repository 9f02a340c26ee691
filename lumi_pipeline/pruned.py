"""Records of pruned days: whose rows left the lake and the outbox under the retention policy, and what stays of a day.

What is pruned is a tenant's whole day: its tenant-day record then stands for its rows. Rows of other tenants of the day
may have to stay (``kept``); they lie in files of their own, which count instead of those that the day was sealed with.
Where a hold is released later, the day is pruned once more: its records are numbered, and the last one counts.

A record proves nothing by itself: an event of the operator's chain has to say the same
(:mod:`lumi_pipeline.pruning.confirming`), and the kept rows have to give their tenants' records.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Final

from lumi_pipeline.errors import LakeError, RecordError
from lumi_pipeline.lake import Lake, events_prefix, seal_prefix
from lumi_pipeline.records import StoredFile, json_count, json_text
from lumi_pipeline.sealedjson import encode_sealed, parse_sealed
from transparency.encoding import Json, b64decode, b64encode, hex_decode, parse_day
from transparency.errors import EncodingError

PRUNED_FORMAT: Final = "lumi/pruned/v1"
KEPT: Final = "/kept-"
"""In the keys of files with the rows that stay of a pruned day."""

_STATE: Final = frozenset({"day", "events", "files", "kept", "manifest", "number", "root"})
_NAME: Final = re.compile(r"seals/day=([^/]+)/pruned-([0-9]{6})\.json")


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one pruning left of a day; ``event_id`` is the operator's audit event that says the same.

    ``number`` counts the day's prunings from 0. ``events`` are the rows that are gone after it, ``kept`` the tenants
    whose rows stay, sorted, and ``files`` hold those. ``root`` (32 bytes) and ``manifest`` (hexadecimal SHA-256) are
    those of the day's public record.
    """

    day: date
    number: int
    event_id: str
    events: int
    kept: tuple[str, ...]
    files: tuple[StoredFile, ...]
    root: bytes
    manifest: str

    @property
    def key(self) -> str:
        """Where it is kept."""
        return f"{seal_prefix(self.day)}pruned-{self.number:06d}.json"

    def state(self) -> dict[str, Json]:
        """What the audit event says of it."""
        return {
            "day": self.day.isoformat(),
            "events": str(self.events),
            "files": [file.to_json() for file in self.files],
            "kept": list(self.kept),
            "manifest": self.manifest,
            "number": str(self.number),
            "root": b64encode(self.root),
        }

    def encode(self) -> bytes:
        """The record's exact bytes."""
        return encode_sealed(PRUNED_FORMAT, {**self.state(), "event_id": self.event_id})

    @classmethod
    def from_state(cls, value: Json, event_id: str) -> "Pruned":
        """Read what :meth:`state` wrote; :class:`~lumi_pipeline.errors.RecordError` otherwise."""
        if not isinstance(value, dict) or set(value) != _STATE:
            raise RecordError("the fields are not those of a pruned day")
        files, kept = value["files"], value["kept"]
        if not isinstance(files, list) or not isinstance(kept, list):
            raise RecordError("files and kept are lists")
        try:
            pruned = cls(
                parse_day(json_text(value["day"])),
                json_count(value["number"]),
                event_id,
                json_count(value["events"]),
                tuple(json_text(tenant_id) for tenant_id in kept),
                tuple(StoredFile.from_json(file) for file in files),
                b64decode(json_text(value["root"]), 32),
                json_text(value["manifest"]),
            )
            hex_decode(pruned.manifest, 32)
        except EncodingError as error:
            raise RecordError(str(error)) from None
        prefix = f"{events_prefix(pruned.day)[:-1]}{KEPT}"
        if list(pruned.kept) != sorted(set(pruned.kept)) or any(not f.path.startswith(prefix) for f in pruned.files):
            raise RecordError("its tenants are not sorted, or its files are not in the folder of the day")
        return pruned

    @classmethod
    def parse(cls, data: bytes, key: str) -> "Pruned":
        """Read a record; :class:`~lumi_pipeline.errors.RecordError` naming ``key`` when it was altered."""
        value = parse_sealed(PRUNED_FORMAT, data, _STATE | {"event_id"}, key)
        try:
            pruned = cls.from_state({name: value[name] for name in _STATE}, json_text(value["event_id"]))
        except RecordError as error:
            raise RecordError(f"{key} was altered: {error}") from None
        if pruned.key != key:
            raise RecordError(f"{key} was altered: it is the record of pruning {pruned.number} of {pruned.day}")
        return pruned


def pruned_prefix(day: date) -> str:
    """How the names of a day's records begin."""
    return f"{seal_prefix(day)}pruned-"


def pruned_keys(lake: Lake) -> dict[date, list[str]]:
    """The keys of all records, by day, those of a day in order."""
    found: dict[date, list[str]] = {}
    for key in lake.store.list("seals/day="):
        if "/pruned-" in key:
            match = _NAME.fullmatch(key)
            try:
                day = parse_day(match[1]) if match else None
            except EncodingError:
                day = None
            if day is None:
                raise LakeError(f"{key} is not the name of a record of pruning; move it away")
            found.setdefault(day, []).append(key)
    return found


def read_pruned(lake: Lake, key: str) -> Pruned:
    """Read one record."""
    return Pruned.parse(lake.store.get(key), key)
