"""What the doctor finds about an outbox in SQLite."""

import sqlite3
import subprocess
from contextlib import closing

import pytest

from lumi_pipeline.doctor.findings import Status
from lumi_pipeline.outbox.sqlite import SqliteOutbox
from lumi_pipeline.outboxaddress import sqlite_address
from tests.doctor.setups import Setup, look, mounted


@pytest.mark.parametrize(
    ("trigger", "statement"),
    [
        ("audit_outbox_no_update", "UPDATE"),
        ("audit_outbox_no_delete", "DELETE"),
        ("audit_outbox_no_replace", "INSERT OR REPLACE"),
    ],
)
def test_a_missing_trigger_is_found_by_what_it_no_longer_refuses(files: Setup, trigger: str, statement: str) -> None:
    files.record(1)
    path = files.config.outbox.path
    assert path is not None
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"DROP TRIGGER {trigger}")
    before = path.read_bytes()
    found = look(files, "outbox protected")
    assert found.status == Status.PROBLEM
    assert found.detail.startswith(f"{statement} on audit_outbox is not refused")
    assert path.read_bytes() == before
    SqliteOutbox.init(path)
    assert look(files, "outbox protected").status == Status.OK


def test_the_file_is_byte_for_byte_the_same(files: Setup) -> None:
    files.record(1)
    path = files.config.outbox.path
    assert path is not None
    before = path.read_bytes()
    for name in ("outbox protected", "outbox durable", "outbox recording", "outbox identity"):
        assert look(files, name).status == Status.OK
    assert path.read_bytes() == before


def test_another_journal_is_found(files: Setup) -> None:
    with closing(sqlite3.connect(str(files.config.outbox.path))) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    found = look(files, "outbox durable")
    assert (found.status, "journal_mode is delete" in found.detail) == (Status.WARNING, True)
    assert "lumi outbox init" in str(found.remedy)


def test_a_file_that_everybody_can_read_is_found(files: Setup) -> None:
    path = files.config.outbox.path
    assert path is not None
    assert look(files, "permissions").status == Status.OK
    path.chmod(0o644)
    found = look(files, "permissions")
    assert (found.status, str(path) in found.detail) == (Status.WARNING, True)


def test_a_file_that_cannot_be_written_is_found(files: Setup) -> None:
    path = files.config.outbox.path
    assert path is not None
    point = path.parent / "mounted"
    with mounted(point):
        SqliteOutbox.init(point / "outbox.db")
        with closing(sqlite3.connect(point / "outbox.db")) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")  # WAL can't even be read on a read-only disk
        subprocess.run(["mount", "-o", "remount,ro", point], check=True)
        found = look(files.having(outbox=sqlite_address(point / "outbox.db")), "outbox protected")
    assert found.status == Status.PROBLEM
    assert "readonly" in found.detail
