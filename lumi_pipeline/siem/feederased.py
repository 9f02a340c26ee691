"""What an erasure left of a feed: objects that were written anew, each named by a record beside the index.

``feeds/<tenant>/superseded/<entry>-<n>.json`` says which object brings the events of an entry after erasure n. The
entries stay as they are, and so does the chain that they make: whoever follows the index takes, for an entry that there
are records of, the object of the last one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lumi_pipeline.errors import LakeError, RecordError
from lumi_pipeline.lake import Lake
from lumi_pipeline.records import json_count, json_text
from lumi_pipeline.sealedjson import encode_sealed, parse_sealed

FEED_ERASED_FORMAT: Final = "lumi/feed-superseded/v1"
_FIELDS: Final = frozenset({"bytes", "erased", "erasure", "event_id", "number", "object", "sha256", "tenant_id"})


@dataclass(frozen=True, slots=True)
class ErasedEntry:
    """The object that takes the place of an entry's: its key below the feed's prefix, its bytes, their SHA-256.

    ``erased`` counts the events that lost their payload in it; ``event_id`` is the operator's event that ordered it.
    """

    number: int
    tenant_id: str
    erasure: int
    event_id: str
    erased: int
    path: str
    size: int
    sha256: str

    def encode(self) -> bytes:
        """The record's exact bytes."""
        return encode_sealed(
            FEED_ERASED_FORMAT,
            {
                "bytes": str(self.size),
                "erased": str(self.erased),
                "erasure": str(self.erasure),
                "event_id": self.event_id,
                "number": str(self.number),
                "object": self.path,
                "sha256": self.sha256,
                "tenant_id": self.tenant_id,
            },
        )

    @classmethod
    def parse(cls, data: bytes, key: str) -> "ErasedEntry":
        """Read a record; :class:`~lumi_pipeline.errors.LakeError` naming ``key`` when it was altered."""
        try:
            value = parse_sealed(FEED_ERASED_FORMAT, data, _FIELDS, key)
            record = cls(
                json_count(value["number"]),
                json_text(value["tenant_id"]),
                json_count(value["erasure"]),
                json_text(value["event_id"]),
                json_count(value["erased"]),
                json_text(value["object"]),
                json_count(value["bytes"]),
                json_text(value["sha256"]),
            )
        except RecordError as error:
            raise LakeError(f"{key} is no record of an erasure: {error}") from None
        if key != record.key:
            raise LakeError(f"{key} was altered: it is about entry {record.number} and erasure {record.erasure}")
        return record

    @property
    def key(self) -> str:
        """Where the record is kept."""
        return f"{entry_records(self.tenant_id, self.number)}{self.erasure:06d}.json"


def entry_records(tenant_id: str, number: int) -> str:
    """How the keys of the records about an entry begin."""
    return f"feeds/{tenant_id}/superseded/{number:012d}-"


def erased_entries(lake: Lake, tenant_id: str, number: int) -> Sequence[ErasedEntry]:
    """Read the records about an entry, in the order of the erasures."""
    found = (ErasedEntry.parse(lake.store.get(k), k) for k in lake.store.list(entry_records(tenant_id, number)))
    return sorted(found, key=lambda record: record.erasure)
