"""A random sample of a bundle's events that neither side can steer (docs/formats.md section 9, "Samples").

What is drawn follows from the bundle's checkpoint, which the operator can't change any more, and from a nonce that the
auditor chooses afterwards. Each event comes with its proof, made of the bundle alone.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from lumi_pipeline.errors import EvidenceError
from lumi_pipeline.events import EVENT_SCHEMA
from lumi_pipeline.evidence.bundlefiles import EVENTS, PROOFS, open_bundle, read_whole
from lumi_pipeline.evidence.csvblocks import read_events
from lumi_pipeline.evidence.proofsfile import Evidence, EvidenceDay, parse_evidence
from lumi_pipeline.hashing import event_leaf, net
from lumi_pipeline.proofs import EVENT_PROOF
from lumi_pipeline.proving import proved_event
from lumi_pipeline.records import TenantDay
from lumi_pipeline.rowhash import digest_column
from transparency.checkpoint import parse_signed_checkpoint
from transparency.encoding import Json, b64encode, canonical_json
from transparency.entries import day_index
from transparency.merkle import LeafHashes, inclusion_proof
from transparency.proof import TlogProof

SAMPLE_TAG: Final = b"lumi/sample/v1\n"
MAX_SAMPLE: Final = 10_000
MAX_NONCE: Final = 1_000
"""Characters: more than anybody reads out or writes down."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Events that were drawn, in the order of their seqs, each with its proof file."""

    population: int
    events: pa.Table
    proofs: Mapping[str, bytes]


def draw_sample(path: Path, count: int, nonce: str) -> Sample:
    """Draw ``count`` events, or all if there are no more, from a bundle that was verified before.

    Raises :class:`~lumi_pipeline.errors.EvidenceError` as :func:`check_wanted`, and for a bundle without events.
    """
    check_wanted(count, nonce)
    with open_bundle(path) as bundle:
        evidence = parse_evidence(read_whole(bundle, PROOFS))
        records = [TenantDay.parse(day.tenant_record) if day.tenant_record else None for day in evidence.days]
        population = sum(record.count for record in records if record is not None)
        if not population:
            raise EvidenceError("the bundle has no events, so there is nothing to draw from")
        root = b64encode(parse_signed_checkpoint(evidence.checkpoint).checkpoint.root)
        source = SampledFrom(evidence.origin, root, evidence.tenant_id, evidence.first, evidence.last)
        chosen = sorted(drawn_rows(source, population, min(count, population), nonce))
        with bundle.open(EVENTS) as file:
            collector = _Collector(evidence, records, chosen)
            for table in read_events(file, bundle.size(EVENTS)):
                collector.add(table)
    return Sample(population, collector.events(), collector.proofs)


@dataclass(frozen=True, slots=True)
class SampledFrom:
    """What a sample is drawn from: the log, the root of its checkpoint in base64, the tenant and the period."""

    origin: str
    root: str
    tenant_id: str
    first: date
    last: date


def check_wanted(count: int, nonce: str) -> None:
    """Raise :class:`~lumi_pipeline.errors.EvidenceError` for a number out of range, or a nonce that is none.

    Without a nonce the operator, who knows everything else, could foresee what is drawn.
    """
    if not 1 <= count <= MAX_SAMPLE:
        raise EvidenceError(f"a sample has 1 to {MAX_SAMPLE:,} events, not {count:,}")
    if not nonce or len(nonce) > MAX_NONCE:
        raise EvidenceError(f"a nonce has 1 to {MAX_NONCE:,} characters, and this one {len(nonce):,}")
    try:
        nonce.encode()
    except UnicodeEncodeError:
        raise EvidenceError("the nonce is not UTF-8; choose a text") from None


def drawn_rows(source: SampledFrom, population: int, count: int, nonce: str) -> set[int]:
    """Return which rows of ``events.csv`` are drawn, counted from 0: so many different ones, each as likely as any."""
    about = (
        source.origin,
        source.root,
        source.tenant_id,
        source.first.isoformat(),
        source.last.isoformat(),
        str(population),
        str(count),
        nonce,
    )
    seed = hashlib.sha256(SAMPLE_TAG + b"".join(map(net, about))).digest()
    # Numbers above the largest multiple of the population are passed over, or small rows would be likelier.
    limit = (1 << 256) // population * population
    rows: set[int] = set()
    for number in _numbers(seed):
        if number < limit:
            rows.add(number % population)
            if len(rows) == count:
                break
    return rows


def _numbers(seed: bytes) -> Iterator[int]:
    counter = 0
    while True:
        yield int.from_bytes(hashlib.sha256(seed + counter.to_bytes(8, "big")).digest(), "big")
        counter += 1


@dataclass(slots=True)
class _Collector:
    """Takes the rows of a bundle one after the other; keeps the drawn ones, and the leaves of their days' trees."""

    evidence: Evidence
    records: Sequence[TenantDay | None]
    chosen: Sequence[int]
    proofs: dict[str, bytes] = field(default_factory=dict)
    _rows: list[pa.Table] = field(default_factory=list)
    _row: int = 0
    _day: int = 0
    _in_day: int = 0
    _leaves: list[bytes] = field(default_factory=list)
    _waiting: list[tuple[int, Mapping[str, object]]] = field(default_factory=list)

    def add(self, table: pa.Table) -> None:
        """Take the next rows."""
        at = 0
        while at < len(table):
            record = self.records[self._day]
            left = (record.count if record is not None else 0) - self._in_day
            part = table.slice(at, left)
            if left and len(part):
                self._take(part)
                at += len(part)
            if left == len(part):
                self._end_day()

    def _take(self, part: pa.Table) -> None:
        begin = int(np.searchsorted(self.chosen, self._row))
        end = int(np.searchsorted(self.chosen, self._row + len(part)))
        for row in self.chosen[begin:end]:
            one = part.slice(row - self._row, 1)
            self._rows.append(one)
            self._waiting.append((self._in_day + row - self._row, one.to_pylist()[0]))
        if self._day_is_drawn():
            self._leaves += [event_leaf(digest.tobytes()) for digest in digest_column(part.column("integrity_hash"))]
        self._row += len(part)
        self._in_day += len(part)

    def _day_is_drawn(self) -> bool:
        record = self.records[self._day]
        first = self._row - self._in_day
        after = first + (record.count if record is not None else 0)
        return bool(np.searchsorted(self.chosen, first) < np.searchsorted(self.chosen, after))

    def _end_day(self) -> None:
        leaves = LeafHashes(self._leaves)
        for index, row in self._waiting:
            path = inclusion_proof(leaves, index, len(self._leaves))
            event = proved_event(row, index, path, redact=False)
            self.proofs[str(row["event_id"])] = _proof(self.evidence, self.evidence.days[self._day], event)
        self._leaves, self._waiting = [], []
        self._day, self._in_day = self._day + 1, 0

    def events(self) -> pa.Table:
        """The drawn rows, in the order of their seqs."""
        return pa.concat_tables(self._rows) if self._rows else EVENT_SCHEMA.empty_table()


def _proof(evidence: Evidence, day: EvidenceDay, event: dict[str, Json]) -> bytes:
    extra: Json = {
        "day_record": day.day_record.decode(),
        "event": event,
        "genesis": evidence.genesis_text.decode(),
        "genesis_path": [b64encode(node) for node in evidence.genesis_path],
        "tenant_proof": b64encode(day.tenant_proof),
        "tenant_record": (day.tenant_record or b"").decode(),
        "type": EVENT_PROOF,
    }
    index = day_index(evidence.genesis.first_day, day.day)
    return TlogProof(index, day.path, evidence.checkpoint, canonical_json(extra).encode()).format()
