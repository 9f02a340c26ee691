"""Bundles in the lake's store that an erasure replaced: the new one, and the record that names both.

``evidence/<tenant>/<bundle>.superseded-<n>.json`` says that after erasure n ``<bundle>.erased-<n>.zip`` is the evidence
of that tenant and period. It is a bundle like any other, made and verified anew. Whoever was given the old one keeps
it, and it still verifies.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from lumi_pipeline.errors import LakeError, RecordError
from lumi_pipeline.evidence.period import Asked
from lumi_pipeline.records import json_count, json_text
from lumi_pipeline.sealedjson import encode_sealed, parse_sealed
from transparency.encoding import Json

PREFIX: Final = "evidence/"
SUPERSEDED_FORMAT: Final = "lumi/evidence-superseded/v1"
_FIELDS: Final = frozenset({"bytes", "erasure", "event_id", "new", "old", "sha256"})
_NAME: Final = re.compile(r"evidence-(.+)-(\d{4}-\d\d-\d\d)-(\d{4}-\d\d-\d\d)(?:\.erased-\d{6,})?(?:\.zip)?")


@dataclass(frozen=True, slots=True)
class SupersededBundle:
    """A bundle, the objects that it consisted of, and the one that took its place, with its bytes and SHA-256."""

    erasure: int
    event_id: str
    old: tuple[str, ...]
    new: str
    size: int
    sha256: str

    @classmethod
    def of(cls, erasure: int, event_id: str, old: Sequence[str], new: str, data: bytes) -> "SupersededBundle":
        """The record of a new bundle that is ``data``."""
        return cls(erasure, event_id, tuple(old), new, len(data), hashlib.sha256(data).hexdigest())

    def encode(self) -> bytes:
        """The record's exact bytes."""
        old: list[Json] = list(self.old)
        fields: dict[str, Json] = {
            "bytes": str(self.size),
            "erasure": str(self.erasure),
            "event_id": self.event_id,
            "new": self.new,
            "old": old,
            "sha256": self.sha256,
        }
        return encode_sealed(SUPERSEDED_FORMAT, fields)

    @classmethod
    def parse(cls, data: bytes, key: str) -> "SupersededBundle":
        """Read a record; :class:`~lumi_pipeline.errors.LakeError` naming ``key`` when it was altered."""
        try:
            value = parse_sealed(SUPERSEDED_FORMAT, data, _FIELDS, key)
            old = value["old"]
            if not isinstance(old, list):
                raise RecordError("what was there is no list")
            return cls(
                json_count(value["erasure"]),
                json_text(value["event_id"]),
                tuple(map(json_text, old)),
                json_text(value["new"]),
                json_count(value["bytes"]),
                json_text(value["sha256"]),
            )
        except RecordError as error:
            raise LakeError(f"{key} is no record of a bundle: {error}") from None


def bundle_key(asked: Asked) -> str:
    """Where the bundle of a tenant and period is made at first."""
    return f"{PREFIX}{asked.tenant_id}/{asked.name}.zip"


def rewritten_key(asked: Asked, erasure: int) -> str:
    """Where the bundle is that an erasure has made."""
    return f"{PREFIX}{asked.tenant_id}/{asked.name}.erased-{erasure:06d}.zip"


def record_key(asked: Asked, erasure: int) -> str:
    """Where it is recorded."""
    return f"{_records(asked)}{erasure:06d}.json"


def current_key(asked: Asked, stored: Iterable[str]) -> str:
    """Where the bundle is that counts now, of the keys that there are: the last one made by an erasure, if any."""
    prefix = _records(asked)
    erasures = [int(key.removeprefix(prefix).removesuffix(".json")) for key in stored if key.startswith(prefix)]
    return rewritten_key(asked, max(erasures)) if erasures else bundle_key(asked)


def current_keys(every: Iterable[Asked], stored: Iterable[str]) -> dict[Asked, str]:
    """Where each of these bundles is that counts now, of all keys under ``evidence/``."""
    by_tenant: dict[str, list[str]] = {}
    for key in stored:
        by_tenant.setdefault(key.removeprefix(PREFIX).partition("/")[0], []).append(key)
    return {asked: current_key(asked, by_tenant.get(asked.tenant_id, ())) for asked in every}


def asked_by_name(name: str) -> Asked | None:
    """Whose evidence of which period has this name, as a folder or as a ZIP file; None for another name."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    try:
        return Asked(found[1], date.fromisoformat(found[2]), date.fromisoformat(found[3]))
    except ValueError:
        return None


def _records(asked: Asked) -> str:
    return f"{PREFIX}{asked.tenant_id}/{asked.name}.superseded-"
