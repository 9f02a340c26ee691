from pathlib import Path

import pytest

from lumi_pipeline.outbox.sqlite import SqliteOutbox


@pytest.fixture
def outbox(tmp_path: Path) -> SqliteOutbox:
    return SqliteOutbox.init(tmp_path / "outbox.db")
