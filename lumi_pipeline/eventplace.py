"""Where a sealed event lies, and its path in its tenant's event tree.

With the day's proof index that takes reading one row and a thousand hashes; without it, or when anything that it led to
does not fit the day's record, the files themselves are searched, and what is wrong with them is told.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.dayrows import read_day_rows
from lumi_pipeline.errors import LakeError, ProofNotFound
from lumi_pipeline.events import EVENT_ID_SYNTAX
from lumi_pipeline.hashing import event_leaf
from lumi_pipeline.lake import Lake, check_values, reading
from lumi_pipeline.proofindex import LEVEL, ProofIndex, open_index
from lumi_pipeline.pruned import pruned_keys
from lumi_pipeline.records import StoredFile
from lumi_pipeline.rewritten import check_rewritten_day
from lumi_pipeline.rowhash import digest_column, recompute_hashes
from lumi_pipeline.sealedday import SealedDay, current_files, load_sealed_day
from lumi_pipeline.tenantdays import SealedTenant
from transparency.encoding import parse_day
from transparency.errors import StoreError, VerificationError
from transparency.merkle import LeafHashes, NodeId, inclusion_proof, verify_inclusion


@dataclass(frozen=True, slots=True)
class EventPlace:
    """A sealed event: its day and tenant, the row, its number among the tenant's events of the day, and its path."""

    sealed: SealedDay
    tenant: SealedTenant
    event: Mapping[str, Any]
    index: int
    path: Sequence[bytes]


def find_event(lake: Lake, event_id: str) -> EventPlace:
    """Return where a sealed event lies; the path leads to the root of its tenant's record.

    Raises :class:`~lumi_pipeline.errors.ProofNotFound` when no sealed day holds it, and
    :class:`~lumi_pipeline.errors.LakeError` when its day was altered.
    """
    if not EVENT_ID_SYNTAX.fullmatch(event_id):
        raise ProofNotFound(f"{event_id!r} is not an event id: a UUID in lower case is expected")
    try:
        place = _by_index(lake, event_id)
    except (LakeError, StoreError, VerificationError):
        place = None  # whatever is wrong is found out, and told, by reading the files themselves
    return place or _by_search(lake, event_id)


class _IndexedTree:
    """One tenant's event tree of a day, as a :class:`~transparency.merkle.NodeReader`: unauthenticated."""

    def __init__(
        self, lake: Lake, files: Sequence[StoredFile], index: ProofIndex, rows: range, first_node: int
    ) -> None:
        self._lake = lake
        self._files = files
        self._rows = rows
        self._stored = LeafHashes(index.read_nodes(first_node, len(rows) >> LEVEL))
        self._groups: dict[int, LeafHashes] = {}

    def read_nodes(self, ids: Sequence[NodeId]) -> list[bytes]:
        return [self._node(level, index) for level, index in ids]

    def _node(self, level: int, index: int) -> bytes:
        if level >= LEVEL:
            reader, node = self._stored, (level - LEVEL, index)
        else:
            number, inside = divmod(index << level, 1 << LEVEL)
            reader, node = self._group(number), (level, inside >> level)
        return reader.read_nodes([node])[0]

    def _group(self, number: int) -> LeafHashes:
        if number not in self._groups:
            rows = self._rows[number << LEVEL : (number + 1) << LEVEL]
            hashes = read_day_rows(self._lake, self._files, rows, ["integrity_hash"]).column("integrity_hash")
            self._groups[number] = LeafHashes(event_leaf(digest.tobytes()) for digest in digest_column(hashes))
        return self._groups[number]


def _by_index(lake: Lake, event_id: str) -> EventPlace | None:
    for day in _likely_days(lake, event_id):
        with open_index(lake, day) as index:
            if index is None:
                continue
            for row in index.find(event_id):
                place = _at(lake, day, index, row, event_id)
                if place is not None:
                    return place
    return None


def _likely_days(lake: Lake, event_id: str) -> Iterator[date]:
    """The sealed days, the likely ones first: a UUID of version 7 has its time in it (RFC 9562 section 5.7)."""
    days = lake.sealed_days()
    if event_id[14] == "7":
        made = datetime.fromtimestamp(int(event_id[:8] + event_id[9:13], 16) / 1000, UTC).date()
        days.sort(key=lambda day: -abs((day - made).days))
    return reversed(days)


def _at(lake: Lake, day: date, index: ProofIndex, row: int, event_id: str) -> EventPlace | None:
    """The event, if it is what the day has in this row."""
    files = current_files(lake, day)
    event = read_day_rows(lake, files, range(row, row + 1))
    if event.column("event_id")[0].as_py() != event_id:
        return None
    sealed = load_sealed_day(lake, day)
    tenant, rows, first_node = _tenant_of(sealed, row)
    number = row - rows.start
    path = inclusion_proof(_IndexedTree(lake, files, index, rows, first_node), number, len(rows))
    place = EventPlace(sealed, tenant, event.to_pylist()[0], number, path)
    if not _is_whole(event) or place.event["tenant_id"] != tenant.tenant_id:
        raise LakeError(f"{day}: row {row} was altered")
    verify_inclusion(event_leaf(place.event["integrity_hash"]), number, len(rows), path, tenant.record.root)
    return place


def _tenant_of(sealed: SealedDay, row: int) -> tuple[SealedTenant, range, int]:
    """The tenant that has this row, its rows, and the number of its first node in the proof index."""
    begin = node = 0
    for _, tenant in sorted(sealed.present.items()):
        count = tenant.record.count
        if row < begin + count:
            return tenant, range(begin, begin + count), node
        begin += count
        node += count >> LEVEL
    raise LakeError(f"{sealed.record.day} has {begin} rows, so there is no row {row}")


def _is_whole(event: pa.Table) -> bool:
    """Whether a row has the hashes that its columns give, but for a payload that was erased."""
    payload, integrity = (digests.tobytes() for digests in recompute_hashes(event))
    erased = event.column("erased_at")[0].is_valid
    stored = [event.column(name)[0].as_py() for name in ("payload_hash", "integrity_hash")]
    return bool(stored[1] == integrity and (erased or stored[0] == payload))


def _by_search(lake: Lake, event_id: str) -> EventPlace:
    for day in _days_with(lake, event_id):
        files = current_files(lake, day)
        for file in files:
            row = _row(lake, file, event_id)
            if row is None:
                continue
            sealed = load_sealed_day(lake, day)
            check_rewritten_day(lake, sealed)
            hashes, index = _leaves(lake, files, row)
            leaves = LeafHashes(hashes)
            tenant = sealed.tenants.tenants.get(str(row["tenant_id"]))
            if tenant is None or leaves.root() != tenant.record.root:
                raise LakeError(
                    f"{day}: the rows of tenant {row['tenant_id']} were altered: they don't give the sealed root"
                )
            return EventPlace(sealed, tenant, row, index, inclusion_proof(leaves, index, len(hashes)))
    pruned = sorted(pruned_keys(lake))
    if pruned:
        raise ProofNotFound(
            f"no sealed day holds event {event_id}. If it is of one of the {len(pruned)} day(s) from {pruned[0]} to "
            f"{pruned[-1]} that were pruned under policy, it can't be proved any more; proofs made before still verify"
        )
    raise ProofNotFound(f"no sealed day holds event {event_id}; 'lumi run' seals what is complete")


def _days_with(lake: Lake, event_id: str) -> list[date]:
    """The sealed days whose files seem to hold the event; their bytes are only checked when they are used."""
    sealed = set(lake.sealed_days())
    files = {lake.locate(key): key for key in lake.store.list("events/day=") if key.endswith(".parquet")}
    if not files:
        return []
    with lake.searching("events/") as db:
        found = db.execute(
            "SELECT DISTINCT filename FROM read_parquet($files, filename = true, hive_partitioning = false) "
            "WHERE event_id = $event_id",
            {"files": list(files), "event_id": event_id},
        ).fetchall()
    days = {parse_day(files[name].removeprefix("events/day=").partition("/")[0]) for (name,) in found}
    return sorted(days & sealed)


def _row(lake: Lake, file: StoredFile, event_id: str) -> dict[str, object] | None:
    parquet = lake.open_events(file)
    with reading(file.path):
        for group in range(parquet.num_row_groups):
            ids = parquet.read_row_group(group, columns=["event_id"]).column("event_id")
            at = pc.index(ids, event_id).as_py()
            if at >= 0:
                found = parquet.read_row_group(group).slice(at, 1)
                check_values(found, file.path)
                row: dict[str, object] = found.to_pylist()[0]
                return row
    return None


def _leaves(lake: Lake, files: Sequence[StoredFile], row: dict[str, object]) -> tuple[list[bytes], int]:
    """The leaf hashes of the row's tenant on its day, in order, and the row's place among them."""
    leaves: list[bytes] = []
    index = -1
    for file in files:
        parquet = lake.open_events(file)
        with reading(file.path):
            table = parquet.read(columns=["tenant_id", "seq", "integrity_hash"])
            table = table.filter(pc.equal(table.column("tenant_id"), pa.scalar(str(row["tenant_id"]))))
        at = pc.index(table.column("seq"), row["seq"]).as_py()
        if at >= 0:
            index = len(leaves) + at
        leaves += [event_leaf(digest.tobytes()) for digest in digest_column(table.column("integrity_hash"))]
    return leaves, index
