"""A pruning is killed at each of its durable writes: what it leaves is not called false, and the next completes it."""

from pathlib import Path

import pytest

from lumi_pipeline.erasure.holds import Holds
from lumi_pipeline.verdict import Status
from tests.lake import places
from tests.lake.crashes import kind, perform
from tests.lake.places import sampled
from tests.lake.world import World, day
from tests.pruning.aging import BEFORE, configured, opened, prune, prune_world, seqs, status

WRITES = {
    "put_new events/day=D/kept-N-H.parquet",
    "commit outbox",  # the audit event, and the removal of the outbox's rows
    "put_new landed/N/part-N-H.parquet",  # of the audit event
    "put_new landed/N/tenants-H.parquet",
    "put_new landings/N.json",
    "put_new seals/day=D/pruned-N.json",
    "delete events/day=D/part-N-H.parquet",
    "delete index/day=D/events.idx",
}
"""Every kind of durable write. Whoever adds one has to think what a crash before and after it leaves behind."""


@pytest.mark.slow
def test_a_killed_pruning_is_completed(world: World, tmp_path: Path) -> None:
    Holds(opened(world).operator).place("globex", "case", "u-1")
    expected = perform(configured(world.copy(tmp_path / "undisturbed")), prune)
    assert {kind(write) for write in expected} == WRITES
    moments = list(enumerate(expected))
    for number, write in sampled(moments if places.thorough else moments[::-2][::-1], world.place):
        moment = f"after write {number}, {write}"
        killed = configured(world.copy(tmp_path / str(number)))
        perform(killed, prune, after=number)
        assert status(killed) in {Status.VERIFIED, Status.INCOMPLETE}, moment
        prune_world(killed)
        assert status(killed) is Status.VERIFIED, moment
        assert (seqs(killed, "acme")[0], seqs(killed, "globex"), seqs(killed, "once")) == (4, [1, 2, 3], []), moment
        kept = [key for key in killed.contents("events/") if key < f"events/day={BEFORE}"]
        assert [key.split("/")[1] for key in kept] == [f"day={day(0)}", f"day={day(1)}"], moment


STEPS = [
    ("put_new seals/day=D/pruned-N.json", 0),  # the day's files and rows do not count any more, and are there
    ("commit outbox", 0),  # the audit event is in the outbox alone
    ("delete events/day=D/part-N-H.parquet", -1),  # the outbox has its rows
]


@pytest.mark.slow
@pytest.mark.everywhere
def test_killed_at_the_steps_that_matter_in_any_place(world: World, tmp_path: Path) -> None:
    if world.place.kind == places.LOCAL:
        pytest.skip("the test above tries more of them there")
    copies = [configured(world.copy(tmp_path / str(number))) for number in range(len(STEPS) if places.thorough else 1)]
    expected = perform(configured(world), prune)
    for killed, (step, which) in zip(copies, STEPS, strict=False):
        perform(killed, prune, after=[n for n, write in enumerate(expected) if kind(write) == step][which])
        assert status(killed) is Status.INCOMPLETE, step
        prune_world(killed)
        assert status(killed) is Status.VERIFIED, step
        assert [seqs(killed, tenant) for tenant in ("acme", "once")] == [[4, 5, 6, 7, 8], []]
