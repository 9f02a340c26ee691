"""Fixtures: worlds as the lake's tests use them, and a Dagster instance that lives in memory."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.lake.world import World, at


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two tenants on days 0 and 2; nothing on day 1; something on day 3, which is not over at half past noon."""
    world = World.create(tmp_path / "world", at(3, "12:30:00"))
    world.record("acme", at(0, "09:00:00"), at(0, "09:00:01"), at(0, "23:59:59.999999"))
    world.record("globex", at(0, "10:00:00"), at(2, "10:00:00"))
    world.record("acme", at(2, "00:00:00"), at(3, "08:00:00"))
    return world
