"""Fixtures: worlds as the lake's tests use them, and Dagster instances in memory and in PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.assets.machines import URL, Database, Machine, new_database, two_days
from tests.lake.places import NewPlace
from tests.lake.world import World, at
from tests.postgresql import Postgresql


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def world(tmp_path: Path, new_place: NewPlace) -> World:
    """Two tenants on days 0 and 2; nothing on day 1; something on day 3, which is not over at half past noon."""
    world = World.create(tmp_path / "world", at(3, "12:30:00"), new_place)
    world.record("acme", at(0, "09:00:00"), at(0, "09:00:01"), at(0, "23:59:59.999999"))
    world.record("globex", at(0, "10:00:00"), at(2, "10:00:00"))
    world.record("acme", at(2, "00:00:00"), at(3, "08:00:00"))
    return world


@pytest.fixture
def database(postgresql: Postgresql) -> Iterator[Database]:
    """An empty database for Dagster's records."""
    pytest.importorskip("dagster_postgres", reason="dagster-postgres is not installed; an extra of that name brings it")
    with new_database(postgresql) as database:
        yield database


@pytest.fixture
def here(tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """This process is on a machine of that instance."""
    here = Machine.create(tmp_path / "here", database)
    monkeypatch.chdir(here.directory)
    monkeypatch.setenv(URL, database.url)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return here


@pytest.fixture
def days_to_do(tmp_path: Path) -> World:
    """Two days to do, by the real clock."""
    return two_days(tmp_path / "days-to-do")
