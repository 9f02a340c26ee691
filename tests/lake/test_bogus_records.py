"""Proofs under the right key of things that cannot be: a log that signs records which contradict themselves."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import pytest

from lumi_pipeline.events import CORE_COLUMNS, HASH_COLUMNS, PAYLOAD_COLUMNS, Event
from lumi_pipeline.hashing import event_leaf, tenant_key
from lumi_pipeline.proofs import EVENT_PROOF, TENANT_DAY_PROOF, verify_proof
from lumi_pipeline.records import TenantDay
from lumi_pipeline.verdict import Status, Verdict
from tests.lake.chains import chain, genesis_state, rehashed
from tests.lake.world import EVIDENCE_KEY, LOG_KEY, ORIGIN, at, day
from transparency.checkpoint import Checkpoint, sign_checkpoint
from transparency.encoding import Json, b64encode, canonical_json, format_timestamp
from transparency.entries import DayRecord, Genesis
from transparency.merkle import EMPTY_ROOT, LeafHashes, inclusion_proof, leaf_hash
from transparency.patricia import TenantMap
from transparency.policy import Policy
from transparency.proof import TlogProof

POLICY = Policy.pinning(LOG_KEY.verifier.vkey)
EVENTS = chain("acme", at(0, "09:00:00"), at(0, "10:00:00"), at(0, "11:00:00"))
OTHER = b"\x5a" * 32


def _record(events: Sequence[Event] = EVENTS, **changes: object) -> TenantDay:
    """The record that belongs to these events of acme's first day, with changes."""
    record = TenantDay(
        day=day(0),
        key=tenant_key("acme"),
        first=0,
        count=len(events),
        next=len(events),
        root=LeafHashes(event_leaf(event.integrity_hash) for event in events).root(),
        head_before=genesis_state("acme").head,
        head_after=events[-1].integrity_hash if events else genesis_state("acme").head,
        breaks=0,
    )
    return replace(record, **changes)  # type: ignore[arg-type]


def _value(value: object) -> Json:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, str | None):
        return value
    return str(value) if isinstance(value, int) else format_timestamp(value)  # type: ignore[arg-type]


def _judge(
    record: TenantDay,
    event: Event | None = None,
    index: int = 0,
    *,
    leaves: Sequence[Event] = EVENTS,
    key: bytes | None = None,
    day_breaks: int = 0,
) -> Verdict:
    """Commit to ``record`` in a log of one day, under ``key``, and judge the proof of it or of an event in it."""
    genesis = Genesis(ORIGIN, day(0), LOG_KEY.verifier, EVIDENCE_KEY.verifier).encode()
    key = record.key if key is None else key
    tenants = TenantMap.build({key: hashlib.sha256(record.encode()).digest(), tenant_key("globex"): OTHER})
    sealed = DayRecord(ORIGIN, day(0), 1, tenants.root, OTHER, day_breaks, at(1, "00:15:00")).encode()
    log = LeafHashes(map(leaf_hash, (genesis, sealed)))
    checkpoint = sign_checkpoint(Checkpoint(ORIGIN, 2, log.root()), [LOG_KEY])
    extra: dict[str, Json] = {
        "day_record": sealed.decode(),
        "genesis": genesis.decode(),
        "genesis_path": [b64encode(node) for node in inclusion_proof(log, 0, 2)],
        "tenant_proof": b64encode(tenants.prove(key)),
        "tenant_record": record.encode().decode(),
        "type": TENANT_DAY_PROOF,
    }
    if event is not None:
        tree = LeafHashes(event_leaf(row.integrity_hash) for row in leaves)
        path: list[Json] = [b64encode(node) for node in inclusion_proof(tree, index, len(leaves))]
        fields: dict[str, Json] = {name: _value(getattr(event, name)) for name in (*CORE_COLUMNS, *HASH_COLUMNS)}
        payload: dict[str, Json] = {name: _value(getattr(event, name)) for name in PAYLOAD_COLUMNS}
        extra["event"] = {"fields": fields, "index": str(index), "path": path, "payload": payload}
        extra["type"] = EVENT_PROOF
    proof = TlogProof(1, tuple(inclusion_proof(log, 1, 2)), checkpoint, canonical_json(extra).encode())
    return verify_proof(proof.format(), POLICY, "crafted")


def test_what_is_consistent_verifies() -> None:
    assert _judge(_record()).status is Status.VERIFIED
    for index, event in enumerate(EVENTS):
        assert _judge(_record(), event, index).status is Status.VERIFIED
    idle = _record([])
    assert idle.root == EMPTY_ROOT
    assert _judge(idle).status is Status.VERIFIED


@pytest.mark.parametrize(
    ("record", "day_breaks"),
    [
        (_record(next=4), 0),
        (_record(next=2), 0),
        (_record(count=2), 0),
        (_record(first=1), 0),
        (_record(breaks=1), 0),
        (_record(breaks=3), 2),
        (_record([], root=OTHER), 0),
        (_record([], root=OTHER, breaks=1), 1),
        (_record([], head_after=OTHER), 0),
        (_record(day=day(1)), 0),
        (_record(day=day(-1)), 0),
    ],
)
def test_a_record_that_contradicts_itself_or_its_day_fails(record: TenantDay, day_breaks: int) -> None:
    verdict = _judge(record, day_breaks=day_breaks)
    assert (verdict.status, verdict.reason) == (Status.FAILED, "tenant-record")


def test_declared_breaks_are_a_finding_and_no_contradiction() -> None:
    for record, day_breaks in ((_record(breaks=2, next=9), 2), (_record([], head_after=OTHER, breaks=1, next=5), 7)):
        verdict = _judge(record, day_breaks=day_breaks)
        assert (verdict.status, verdict.reason) == (Status.FAILED, "declared-break")


def test_a_record_under_another_tenants_key_is_not_that_tenants() -> None:
    moved = [rehashed(event, tenant_id="initech") for event in EVENTS]
    record = _record(moved)
    # The map holds acme's record at initech's place, and the event says that it is initech's.
    verdict = _judge(record, moved[0], leaves=moved, key=tenant_key("initech"))
    assert (verdict.status, verdict.reason) == (Status.FAILED, "tenant-record")
    assert _judge(record, moved[0], leaves=moved).reason == "tenant-record"


# An event of an unbroken day stands at its number, in its day, and links to what the record says.
OUT_OF_PLACE: list[tuple[str, int, dict[str, object]]] = [
    ("another number", 1, {"seq": 2}),
    ("a number before the day", 1, {"seq": 0}),
    ("the day after", 2, {"recorded_at": at(1, "00:00:00")}),
    ("the day before", 0, {"recorded_at": at(-1, "23:59:59.999999")}),
    ("a first event after another head", 0, {"prev_hash": OTHER}),
    ("a last event that is not the head", 2, {"action": "OTHER"}),
]


@pytest.mark.parametrize(
    ("index", "changes"), [case[1:] for case in OUT_OF_PLACE], ids=[case[0] for case in OUT_OF_PLACE]
)
def test_an_event_that_does_not_fit_its_place_fails_although_its_hashes_fit(
    index: int, changes: dict[str, object]
) -> None:
    events = list(EVENTS)
    events[index] = rehashed(events[index], **changes)
    record = _record(events, head_after=EVENTS[-1].integrity_hash)
    verdict = _judge(record, events[index], index, leaves=events)
    assert (verdict.status, verdict.reason) == (Status.FAILED, "event-place")
    # Where breaks are declared, the place is among what may be broken, and the verdict is about those.
    broken = _judge(replace(record, breaks=1), events[index], index, leaves=events, day_breaks=1)
    assert (broken.status, broken.reason) == (Status.FAILED, "declared-break")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"action": "OTHER"}, "integrity-hash"),
        ({"auth_method": None}, "integrity-hash"),
        ({"payload_hash": OTHER}, "integrity-hash"),
        ({"ip": "192.0.2.1"}, "payload-hash"),
        ({"payload_salt": bytes(16)}, "payload-hash"),
        ({"integrity_hash": OTHER}, "inclusion"),
        ({"tenant_id": "acme\nVerified"}, "malformed"),
        ({"action": "X\nY"}, "malformed"),
        ({"event_id": "x"}, "malformed"),
    ],
)
def test_an_event_other_than_the_one_committed_to_fails(changes: dict[str, object], reason: str) -> None:
    verdict = _judge(_record(), replace(EVENTS[1], **changes), 1)  # type: ignore[arg-type]
    assert (verdict.status, verdict.reason) == (Status.FAILED, reason)


def test_the_place_of_an_event_is_proved_by_its_path() -> None:
    for index in (0, 2):
        assert _judge(_record(), EVENTS[1], index).reason == "inclusion"
    shorter = EVENTS[:2]
    assert _judge(_record(), EVENTS[1], 1, leaves=shorter).reason == "inclusion"
