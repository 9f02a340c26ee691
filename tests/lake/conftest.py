"""Fixtures: a world without events, and one with three days sealed and published, in each kind of place in turn."""

from pathlib import Path

import pytest

from tests.lake.places import NewPlace
from tests.lake.world import World, at


@pytest.fixture
def world(tmp_path: Path, new_place: NewPlace) -> World:
    """No events yet; the clock stands shortly after noon of day 4, so days 0 to 3 are complete."""
    return World.create(tmp_path / "world", at(4, "12:30:00"), new_place)


@pytest.fixture(scope="session")
def sealed_template(tmp_path_factory: pytest.TempPathFactory, new_place: NewPlace) -> World:
    world = World.create(tmp_path_factory.mktemp("sealed") / "world", at(3, "00:20:00"), new_place)
    world.record("acme", at(0, "09:00:00"), at(0, "09:00:01"), at(0, "18:00:00"))
    world.record("globex", at(0, "10:00:00"))
    world.record("acme", at(1, "08:00:00"), at(1, "23:59:59.999999"))
    world.record("initech", at(2, "00:00:00"), at(2, "07:00:00"), after_state=None)
    world.record("globex", at(2, "11:00:00"))
    world.pipeline().run()
    return world


@pytest.fixture
def sealed(sealed_template: World, tmp_path: Path) -> World:
    """Days 0 to 2 are sealed and published; it is shortly after midnight of day 3.

    Day 0: acme 0 to 2, globex 0. Day 1: acme 3 and 4, globex idle. Day 2: acme idle, globex 1, initech 0 and 1.
    """
    return sealed_template.copy(tmp_path / "sealed")
