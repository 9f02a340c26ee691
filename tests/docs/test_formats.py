"""The examples of docs/formats.md are what our code makes of what went into them, byte for byte.

They show the reference vectors' two days. What is computed here starts from columns, chain ids and secret keys.
"""

import base64
import json
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from hashlib import sha256
from typing import Any

import pytest

from lumi_pipeline.events import COLUMNS, HASH_COLUMNS, Event
from lumi_pipeline.hashing import event_integrity_hash, event_leaf, event_payload_hash, genesis_hash, tenant_key
from lumi_pipeline.proofs import verify_proof
from lumi_pipeline.records import Manifest, TenantDay
from lumi_pipeline.verdict import Status
from tests.docs.formats_page import BLOCK, EXAMPLES, FORMS, REPOSITORY, TEXT
from transparency.checkpoint import Checkpoint, parse_signed_checkpoint, sign_checkpoint
from transparency.cosignature import cosign, merge_cosignatures
from transparency.encoding import Json, canonical_json, parse_timestamp
from transparency.entries import DayRecord, Genesis
from transparency.growth import grow
from transparency.keys import ALG_COSIGNATURE, SigningKey, VerifierKey
from transparency.merkle import EMPTY_ROOT, LeafHashes, inclusion_proof, leaf_hash, tree_root
from transparency.note import format_note
from transparency.patricia import TenantMap, verify_absence, verify_presence
from transparency.policy import Policy
from transparency.proof import TlogProof
from transparency.tiles import TileReader

VECTORS: dict[str, Any] = json.loads((REPOSITORY / "tests/vectors/lumi_v1.json").read_text(encoding="utf-8"))
LOG = VECTORS["log"]


def event_of(row: Mapping[str, Any]) -> Event:
    values: dict[str, Any] = dict(row)
    for name in ("recorded_at", "occurred_at"):
        values[name] = parse_timestamp(row[name])
    for name in ("payload_salt", *HASH_COLUMNS):
        values[name] = bytes.fromhex(row[name])
    return Event(**values)


EVENTS = [event_of(row) for row in VECTORS["events"]]
DAYS = [date.fromisoformat(entry["day"]) for entry in VECTORS["days"]]
CHAINS = {tenant_id: bytes.fromhex(chain_id) for tenant_id, chain_id in VECTORS["chain_ids"].items()}
LOG_KEY = SigningKey.parse(LOG["secret_key"])
EVIDENCE_KEY = SigningKey.parse(LOG["evidence_secret_key"])
WITNESS = SigningKey("witness.example.org/w1", bytes.fromhex(LOG["witness_seed"]), ALG_COSIGNATURE)


def rows_of(tenant_id: str, day: date) -> list[Event]:
    return [event for event in EVENTS if event.tenant_id == tenant_id and event.recorded_at.date() == day]


def leaves_of(tenant_id: str, day: date) -> list[bytes]:
    return [event_leaf(event.integrity_hash) for event in rows_of(tenant_id, day)]


def tenant_day(tenant_id: str, day: date) -> TenantDay:
    earlier = [event for event in EVENTS if event.tenant_id == tenant_id and event.recorded_at.date() < day]
    rows = rows_of(tenant_id, day)
    before = earlier[-1].integrity_hash if earlier else genesis_hash(tenant_id, CHAINS[tenant_id])
    after = rows[-1].integrity_hash if rows else before
    first = len(earlier)
    root = tree_root(leaves_of(tenant_id, day))
    return TenantDay(day, tenant_key(tenant_id), first, len(rows), first + len(rows), root, before, after, 0)


def tenant_map(day: date) -> TenantMap:
    values = {tenant_id: sha256(tenant_day(tenant_id, day).encode()).digest() for tenant_id in CHAINS}
    return TenantMap.build({tenant_key(tenant_id): value for tenant_id, value in values.items()})


def manifest(day: date) -> Manifest:
    rows = sum(len(rows_of(tenant_id, day)) for tenant_id in CHAINS)
    return Manifest(day, rows, len(CHAINS), 0, (), {})


def genesis() -> Genesis:
    return Genesis(LOG_KEY.name, DAYS[0], LOG_KEY.verifier, EVIDENCE_KEY.verifier)


def day_record(number: int) -> DayRecord:
    day = DAYS[number]
    sealed = parse_timestamp(f"{day + timedelta(days=1)}T00:15:03.000000Z")
    next_key = VerifierKey.parse(LOG["next_vkey"]) if number == 1 else None
    digest = sha256(manifest(day).encode()).digest()
    return DayRecord(LOG_KEY.name, day, number + 1, tenant_map(day).root, digest, 0, sealed, next_key)


ENTRIES = [genesis().encode(), day_record(0).encode(), day_record(1).encode()]
LEAVES = LeafHashes(leaf_hash(entry) for entry in ENTRIES)


def cosigned() -> bytes:
    checkpoint = Checkpoint(LOG_KEY.name, 3, LEAVES.root())
    signed = parse_signed_checkpoint(sign_checkpoint(checkpoint, [LOG_KEY]))
    line = cosign(checkpoint, WITNESS, LOG["checkpoints"][1]["witness_time"])
    return format_note(merge_cosignatures(signed.note, [line]))


def event_proof(extra: Json) -> bytes:
    return TlogProof(1, tuple(inclusion_proof(LEAVES, 1, 3)), cosigned(), canonical_json(extra).encode()).format()


def check_event(block: str) -> None:
    row = json.loads(block)
    assert row == VECTORS["events"][0]
    assert [*row, "erased_at"] == list(COLUMNS)
    event = event_of(row)
    assert event_payload_hash(event) == event.payload_hash
    assert event_integrity_hash(event) == event.integrity_hash
    assert genesis_hash("acme", CHAINS["acme"]) == event.prev_hash


def hashed(expected: bytes) -> Callable[[str], None]:
    """The block, without the line feed that the fence needs, is what has this hash."""

    def check(block: str) -> None:
        assert sha256(block.removesuffix("\n").encode()).digest() == expected

    return check


def exactly(expected: bytes) -> Callable[[str], None]:
    def check(block: str) -> None:
        assert block.encode() == expected

    return check


def listing(expected: Mapping[str, str]) -> Callable[[str], None]:
    """Lines of a name and a value; a value that ends in ``…`` is shortened."""

    def check(block: str) -> None:
        shown = dict(line.split() for line in block.splitlines())
        assert shown.keys() == expected.keys()
        for name, value in shown.items():
            assert expected[name].startswith(value[:-1]) if value.endswith("…") else expected[name] == value

    return check


def numbered(leaves: list[bytes]) -> dict[str, str]:
    return {f"leaf-{number}": leaf.hex() for number, leaf in enumerate(leaves)}


def map_listing() -> dict[str, str]:
    shown = {}
    for tenant_id in CHAINS:
        key, value = tenant_key(tenant_id), sha256(tenant_day(tenant_id, DAYS[0]).encode()).digest()
        shown[f"{tenant_id}-key"] = key.hex()
        shown[f"{tenant_id}-value"] = value.hex()
        shown[f"{tenant_id}-leaf"] = TenantMap.build({key: value}).root.hex()
    tree = tenant_map(DAYS[0])
    present, absent = tenant_key("acme"), tenant_key("initech")
    verify_presence(tree.root, present, bytes.fromhex(shown["acme-value"]), tree.prove(present))
    verify_absence(tree.root, absent, tree.prove(absent))
    return {
        **shown,
        "root": tree.root.hex(),
        "acme-proof": tree.prove(present).hex(),
        "initech-key": absent.hex(),
        "initech-proof": tree.prove(absent).hex(),
    }


def no_file(path: str) -> bytes:
    raise AssertionError(f"an empty log has no {path}")


def check_proof(block: str) -> None:
    data = event_proof(json.loads(EXAMPLES["proof-extra"]))
    assert data == VECTORS["proofs"]["event"].encode()
    head, _, tail = block.partition("…")
    assert data.decode().startswith(head)
    assert data.decode().endswith(tail)


def check_extra(block: str) -> None:
    extra = json.loads(block)
    event = extra["event"]
    assert event["fields"]["tenant_id"] == "acme"
    assert extra["genesis"].encode() == ENTRIES[0]
    assert extra["day_record"].encode() == ENTRIES[1]
    assert extra["tenant_record"].encode() == tenant_day("acme", DAYS[0]).encode()
    assert base64.b64decode(extra["tenant_proof"]) == tenant_map(DAYS[0]).prove(tenant_key("acme"))
    assert event["path"] == [
        base64.b64encode(node).decode() for node in inclusion_proof(LeafHashes(leaves_of("acme", DAYS[0])), 2, 5)
    ]
    verdict = verify_proof(event_proof(extra), Policy.pinning(LOG_KEY.verifier.vkey), "the example")
    assert verdict.status is Status.VERIFIED


def check_cosignature_input(block: str) -> None:
    signature = parse_signed_checkpoint(EXAMPLES["checkpoint"].encode()).note.signatures[1].signature
    assert WITNESS.verifier.verify(block.encode(), signature[8:])


ACME = leaves_of("acme", DAYS[0])
CHECKS: dict[str, Callable[[str], None]] = {
    "event": check_event,
    "genesis-hash-input": hashed(EVENTS[0].prev_hash),
    "payload-hash-input": hashed(EVENTS[0].payload_hash),
    "integrity-hash-input": hashed(EVENTS[0].integrity_hash),
    "event-tree": listing({**numbered(ACME), "root": tree_root(ACME).hex()}),
    "tenant-key-input": hashed(tenant_key("acme")),
    "tenant-day": exactly(tenant_day("acme", DAYS[0]).encode()),
    "tenant-day-idle": exactly(tenant_day("acme", DAYS[1]).encode()),
    "tenant-map": listing(map_listing()),
    "genesis-entry": exactly(ENTRIES[0]),
    "day-record": exactly(ENTRIES[1]),
    "manifest": exactly(manifest(DAYS[0]).encode()),
    "vkeys": listing({"log": LOG_KEY.verifier.vkey, "witness": WITNESS.verifier.vkey}),
    "log-tree": listing(
        {
            **numbered([leaf_hash(entry) for entry in ENTRIES]),
            "root-2": tree_root(map(leaf_hash, ENTRIES[:2])).hex(),
            "root-3": LEAVES.root().hex(),
        }
    ),
    "tiles": listing(
        {path: data.hex() for path, data in grow(TileReader(no_file, 0, EMPTY_ROOT), ENTRIES[:2]).files.items()}
    ),
    "checkpoint": exactly(cosigned()),
    "cosignature-input": check_cosignature_input,
    "proof": check_proof,
    "proof-extra": check_extra,
}


def test_every_block_is_an_example_or_a_form() -> None:
    assert all(match["kind"] for match in BLOCK.finditer(TEXT))
    assert TEXT.count("```") == 2 * (len(EXAMPLES) + len(FORMS))


def test_every_example_is_checked() -> None:
    assert EXAMPLES.keys() == CHECKS.keys()


@pytest.mark.parametrize("name", CHECKS)
def test_example(name: str) -> None:
    CHECKS[name](EXAMPLES[name])
