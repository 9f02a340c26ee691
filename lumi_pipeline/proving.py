"""Proofs of single events: everything an outsider needs to check one event against the public log, in one file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import pyarrow as pa
import pyarrow.compute as pc

from lumi_pipeline.errors import LakeError, ProofNotFound
from lumi_pipeline.events import CORE_COLUMNS, EVENT_ID_SYNTAX, HASH_COLUMNS, PAYLOAD_COLUMNS
from lumi_pipeline.hashing import event_leaf
from lumi_pipeline.lake import Lake, check_values, events_prefix, reading
from lumi_pipeline.proofs import EVENT_PROOF
from lumi_pipeline.records import StoredFile
from lumi_pipeline.rowhash import digest_column
from lumi_pipeline.sealedday import SealedDay, load_manifest, load_sealed_day
from transparency.checkpoint import parse_signed_checkpoint
from transparency.encoding import Json, b64encode, canonical_json, format_timestamp, parse_day
from transparency.entries import Genesis, day_index
from transparency.merkle import LeafHashes, inclusion_proof
from transparency.proof import TlogProof
from transparency.tiles import TileReader


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an event lies: its day, its tenant, and its position among that tenant's rows of the day."""

    day: date
    event: dict[str, object]
    index: int
    leaves: list[bytes]


def prove_event(lake: Lake, genesis: Genesis, event_id: str, *, redact: bool = False) -> bytes:
    """Return the proof file of one sealed and published event; with ``redact`` its payload is withheld.

    Raises :class:`~lumi_pipeline.errors.ProofNotFound` when no sealed, published day holds the event.
    """
    place = _find(lake, event_id)
    sealed = load_sealed_day(lake, place.day)
    tenant_id = str(place.event["tenant_id"])
    tenant = sealed.tenants.tenants.get(tenant_id)
    leaves = LeafHashes(place.leaves)
    if tenant is None or leaves.root() != tenant.record.root:
        raise LakeError(f"{place.day}: the rows of tenant {tenant_id} were altered: they don't give the sealed root")
    event = proved_event(
        place.event, place.index, inclusion_proof(leaves, place.index, len(place.leaves)), redact=redact
    )
    return _log_proof(
        lake,
        genesis,
        sealed,
        {
            "event": event,
            "tenant_proof": b64encode(sealed.tenants.tenant_map().prove(tenant.record.key)),
            "tenant_record": tenant.record.encode().decode(),
            "type": EVENT_PROOF,
        },
    )


def proved_event(row: Mapping[str, object], index: int, path: Sequence[bytes], *, redact: bool) -> dict[str, Json]:
    """Return an event as a proof file has it; a payload that was erased, or with ``redact`` any, is withheld."""
    fields: dict[str, Json] = {name: _json_value(row[name]) for name in (*CORE_COLUMNS, *HASH_COLUMNS)}
    payload: dict[str, Json] = {name: _json_value(row[name]) for name in PAYLOAD_COLUMNS}
    return {
        "fields": fields,
        "index": str(index),
        "path": [b64encode(node) for node in path],
        "payload": None if redact or row["erased_at"] is not None else payload,
    }


def _log_proof(lake: Lake, genesis: Genesis, sealed: SealedDay, about: dict[str, Json]) -> bytes:
    """Wrap what is proved about a day in the proof that the log holds the day's record."""
    index = day_index(genesis.first_day, sealed.record.day)
    data = lake.store.get("log/checkpoint")
    checkpoint = parse_signed_checkpoint(data).checkpoint
    if checkpoint.size <= index:
        raise ProofNotFound(f"{sealed.record.day} is sealed but not published yet; run 'lumi publish'")
    tiles = TileReader(lambda path: lake.store.get(f"log/{path}"), checkpoint.size, checkpoint.root)
    genesis_path: list[Json] = [b64encode(node) for node in inclusion_proof(tiles, 0, checkpoint.size)]
    extra: Json = {
        **about,
        "day_record": sealed.record.encode().decode(),
        "genesis": genesis.encode().decode(),
        "genesis_path": genesis_path,
    }
    path = tuple(inclusion_proof(tiles, index, checkpoint.size))
    return TlogProof(index, path, data, canonical_json(extra).encode()).format()


def _find(lake: Lake, event_id: str) -> _Place:
    if not EVENT_ID_SYNTAX.fullmatch(event_id):
        raise ProofNotFound(f"{event_id!r} is not an event id: a UUID in lower case is expected")
    for day in _days_with(lake, event_id):
        files = _event_files(lake, day)
        for file in files:
            row = _row(lake, file, event_id)
            if row is not None:
                leaves, index = _leaves(lake, files, row)
                return _Place(day, row, index, leaves)
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


def _event_files(lake: Lake, day: date) -> list[StoredFile]:
    prefix = events_prefix(day)
    return [file for file in load_manifest(lake, day).files if file.path.startswith(prefix)]


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


def _leaves(lake: Lake, files: list[StoredFile], row: dict[str, object]) -> tuple[list[bytes], int]:
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


def _json_value(value: object) -> Json:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return format_timestamp(value)
    if isinstance(value, int):
        return str(value)
    if value is None or isinstance(value, str):
        return value
    raise LakeError(f"a column of an event holds {type(value).__name__}")
