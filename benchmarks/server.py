"""A PostgreSQL server for one row, started as the tests start theirs, and gone with the row."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.postgresql import cluster
from tests.servers import Servers


class MissingServerError(Exception):
    """The server can't be started on this machine; says what to install."""


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of an empty database on a server of its own, which forgets nothing when the machine crashes."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory()))
        try:
            settings = stack.enter_context(Servers(os.getpid(), directory).private(cluster, fsync=True))
        except pytest.skip.Exception as missing:
            raise MissingServerError(str(missing)) from None
        yield settings["url"]
