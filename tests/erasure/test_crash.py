"""An erasure is killed at each of its durable writes: what it leaves is not called false, and the next completes it."""

from pathlib import Path

import pytest

from lumi_pipeline.erasure.erasing import Eraser
from lumi_pipeline.verdict import Status
from tests.erasure.forgetting import assert_forgotten, forget, secrets, status
from tests.lake import places
from tests.lake.crashes import kind, perform
from tests.lake.places import sampled
from tests.lake.world import World

WRITES = {
    "commit outbox",  # the audit event, and the erasure of the outbox's rows
    "put_new erasures/N/order.json",
    "put_new landed/N/part-N-H.parquet",  # of the audit event
    "put_new landed/N/tenants-H.parquet",
    "put_new landings/N.json",
    "put_new landed/N/part-N-erased-N-H.parquet",
    "put_new superseded/N/superseded-N.json",
    "delete landed/N/part-N-H.parquet",
    "put_new events/day=D/part-N-erased-N-H.parquet",
    "put_new seals/day=D/superseded-N.json",
    "delete events/day=D/part-N-H.parquet",
    "put_new erasures/N/round-N.json",
    "put_new erasures/N/done.json",
}
"""Every kind of durable write. Whoever adds one has to think what a crash before and after it leaves behind."""


@pytest.mark.slow
def test_a_killed_erasure_is_completed(world: World, tmp_path: Path) -> None:
    values = secrets(world)
    expected = perform(world.copy(tmp_path / "undisturbed"), forget)
    assert {kind(write) for write in expected} == WRITES
    moments = list(enumerate(expected))
    for number, write in sampled(moments if places.thorough else moments[::-6], world.place):
        moment = f"after write {number}, {write}"
        killed = world.copy(tmp_path / str(number))
        perform(killed, forget, after=number)
        assert status(killed) in {Status.VERIFIED, Status.INCOMPLETE}, moment
        begun = any(known.key.endswith("order.json") for known in expected[: number + 1])
        ended = number == len(expected) - 1
        if begun and not ended and number % 2:
            assert Eraser(killed.pipeline()).resume() is not None, moment
        else:
            forget(killed.pipeline())
        assert_forgotten(killed, values)


STEPS = [
    ("commit outbox", -1),  # the outbox is erased, the lake is not
    ("put_new seals/day=D/superseded-N.json", 0),  # the old file counts no more, and is there
    ("commit outbox", 0),  # the audit event is in the outbox alone
    ("put_new erasures/N/round-N.json", -1),  # all is erased, and nothing says so
]


@pytest.mark.slow
@pytest.mark.everywhere
def test_killed_at_the_steps_that_matter_in_any_place(world: World, tmp_path: Path) -> None:
    if world.place.kind == places.LOCAL:
        pytest.skip("the test above tries more of them there")
    values = secrets(world)
    copies = [world.copy(tmp_path / str(number)) for number in range(len(STEPS) if places.thorough else 2)]
    expected = perform(world, forget)
    for killed, (step, which) in zip(copies, STEPS, strict=False):
        perform(killed, forget, after=[n for n, write in enumerate(expected) if kind(write) == step][which])
        assert status(killed) is Status.INCOMPLETE, step
        assert Eraser(killed.pipeline()).resume() is not None
        assert_forgotten(killed, values)
