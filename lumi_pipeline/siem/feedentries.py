"""The index of a tenant's feed: numbered entries, each created only if absent, each naming the one before it.

``feeds/<tenant>/index/<n>.json`` says which object brings the next of the tenant's events. An object without an entry
counts for nothing, and an entry is written last, so a reader who follows the entries sees whole steps. Entry n + 1
carries the SHA-256 of entry n, and its seqs go on where that one's end: who has all entries up to one has all events.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lumi_pipeline.errors import LakeError, SiemError
from lumi_pipeline.events import TENANT_ID_SYNTAX
from lumi_pipeline.lake import Lake
from lumi_pipeline.records import json_count, json_text
from lumi_pipeline.sealedjson import encode_sealed, parse_sealed
from lumi_pipeline.siem.journal import Journal
from transparency.encoding import Json, excerpt, hex_decode
from transparency.errors import EncodingError

FEED_FORMAT: Final = "lumi/feed/v1"
FIRST_PREVIOUS: Final = "0" * 64
_FIELDS: Final = frozenset(
    {"batch_id", "bytes", "events", "first", "head", "next", "number", "object", "previous", "sha256", "tenant_id"}
    | {"withheld"}
)


@dataclass(frozen=True, slots=True)
class Withheld:
    """Seqs ``first`` to ``last`` that the feed does not bring: ``missing`` from the lake, or ``broken`` there."""

    first: int
    last: int
    reason: str

    @property
    def count(self) -> int:
        """Number of seqs."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One step of a feed: the events of seqs ``first`` to ``next`` - 1, in one object.

    ``path`` is the object's key below the feed's prefix, ``size`` and ``sha256`` are of its bytes as they are stored;
    None of these where all events of the step are withheld. ``head`` is the ``integrity_hash`` (hexadecimal) of the
    last row, empty where that is withheld. ``previous`` is the SHA-256 of the entry before, 64 zeros in the first.
    """

    number: int
    tenant_id: str
    first: int
    next: int
    events: int
    path: str | None
    size: int
    sha256: str
    batch_id: str
    head: str
    withheld: tuple[Withheld, ...]
    previous: str

    def encode(self) -> bytes:
        """The entry's exact bytes: canonical JSON and a line feed."""
        withheld: list[Json] = [[str(part.first), str(part.last), part.reason] for part in self.withheld]
        return encode_sealed(
            FEED_FORMAT,
            {
                "batch_id": self.batch_id,
                "bytes": str(self.size),
                "events": str(self.events),
                "first": str(self.first),
                "head": self.head,
                "next": str(self.next),
                "number": str(self.number),
                "object": self.path,
                "previous": self.previous,
                "sha256": self.sha256,
                "tenant_id": self.tenant_id,
                "withheld": withheld,
            },
        )

    @classmethod
    def parse(cls, data: bytes, name: str) -> "FeedEntry":
        """Read an entry; :class:`~lumi_pipeline.errors.LakeError` unless it is what :meth:`encode` wrote."""
        value = parse_sealed(FEED_FORMAT, data, _FIELDS, name)
        try:
            withheld, path, head = value["withheld"], value["object"], json_text(value["head"])
            if not isinstance(withheld, list):
                raise LakeError("what is withheld is not in form")
            hex_decode(head, 32 if head else 0)
            entry = cls(
                json_count(value["number"]),
                json_text(value["tenant_id"]),
                json_count(value["first"]),
                json_count(value["next"]),
                json_count(value["events"]),
                None if path is None else json_text(path),
                json_count(value["bytes"]),
                json_text(value["sha256"]),
                json_text(value["batch_id"]),
                head,
                tuple(_withheld(part) for part in withheld),
                json_text(value["previous"]),
            )
        except (LakeError, EncodingError) as error:
            raise LakeError(f"{name} is not an entry of a feed: {error}") from None
        if entry.events + sum(part.count for part in entry.withheld) != entry.next - entry.first:
            raise LakeError(f"{name} does not account for all of its seqs")
        return entry


def _withheld(value: Json) -> Withheld:
    match value:
        case [str(first), str(last), str(reason)]:
            return Withheld(json_count(first), json_count(last), reason)
    raise LakeError("what is withheld is not in form")


class FeedBook:
    """The feed of one tenant, as it is stored under a prefix that no other tenant's feed shares."""

    def __init__(self, lake: Lake, tenant_id: str) -> None:
        if not TENANT_ID_SYNTAX.fullmatch(tenant_id):  # it becomes a folder's name
            raise SiemError(f"{excerpt(tenant_id)} is not a tenant id, so it has no feed")
        self.tenant_id = tenant_id
        self.prefix = f"feeds/{tenant_id}/"
        self.journal = Journal(lake.store, f"{self.prefix}index/")
        self._lake = lake

    def object_prefix(self, number: int) -> str:
        """How the names of objects begin that were written for an entry, below the feed's prefix."""
        return f"events/{number:012d}-"

    def last(self) -> tuple[FeedEntry, str] | None:
        """Return the newest entry and the SHA-256 of its bytes; None before the first."""
        number = self.journal.last()
        return None if number is None else self._parse(number, self.journal.read(number))

    def entries(self) -> Iterator[FeedEntry]:
        """Yield all entries in order, each checked to follow the one before.

        Raises :class:`~lumi_pipeline.errors.LakeError` at the first that does not.
        """
        previous, after = FIRST_PREVIOUS, 0
        for number, data in self.journal.since(0):
            entry, digest = self._parse(number, data)
            if entry.previous != previous or entry.first != after:
                raise LakeError(f"{self.journal.key(number)} does not follow the entry before it: one was altered")
            yield entry
            previous, after = digest, entry.next

    def tidy(self, entry: FeedEntry) -> None:
        """Remove what runs that crashed or were overtaken left under the number of an entry that is there by now."""
        kept = None if entry.path is None else self.prefix + entry.path
        for key in list(self._lake.store.list(self.prefix + self.object_prefix(entry.number))):
            if key != kept:
                self._lake.discard(key)

    def _parse(self, number: int, data: bytes) -> tuple[FeedEntry, str]:
        key = self.journal.key(number)
        entry = FeedEntry.parse(data, key)
        # On a disk that does not tell capital letters from small ones, two tenants would share a folder.
        if entry.tenant_id != self.tenant_id or entry.number != number:
            raise LakeError(
                f"{key} is entry {entry.number} of the feed of {entry.tenant_id}, not {number} of {self.tenant_id}'s; "
                "nothing was published for it"
            )
        return entry, hashlib.sha256(data).hexdigest()
