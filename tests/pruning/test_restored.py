"""After a pruning the outbox is lost, or an older dump is restored: what was pruned does not come back for long."""

from pathlib import Path

import pytest

from lumi_pipeline.erasure.holds import Holds
from lumi_pipeline.errors import RewoundOutbox
from lumi_pipeline.outbox.sqlite import SqliteOutbox
from lumi_pipeline.rebasing import Kind
from lumi_pipeline.verdict import Status
from tests.lake.places import LOCAL
from tests.lake.world import World, at
from tests.pruning.aging import GONE, opened, prune_world, seqs, status, verdicts


def accept(world: World) -> None:
    report = world.pipeline().rebaser().accept("restored", rerecord=False)
    assert report.number == 0


def test_a_lost_outbox_is_filled_with_what_the_lake_has(world: World) -> None:
    prune_world(world)
    assert world.place.kind == LOCAL
    world.place.lose_outbox()
    assert isinstance(world.outbox, SqliteOutbox)
    SqliteOutbox.init(world.outbox.path)
    accept(world)
    assert (seqs(world, "acme"), seqs(world, "once"), seqs(world, "lumi-operator")[0]) == ([4, 5, 6, 7, 8], [], 0)
    world.pipeline().land()
    assert status(world) is Status.VERIFIED
    world.record("once", world.clock.now)
    world.clock.now = at(5, "00:20:00")
    world.pipeline().run()
    assert (seqs(world, "once"), status(world)) == ([1], Status.VERIFIED)


def test_an_older_dump_brings_rows_back_that_leave_again(world: World, tmp_path: Path) -> None:
    dump = world.copy(tmp_path / "dump")
    prune_world(world)
    world.record("acme", at(4, "00:12:00"))
    world.pipeline().land()
    world.place.take_outbox(dump.place)
    with pytest.raises(RewoundOutbox, match="lumi landing rebase"):
        world.pipeline().land()
    findings = world.pipeline().rebaser().check()
    assert findings.counts == {Kind.BEHIND: 2, Kind.SAME: 2}
    accept(world)
    found = verdicts(world)["outbox"]
    assert (found.status, found.reason) == (Status.INCOMPLETE, "unfinished")
    assert "a backup from before was restored" in found.lines[0]
    assert prune_world(world).rows == 7
    assert (seqs(world, "acme"), status(world)) == ([4, 5, 6, 7, 8, 9], Status.VERIFIED)
    assert GONE.encode() not in world.outbox.path.read_bytes()  # type: ignore[attr-defined]


def test_a_dump_from_the_midst_of_what_was_pruned(world: World, tmp_path: Path) -> None:
    """Its rows all lie where there are none any more."""
    dump = World.create(tmp_path / "dump", at(0, "08:30:00"))
    dump.place = world.copy(tmp_path / "young").place
    young = World(tmp_path / "young", dump.place, at(0))
    young.tamper("DELETE FROM audit_outbox WHERE tenant_id = 'acme' AND seq > 0")
    young.tamper(
        "UPDATE audit_chain_head SET next_seq = 1, head_hash = (SELECT integrity_hash FROM audit_outbox"
        " WHERE tenant_id = 'acme' AND seq = 0) WHERE tenant_id = 'acme'"
    )
    prune_world(world)
    world.place.take_outbox(young.place)
    accept(world)
    assert seqs(world, "acme") == [0, 4, 5, 6, 7, 8]
    prune_world(world)
    assert (seqs(world, "acme"), status(world)) == ([4, 5, 6, 7, 8], Status.VERIFIED)


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM audit_outbox WHERE tenant_id = 'globex' AND seq = 0",
        "UPDATE audit_outbox SET actor_name = 'other' WHERE tenant_id = 'globex' AND seq = 0",
        "UPDATE audit_outbox SET entity_id = 'other' WHERE tenant_id = 'globex' AND seq < 2",
        "DELETE FROM audit_outbox WHERE tenant_id = 'globex' AND seq < 3",
        "DELETE FROM audit_outbox WHERE tenant_id = 'globex'",
    ],
)
@pytest.mark.parametrize("complete", [True, False])
def test_rows_in_front_of_what_was_pruned_are_mended(
    world: World, tmp_path: Path, damage: str, *, complete: bool
) -> None:
    """An older dump is damaged in front of a gap, where rows stayed because they were held."""
    before = world.select("SELECT * FROM audit_outbox WHERE tenant_id = 'globex' AND seq = 0")
    Holds(opened(world).operator).place("globex", "case", "u-0")
    world.pipeline().land()
    dump = world.copy(tmp_path / "dump")
    prune_world(world)
    assert seqs(world, "globex") == [0, 2, 3]
    dump.tamper(damage)
    if not complete:
        dump.tamper("DELETE FROM audit_outbox WHERE tenant_id = 'acme' AND seq > 1")
    world.place.take_outbox(dump.place)
    assert status(world) is Status.FAILED
    world.pipeline().rebaser().accept("restored", rerecord=True)
    assert status(world) is Status.INCOMPLETE
    prune_world(world)
    assert (seqs(world, "globex"), seqs(world, "acme")) == ([0, 2, 3], [4, 5, 6, 7, 8])
    assert world.select("SELECT * FROM audit_outbox WHERE tenant_id = 'globex' AND seq = 0") == before
    assert status(world) is Status.VERIFIED


def test_what_is_recorded_where_rows_were_pruned_is_recorded_again(world: World, tmp_path: Path) -> None:
    """A dump that ends within a gap is restored, and the application goes on with it."""
    dump = world.copy(tmp_path / "dump")
    dump.tamper("DELETE FROM audit_outbox WHERE tenant_id = 'acme' AND seq > 1")
    dump.tamper(
        "UPDATE audit_chain_head SET next_seq = 2, head_hash = (SELECT integrity_hash FROM audit_outbox"
        " WHERE tenant_id = 'acme' AND seq = 1) WHERE tenant_id = 'acme'"
    )
    prune_world(world)
    world.place.take_outbox(dump.place)
    [fresh] = world.record("acme", at(4, "00:13:00"))
    assert fresh.seq == 2
    world.pipeline().rebaser().accept("restored", rerecord=True)
    prune_world(world)
    assert (seqs(world, "acme"), status(world)) == ([4, 5, 6, 7, 8, 9], Status.VERIFIED)
    assert world.select("SELECT seq FROM audit_outbox WHERE event_id = ?", (fresh.event_id,)) == [(9,)]
