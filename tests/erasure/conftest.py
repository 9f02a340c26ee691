"""Fixtures: a world with somebody in it who wants to be forgotten, in each kind of place in turn."""

from pathlib import Path

import pytest

from tests.erasure.forgetting import lived_in
from tests.lake.places import NewPlace
from tests.lake.world import World, at


@pytest.fixture(scope="session")
def lived_in_template(tmp_path_factory: pytest.TempPathFactory, new_place: NewPlace) -> World:
    world = World.create(tmp_path_factory.mktemp("lived-in") / "world", at(0), new_place)
    lived_in(world)
    return world


@pytest.fixture
def world(lived_in_template: World, tmp_path: Path) -> World:
    """Days 0 to 2 are sealed and published, day 3 has begun and is landed; see :func:`lived_in`."""
    return lived_in_template.copy(tmp_path / "lived-in")
