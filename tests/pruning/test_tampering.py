"""Somebody who removes rows and calls it policy is found out, and so is who removes the record of a pruning."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date

import pytest

from lumi_pipeline.catalogue import OUTBOX_PRUNED
from lumi_pipeline.erasure.holds import Holds
from lumi_pipeline.erasure.operatorchain import Act
from lumi_pipeline.errors import PruneError
from lumi_pipeline.pruned import Pruned, read_pruned
from lumi_pipeline.recorder import AuditRecorder
from lumi_pipeline.verdict import Status
from tests.lake.world import World, day
from tests.pruning.aging import BEFORE, opened, prune_world, seqs, status, verdicts
from transparency.encoding import Json


def record_of(world: World, number: int = 0) -> Pruned:
    return read_pruned(world.pipeline().lake, f"seals/day={day(number)}/pruned-000000.json")


def test_a_partition_that_is_gone_without_record_fails(world: World) -> None:
    for key in world.contents(f"events/day={day(1)}/"):
        world.store.delete(key)
    found = verdicts(world)[str(day(1))]
    assert (found.status, "is missing although it was committed" in found.lines[0]) == (Status.FAILED, True)
    prune_world(world.copy(world.directory / "pruned"), day(1))


def test_a_record_without_an_event_fails(world: World) -> None:
    pipeline = world.pipeline()
    prune_world(other := world.copy(world.directory / "other"))
    record = replace(record_of(other, 1), event_id="019aa4f2-0000-7000-8000-000000000001")
    for key in world.contents(f"events/day={day(1)}/"):
        world.store.delete(key)
    pipeline.lake.store.put_new(record.key, record.encode())
    found = verdicts(world)
    assert {found[name].reason for name in (str(day(1)), "prunings")} == {"pruned"}
    assert {found[name].status for name in (str(day(1)), "prunings")} == {Status.FAILED}
    assert "the operator's chain has no such event" in found["prunings"].lines[0]


@pytest.mark.parametrize("number", [0, 1])
def test_a_record_that_is_gone_fails(world: World, number: int) -> None:
    prune_world(world)
    world.store.delete(record_of(world, number).key)
    found = verdicts(world)
    assert found[str(day(number))].status is Status.FAILED
    assert "is under way or was interrupted" in found["prunings"].lines[0]
    # It follows from the event, so it is made again.
    assert prune_world(world).completed == (day(number),)
    assert status(world) is Status.VERIFIED


def test_a_record_that_says_something_else_fails(world: World) -> None:
    Holds(opened(world).operator).place("globex", "case")
    prune_world(world)
    record = record_of(world, 1)
    assert record.kept == ("globex",)
    for altered in (
        replace(record, kept=(), files=(), events=3),
        replace(record, events=record.events + 1),
        replace(record, root=bytes(32)),
        replace(record, day=day(0)),
    ):
        copy = world.copy(world.directory / f"{altered.events}-{len(altered.kept)}-{altered.root[0]}-{altered.day}")
        copy.overwrite(record.key, altered.encode())
        assert verdicts(copy)[str(day(1))].status is Status.FAILED
    copy = world.copy(world.directory / "flipped")
    copy.overwrite(record.key, record.encode().replace(b'"number":"0"', b'"number":"1"'))
    assert verdicts(copy)[str(day(1))].status is Status.FAILED


def test_kept_rows_that_were_altered_fail(world: World) -> None:
    Holds(opened(world).operator).place("globex", "case")
    prune_world(world)
    [file] = record_of(world, 1).files
    world.overwrite(file.path, world.store.get(file.path)[:-9] + bytes(9))
    assert verdicts(world)[str(day(1))].status is Status.FAILED
    world.store.delete(file.path)
    assert verdicts(world)[str(day(1))].status is Status.FAILED


def test_files_that_come_back_are_no_success_and_leave_again(world: World) -> None:
    before = world.contents("events/")
    prune_world(world)
    back = next(key for key in before if f"day={day(1)}" in key)
    world.store.put_new(back, before[back])
    found = verdicts(world)[str(day(1))]
    assert (found.status, found.reason) == (Status.INCOMPLETE, "unfinished")
    assert prune_world(world).completed == (day(1),)
    assert status(world) is Status.VERIFIED
    world.store.put_new(f"events/day={day(1)}/part-00000-0123456789abcdef.parquet", b"somebody else's")
    assert prune_world(world).completed == (day(1),)
    assert verdicts(world)[str(day(1))].status is Status.FAILED


def test_rows_behind_a_gap_are_verified_from_the_sealed_head_on(world: World) -> None:
    prune_world(world)
    for change in (
        "UPDATE audit_outbox SET entity_id = 'other' WHERE tenant_id = 'acme' AND seq = 4",
        "UPDATE audit_outbox SET prev_hash = payload_hash WHERE tenant_id = 'acme' AND seq = 4",
        "DELETE FROM audit_outbox WHERE tenant_id = 'acme' AND seq = 4",
        "DELETE FROM audit_outbox WHERE tenant_id = 'globex'",
    ):
        copy = world.copy(world.directory / str(abs(hash(change))))
        copy.tamper(change)
        assert verdicts(copy)["outbox"].reason == "chain-broken"


def test_rows_that_come_back_into_a_gap_are_no_success(world: World) -> None:
    row = world.select("SELECT * FROM audit_outbox WHERE tenant_id = 'acme' AND seq = 1")[0]
    prune_world(world)
    world.tamper(f"INSERT INTO audit_outbox VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608 - constants
    found = verdicts(world)["outbox"]
    assert (found.status, found.reason) == (Status.INCOMPLETE, "unfinished")
    assert prune_world(world).rows == 1
    assert (status(world), seqs(world, "acme")[0]) == (Status.VERIFIED, 4)


def test_an_event_that_does_not_say_what_was_pruned_orders_nothing(world: World) -> None:
    with closing(world.outbox.connect()) as connection:
        AuditRecorder(connection, clock=world.clock).record(
            tenant_id="lumi-operator",
            action=OUTBOX_PRUNED,
            entity_type="day",
            entity_id="x",
            actor_type="system",
            actor_id="somebody",
            after_state=json.loads('{"days":[{"day":"2024-02-28"}]}'),
        )
        connection.commit()
    assert (prune_world(world, day(0)).completed, status(world)) == ((), Status.VERIFIED)
    assert (len(prune_world(world).days), status(world)) == (2, Status.VERIFIED)


def test_an_event_that_prunes_what_the_operator_did_is_refused(world: World) -> None:
    prune_world(other := world.copy(world.directory / "other"))
    forged = replace(record_of(other), kept=(), files=(), events=5)
    act = ordered([forged], "019aa4f2-0000-7000-8000-000000000002")
    world.pipeline().operator.record(act, lambda _: None, set())
    assert verdicts(world)["prunings"].reason == "unfinished"
    with pytest.raises(PruneError, match="that always stays"):
        prune_world(world)
    world.store.put_new(forged.key, replace(forged, event_id=act.event_id).encode())
    assert verdicts(world)[str(day(0))].status is Status.FAILED


def ordered(prunings: Sequence[Pruned], event_id: str, *, before: date | None = BEFORE, kept: str | None = "2") -> Act:
    """An event that orders these, as somebody would record it who goes around ``lumi prune``."""
    state: dict[str, Json] = {"days": [pruned.state() for pruned in prunings]}
    state |= {} if before is None else {"before": str(before)}
    state |= {} if kept is None else {"retention_days": kept}
    return Act(OUTBOX_PRUNED, "x", state, event_id)


@pytest.mark.parametrize(
    ("terms", "held", "found"),
    [
        ({"kept": None}, None, "does not say how many days are kept"),
        ({"kept": "-1"}, None, "does not say how many days are kept"),
        ({"before": None}, None, "does not say how many days are kept"),
        ({"before": day(1)}, None, "before 2 days were over"),
        ({"kept": "3"}, None, "before 3 days were over"),
        ({}, {"tenant_id": "acme", "first": day(1)}, "although hold"),
        ({}, {"tenant_id": "globex", "last": day(0)}, None),
        ({}, None, None),
    ],
)
def test_what_is_called_policy_and_is_none(
    world: World, terms: dict[str, date | str | None], held: dict[str, object] | None, found: str | None
) -> None:
    """Somebody who may record for the operator removes a day by an event of his own making; and it is carried out."""
    prune_world(other := world.copy(world.directory / "other"))
    if held is not None:
        Holds(world.pipeline().operator).place(reason="case", **held)  # type: ignore[arg-type]
    forged = replace(record_of(other, 1), event_id="019aa4f2-0000-7000-8000-000000000002")
    world.pipeline().operator.record(ordered([forged], forged.event_id, **terms), lambda _: None, set())  # type: ignore[arg-type]
    if found is None:
        assert verdicts(world)["prunings"].reason == "unfinished"
        assert prune_world(world, day(0)).completed == (day(1),)
        assert status(world) is Status.VERIFIED
        return
    with pytest.raises(PruneError, match=f"event {forged.event_id} pruned {day(1)} .*{found}"):
        prune_world(world)
    for key in world.contents(f"events/day={day(1)}/"):
        world.store.delete(key)
    world.store.put_new(forged.key, forged.encode())
    verdict = verdicts(world)["prunings"]
    assert (verdict.status, verdict.reason) == (Status.FAILED, "against-policy")
    assert found in verdict.lines[0]
