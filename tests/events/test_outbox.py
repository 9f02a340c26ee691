import pickle
import sqlite3
import threading
import time
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from lumi_pipeline.errors import OutboxError, OutboxLocked, OutboxMissing, OutboxNotInitialised
from lumi_pipeline.events import EVENT_SCHEMA, NewEvent
from lumi_pipeline.outbox import HEAD_SCHEMA, Outbox
from lumi_pipeline.outbox.sqlite import SqliteOutbox
from lumi_pipeline.recorder import AuditRecorder
from tests.events.making import START, Clock, check_chains, database, new_event, stored

DAY = START.date()
MIDNIGHT = datetime(2026, 3, 3, tzinfo=UTC)


def record_at(outbox: SqliteOutbox, when: datetime, *events: NewEvent) -> None:
    with database(outbox.path) as connection:
        AuditRecorder(connection).record_many(events, recorded_at=[when] * len(events))
        connection.commit()


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


def test_a_database_of_another_version_is_refused(outbox: SqliteOutbox) -> None:
    with closing(sqlite3.connect(outbox.path)) as connection:
        connection.execute("ALTER TABLE audit_outbox ADD COLUMN extra TEXT")
    with pytest.raises(OutboxNotInitialised, match=r"audit_outbox.*extra"):
        SqliteOutbox.open(outbox.path)


def test_recording_connections_are_durable_and_wait(outbox: SqliteOutbox) -> None:
    with database(outbox.path) as connection:
        pragmas = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in PRAGMAS}
    assert pragmas == PRAGMAS


PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30000}


def test_an_outbox_may_cross_processes(outbox: SqliteOutbox) -> None:
    assert pickle.loads(pickle.dumps(outbox)) == outbox  # noqa: S301


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
def test_recorded_events_cannot_be_changed_or_removed(outbox: SqliteOutbox, sql: str) -> None:
    record_at(outbox, START, new_event(), new_event())
    before = stored(outbox)
    with database(outbox.path) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(sql)
    assert stored(outbox) == before


def test_the_tables_refuse_wrong_types_and_sizes(outbox: SqliteOutbox) -> None:
    record_at(outbox, START, new_event())
    with database(outbox.path, guarded=False) as connection:
        for change in ("seq = 'x'", "actor_id = x'00'", "prev_hash = x'00'", "payload_salt = 'text'", "action = NULL"):
            with pytest.raises(sqlite3.IntegrityError):
                connection.execute(f"UPDATE audit_outbox SET {change}")  # noqa: S608
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("INSERT INTO audit_close VALUES (1)")
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("INSERT INTO audit_identity VALUES ('another')")


def test_an_empty_outbox_reads_as_empty(outbox: SqliteOutbox) -> None:
    with outbox.snapshot() as snapshot:
        assert snapshot.heads() == HEAD_SCHEMA.empty_table()
        assert list(snapshot.rows([])) == []
        assert list(snapshot.rows([("acme", 0)])) == []
        assert snapshot.find(["019aa4f2-0000-7000-8000-000000000001"]) == {}


def test_rows_come_sorted_from_each_tenants_cursor_on(outbox: SqliteOutbox) -> None:
    tenants = ("b", "B", "a-1", "a", "a.1", "10", "9")
    record_at(outbox, START, *(new_event(tenant_id=tenant) for tenant in tenants * 3))
    with outbox.snapshot() as snapshot:
        heads = snapshot.heads()
        (table,) = snapshot.rows([("b", 1), ("9", 0), ("a", 2), ("B", 3), ("unknown", 0), ("10", 2)])
    assert heads.schema == HEAD_SCHEMA
    assert heads["tenant_id"].to_pylist() == sorted(tenants)
    assert heads["next_seq"].to_pylist() == [3] * len(tenants)
    assert table.schema == EVENT_SCHEMA
    assert all(column.num_chunks == 1 for column in table.columns)
    rows = list(zip(table["tenant_id"].to_pylist(), table["seq"].to_pylist(), strict=True))
    assert rows == [("10", 2), ("9", 0), ("9", 1), ("9", 2), ("a", 2), ("b", 1), ("b", 2)]


def test_chunks_keep_both_limits(outbox: SqliteOutbox) -> None:
    sizes = (10, 5000, 10, 10, 90_000, 20, 20, 20, 40_000, 1)
    for tenant in ("a", "b"):
        record_at(outbox, START, *(new_event(tenant_id=tenant, user_agent="x" * size) for size in sizes * 20))
    with outbox.snapshot() as snapshot:
        whole = pa.concat_tables(list(snapshot.rows([("a", 0), ("b", 0)])))
        small = list(snapshot.rows([("a", 0), ("b", 0)], chunk_bytes=100_000))
        short = list(snapshot.rows([("a", 0), ("b", 0)], chunk_rows=7))
        tiny = list(snapshot.rows([("a", 0), ("b", 0)], chunk_bytes=1))
    assert whole.num_rows == 400
    for tables in (small, short, tiny):
        assert pa.concat_tables(tables).equals(whole)
    assert all(table.num_rows > 0 and table.nbytes <= 100_000 for table in small)
    assert [table.num_rows for table in short] == [7] * 57 + [1]
    assert [table.num_rows for table in tiny] == [1] * 400


def test_a_full_chunk_is_cut_where_the_limit_says(outbox: SqliteOutbox) -> None:
    record_at(outbox, START, *(new_event() for _ in range(3000)))
    with outbox.snapshot() as snapshot:
        assert [table.num_rows for table in snapshot.rows([("acme", 5)], chunk_rows=1100)] == [1100, 1100, 795]


def test_heads_and_rows_belong_together_whatever_is_recorded_meanwhile(outbox: SqliteOutbox) -> None:
    record_at(outbox, START, new_event(), new_event())
    with outbox.snapshot() as snapshot:
        record_at(outbox, START, new_event(), new_event(tenant_id="newcomer"))
        assert snapshot.heads()["next_seq"].to_pylist() == [2]
        record_at(outbox, START, new_event())
        (table,) = snapshot.rows([("acme", 0), ("newcomer", 0)])
        assert table.num_rows == 2
    assert check_chains(outbox) == {"acme": 4, "newcomer": 1}


def test_a_snapshot_blocks_no_writer_and_cannot_write(outbox: SqliteOutbox) -> None:
    with pytest.raises(OutboxError, match="readonly"), outbox.snapshot() as snapshot:
        snapshot._connection.execute("DELETE FROM audit_close")
    with outbox.snapshot(), database(outbox.path) as connection:
        connection.execute("PRAGMA busy_timeout = 0")
        AuditRecorder(connection).record_many([new_event()])
        connection.commit()


def test_events_are_found_by_id(outbox: SqliteOutbox) -> None:
    events = [new_event(), new_event(tenant_id="other"), new_event()]
    record_at(outbox, START, *events)
    with outbox.snapshot() as snapshot:
        found = snapshot.find([events[2].event_id, events[1].event_id, "019aa4f2-0000-7000-8000-000000000001"])
    assert found == {events[2].event_id: ("acme", 1), events[1].event_id: ("other", 0)}


def test_any_number_of_events_is_looked_for(outbox: SqliteOutbox) -> None:
    event = new_event()
    record_at(outbox, START, event)
    wanted = [f"019aa4f2-0000-7000-8000-{number:012x}" for number in range(300_000)]
    with outbox.snapshot() as snapshot:
        assert snapshot.find([*wanted, event.event_id]) == {event.event_id: ("acme", 0)}


def test_nothing_gets_into_a_closed_day_any_more(outbox: SqliteOutbox) -> None:
    record_at(outbox, START, new_event())
    outbox.close_day(DAY)
    assert outbox.closed_before() == MIDNIGHT
    late = Clock(START + timedelta(hours=1))
    with database(outbox.path) as connection:
        events = AuditRecorder(connection, clock=late).record_many([new_event(), new_event(tenant_id="newcomer")])
        connection.commit()
    assert [event.recorded_at for event in events] == [MIDNIGHT, MIDNIGHT]
    assert [event.occurred_at for event in events] == [late.now, late.now]
    assert check_chains(outbox) == {"acme": 2, "newcomer": 1}


def test_closing_closes_every_day_before_and_never_opens_one(outbox: SqliteOutbox) -> None:
    record_at(outbox, START + timedelta(days=5), new_event())
    outbox.close_day(DAY)
    outbox.close_day(DAY - timedelta(days=9))
    assert outbox.closed_before() == MIDNIGHT
    with outbox.snapshot() as snapshot:
        assert snapshot.heads()["last_recorded_at"].to_pylist() == [START + timedelta(days=5)]
    outbox.close_day(DAY + timedelta(days=6))
    with outbox.snapshot() as snapshot:
        assert snapshot.heads()["last_recorded_at"].to_pylist() == [MIDNIGHT + timedelta(days=6)]


def test_a_day_that_is_not_over_cannot_be_closed(outbox: SqliteOutbox) -> None:
    for day in (datetime.now(UTC).date(), date(2999, 1, 1)):
        with pytest.raises(OutboxError, match="is not over"):
            outbox.close_day(day)
    outbox.close_day(datetime.now(UTC).date() - timedelta(days=1))


def test_an_event_recorded_before_the_close_is_waited_for(outbox: SqliteOutbox) -> None:
    with database(outbox.path) as connection:
        AuditRecorder(connection).record_many([new_event()], recorded_at=[MIDNIGHT - timedelta(microseconds=1)])
        with pytest.raises(OutboxLocked, match=r"2026-03-02 is not closed.*try again"):
            outbox.close_day(DAY, timeout=0.05)
        assert outbox.closed_before() < MIDNIGHT
        closing_thread = threading.Thread(target=outbox.close_day, args=(DAY,))
        closing_thread.start()
        time.sleep(0.1)
        assert closing_thread.is_alive()
        connection.commit()
        closing_thread.join()
    assert outbox.closed_before() == MIDNIGHT
    assert [event.recorded_at for event in stored(outbox)] == [MIDNIGHT - timedelta(microseconds=1)]


def test_a_transaction_open_across_the_close_records_into_the_next_day(outbox: SqliteOutbox) -> None:
    with database(outbox.path) as connection:
        connection.execute("BEGIN")
        outbox.close_day(DAY, timeout=0.05)
        clock = Clock(MIDNIGHT - timedelta(minutes=1))
        (event,) = AuditRecorder(connection, clock=clock).record_many([new_event()])
        connection.commit()
    assert event.recorded_at == MIDNIGHT
    assert check_chains(outbox) == {"acme": 1}


def test_closing_a_closed_day_again_needs_no_lock(outbox: SqliteOutbox) -> None:
    outbox.close_day(DAY)
    with database(outbox.path) as connection:
        AuditRecorder(connection).record_many([new_event()])
        outbox.close_day(DAY, timeout=0.0)
        outbox.close_day(DAY - timedelta(days=1), timeout=0.0)
