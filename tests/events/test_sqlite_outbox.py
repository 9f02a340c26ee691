"""What is SQLite's own about an outbox in it: its file, its constraints, its errors."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lumi_pipeline.errors import OutboxError, OutboxMissing, OutboxNotInitialised
from lumi_pipeline.outbox import Outbox
from lumi_pipeline.outbox.sqlite import SqliteOutbox
from tests.databases import database
from tests.events.making import START, new_event, record_at, stored


def test_initialising_again_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "outbox.db"
    first = SqliteOutbox.init(path)
    record_at(first, START, new_event())
    with first.snapshot() as snapshot:
        system_id = snapshot.system_id
    again = SqliteOutbox.init(str(path))
    with again.snapshot() as snapshot:
        assert snapshot.system_id == system_id
    assert len(stored(again)) == 1
    assert len(system_id) == 32


def test_two_outboxes_have_two_identities(tmp_path: Path) -> None:
    identities = set()
    for name in ("a.db", "b.db"):
        with SqliteOutbox.init(tmp_path / name).snapshot() as snapshot:
            identities.add(snapshot.system_id)
    assert len(identities) == 2


def test_the_tables_can_live_in_the_applications_own_database(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE tickets (id TEXT)")
    outbox: Outbox = SqliteOutbox.init(path)
    with closing(sqlite3.connect(path)) as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {"tickets", "audit_outbox", "audit_chain_head", "audit_close", "audit_identity"} == tables
    assert outbox.closed_before() == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_missing_outbox_is_not_invented(tmp_path: Path) -> None:
    with pytest.raises(OutboxMissing, match="lumi outbox init"):
        SqliteOutbox.open(tmp_path / "none.db")
    with pytest.raises(OutboxMissing):
        SqliteOutbox(tmp_path).closed_before()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("CREATE TABLE other (id TEXT)", "no table audit_identity"),
        ("CREATE TABLE audit_identity (id TEXT)", "table audit_identity is not the one"),
    ],
)
def test_another_database_is_named_as_such(tmp_path: Path, sql: str, reason: str) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(sql)
    with pytest.raises(OutboxNotInitialised, match=reason):
        SqliteOutbox.open(path)


def test_a_file_that_is_no_database_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are not the bytes of a database\n" * 100)
    for opening in (SqliteOutbox.open, SqliteOutbox.init):
        with pytest.raises(OutboxNotInitialised, match="not an SQLite database"):
            opening(path)


def test_a_place_where_nothing_can_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutboxError, match="no outbox can be created"):
        SqliteOutbox.init(tmp_path / "file" / "outbox.db")


def test_a_database_of_another_version_is_refused(sqlite_outbox: SqliteOutbox) -> None:
    with closing(sqlite3.connect(sqlite_outbox.path)) as connection:
        connection.execute("ALTER TABLE audit_outbox ADD COLUMN extra TEXT")
    with pytest.raises(OutboxNotInitialised, match=r"audit_outbox.*extra"):
        SqliteOutbox.open(sqlite_outbox.path)


def test_recording_connections_are_durable_and_wait(sqlite_outbox: SqliteOutbox) -> None:
    with database(sqlite_outbox) as connection:
        pragmas = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in PRAGMAS}
    assert pragmas == PRAGMAS


PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30000}


FORGED_ROW = """
    REPLACE INTO audit_outbox (tenant_id, seq, event_id, recorded_at, occurred_at, action, entity_type, entity_id,
        outcome, actor_type, actor_id, payload_hash, prev_hash, integrity_hash)
    SELECT tenant_id, seq, 'another', 0, 0, '', '', '', '', '', '', payload_hash, prev_hash, integrity_hash
    FROM audit_outbox
"""


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit_outbox SET actor_id = 'somebody else'",
        "UPDATE audit_outbox SET actor_name = NULL, payload_salt = NULL",
        "DELETE FROM audit_outbox",
        "INSERT OR REPLACE INTO audit_outbox SELECT * FROM audit_outbox",
        FORGED_ROW,
        "UPDATE OR REPLACE audit_outbox SET seq = seq + 1",
        "INSERT INTO audit_outbox SELECT * FROM audit_outbox WHERE true ON CONFLICT DO UPDATE SET actor_id = ''",
    ],
)
def test_recorded_events_cannot_be_changed_or_removed(sqlite_outbox: SqliteOutbox, sql: str) -> None:
    record_at(sqlite_outbox, START, new_event(), new_event())
    before = stored(sqlite_outbox)
    with database(sqlite_outbox) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(sql)
    assert stored(sqlite_outbox) == before


def test_the_tables_refuse_wrong_types_and_sizes(sqlite_outbox: SqliteOutbox) -> None:
    record_at(sqlite_outbox, START, new_event())
    with database(sqlite_outbox, guarded=False) as connection:
        for change in ("seq = 'x'", "actor_id = x'00'", "prev_hash = x'00'", "payload_salt = 'text'", "action = NULL"):
            with pytest.raises(sqlite3.IntegrityError):
                connection.execute(f"UPDATE audit_outbox SET {change}")  # noqa: S608
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("INSERT INTO audit_close VALUES (1)")
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("INSERT INTO audit_identity VALUES ('another')")
