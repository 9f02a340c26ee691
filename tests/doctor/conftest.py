"""Setups to look at, on files and on servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doctor.setups import Setup, on_files, on_servers
from tests.postgresql import Postgresql
from tests.s3 import S3


@pytest.fixture
def files(tmp_path: Path) -> Setup:
    """SQLite and a root on the disk."""
    return on_files(tmp_path)


@pytest.fixture
def servers_setup(tmp_path: Path, postgresql: Postgresql, s3: S3) -> Iterator[Setup]:
    """PostgreSQL and a root in a plain bucket."""
    with on_servers(tmp_path, postgresql, f"s3://{s3.bucket()}/lake") as made:
        yield made


@pytest.fixture
def database_setup(tmp_path: Path, postgresql: Postgresql) -> Iterator[Setup]:
    """PostgreSQL and a root on the disk."""
    with on_servers(tmp_path, postgresql, str(tmp_path / "lake")) as made:
        yield made


@pytest.fixture(params=["files", pytest.param("servers_setup", marks=pytest.mark.slow)])
def setup(request: pytest.FixtureRequest) -> Setup:
    """Both kinds, one after the other."""
    made: Setup = request.getfixturevalue(request.param)
    return made
