"""A load lasts as long as it says, although its processes are forked from one that first has to import everything."""

import pytest

from tests.soak.driver import prepare_forking


@pytest.fixture(scope="session", autouse=True)
def _ready_to_fork() -> None:
    """On a busy machine the imports take longer than the shortest loads last."""
    prepare_forking()
