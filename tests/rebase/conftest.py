"""A site whose first two days are sealed and published, with events landed since."""

from pathlib import Path

import pytest

from lumi_pipeline.outbox.sqlite import SqliteOutbox
from tests.databases import KINDS, new_postgresql_outbox
from tests.lake.world import at
from tests.postgresql import Postgresql
from tests.rebase.site import Site


@pytest.fixture(params=KINDS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """Days 0 and 1 are sealed, and it is noon of day 3: acme has 5 landed events, globex 3, initech 1.

    Day 0: acme 0 to 2, globex 0. Day 1: acme 3, globex 1. Day 2, landed: acme 4, globex 2, initech 0.
    """
    return make_site(request, tmp_path / "site", request.param)


def make_site(request: pytest.FixtureRequest, directory: Path, kind: str) -> Site:
    server: Postgresql | None = request.getfixturevalue("postgresql") if kind == "postgresql" else None
    outbox = new_postgresql_outbox(server.create_database()) if server else SqliteOutbox.init(directory / "outbox.db")
    site = Site(directory, outbox, server, at(2, "00:20:00"))
    site.record("acme", at(0, "09:00:00"), at(0, "10:00:00"), at(0, "11:00:00"))
    site.record("globex", at(0, "09:30:00"))
    site.record("acme", at(1, "09:00:00"))
    site.record("globex", at(1, "09:30:00"))
    site.pipeline().run()
    site.clock.now = at(3, "12:00:00")
    site.record("acme", at(2, "09:00:00"))
    site.record("globex", at(2, "09:30:00"))
    site.record("initech", at(2, "10:00:00"))
    site.pipeline().land()
    return site
