import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from lumi_pipeline.errors import (
    ClockAhead,
    DuplicateEvent,
    EventRejected,
    OutboxLocked,
    OutboxNotInitialised,
    OutboxTampered,
    RecorderError,
    TimeRefused,
)
from lumi_pipeline.events import Event, NewEvent
from lumi_pipeline.outbox import Outbox
from lumi_pipeline.outbox.head import ChainHead, next_event, start_chain
from lumi_pipeline.outbox.sqlite import SqliteOutbox
from lumi_pipeline.recorder import AuditRecorder
from tests.databases import Connection, begin, database, in_transaction, run
from tests.events.making import START, Clock, check_chains, new_event, stored, values


@pytest.fixture
def connection(outbox: Outbox) -> Iterator[Connection]:
    with database(outbox) as opened:
        yield opened


def record(connection: Connection, **changes: object) -> Event:
    return AuditRecorder(connection).record(**values(**changes))  # type: ignore[arg-type]


def test_a_recorded_event_is_stored_as_it_was_returned(outbox: Outbox, connection: Connection) -> None:
    before = datetime.now(UTC)
    event = record(connection, before_state='{"a":  1e3}', after_state={"status": "done", "note": "é"})
    connection.commit()
    assert stored(outbox) == [event]
    assert (event.seq, event.tenant_id, event.actor_name) == (0, "acme", "Zoë Ångström")
    assert (event.before_state, event.after_state) == ('{"a":  1e3}', '{"status":"done","note":"é"}')
    assert before <= event.recorded_at <= datetime.now(UTC)
    assert event.occurred_at == event.recorded_at
    assert event.erased_at is None


def test_chains_of_several_tenants_are_numbered_apart(outbox: Outbox, connection: Connection) -> None:
    recorder = AuditRecorder(connection)
    events = recorder.record_many([new_event(tenant_id=tenant) for tenant in ("b", "a", "b", "c", "a", "b")])
    connection.commit()
    assert [(event.tenant_id, event.seq) for event in events] == [
        *(("b", 0), ("a", 0), ("b", 1)),
        *(("c", 0), ("a", 1), ("b", 2)),
    ]
    recorder.record_many([new_event(tenant_id="a")])
    connection.commit()
    assert check_chains(outbox) == {"a": 3, "b": 3, "c": 1}


def test_every_event_has_its_own_salt_and_every_chain_its_own_id(outbox: Outbox, connection: Connection) -> None:
    events = AuditRecorder(connection).record_many([new_event(tenant_id=tenant) for tenant in ("a", "a", "b", "b")])
    connection.commit()
    assert len({event.payload_salt for event in events}) == 4
    with outbox.snapshot() as snapshot:
        assert len(set(snapshot.heads()["chain_id"].to_pylist())) == 2


def test_without_a_transaction_one_is_begun_and_left_to_the_caller(outbox: Outbox, connection: Connection) -> None:
    record(connection)
    assert in_transaction(connection)
    assert stored(outbox) == []
    connection.commit()
    assert len(stored(outbox)) == 1


def test_the_event_shares_the_fate_of_the_business_transaction(outbox: Outbox, connection: Connection) -> None:
    run(connection, "CREATE TABLE tickets (id TEXT)")
    record(connection)
    connection.commit()
    begin(connection)
    run(connection, "INSERT INTO tickets VALUES ('T-2')")
    gone = record(connection)
    record(connection, tenant_id="newcomer")
    connection.rollback()
    assert check_chains(outbox) == {"acme": 1}
    assert record(connection).seq == gone.seq
    connection.commit()
    assert check_chains(outbox) == {"acme": 2}
    assert run(connection, "SELECT count(*) FROM tickets") == [(0,)]


@pytest.mark.parametrize("isolation_level", [None, "", "DEFERRED", "IMMEDIATE", "EXCLUSIVE"])
def test_any_way_of_handling_transactions_works(sqlite_outbox: SqliteOutbox, isolation_level: str | None) -> None:
    with closing(sqlite3.connect(sqlite_outbox.path, isolation_level=isolation_level)) as connection:
        with connection:
            record(connection)
            record(connection)
        with connection:
            record(connection)
            connection.rollback()
    assert check_chains(sqlite_outbox) == {"acme": 2}


def test_the_connections_own_factories_do_not_matter(sqlite_outbox: SqliteOutbox) -> None:
    def as_dict(cursor: sqlite3.Cursor, row: tuple[object, ...]) -> dict[str, object]:
        return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}

    with closing(sqlite3.connect(sqlite_outbox.path)) as connection:
        connection.row_factory = as_dict
        connection.text_factory = bytes
        event = record(connection)
        with pytest.raises(DuplicateEvent):
            record(connection, event_id=event.event_id)
        connection.commit()
    assert check_chains(sqlite_outbox) == {"acme": 1}


def test_a_refused_call_leaves_nothing_and_the_transaction_usable(outbox: Outbox, connection: Connection) -> None:
    run(connection, "CREATE TABLE tickets (id TEXT)")
    begin(connection)
    run(connection, "INSERT INTO tickets VALUES ('T-1')")
    first = record(connection)
    batch = [new_event(), new_event(tenant_id="newcomer"), new_event(event_id=first.event_id)]
    with pytest.raises(DuplicateEvent) as caught:
        AuditRecorder(connection).record_many(batch)
    assert caught.value.event_id == first.event_id
    record(connection)
    connection.commit()
    assert check_chains(outbox) == {"acme": 2}
    assert run(connection, "SELECT * FROM tickets") == [("T-1",)]


def test_a_refused_first_call_holds_no_lock(outbox: Outbox, connection: Connection) -> None:
    taken = record(connection).event_id
    connection.commit()
    with pytest.raises(DuplicateEvent, match="already"):
        record(connection, event_id=taken)
    assert not in_transaction(connection)
    assert check_chains(outbox) == {"acme": 1}


def test_an_id_is_unique_across_tenants_and_within_a_call(connection: Connection) -> None:
    taken = record(connection).event_id
    with pytest.raises(DuplicateEvent, match=taken):
        record(connection, event_id=taken, tenant_id="other")
    twice = new_event()
    with pytest.raises(DuplicateEvent, match=r"twice in one call"):
        AuditRecorder(connection).record_many([twice, twice])


def test_a_bad_value_is_refused_before_anything_is_locked(connection: Connection) -> None:
    with pytest.raises(EventRejected, match="action"):
        record(connection, action="login")
    assert not in_transaction(connection)


def test_recording_nothing_does_nothing(connection: Connection) -> None:
    assert AuditRecorder(connection).record_many([]) == []
    assert not in_transaction(connection)


def test_time_never_decreases_within_a_tenant(outbox: Outbox, connection: Connection) -> None:
    clock = Clock(START)
    recorder = AuditRecorder(connection, clock=clock)
    first = recorder.record_many([new_event(), new_event(tenant_id="other")])
    clock.now = START - timedelta(hours=3)
    second = recorder.record_many([new_event(), new_event(tenant_id="newcomer")])
    connection.commit()
    assert second[0].recorded_at == first[0].recorded_at
    assert second[1].recorded_at == START - timedelta(hours=3) + timedelta(seconds=1)
    assert second[0].occurred_at == second[1].recorded_at
    check_chains(outbox)


def test_a_clock_in_another_zone_is_understood(connection: Connection) -> None:
    local = START.astimezone(timezone(timedelta(hours=-7)))
    event = AuditRecorder(connection, clock=lambda: local).record_many([new_event()])[0]
    assert event.recorded_at == START
    assert event.recorded_at.utcoffset() == timedelta(0)


def test_a_clock_a_minute_ahead_is_refused(outbox: Outbox, connection: Connection) -> None:
    ahead = AuditRecorder(connection, clock=lambda: datetime.now(UTC) + timedelta(seconds=70))
    with pytest.raises(ClockAhead, match="60 s"):
        ahead.record_many([new_event()])
    within = AuditRecorder(connection, clock=lambda: datetime.now(UTC) + timedelta(seconds=50))
    within.record_many([new_event()])
    connection.commit()
    assert check_chains(outbox) == {"acme": 1}


def test_history_keeps_the_times_it_is_given(outbox: Outbox, connection: Connection) -> None:
    times = [START, START - timedelta(days=9), START, START + timedelta(microseconds=1)]
    tenants = ("a", "b", "a", "a")
    events = AuditRecorder(connection).record_many(
        [new_event(tenant_id=tenant, occurred_at=START) for tenant in tenants], recorded_at=times
    )
    connection.commit()
    assert [event.recorded_at for event in events] == times
    assert check_chains(outbox) == {"a": 3, "b": 1}


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ([START, START - timedelta(microseconds=1)], "never decrease"),
        ([START], "1 times were given for 2 events"),
        ([START, datetime.now(UTC) + timedelta(days=1)], "in the future"),
        ([datetime(1969, 12, 31, tzinfo=UTC), START], "never decrease"),
    ],
)
def test_history_out_of_order_or_of_the_future_is_refused(
    connection: Connection, times: list[datetime], reason: str
) -> None:
    with pytest.raises(TimeRefused, match=reason):
        AuditRecorder(connection).record_many([new_event(), new_event()], recorded_at=times)
    assert not in_transaction(connection)


def test_history_before_the_chains_last_event_is_refused(connection: Connection) -> None:
    recorder = AuditRecorder(connection)
    recorder.record_many([new_event()], recorded_at=[START])
    with pytest.raises(TimeRefused, match="acme stands"):
        recorder.record_many([new_event()], recorded_at=[START - timedelta(seconds=1)])
    with pytest.raises(EventRejected, match="time zone"):
        recorder.record_many([new_event()], recorded_at=[START.replace(tzinfo=None)])


def test_what_happened_just_now_is_not_the_future(connection: Connection) -> None:
    for _ in range(200):
        AuditRecorder(connection).record_many([new_event()], recorded_at=[datetime.now(UTC)])


def test_a_transaction_that_read_before_another_wrote_has_to_start_again(sqlite_outbox: SqliteOutbox) -> None:
    with database(sqlite_outbox) as reader, database(sqlite_outbox) as writer:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM audit_outbox").fetchone()
        record(writer)
        writer.commit()
        with pytest.raises(OutboxLocked, match="BEGIN IMMEDIATE"):
            record(reader)
        reader.rollback()
        assert record(reader).seq == 1
        reader.commit()
    assert check_chains(sqlite_outbox) == {"acme": 2}


def test_a_lock_held_too_long_is_reported(sqlite_outbox: SqliteOutbox) -> None:
    with database(sqlite_outbox) as holder, closing(sqlite_outbox.connect(timeout=0.05)) as waiting:
        record(holder)
        with pytest.raises(OutboxLocked, match="try again"):
            record(waiting)
        holder.commit()
        record(waiting)
        waiting.commit()
    assert check_chains(sqlite_outbox) == {"acme": 2}


def test_a_database_without_the_tables_says_what_to_do(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "app.db")) as connection:
        with pytest.raises(OutboxNotInitialised, match="lumi outbox init"):
            record(connection)
        assert not in_transaction(connection)


def test_something_else_than_a_connection_is_refused() -> None:
    with pytest.raises(RecorderError, match="not builtins"):
        AuditRecorder("outbox.db")  # type: ignore[arg-type]


def test_a_head_behind_its_rows_is_reported(outbox: Outbox, connection: Connection) -> None:
    AuditRecorder(connection).record_many([new_event(), new_event()])
    run(connection, "UPDATE audit_chain_head SET next_seq = 1")
    connection.commit()
    with pytest.raises(OutboxTampered, match="rewound"):
        record(connection)
    assert len(stored(outbox)) == 2


@pytest.mark.parametrize("column", ["last_recorded_at", "next_seq"])
def test_a_rewritten_head_is_reported(connection: Connection, column: str) -> None:
    record(connection)
    times_have_a_type = column == "last_recorded_at" and not isinstance(connection, sqlite3.Connection)
    last = "'infinity'" if times_have_a_type else "9223372036854775807"
    run(connection, f"UPDATE audit_chain_head SET {column} = {last}")  # noqa: S608
    connection.commit()
    with pytest.raises(OutboxTampered, match="no recorder writes"):
        record(connection)
    assert not in_transaction(connection)


def test_the_step_itself_is_pure() -> None:
    head = start_chain("acme", bytes(16), START)
    new = NewEvent(**values(event_id="019aa4f2-0000-7000-8000-000000000001"))  # type: ignore[arg-type]
    event, after = next_event(head, new, START - timedelta(days=1), bytes(16))
    assert next_event(head, new, START - timedelta(days=1), bytes(16)) == (event, after)
    assert (event.seq, event.prev_hash, event.recorded_at) == (0, head.head_hash, START)
    assert after == ChainHead("acme", bytes(16), 1, event.integrity_hash, START)
    assert json.loads(event.after_state or "") == {"status": "open"}
