"""Fixtures: a lake in memory with batches that are planned and not delivered, and one with events to plan."""

from pathlib import Path

import pytest

from tests.lake.places import NewPlace
from tests.lake.world import Clock, World, at
from tests.siem.shipping import ScriptedDestination, Shipping, Siem, copied, in_memory, plan, settings
from transparency.memorystore import MemoryStore


@pytest.fixture(scope="session")
def planned(tmp_path_factory: pytest.TempPathFactory) -> MemoryStore:
    """22 events in six batches of at most four: acme's 0 to 9, globex's 0 to 6, initech's 0 to 4, in this order."""
    world = World.create(tmp_path_factory.mktemp("planned") / "world", at(0, "13:00:00"))
    tenants = ["acme"] * 10 + ["globex"] * 7 + ["initech"] * 5
    world.record_all((tenant, at(0)) for tenant in tenants)
    pipeline = world.pipeline()
    pipeline.land()
    [report] = plan(pipeline, ScriptedDestination(settings(), Siem()))
    assert (report.batches, report.events) == (6, 22)
    return in_memory(world)


@pytest.fixture
def shipping(planned: MemoryStore) -> Shipping:
    """Those batches, nothing of which was delivered; the clock stands at the time of planning."""
    return Shipping(copied(planned), Clock(at(0, "13:00:00")))


@pytest.fixture(scope="session")
def spread_template(tmp_path_factory: pytest.TempPathFactory, new_place: NewPlace) -> World:
    world = World.create(tmp_path_factory.mktemp("spread") / "world", at(2, "00:20:00"), new_place)
    world.record_all([("acme", at(0)), ("acme", at(0)), ("globex", at(0)), ("acme", at(1)), ("initech", at(1))])
    world.pipeline().run()
    world.clock.now = at(2, "12:00:00")
    world.record_all([("acme", at(2, "10:00:00")), ("globex", at(2, "10:00:00"))])
    world.pipeline().land()
    world.record_all([("acme", at(2, "11:00:00")), ("umbrella", at(2, "11:00:00"))])
    world.pipeline().land()
    return world


@pytest.fixture
def spread(spread_template: World, tmp_path: Path) -> World:
    """Nine events of four tenants: two sealed days, whose landings are cleared away, and two landings of the third."""
    return spread_template.copy(tmp_path / "spread")
