"""Fixtures: a world with somebody in it who wants to be forgotten, in each kind of place in turn."""

from pathlib import Path

import pytest

from tests.erasure.forgetting import forget, lived_in
from tests.lake.places import NewPlace
from tests.lake.world import World, at


@pytest.fixture(scope="session")
def lived_in_template(tmp_path_factory: pytest.TempPathFactory, new_place: NewPlace) -> World:
    world = World.create(tmp_path_factory.mktemp("lived-in") / "world", at(0), new_place)
    lived_in(world)
    return world


@pytest.fixture(scope="session")
def forgotten_template(lived_in_template: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    world = lived_in_template.copy(tmp_path_factory.mktemp("forgotten") / "world")
    forget(world.pipeline())
    return world


@pytest.fixture
def forgotten(forgotten_template: World, tmp_path: Path) -> World:
    """The same, with Erika's events erased."""
    return forgotten_template.copy(tmp_path / "forgotten")


@pytest.fixture
def world(lived_in_template: World, tmp_path: Path) -> World:
    """Days 0 to 2 are sealed and published, day 3 has begun and is landed; see :func:`lived_in`."""
    return lived_in_template.copy(tmp_path / "lived-in")
