"""Bundles: an honest one of a world, and what becomes of its files when somebody changes them."""

from copy import copy
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from tests.evidence.corpus.csvfile import events_csv
from tests.evidence.corpus.events import Row
from tests.evidence.corpus.primitives import canonical, sha
from tests.evidence.corpus.signing import Key, note
from tests.evidence.corpus.world import FIRST_DAY, World

Files = dict[str, bytes]

FROM, TO = date(2026, 11, 1), date(2026, 11, 4)
"""The period of most cases: the log's third to sixth day; of acme 5, 0, 6 and 2 rows."""


@dataclass(slots=True)
class Bundle:
    """A bundle before its files are written: ``rows`` and ``evidence`` may be changed; honest until then."""

    rows: list[Row]
    evidence: dict[str, Any]
    others: Files
    signers: tuple[Key, ...]
    csv: bytes | None = field(default=None)
    """events.csv, where it is not what the rows make."""

    def content(self) -> Files:
        """The files that SHA256SUMS lists."""
        csv = events_csv(self.rows) if self.csv is None else self.csv
        return {**self.others, "events.csv": csv, "evidence.json": canonical(self.evidence)}

    def files(self) -> Files:
        return signed(self.content(), self.signers)

    def copy(self) -> "Bundle":
        """A bundle that can be changed, down to the hashes of a path, and leaves this one as it is."""
        days = [{name: copy(value) for name, value in day.items()} for day in self.days]
        evidence = {name: copy(value) for name, value in self.evidence.items()} | {"days": days}
        return replace(self, rows=[dict(row) for row in self.rows], evidence=evidence)

    @property
    def days(self) -> list[dict[str, Any]]:
        days: list[dict[str, Any]] = self.evidence["days"]
        return days


def sums(content: Files) -> bytes:
    return "".join(f"{sha(data).hex()}  {name}\n" for name, data in sorted(content.items())).encode()


def signed(content: Files, signers: tuple[Key, ...]) -> Files:
    text = sums(content)
    return {**content, "SHA256SUMS": text, "SHA256SUMS.sig": note(text, [key.line(text) for key in signers])}


def bundle(
    world: World, tenant_id: str = "acme", start: date = FROM, end: date = TO, *, size: int | None = None
) -> Bundle:
    """The honest bundle of a published world, with the checkpoint of this size, by default the latest."""
    size = size or len(world.entries)
    days, rows = [], []
    chain = next((chain for chain in world.chains if chain.tenant_id == tenant_id), None)
    for offset in range((end - start).days + 1):
        day = start + timedelta(days=offset)
        index = 1 + (day - FIRST_DAY).days
        first = min(size, index + 1 + index % 2)  # sometimes two days were published at once
        part = chain.days.get(day) if chain else None
        rows += part.rows if part else []
        breaks = sorted((seq, kind) for kind, seq in part.breaks) if part else []
        days.append(
            {
                "day": str(day),
                "day_record": world.entries[index].decode(),
                "path": world.path(index, size),
                "first_checkpoint": world.checkpoint(first),
                "first_path": world.path(index, first),
                "tenant_record": part.record(day, tenant_id) if part else None,
                "tenant_proof": world.map_proof(day, tenant_id),
                "breaks": [{"kind": kind, "seq": str(seq)} for seq, kind in breaks],
            }
        )
    evidence = {
        "type": "lumi/evidence/v1",
        "tenant_id": tenant_id,
        "chain_id": chain.chain_id if chain else "00" * 16,
        "from": str(start),
        "to": str(end),
        "origin": world.origin,
        "checkpoint": world.checkpoint(size),
        "genesis": world.genesis,
        "genesis_path": world.path(0, size),
        "days": days,
    }
    others = {
        "README.txt": f"Evidence of {tenant_id}, made for the tests of verifiers.\n".encode(),
        "log.vkey": "".join(f"{key.vkey}\n" for key in world.log_keys).encode(),
        "verify.html": b"<!doctype html><title>stands in for the page</title>\n",
        "verify.py": b"# stands in for the script\n",
    }
    return Bundle([dict(row) for row in rows], evidence, others, (world.evidence_key,))
