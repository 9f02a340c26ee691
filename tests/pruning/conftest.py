"""Fixtures: a world with days that are old enough to leave, in each kind of place in turn."""

from pathlib import Path

import pytest

from tests.lake.places import NewPlace
from tests.lake.world import World, at
from tests.pruning.aging import aged


@pytest.fixture(scope="session")
def aged_template(tmp_path_factory: pytest.TempPathFactory, new_place: NewPlace) -> World:
    world = World.create(tmp_path_factory.mktemp("aged") / "world", at(0), new_place)
    aged(world)
    return world


@pytest.fixture
def world(aged_template: World, tmp_path: Path) -> World:
    """Days 0 to 3 are sealed and published, day 4 has begun and is landed; see :func:`aged`."""
    return aged_template.copy(tmp_path / "aged")
