import pickle
import sqlite3
import threading
import time
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from lumi_pipeline.errors import OutboxError, OutboxLocked
from lumi_pipeline.events import EVENT_SCHEMA
from lumi_pipeline.outbox import HEAD_SCHEMA, Outbox
from lumi_pipeline.recorder import AuditRecorder
from tests.databases import database, run
from tests.events.making import START, Clock, check_chains, new_event, record_at, stored

DAY = START.date()
MIDNIGHT = datetime(2026, 3, 3, tzinfo=UTC)


def test_an_outbox_may_cross_processes(outbox: Outbox) -> None:
    assert pickle.loads(pickle.dumps(outbox)) == outbox  # noqa: S301


def test_an_empty_outbox_reads_as_empty(outbox: Outbox) -> None:
    with outbox.snapshot() as snapshot:
        assert snapshot.heads() == HEAD_SCHEMA.empty_table()
        assert list(snapshot.rows([])) == []
        assert list(snapshot.rows([("acme", 0)])) == []
        assert snapshot.find(["019aa4f2-0000-7000-8000-000000000001"]) == {}


def test_rows_come_sorted_from_each_tenants_cursor_on(outbox: Outbox) -> None:
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


def test_chunks_keep_both_limits(outbox: Outbox) -> None:
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


def test_a_full_chunk_is_cut_where_the_limit_says(outbox: Outbox) -> None:
    record_at(outbox, START, *(new_event() for _ in range(3000)))
    with outbox.snapshot() as snapshot:
        assert [table.num_rows for table in snapshot.rows([("acme", 5)], chunk_rows=1100)] == [1100, 1100, 795]


def test_heads_and_rows_belong_together_whatever_is_recorded_meanwhile(outbox: Outbox) -> None:
    record_at(outbox, START, new_event(), new_event())
    with outbox.snapshot() as snapshot:
        record_at(outbox, START, new_event(), new_event(tenant_id="newcomer"))
        assert snapshot.heads()["next_seq"].to_pylist() == [2]
        record_at(outbox, START, new_event())
        (table,) = snapshot.rows([("acme", 0), ("newcomer", 0)])
        assert table.num_rows == 2
    assert check_chains(outbox) == {"acme": 4, "newcomer": 1}


def test_a_snapshot_blocks_no_writer_and_cannot_write(outbox: Outbox) -> None:
    with pytest.raises(OutboxError, match=r"read-?only"), outbox.snapshot() as snapshot:
        snapshot._connection.execute("DELETE FROM audit_close")
    with outbox.snapshot(), database(outbox) as connection:
        is_sqlite = isinstance(connection, sqlite3.Connection)
        run(connection, "PRAGMA busy_timeout = 0" if is_sqlite else "SET lock_timeout = 1")
        AuditRecorder(connection).record_many([new_event()])
        connection.commit()


def test_events_are_found_by_id(outbox: Outbox) -> None:
    events = [new_event(), new_event(tenant_id="other"), new_event()]
    record_at(outbox, START, *events)
    with outbox.snapshot() as snapshot:
        found = snapshot.find([events[2].event_id, events[1].event_id, "019aa4f2-0000-7000-8000-000000000001"])
    assert found == {events[2].event_id: ("acme", 1), events[1].event_id: ("other", 0)}


def test_any_number_of_events_is_looked_for(outbox: Outbox) -> None:
    event = new_event()
    record_at(outbox, START, event)
    wanted = [f"019aa4f2-0000-7000-8000-{number:012x}" for number in range(300_000)]
    with outbox.snapshot() as snapshot:
        assert snapshot.find([*wanted, event.event_id]) == {event.event_id: ("acme", 0)}


def test_nothing_gets_into_a_closed_day_any_more(outbox: Outbox) -> None:
    record_at(outbox, START, new_event())
    outbox.close_day(DAY)
    assert outbox.closed_before() == MIDNIGHT
    late = Clock(START + timedelta(hours=1))
    with database(outbox) as connection:
        events = AuditRecorder(connection, clock=late).record_many([new_event(), new_event(tenant_id="newcomer")])
        connection.commit()
    assert [event.recorded_at for event in events] == [MIDNIGHT, MIDNIGHT]
    assert [event.occurred_at for event in events] == [late.now, late.now]
    assert check_chains(outbox) == {"acme": 2, "newcomer": 1}


def test_closing_closes_every_day_before_and_never_opens_one(outbox: Outbox) -> None:
    record_at(outbox, START + timedelta(days=5), new_event())
    outbox.close_day(DAY)
    outbox.close_day(DAY - timedelta(days=9))
    assert outbox.closed_before() == MIDNIGHT
    with outbox.snapshot() as snapshot:
        assert snapshot.heads()["last_recorded_at"].to_pylist() == [START + timedelta(days=5)]
    outbox.close_day(DAY + timedelta(days=6))
    with outbox.snapshot() as snapshot:
        assert snapshot.heads()["last_recorded_at"].to_pylist() == [MIDNIGHT + timedelta(days=6)]


def test_a_day_that_is_not_over_cannot_be_closed(outbox: Outbox) -> None:
    for day in (datetime.now(UTC).date(), date(2999, 1, 1)):
        with pytest.raises(OutboxError, match="is not over"):
            outbox.close_day(day)
    outbox.close_day(datetime.now(UTC).date() - timedelta(days=1))


def test_an_event_recorded_before_the_close_is_waited_for(outbox: Outbox) -> None:
    with database(outbox) as connection:
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


def test_a_transaction_open_across_the_close_records_into_the_next_day(outbox: Outbox) -> None:
    with database(outbox) as connection:
        connection.execute("BEGIN")
        outbox.close_day(DAY, timeout=0.05)
        clock = Clock(MIDNIGHT - timedelta(minutes=1))
        (event,) = AuditRecorder(connection, clock=clock).record_many([new_event()])
        connection.commit()
    assert event.recorded_at == MIDNIGHT
    assert check_chains(outbox) == {"acme": 1}


def test_closing_a_closed_day_again_needs_no_lock(outbox: Outbox) -> None:
    outbox.close_day(DAY)
    with database(outbox) as connection:
        AuditRecorder(connection).record_many([new_event()])
        outbox.close_day(DAY, timeout=0.0)
        outbox.close_day(DAY - timedelta(days=1), timeout=0.0)
