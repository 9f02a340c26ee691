"""A deliverer that dies at any of its durable steps, or while it sends: the next one goes on, and nothing is lost."""

from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from lumi_pipeline.siem.deliver import LEASE_LENGTH
from lumi_pipeline.siem.destination import Result
from lumi_pipeline.siem.lease import SKEW
from tests.crashing import Killed
from tests.lake.places import NewPlace, sampled
from tests.lake.world import Clock, World, at
from tests.siem.dying import DoomedStore
from tests.siem.shipping import (
    Answer,
    Request,
    ScriptedDestination,
    Shipping,
    Siem,
    copied,
    failing,
    plan,
    settings,
    taken,
)
from transparency.memorystore import MemoryStore

WRITES = {"lease", "ledger", "receipts"}
"""All that a deliverer writes to."""


def moody(request: Request) -> Answer:
    """Of what globex did, one event is refused by name, and initech's are too many at a time."""
    if ("globex", 1) in zip(request.tenants, request.seqs, strict=True):
        index = list(zip(request.tenants, request.seqs, strict=True)).index(("globex", 1))
        return failing(Result.PARTIAL, index, index=index)
    if request.tenants.count("initech") > 1:
        return failing(Result.TOO_LARGE)
    return taken()


def deliver(shipping: Shipping, **kill: int) -> DoomedStore:
    """Let a process deliver until it is done or dead; return its store."""
    store = DoomedStore(shipping.store, **kill)
    with suppress(Killed):
        shipping.deliverer(store).run()
    return store


def finish(shipping: Shipping) -> None:
    """The next process, once the dead one's lease is over."""
    shipping.siem.moment = lambda _: None
    shipping.clock.now += LEASE_LENGTH + SKEW
    shipping.run(timedelta(hours=1))
    shipping.check_settled()


def moody_shipping(planned: MemoryStore, **options: object) -> Shipping:
    return Shipping(copied(planned), Clock(at(0, "13:00:00")), settings(**options), Siem(moody))


@pytest.mark.parametrize("options", [{"ordered": True}, {"concurrency": 3}], ids=["ordered", "side-by-side"])
def test_killed_at_any_write_everything_arrives(planned: MemoryStore, options: dict[str, object]) -> None:
    whole = deliver(moody_shipping(planned, **options))
    assert {write.key.split("/")[2] for write in whole.writes} == WRITES
    for number in range(len(whole.writes)):
        for when in ("before", "after"):
            shipping = moody_shipping(planned, **options)
            deliver(shipping, **{when: number})
            finish(shipping)


def dying_moments(siem: Siem, store: DoomedStore, number: int) -> None:
    """Let the process die at this moment of sending, counted from 0."""
    moments = iter(range(1_000_000))

    def moment(_: str) -> None:
        if next(moments) == number:
            store.die()

    siem.moment = moment


@pytest.mark.parametrize("options", [{"ordered": True}, {"concurrency": 3}], ids=["ordered", "side-by-side"])
def test_killed_while_sending_what_may_have_arrived_is_told(planned: MemoryStore, options: dict[str, object]) -> None:
    twice = 0
    for number in range(20):
        shipping = moody_shipping(planned, **options)
        store = DoomedStore(shipping.store)
        dying_moments(shipping.siem, store, number)
        with suppress(Killed):
            shipping.deliverer(store).run()
        finish(shipping)
        twice += sum(count > 1 for count in shipping.siem.counts.values())
    assert twice > 10, "nothing was there before the process died, so nothing was shown"


@pytest.mark.parametrize("seed", range(6))
def test_killed_again_and_again_everything_arrives(planned: MemoryStore, seed: int) -> None:
    random = Random(seed)
    shipping = moody_shipping(planned, concurrency=3)
    for _ in range(12):
        store = DoomedStore(shipping.store, after=random.randrange(1, 9))
        if random.random() < 0.3:
            dying_moments(shipping.siem, store, random.randrange(4))
        with suppress(Killed):
            shipping.deliverer(store).run(timedelta(minutes=1))
        shipping.clock.now += LEASE_LENGTH + SKEW
    finish(shipping)


def test_receipts_that_no_file_has_yet_are_written_by_the_next_run(planned: MemoryStore) -> None:
    """Also when a batch was settled long before: the lines are in the ledger until a file has them."""
    shipping = moody_shipping(planned)
    writes = deliver(moody_shipping(planned)).writes
    [file] = [number for number, write in enumerate(writes) if "/receipts/" in write.key]
    deliver(shipping, before=file)
    assert shipping.receipts() == []
    assert not shipping.ledger.open or shipping.ledger.receipts
    settled = shipping.ledger.receipts
    finish(shipping)
    assert len(shipping.receipts()) == settled


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, new_place: NewPlace) -> World:
    """Two tenants' events, planned; nothing is delivered."""
    world = World.create(tmp_path_factory.mktemp("planned") / "world", at(0, "13:00:00"), new_place)
    world.record_all([("globex", at(0))] * 5 + [("initech", at(0))] * 3)
    pipeline = world.pipeline()
    pipeline.land()
    plan(pipeline, ScriptedDestination(settings(), Siem()))
    return world


@pytest.mark.everywhere
def test_killed_at_any_write_to_a_real_store_everything_arrives(world: World, tmp_path: Path) -> None:
    def begin(directory: Path) -> Shipping:
        return Shipping(world.copy(directory).store, Clock(world.clock.now), settings(concurrency=2), Siem(moody))

    writes = deliver(begin(tmp_path / "whole")).writes
    for number in sampled(range(0, len(writes), 2), world.place):
        shipping = begin(tmp_path / str(number))
        deliver(shipping, after=number)
        finish(shipping)
