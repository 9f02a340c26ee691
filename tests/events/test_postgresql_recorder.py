"""Recording in PostgreSQL among others: who waits for whom, and what is left of a call that fails or is cut off."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from time import monotonic, sleep
from typing import TypeAlias

import psycopg
import pytest
from psycopg import AsyncConnection, IsolationLevel
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from lumi_pipeline.errors import ClockAhead, DuplicateEvent, OutboxError, OutboxLocked, RecorderError
from lumi_pipeline.outbox import Outbox
from lumi_pipeline.recorder import AsyncAuditRecorder, AuditRecorder
from tests.databases import url_of
from tests.events.making import START, check_chains, new_event, record_at, stored

Connection: TypeAlias = psycopg.Connection[TupleRow]

PATIENCE = 20.0


@pytest.fixture
def outbox(postgresql_outbox: Outbox) -> Outbox:
    with psycopg.connect(url_of(postgresql_outbox)) as connection:
        connection.execute("CREATE TABLE tickets (id integer)")
    return postgresql_outbox


@pytest.fixture
def connection(outbox: Outbox) -> Iterator[Connection]:
    with psycopg.connect(url_of(outbox)) as opened:
        yield opened


def wait_until_waiting(outbox: Outbox, count: int = 1) -> None:
    """Return once so many sessions wait for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    end = monotonic() + PATIENCE
    with psycopg.connect(url_of(outbox), autocommit=True) as watching:
        while (watching.execute(query).fetchone() or (0,))[0] < count:
            assert monotonic() < end
            sleep(0.005)


@contextmanager
def in_background(work: Callable[[], object]) -> Iterator[None]:
    """Run ``work`` beside the block, which ends when both are done."""
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(work)
        yield
        done.result(PATIENCE)


def test_the_same_new_tenants_started_by_many_at_once_get_one_chain_each(outbox: Outbox) -> None:
    tenants = [f"tenant-{number}" for number in range(6)]

    def write(number: int) -> None:
        with psycopg.connect(url_of(outbox)) as connection:
            for turn in range(3):
                chosen = tenants[(number + turn) % 3 :] if turn else tenants
                AuditRecorder(connection).record_many([new_event(tenant_id=tenant) for tenant in chosen[::-1]])
                connection.commit()

    with ThreadPoolExecutor(6) as threads:
        for done in [threads.submit(write, number) for number in range(6)]:
            done.result(PATIENCE)
    expected = dict.fromkeys(tenants, 6)
    for number in range(6):
        for turn in (1, 2):
            for tenant in tenants[(number + turn) % 3 :]:
                expected[tenant] += 1
    assert check_chains(outbox) == expected


@pytest.mark.slow
def test_connections_that_start_the_same_chains_at_the_same_moment_go_on_recording(outbox: Outbox) -> None:
    starts, writers = 15, 4
    together = Barrier(writers)

    def write(writer: int) -> None:
        with psycopg.connect(url_of(outbox)) as connection:
            recorder = AuditRecorder(connection)
            for number in range(starts):
                connection.execute("SELECT 1")
                connection.rollback()  # after which psycopg prepares the recorder's statements anew
                recorder.record_many([new_event(tenant_id=f"writer-{writer}")])
                connection.commit()
                together.wait(PATIENCE)
                for _ in range(2):
                    recorder.record_many([new_event(tenant_id=f"tenant-{number}")])
                    connection.commit()

    with ThreadPoolExecutor(writers) as threads:
        for done in [threads.submit(write, writer) for writer in range(writers)]:
            done.result(2 * PATIENCE)
    expected = {f"tenant-{number}": 2 * writers for number in range(starts)}
    assert check_chains(outbox) == expected | {f"writer-{writer}": starts for writer in range(writers)}


def test_a_chain_that_another_starts_meanwhile_is_joined(outbox: Outbox, connection: Connection) -> None:
    record_at(outbox, START, new_event(tenant_id="held"))
    AuditRecorder(connection).record_many([new_event(tenant_id="own")])
    connection.commit()

    def record() -> None:
        for _ in range(3):
            AuditRecorder(connection).record_many([new_event(tenant_id="held"), new_event(tenant_id="new")])
            connection.commit()

    with psycopg.connect(url_of(outbox)) as holder:
        AuditRecorder(holder).record_many([new_event(tenant_id="held")])
        with in_background(record):
            # It looks for both heads before it waits for the first of them; then the second comes into being.
            wait_until_waiting(outbox)
            record_at(outbox, START, new_event(tenant_id="new"))
            holder.commit()
    assert check_chains(outbox) == {"held": 5, "new": 4, "own": 1}


def test_the_databases_clock_is_read_after_the_wait_for_the_head(outbox: Outbox, connection: Connection) -> None:
    record_at(outbox, START, new_event())
    with psycopg.connect(url_of(outbox)) as holder:
        AuditRecorder(holder, clock=lambda: START).record_many([new_event()])
        # A time that is in the future when the call is made, and in the past when it gets the head.
        soon = datetime.now(UTC) + timedelta(seconds=0.4)
        with in_background(lambda: AuditRecorder(connection).record_many([new_event()], recorded_at=[soon])):
            sleep(0.6)
            holder.commit()
    connection.commit()
    assert check_chains(outbox) == {"acme": 3}


def test_closing_a_day_makes_no_deadlock_of_transactions_that_lock_in_any_order(
    outbox: Outbox, connection: Connection
) -> None:
    day = START.date()
    end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    record_at(outbox, START, new_event(tenant_id="a"), new_event(tenant_id="b"), new_event(tenant_id="c"))
    recorder = AuditRecorder(connection, clock=lambda: START)
    (before,) = recorder.record_many([new_event(tenant_id="b")])
    with in_background(lambda: outbox.close_day(day, timeout=PATIENCE)):
        wait_until_waiting(outbox)
        # The head of "a" is raised already, that of "b" is waited for, and a new chain has to start behind the day.
        after = recorder.record_many([new_event(tenant_id=tenant) for tenant in ("c", "a", "new")])
        assert outbox.closed_before() < end
        connection.commit()
    assert outbox.closed_before() == end
    assert before.recorded_at < end <= min(event.recorded_at for event in after)
    assert check_chains(outbox) == {"a": 2, "b": 2, "c": 2, "new": 1}


@pytest.mark.parametrize("level", [IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE])
@pytest.mark.parametrize("tenant", ["acme", "newcomer"])
def test_a_snapshot_that_another_has_overtaken_is_told_to_start_again(
    outbox: Outbox, connection: Connection, level: IsolationLevel, tenant: str
) -> None:
    record_at(outbox, START, new_event())
    connection.isolation_level = level
    recorder = AuditRecorder(connection)
    for _ in range(8):
        connection.execute("SELECT count(*) FROM tickets")
        record_at(outbox, START, new_event(tenant_id=tenant))
        with pytest.raises(OutboxLocked, match="again"):
            recorder.record_many([new_event(tenant_id=tenant)])
        connection.rollback()
        recorder.record_many([new_event(tenant_id="other")])
        connection.commit()
    recorder.record_many([new_event(tenant_id=tenant)])
    connection.commit()
    assert check_chains(outbox)[tenant] == (9 if tenant == "newcomer" else 10)


def too_early() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


def interrupted() -> datetime:
    raise KeyboardInterrupt


@pytest.mark.parametrize("piped", [False, True])
def test_a_transaction_goes_on_however_often_recording_is_refused(
    outbox: Outbox, connection: Connection, piped: bool
) -> None:
    record_at(outbox, START, taken := new_event(tenant_id="other"), new_event(tenant_id="held"))
    connection.execute("SET lock_timeout = '20ms'")
    connection.commit()
    with psycopg.connect(url_of(outbox)) as holder:
        AuditRecorder(holder).record_many([new_event(tenant_id="held")])
        for number in range(8):  # more often than it takes for psycopg to prepare a statement
            connection.execute("INSERT INTO tickets VALUES (%s)", (number,))
            with connection.pipeline() if piped else nullcontext(), pytest.raises(DuplicateEvent):
                AuditRecorder(connection).record_many([new_event(tenant_id="a"), taken])
            with pytest.raises(OutboxLocked, match="lock timeout"):
                AuditRecorder(connection).record_many([new_event(tenant_id="a"), new_event(tenant_id="held")])
            with pytest.raises(ClockAhead):
                AuditRecorder(connection, clock=too_early).record_many([new_event(tenant_id="a")])
            with pytest.raises(KeyboardInterrupt):
                AuditRecorder(connection, clock=interrupted).record_many([new_event(tenant_id="a")])
            AuditRecorder(connection).record_many([new_event(tenant_id="a")])
            if number % 3 == 2:
                connection.commit()
        connection.commit()
        holder.rollback()
    assert check_chains(outbox) == {"a": 8, "held": 1, "other": 1}
    assert connection.execute("SELECT count(*) FROM tickets").fetchone() == (8,)


def test_a_transaction_that_failed_before_is_said_to_have(outbox: Outbox, connection: Connection) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        connection.execute("SELECT 1 / 0")
    with pytest.raises(RecorderError, match="roll it back first"):
        AuditRecorder(connection).record_many([new_event()])
    connection.rollback()
    # In the application's own pipeline the failure may not be known yet; nothing of it is committed.
    with connection.pipeline():
        connection.execute("INSERT INTO tickets VALUES (1)")
        connection.execute("SELECT 1 / 0")
        with pytest.raises(OutboxError, match="division by zero"):
            AuditRecorder(connection).record_many([new_event()])
    assert connection.info.transaction_status == TransactionStatus.INERROR
    connection.rollback()
    AuditRecorder(connection).record_many([new_event()])
    connection.commit()
    assert check_chains(outbox) == {"acme": 1}


def terminate(outbox: Outbox, pid: int) -> None:
    with psycopg.connect(url_of(outbox), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))


@pytest.mark.parametrize("business", [False, True])
@pytest.mark.parametrize("moment", ["before", "waiting", "between"])
def test_a_connection_lost_in_the_middle_leaves_nothing_and_says_so(
    outbox: Outbox, connection: Connection, moment: str, business: bool
) -> None:
    record_at(outbox, START, new_event())
    pid = connection.info.backend_pid

    def lost() -> datetime:
        if moment == "between":
            terminate(outbox, pid)
        return datetime.now(UTC)

    with psycopg.connect(url_of(outbox)) as holder:
        if business:
            connection.execute("INSERT INTO tickets VALUES (1)")
        if moment == "before":
            terminate(outbox, pid)
        if moment == "waiting":
            AuditRecorder(holder).record_many([new_event()])
            thread = Thread(target=lambda: (wait_until_waiting(outbox), terminate(outbox, pid)))
            thread.start()
        with pytest.raises(OutboxError, match="could not be recorded"):
            AuditRecorder(connection, clock=lost).record_many([new_event(), new_event(tenant_id="other")])
        assert connection.closed
        if moment == "waiting":
            thread.join()
        holder.rollback()
    with psycopg.connect(url_of(outbox)) as again:
        AuditRecorder(again).record_many([new_event()])
        again.commit()
        assert again.execute("SELECT count(*) FROM tickets").fetchone() == (0,)
    assert check_chains(outbox) == {"acme": 2}


def test_a_refusal_over_which_the_connection_is_lost_is_no_mere_refusal(outbox: Outbox, connection: Connection) -> None:
    def refused() -> datetime:
        terminate(outbox, connection.info.backend_pid)
        return too_early()

    def open_ticket() -> None:
        """Whatever becomes of the audit: without an error the block would be left as if it had been committed."""
        with connection.transaction():
            connection.execute("INSERT INTO tickets VALUES (1)")
            with suppress(RecorderError):
                AuditRecorder(connection, clock=refused).record_many([new_event()])

    with pytest.raises(OutboxError, match="run it again on another connection"):
        open_ticket()
    assert connection.closed
    assert stored(outbox) == []


def test_a_cancellation_over_which_the_connection_is_lost_is_an_error(outbox: Outbox) -> None:
    record_at(outbox, START, new_event())

    async def work(connection: AsyncConnection[TupleRow]) -> None:
        async def record() -> None:
            async with connection.transaction():
                await connection.execute("INSERT INTO tickets VALUES (1)")
                with suppress(asyncio.CancelledError):
                    await AsyncAuditRecorder(connection).record_many([new_event()])

        task = asyncio.create_task(record())
        await asyncio.to_thread(wait_until_waiting, outbox)
        for _ in range(2):  # the second one interrupts what the first one has begun, and psycopg closes the connection
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(OutboxError, match="run it again on another connection"):
            await task

    with psycopg.connect(url_of(outbox)) as holder:
        AuditRecorder(holder).record_many([new_event()])
        run_async(outbox, work)
    assert check_chains(outbox) == {"acme": 2}


def run_async(outbox: Outbox, work: Callable[[AsyncConnection[TupleRow]], Coroutine[None, None, None]]) -> None:
    async def main() -> None:
        async with await AsyncConnection.connect(url_of(outbox)) as connection:
            await work(connection)

    asyncio.run(main())


def test_an_asynchronous_call_that_takes_too_long_is_cut_off_and_the_transaction_goes_on(outbox: Outbox) -> None:
    record_at(outbox, START, new_event(tenant_id="held"))

    async def work(connection: AsyncConnection[TupleRow]) -> None:
        recorder = AsyncAuditRecorder(connection)
        for number in range(8):
            await connection.execute("INSERT INTO tickets VALUES (%s)", (number,))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await recorder.record_many([new_event(tenant_id="a"), new_event(tenant_id="held")])
            await recorder.record_many([new_event(tenant_id="a")])
            if number % 3 == 2:
                await connection.commit()
        await connection.commit()

    with psycopg.connect(url_of(outbox)) as holder:
        AuditRecorder(holder).record_many([new_event(tenant_id="held")])
        run_async(outbox, work)
    assert check_chains(outbox) == {"a": 8, "held": 2}
    with psycopg.connect(url_of(outbox)) as connection:
        assert connection.execute("SELECT count(*) FROM tickets").fetchone() == (8,)


@pytest.mark.slow
@pytest.mark.parametrize("business", [False, True])
@pytest.mark.parametrize("cancellations", [1, 2])
def test_a_call_cancelled_anywhere_leaves_no_half_of_it(outbox: Outbox, business: bool, cancellations: int) -> None:
    record_at(outbox, START, new_event(tenant_id="first"))
    attempts = 24
    kept: list[str] = []
    ends: set[str] = set()

    async def attempt(number: int, after: float | None) -> float:
        """Cancel a call ``after`` so many seconds, and go on as if nothing had been; return how long the call took."""
        async with await AsyncConnection.connect(url_of(outbox)) as connection:
            if business:
                await connection.execute("INSERT INTO tickets VALUES (%s)", (number,))
            events = [new_event(tenant_id=tenant) for tenant in ("a", f"new-{number}", "a")]
            began = monotonic()
            task = asyncio.create_task(AsyncAuditRecorder(connection).record_many(events))
            if after is not None:
                await asyncio.wait([task], timeout=after)
                for _ in range(cancellations):
                    task.cancel()
                    await asyncio.sleep(number % 3 * 0.0002)
            await asyncio.wait([task])
            took = monotonic() - began
            done = not task.cancelled() and task.exception() is None
            ends.add("done" if done else "cancelled")
            committed = [event.event_id for event in task.result()] if done else []
            try:
                last = await AsyncAuditRecorder(connection).record_many([new_event(tenant_id="a")])
                await connection.commit()
            except (RecorderError, OutboxError, psycopg.OperationalError):
                ends.add("failed as a whole")
            else:
                kept.extend([*committed, last[0].event_id])
            return took

    async def main() -> None:
        took = await attempt(0, None)
        for number in range(1, attempts):
            await attempt(number, took * number / attempts)

    asyncio.run(main())
    assert {event.event_id for event in stored(outbox) if event.tenant_id != "first"} == set(kept)
    assert check_chains(outbox)["first"] == 1
    assert {"cancelled", "done"} <= ends


def test_asynchronous_calls_are_refused_like_others(outbox: Outbox) -> None:
    record_at(outbox, START, taken := new_event())

    async def refused(call: Callable[[], Awaitable[object]], error: type[Exception], reason: str) -> None:
        with pytest.raises(error, match=reason):
            await call()

    async def work(connection: AsyncConnection[TupleRow]) -> None:
        recorder = AsyncAuditRecorder(connection)
        for _ in range(8):
            await refused(lambda: recorder.record_many([new_event(tenant_id="a"), taken]), DuplicateEvent, "already")
            assert connection.info.transaction_status == TransactionStatus.IDLE
            await connection.execute("INSERT INTO tickets VALUES (1)")
            await refused(lambda: recorder.record_many([new_event(tenant_id="a"), taken]), DuplicateEvent, "already")
            ahead = AsyncAuditRecorder(connection, clock=too_early)
            await refused(lambda: ahead.record_many([new_event()]), ClockAhead, "60 s")  # noqa: B023 - called at once
            await recorder.record_many([new_event(tenant_id="a")])
            await connection.commit()
        await connection.set_autocommit(True)
        await refused(lambda: recorder.record_many([new_event()]), RecorderError, "autocommit")
        async with connection.transaction():
            await recorder.record_many([new_event()])
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = pg_backend_pid()")

    with pytest.raises(psycopg.errors.AdminShutdown):
        run_async(outbox, work)
    assert check_chains(outbox) == {"a": 8, "acme": 2}
