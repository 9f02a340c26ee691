"""What a rebase keeps in the lake: what it found, the rows it took out of the outbox, and that it was finished.

``rebases/<n>/found.json`` comes first, before anything is changed, and says what was decided on and why. Rows that are
taken out are kept under ``rebases/<n>/forked/<tenant>/`` before they are gone. ``rebases/<n>/done.json`` comes last; a
rebase without it was interrupted, and the next one completes it.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from lumi_pipeline.errors import ConcurrentRun, RecordError
from lumi_pipeline.lake import Lake, reading
from lumi_pipeline.rebasing import Finding, Findings, Kind
from lumi_pipeline.records import StoredFile, json_count, json_text
from lumi_pipeline.sealedjson import encode_sealed, parse_sealed
from transparency.encoding import Json
from transparency.errors import ObjectConflict

FOUND_FORMAT: Final = "lumi/rebase/v1"
DONE_FORMAT: Final = "lumi/rebase-done/v1"
_FOUND: Final = frozenset(
    {"at", "counts", "days_open", "event_id", "landed_system", "number", "reason", "system_id", "tenants"}
)
_DONE: Final = frozenset({"event_id", "evidence", "number"})


@dataclass(frozen=True, slots=True)
class Rebase:
    """What was found in a database, and decided about it.

    ``event_id`` is the operator's audit event that says so, fixed beforehand so that it is recorded once; ``at`` is
    the time of the decision; ``repairs`` are the tenants to be repaired, ``counts`` the tenants of each kind.
    """

    number: int
    event_id: str
    at: str
    reason: str
    landed_system: str | None
    system_id: str
    days_open: bool
    counts: Mapping[Kind, int]
    repairs: tuple[Finding, ...]

    @property
    def key(self) -> str:
        """Where it is kept."""
        return f"{rebase_prefix(self.number)}found.json"

    def summary(self) -> dict[str, Json]:
        """What the operator's audit event says of it."""
        counts: dict[str, Json] = {kind.value: str(count) for kind, count in sorted(self.counts.items())}
        return {
            "days_open": self.days_open,
            "landed_system": self.landed_system,
            "reason": self.reason,
            "rebase": str(self.number),
            "rows_forked": str(sum(found.forked for found in self.repairs)),
            "rows_missing": str(sum(found.missing for found in self.repairs)),
            "system_id": self.system_id,
            "tenants": counts,
        }

    def encode(self) -> bytes:
        """The bytes of ``found.json``."""
        counts: dict[str, Json] = {kind.value: str(count) for kind, count in self.counts.items()}
        return encode_sealed(
            FOUND_FORMAT,
            {
                "at": self.at,
                "counts": counts,
                "days_open": self.days_open,
                "event_id": self.event_id,
                "landed_system": self.landed_system,
                "number": self.number,
                "reason": self.reason,
                "system_id": self.system_id,
                "tenants": [_finding_json(found) for found in self.repairs],
            },
        )

    @classmethod
    def parse(cls, data: bytes, key: str) -> "Rebase":
        """Read it; :class:`~lumi_pipeline.errors.RecordError` naming ``key`` when it was altered."""
        value = parse_sealed(FOUND_FORMAT, data, _FOUND, key)
        number, counts, tenants, landed = value["number"], value["counts"], value["tenants"], value["landed_system"]
        if type(number) is not int or not isinstance(counts, dict) or not isinstance(tenants, list):
            raise RecordError(f"{key} was altered: a field has the wrong type")
        try:
            return cls(
                number,
                json_text(value["event_id"]),
                json_text(value["at"]),
                json_text(value["reason"]),
                None if landed is None else json_text(landed),
                json_text(value["system_id"]),
                bool(value["days_open"]),
                {Kind(kind): json_count(count) for kind, count in counts.items()},
                tuple(_finding(tenant) for tenant in tenants),
            )
        except ValueError:
            raise RecordError(f"{key} was altered: it names a kind that there is not") from None


def rebase_prefix(number: int) -> str:
    """Where what a rebase keeps lies."""
    return f"rebases/{number:012d}/"


def evidence_prefix(number: int, tenant_id: str) -> str:
    """Where the rows lie that a rebase took out of a tenant's chain."""
    return f"{rebase_prefix(number)}forked/{tenant_id}/"


def begin_rebase(lake: Lake, findings: Findings, reason: str, event_id: str, at: str) -> Rebase:
    """Decide on a rebase, durably; or return the one that was interrupted with the same database, to be completed."""
    last = _last(lake)
    if last is not None and not is_done(lake, last) and last.system_id == findings.system_id:
        return last
    rebase = Rebase(
        last.number + 1 if last else 0,
        event_id,
        at,
        reason,
        findings.landed_system,
        findings.system_id,
        findings.days_open,
        findings.counts,
        findings.repairs,
    )
    try:
        # A crash after this leaves a decision that the next run carries out.
        lake.store.put_new(rebase.key, rebase.encode())
    except ObjectConflict:
        raise ConcurrentRun(f"another run began rebase {rebase.number} at this moment; look again") from None
    return rebase


def interrupted(lake: Lake, system_id: str) -> Rebase | None:
    """The rebase with this database that was begun and not finished, if there is one."""
    last = _last(lake)
    return None if last is None or last.system_id != system_id or is_done(lake, last) else last


def is_done(lake: Lake, rebase: Rebase) -> bool:
    """Whether a rebase was finished."""
    key = _done_key(rebase)
    return key in lake.store.list(key)


def finish_rebase(lake: Lake, rebase: Rebase) -> None:
    """Say that everything of a rebase is done, and which files hold the rows that it took out.

    Also those of runs that were interrupted: a row that they kept and did not come to take out is in two files then.
    """
    evidence: list[Json] = []
    for key in sorted(lake.store.list(f"{rebase_prefix(rebase.number)}forked/")):
        data = lake.store.get(key)
        with reading(key):
            rows = pq.ParquetFile(pa.BufferReader(data)).metadata.num_rows
        evidence.append(StoredFile(key, len(data), rows, hashlib.sha256(data).hexdigest()).to_json())
    done = encode_sealed(DONE_FORMAT, {"evidence": evidence, "event_id": rebase.event_id, "number": rebase.number})
    try:
        lake.store.put_new(_done_key(rebase), done)
    except ObjectConflict:
        return  # by another run, which completed the same rebase


def taken_out(lake: Lake) -> Iterator[tuple[int, tuple[StoredFile, ...]]]:
    """Yield the number of each finished rebase that took rows out of the outbox, and the files that hold them."""
    for key in lake.store.list("rebases/"):
        if not key.endswith("/done.json"):
            continue
        value = parse_sealed(DONE_FORMAT, lake.store.get(key), _DONE, key)
        number, evidence = value["number"], value["evidence"]
        if type(number) is not int or not isinstance(evidence, list):
            raise RecordError(f"{key} was altered: a field has the wrong type")
        if evidence:
            yield number, tuple(StoredFile.from_json(file) for file in evidence)


def _done_key(rebase: Rebase) -> str:
    return f"{rebase_prefix(rebase.number)}done.json"


def _last(lake: Lake) -> Rebase | None:
    key = max((key for key in lake.store.list("rebases/") if key.endswith("/found.json")), default=None)
    return None if key is None else Rebase.parse(lake.store.get(key), key)


def _finding_json(found: Finding) -> dict[str, Json]:
    return {
        "first": str(found.first),
        "forked": str(found.forked),
        "kind": found.kind.value,
        "landed": str(found.landed),
        "missing": str(found.missing),
        "new": str(found.new),
        "tenant": found.tenant_id,
    }


def _finding(value: Json) -> Finding:
    if not isinstance(value, dict) or set(value) != {"first", "forked", "kind", "landed", "missing", "new", "tenant"}:
        raise RecordError("a finding has the fields first, forked, kind, landed, missing, new and tenant")
    counted = (json_count(value[name]) for name in ("landed", "first", "missing", "forked", "new"))
    return Finding(json_text(value["tenant"]), Kind(json_text(value["kind"])), *counted)
