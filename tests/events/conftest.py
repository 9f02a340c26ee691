from pathlib import Path

import pytest

from lumi_pipeline.outbox import Outbox
from lumi_pipeline.outbox.sqlite import SqliteOutbox
from tests.databases import KINDS, new_postgresql_outbox
from tests.postgresql import Postgresql


@pytest.fixture
def sqlite_outbox(tmp_path: Path) -> SqliteOutbox:
    return SqliteOutbox.init(tmp_path / "outbox.db")


@pytest.fixture
def postgresql_outbox(postgresql: Postgresql) -> Outbox:
    return new_postgresql_outbox(postgresql.create_database())


@pytest.fixture(params=KINDS)
def outbox(request: pytest.FixtureRequest) -> Outbox:
    """A new outbox, in each kind of database in turn."""
    outbox: Outbox = request.getfixturevalue(f"{request.param}_outbox")
    return outbox
