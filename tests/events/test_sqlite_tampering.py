"""What an administrator can write past every constraint is found and named when it is read."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lumi_pipeline.errors import OutboxError, OutboxTampered
from lumi_pipeline.events import MAX_TEXT_BYTES
from lumi_pipeline.outbox.sqlite import SqliteOutbox
from lumi_pipeline.recorder import AuditRecorder
from tests.databases import database
from tests.events.making import START, new_event


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An outbox of three tenants with 1,500 events each, whose tables an administrator has rebuilt without rules."""
    outbox = SqliteOutbox.init(tmp_path_factory.mktemp("rebuilt") / "outbox.db")
    with database(outbox, guarded=False) as connection:
        for tenant in ("acme", "globex", "initech"):
            events = [new_event(tenant_id=tenant) for _ in range(1500)]
            AuditRecorder(connection).record_many(events, recorded_at=[START] * len(events))
        connection.commit()
        for table in ("audit_outbox", "audit_chain_head"):
            names = ", ".join(row[1] for row in connection.execute(f"PRAGMA table_info({table})"))
            connection.execute(f"CREATE TABLE loose ({names})")
            connection.execute(f"INSERT INTO loose SELECT * FROM {table}")  # noqa: S608
            connection.execute(f"DROP TABLE {table}")
            connection.execute(f"ALTER TABLE loose RENAME TO {table}")
        connection.execute("CREATE UNIQUE INDEX by_seq ON audit_outbox (tenant_id, seq)")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return outbox.path


@pytest.fixture
def loose(rebuilt: Path, tmp_path: Path) -> SqliteOutbox:
    return SqliteOutbox(shutil.copy(rebuilt, tmp_path / "loose.db"))


def read(outbox: SqliteOutbox) -> int:
    with outbox.snapshot() as snapshot:
        tenants = [str(tenant) for tenant in snapshot.heads()["tenant_id"].to_pylist()]
        return sum(table.num_rows for table in snapshot.rows([(tenant, 0) for tenant in tenants]))


def tamper(outbox: SqliteOutbox, sql: str) -> None:
    with closing(sqlite3.connect(outbox.path)) as connection:
        connection.execute(sql)
        connection.commit()


def test_loose_tables_alone_read_like_any_other(loose: SqliteOutbox) -> None:
    assert read(loose) == 4500


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ("actor_name = CAST(x'c328' AS TEXT)", "actor_name must be UTF-8 text or null"),
        ("actor_name = CAST(x'eda080' AS TEXT)", "actor_name must be UTF-8 text or null"),
        ("after_state = 17", "after_state must be UTF-8 text or null"),
        ("entity_id = 1.5", "entity_id must be UTF-8 text, not null"),
        ("actor_id = NULL", "actor_id must be UTF-8 text, not null"),
        ("event_id = CAST(x'ff' AS TEXT)", "event_id must be UTF-8 text, not null"),
        ("event_id = 5", "event_id must be UTF-8 text, not null"),
        ("recorded_at = 'yesterday'", "recorded_at must be microseconds since 1970"),
        ("recorded_at = 1.5", "recorded_at must be microseconds since 1970"),
        ("recorded_at = NULL", "recorded_at must be microseconds since 1970"),
        ("occurred_at = 9223372036854775807", "occurred_at must be microseconds since 1970"),
        ("occurred_at = -9223372036854775808", "occurred_at must be microseconds since 1970"),
        ("erased_at = 'never'", "erased_at must be microseconds since 1970"),
        ("payload_salt = x'00'", "payload_salt must be 16 bytes or null"),
        ("payload_hash = x'00'", "payload_hash must be 32 bytes, not null"),
        ("prev_hash = 7", "prev_hash must be 32 bytes, not null"),
        ("integrity_hash = NULL", "integrity_hash must be 32 bytes, not null"),
    ],
)
@pytest.mark.parametrize("seq", [0, 1201])
def test_a_value_no_recorder_writes_is_named(loose: SqliteOutbox, change: str, column: str, seq: int) -> None:
    tamper(loose, f"UPDATE audit_outbox SET {change} WHERE tenant_id = 'globex' AND seq = {seq}")  # noqa: S608
    with pytest.raises(OutboxTampered, match=f"tenant globex, seq {seq}, column {column}"):
        read(loose)


def test_a_seq_that_is_no_number_is_named(loose: SqliteOutbox) -> None:
    tamper(loose, "UPDATE audit_outbox SET seq = 'x' WHERE tenant_id = 'globex' AND seq = 3")
    with pytest.raises(OutboxTampered, match="tenant globex, seq b'x', column seq must be an integer"):
        read(loose)


def test_a_row_larger_than_any_event_is_not_loaded(loose: SqliteOutbox) -> None:
    agent = f"hex(zeroblob({5 * MAX_TEXT_BYTES}))"
    tamper(loose, f"UPDATE audit_outbox SET user_agent = {agent} WHERE tenant_id = 'globex' AND seq = 3")  # noqa: S608
    with pytest.raises(OutboxTampered, match=r"larger than any event.*tenant globex"):
        read(loose)


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ("tenant_id = CAST(x'ff' AS TEXT)", "tenant_id must be UTF-8 text"),
        ("chain_id = x'00'", "chain_id must be 16 bytes"),
        ("next_seq = 'many'", "next_seq must be an integer"),
        ("next_seq = NULL", "next_seq must be an integer"),
        ("head_hash = NULL", "head_hash must be 32 bytes"),
        ("last_recorded_at = 9223372036854775807", "last_recorded_at must be microseconds since 1970"),
    ],
)
def test_a_head_no_recorder_writes_is_named(loose: SqliteOutbox, change: str, column: str) -> None:
    tamper(loose, f"UPDATE audit_chain_head SET {change} WHERE tenant_id = 'globex'")  # noqa: S608
    with pytest.raises(OutboxTampered, match=f"audit_chain_head.*column {column}"):
        read(loose)


@pytest.mark.parametrize("sql", ["UPDATE audit_close SET closed_before = 1 << 62", "DELETE FROM audit_close"])
def test_a_close_no_pipeline_writes_is_named(sqlite_outbox: SqliteOutbox, sql: str) -> None:
    tamper(sqlite_outbox, sql)
    with pytest.raises(OutboxTampered, match="audit_close"):
        sqlite_outbox.closed_before()


def test_a_damaged_file_is_named(sqlite_outbox: SqliteOutbox, tmp_path: Path) -> None:
    with database(sqlite_outbox) as connection:
        AuditRecorder(connection).record_many([new_event() for _ in range(500)])
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(sqlite_outbox.path.read_bytes())
    data[20_000:] = b"\xa5" * (len(data) - 20_000)
    (tmp_path / "damaged.db").write_bytes(data)
    with pytest.raises(OutboxError, match=r"damaged\.db"):
        read(SqliteOutbox(tmp_path / "damaged.db"))
