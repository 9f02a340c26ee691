"""What a pruning removes, what stays of it, and what is said of it afterwards."""

from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lumi_pipeline.erasure.holds import Holds
from lumi_pipeline.errors import EvidenceError, ProofNotFound, PruneError
from lumi_pipeline.evidence.judging import judge_bundle
from lumi_pipeline.evidence.period import Asked
from lumi_pipeline.evidence.writer import write_bundle
from lumi_pipeline.proofs import verify_proof
from lumi_pipeline.proving import prove_event, prove_tenant_day
from lumi_pipeline.pruned import read_pruned
from lumi_pipeline.pruning.pruner import Pruner
from lumi_pipeline.verdict import Status
from tests.erasure.searching import places_of
from tests.lake.world import World, at, day
from tests.pruning.aging import BEFORE, GONE, opened, prune_world, seqs, status, verdicts


def event_ids(world: World, tenant_id: str) -> list[str]:
    found = world.select("SELECT event_id FROM audit_outbox WHERE tenant_id = ? ORDER BY seq", (tenant_id,))
    return [str(event_id) for (event_id,) in found]


@pytest.mark.everywhere
@pytest.mark.slow
def test_old_days_leave_and_everything_verifies(world: World) -> None:
    genesis = world.pipeline().genesis()
    assert genesis is not None
    ids = event_ids(world, "acme")
    proof = prove_event(world.pipeline().lake, genesis, ids[0])
    before = world.contents()
    report = prune_world(world)
    assert ([plan.day for plan in report.plans], report.rows) == ([day(0), day(1)], 7)
    assert seqs(world, "acme") == [4, 5, 6, 7, 8]
    assert (seqs(world, "globex"), seqs(world, "once")) == ([2, 3], [])
    assert places_of(world, [GONE.encode()]) == set()
    after = world.contents()
    assert all(after[key] == before[key] for key in before if key.startswith(("seals/", "log/", "landings/")))
    # Of day 0 the operator's row stays, of day 1 nothing.
    [kept] = [key for key in after if key.startswith(f"events/day={day(0)}/")]
    assert pq.read_table(world.parquet(kept)).column("tenant_id").to_pylist() == ["lumi-operator"]
    assert not any(key.startswith((f"events/day={day(1)}/", f"index/day={day(1)}/")) for key in after)

    found = verdicts(world)
    assert {verdict.status for verdict in found.values()} == {Status.VERIFIED}
    [event_id] = {pruned.event_id for pruned in report.days}
    for number in (0, 1):
        verdict = found[str(day(number))]
        assert (verdict.reason, verdict.facts["pruned_by"]) == ("pruned", event_id)
        assert f"pruned under policy, as event {event_id} says" in verdict.lines[0]
    assert "2 day(s) were pruned under policy" in found["prunings"].lines[0]
    assert verify_proof(proof, world.policy, "proof").status is Status.VERIFIED


def test_life_goes_on_after_it(world: World) -> None:
    prune_world(world)
    again = prune_world(world)
    assert (again.plans, again.completed, again.rows) == ((), (), 0)
    world.clock.now = at(5, "00:20:00")
    world.record("acme", at(4, "12:00:00"))
    world.record("once", at(4, "12:00:00"))
    world.pipeline().run()
    assert status(world) is Status.VERIFIED
    assert prune_world(world, day(3)).plans[0].day == day(2)
    assert status(world) is Status.VERIFIED
    world.pipeline().publish()
    genesis, lake = world.pipeline().genesis(), world.pipeline().lake
    assert genesis is not None
    for event_id in [*event_ids(world, "acme")[:1], *event_ids(world, "lumi-operator")[:1]]:
        proof = prove_event(lake, genesis, event_id)
        assert verify_proof(proof, world.policy, "proof").status is Status.VERIFIED
    # Records stay: that a tenant had so many events on a day can be proved of a pruned one as well.
    told = prove_tenant_day(lake, genesis, "acme", day(0))
    assert (told.events, verify_proof(told.data, world.policy, "proof").status) == (2, Status.VERIFIED)


def test_what_is_gone_is_said_to_be_gone(world: World, tmp_path: Path) -> None:
    genesis = world.pipeline().genesis()
    assert genesis is not None
    [event_id, *_] = event_ids(world, "acme")
    prune_world(world)
    pipeline = world.pipeline()
    with pytest.raises(ProofNotFound, match="pruned under policy, it can't be proved any more"):
        prove_event(pipeline.lake, genesis, event_id)

    def write(tenant_id: str, first: int, last: int) -> Path:
        asked = Asked(tenant_id, day(first), day(last))
        return write_bundle(pipeline, asked, tmp_path / "out", lambda path: judge_bundle(path, world.policy)).path

    with pytest.raises(EvidenceError, match=rf"acme of {day(0)} were pruned under policy \(event .*begin after"):
        write("acme", 0, 3)
    bundles = [write("acme", 2, 3), write("lumi-operator", 0, 3), write("once", 1, 3)]
    assert {judge_bundle(bundle, world.policy).status for bundle in bundles} == {Status.VERIFIED}


def test_what_is_held_stays_until_the_hold_is_released(world: World) -> None:
    holds = Holds(opened(world).operator)
    placed = [
        holds.place("once", "case 1"),
        holds.place("globex", "case 2", "u-1"),
        holds.place("acme", "case 3", first=day(1), last=day(1)),
        holds.place("nobody", "case 4"),
    ]
    report = prune_world(world)
    assert [plan.kept for plan in report.plans] == [("lumi-operator", "once")]
    assert report.plans[0].held == (placed[0],) or report.plans[0].held[0].hold_id == placed[0].hold_id
    assert (seqs(world, "once"), seqs(world, "globex"), seqs(world, "acme")[:2]) == ([0], [1, 2, 3], [2, 3])
    assert status(world) is Status.VERIFIED
    for hold in placed[:2]:
        holds.release(hold.hold_id, "closed")
    report = prune_world(world)
    assert [(pruned.day, pruned.number, pruned.kept) for pruned in report.days] == [
        (day(0), 1, ("lumi-operator",)),
        (day(1), 0, ("acme",)),
    ]
    assert (seqs(world, "once"), seqs(world, "globex"), seqs(world, "acme")[:2]) == ([], [2, 3], [2, 3])
    assert status(world) is Status.VERIFIED
    records = [key for key in world.contents(f"seals/day={day(0)}/") if "/pruned-" in key]
    assert [read_pruned(world.pipeline().lake, key).kept for key in records] == [
        ("lumi-operator", "once"),
        ("lumi-operator",),
    ]


def test_what_it_refuses(world: World) -> None:
    before = world.contents(), world.select("SELECT * FROM audit_outbox")
    with pytest.raises(PruneError, match="no retention is configured"):
        Pruner(world.pipeline()).prune(BEFORE)
    with pytest.raises(PruneError, match=f"'retention_days' is 2, so days before {day(2)} may leave"):
        Pruner(opened(world)).prune(BEFORE + timedelta(days=1))
    with pytest.raises(PruneError, match="feed of tenant globex does not have all its events"):
        Pruner(world.pipeline(retention_days=2, feeds=("globex",))).prune(BEFORE)
    assert Pruner(opened(world)).plan(BEFORE)[0].events == 4
    assert (world.contents(), world.select("SELECT * FROM audit_outbox")) == before


def test_a_tampered_outbox_stays_as_it_is(world: World) -> None:
    world.tamper("UPDATE audit_outbox SET entity_id = 'other' WHERE tenant_id = 'acme' AND seq = 1")
    with pytest.raises(PruneError, match="the outbox does not verify, so nothing is removed"):
        prune_world(world)
    assert seqs(world, "acme")[0] == 0
