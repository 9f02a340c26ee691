"""The reference vectors, from raw events to proof files, byte for byte through our own code.

They were made by an implementation that shares nothing with this one, so these bytes are what docs/formats.md means.
"""

import hashlib
import json
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from lumi_pipeline.chain import ChainEnd, ChainFold, ChainState
from lumi_pipeline.days import day_end, day_start
from lumi_pipeline.events import COLUMNS, Event, to_micros
from lumi_pipeline.hashing import (
    event_integrity_hash,
    event_leaf,
    event_payload_hash,
    genesis_hash,
    tenant_key,
)
from lumi_pipeline.keyring import Keyring
from lumi_pipeline.lake import Lake
from lumi_pipeline.outbox.head import ChainHead
from lumi_pipeline.pending import Pending
from lumi_pipeline.proofs import verify_proof
from lumi_pipeline.proving import prove_event
from lumi_pipeline.publishing import publish
from lumi_pipeline.records import Manifest, TenantDay
from lumi_pipeline.rowhash import recompute_hashes
from lumi_pipeline.sealedday import SealedDay, load_sealed_day
from lumi_pipeline.sealing import Sealer
from lumi_pipeline.tenantdays import DayTenants, SealedTenant
from lumi_pipeline.verdict import Status
from tests.lake.chains import as_table
from tests.lake.places import NewPlace
from tests.lake.world import World, at
from transparency.encoding import b64decode, parse_timestamp
from transparency.entries import DayRecord, Genesis
from transparency.keys import SigningKey
from transparency.policy import Policy
from transparency.proof import TlogProof

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "lumi_v1.json").read_text(encoding="utf-8"))
LOG = VECTORS["log"]
CHAIN_IDS = {tenant_id: bytes.fromhex(value) for tenant_id, value in VECTORS["chain_ids"].items()}
DAYS = [date.fromisoformat(entry["day"]) for entry in VECTORS["days"]]
POLICY = Policy.pinning(LOG["vkey"])


def _event(row: dict[str, str | int | None]) -> Event:
    values: dict[str, object] = dict(row)
    for name in ("recorded_at", "occurred_at"):
        values[name] = parse_timestamp(str(row[name]))
    for name in ("payload_salt", "payload_hash", "prev_hash", "integrity_hash"):
        values[name] = bytes.fromhex(str(row[name]))
    assert {*values, "erased_at"} == set(COLUMNS)
    return Event(**values)  # type: ignore[arg-type]


EVENTS = [_event(row) for row in VECTORS["events"]]


def _raw(event: Event) -> dict[str, object]:
    return {name: getattr(event, name) for name in COLUMNS}


def test_hashes_of_single_events() -> None:
    heads = {tenant_id: genesis_hash(tenant_id, chain_id) for tenant_id, chain_id in CHAIN_IDS.items()}
    assert {tenant_id: head.hex() for tenant_id, head in heads.items()} == VECTORS["genesis_hashes"]
    assert {tenant_id: tenant_key(tenant_id).hex() for tenant_id in heads} == VECTORS["tenant_keys"]
    for event in EVENTS:
        assert event.prev_hash == heads[event.tenant_id]
        assert event_payload_hash(event) == event.payload_hash
        heads[event.tenant_id] = event_integrity_hash(event)
        assert heads[event.tenant_id] == event.integrity_hash


def test_hashes_of_columns() -> None:
    payload, integrity = recompute_hashes(as_table(EVENTS))
    assert [bytes(row) for row in payload] == [event.payload_hash for event in EVENTS]
    assert [bytes(row) for row in integrity] == [event.integrity_hash for event in EVENTS]


def test_leaf_hashes() -> None:
    for entry in VECTORS["days"]:
        for tenant_id, leaves in entry["event_leaf_hashes"].items():
            rows = [e for e in EVENTS if (e.tenant_id, str(e.recorded_at.date())) == (tenant_id, entry["day"])]
            assert [event_leaf(event.integrity_hash).hex() for event in rows] == leaves


def test_records_map_manifest_and_entries() -> None:
    records: dict[str, TenantDay] = {}
    for entry, day_entry in zip(VECTORS["days"], LOG["entries"][1:], strict=True):
        records = _tenant_days(date.fromisoformat(entry["day"]), records)
        assert {name: record.encode().decode() for name, record in records.items()} == entry["tenant_day_records"]
        assert {name: TenantDay.parse(text.encode()) for name, text in entry["tenant_day_records"].items()} == records
        tenants = DayTenants(
            DAYS[0], {name: SealedTenant(name, CHAIN_IDS[name], record) for name, record in records.items()}, 0
        )
        assert tenants.tenant_map().root.hex() == entry["map_root"]
        manifest = Manifest(
            date.fromisoformat(entry["day"]), sum(r.count for r in records.values()), len(records), 0, (), {}
        )
        assert manifest.encode().decode() == entry["manifest"]
        assert Manifest.parse(entry["manifest"].encode()) == manifest
        record = DayRecord.parse(day_entry.encode())
        assert entry["day_record"] == day_entry
        assert record.encode().decode() == day_entry
        assert record.map_root.hex() == entry["map_root"]
        assert record.manifest == hashlib.sha256(manifest.encode()).digest()
    assert Genesis.parse(LOG["entries"][0].encode()).encode().decode() == LOG["entries"][0]


def _tenant_days(day: date, before: dict[str, TenantDay]) -> dict[str, TenantDay]:
    """Fold one day of the vectors' raw events into tenant-day records."""

    def start(tenant_id: str) -> ChainState:
        if tenant_id in before:
            return ChainState(before[tenant_id].next, before[tenant_id].head_after, day_start(day))
        return ChainState(0, genesis_hash(tenant_id, CHAIN_IDS[tenant_id]), day_start(day))

    fold = ChainFold(start, until=day_end(day))
    rows = [event for event in EVENTS if event.recorded_at.date() == day]
    fold.add(pa.Table.from_pylist([_raw(event) for event in rows], schema=as_table([]).schema))
    records = {}
    for tenant_id in CHAIN_IDS:
        mine = [event for event in rows if event.tenant_id == tenant_id]
        state = start(tenant_id)
        last = mine[-1].integrity_hash if mine else state.head
        found = fold.finish(tenant_id, ChainEnd(state.next_seq + len(mine), last))
        assert found.breaks == []
        records[tenant_id] = TenantDay(
            day, tenant_key(tenant_id), state.next_seq, len(mine), state.next_seq + len(mine), found.tree.root(),
            state.head, last, 0,
        )  # fmt: skip
    return records


@pytest.fixture
def vector_world(tmp_path: Path, new_place: NewPlace) -> tuple[World, list[SealedDay]]:
    """The vectors' events in an outbox, landed, and both days sealed at the times that the vectors give."""
    world = World.create(tmp_path / "vectors", at(0), new_place)
    for tenant_id, chain_id in CHAIN_IDS.items():
        events = [event for event in EVENTS if event.tenant_id == tenant_id]
        last = events[-1]
        world.put(events, ChainHead(tenant_id, chain_id, last.seq + 1, last.integrity_hash, last.recorded_at))
    lake = world.pipeline().lake
    assert world.pipeline().land().breaks == ()
    genesis = Genesis.parse(LOG["entries"][0].encode())
    moments = iter([DayRecord.parse(entry.encode()).sealed for entry in LOG["entries"][1:]])
    pipeline = world.pipeline()
    sealer = Sealer(lake, genesis, lambda: next(moments), pipeline.erasures(), pipeline.prunings())
    with Pending(lake, 0) as pending:
        assert [report.day for report in sealer.seal(DAYS, None, pending)] == DAYS
    return world, [load_sealed_day(lake, day) for day in DAYS]


def keyring(world: World) -> Keyring:
    """The keys of the vectors' log."""
    key = SigningKey.parse(LOG["secret_key"])
    path = world.directory / "vectors.key"
    if not path.exists():
        key.save_new(path)
    return Keyring(replace(world.config, origin=key.name, log_key_file=path), world.pipeline().lake)


def test_the_whole_way_gives_the_vectors_records(vector_world: tuple[World, list[SealedDay]]) -> None:
    world, sealed = vector_world
    for day, entry, day_entry in zip(sealed, VECTORS["days"], LOG["entries"][1:], strict=True):
        records = {name: tenant.record.encode().decode() for name, tenant in day.tenants.tenants.items()}
        assert records == entry["tenant_day_records"]
        assert day.tenants.tenant_map().root.hex() == entry["map_root"]
        # The manifest names real files here, and the vectors announce a key; all else is the same line by line.
        ours, theirs = day.record.encode().decode().split("\n"), day_entry.split("\n")
        assert [line for line in ours if not line.startswith("manifest ")] == [
            line for line in theirs if not line.startswith(("manifest ", "next-key "))
        ]
    lake = world.pipeline().lake
    assert [_rows(lake, day) for day in sealed] == [
        [_raw(event) for event in EVENTS if event.recorded_at.date() == day] for day in DAYS
    ]
    genesis = Genesis.parse(LOG["entries"][0].encode())
    publish(lake, keyring(world), genesis, DAYS)
    for event in EVENTS:
        for redact in (False, True):
            verdict = verify_proof(prove_event(lake, genesis, event.event_id, redact=redact), POLICY, "proof")
            assert verdict.status is Status.VERIFIED, verdict


def _rows(lake: Lake, sealed: SealedDay) -> list[dict[str, object]]:
    files = [file for file in sealed.manifest.files if file.path.startswith("events/")]
    return [row for file in files for table in lake.read_events(file) for row in table.to_pylist()]


def test_our_proof_of_the_vectors_event_holds_what_theirs_holds(vector_world: tuple[World, list[SealedDay]]) -> None:
    world, _ = vector_world
    lake = world.pipeline().lake
    genesis = Genesis.parse(LOG["entries"][0].encode())
    publish(lake, keyring(world), genesis, DAYS)
    for name, redact in (("event", False), ("event_redacted", True)):
        theirs = _extra(VECTORS["proofs"][name])
        fields = theirs["event"]["fields"]
        ours = _extra(prove_event(lake, genesis, fields["event_id"], redact=redact).decode())
        # Only what the log's other entries and the manifest's files determine may differ.
        assert {**ours, "genesis_path": 0, "day_record": 0} == {**theirs, "genesis_path": 0, "day_record": 0}


def _extra(proof: str) -> dict[str, dict[str, dict[str, str]]]:
    extra = TlogProof.parse(proof.encode()).extra
    assert extra is not None
    value: dict[str, dict[str, dict[str, str]]] = json.loads(extra)
    return value


@pytest.mark.parametrize("name", VECTORS["proofs"])
def test_proof_files_of_the_vectors(name: str) -> None:
    data = VECTORS["proofs"][name].encode()
    verdict = verify_proof(data, POLICY, name)
    assert (verdict.status, verdict.reason) == (Status.VERIFIED, "ok")
    unkeyed = verify_proof(data, None, name)
    assert (unkeyed.status, unkeyed.reason) == (Status.INCOMPLETE, "key-unconfirmed")
    assert any(hashlib.sha256(LOG["vkey"].encode()).hexdigest() in line for line in unkeyed.lines)
    other = SigningKey("audit.example.com/lumi", bytes(32)).verifier.vkey
    for untrusted in (other, LOG["evidence_vkey"], LOG["next_vkey"]):
        failed = verify_proof(data, Policy.pinning(untrusted), name)
        assert failed.status is Status.FAILED
        assert failed.reason.startswith("checkpoint-")


def test_what_the_verdicts_say_of_the_vectors_proofs() -> None:
    said = {name: verify_proof(text.encode(), POLICY, name) for name, text in VECTORS["proofs"].items()}
    for name in ("event", "event_redacted"):
        assert said[name].facts["event_id"] == _extra(VECTORS["proofs"][name])["event"]["fields"]["event_id"]
    assert "withheld" in said["event_redacted"].lines[0]
    assert "withheld" not in said["event"].lines[0]
    assert "0 event(s)" in said["tenant_day_idle"].lines[0]
    assert "was not a tenant" in said["absence"].lines[0]
    assert all("split view" in verdict.lines[1] for verdict in said.values())


def test_a_cosigned_checkpoint_in_a_proof_file() -> None:
    policy = Policy.parse(f"log {LOG['vkey']}\nwitness w1 {LOG['witness_vkey']}\nquorum w1\n".encode())
    for checkpoint in LOG["checkpoints"]:
        for text in VECTORS["proofs"].values():
            proof = TlogProof.parse(text.encode())
            if proof.checkpoint.decode().startswith(checkpoint["signed"]):
                cosigned = TlogProof(proof.index, proof.path, checkpoint["cosigned"].encode(), proof.extra).format()
                verdict = verify_proof(cosigned, policy, "cosigned")
                assert verdict.status is Status.VERIFIED, verdict
                assert "Cosigned by" in verdict.lines[1]
                bare = TlogProof(proof.index, proof.path, checkpoint["signed"].encode(), proof.extra).format()
                assert verify_proof(bare, policy, "bare").reason == "witness-quorum"


def test_times_of_the_vectors_are_exact() -> None:
    assert {to_micros(event.recorded_at) % 1_000_000 for event in EVENTS} == {1, 999_999, 0, 250_000}
    assert all(isinstance(event.recorded_at, datetime) for event in EVENTS)
    assert all(b64decode(part, 32) for part in _extra(VECTORS["proofs"]["event"])["genesis_path"])
