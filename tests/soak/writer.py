"""A writer: an application that records in its transactions, and does what one does when they fail."""

import asyncio
import logging
import time
from random import Random
from typing import Final

import psycopg
from psycopg import AsyncConnection, Connection, errors
from psycopg.rows import TupleRow

from lumi_pipeline.errors import DuplicateEvent, OutboxError, OutboxLocked
from lumi_pipeline.outbox import postgresql_chain
from lumi_pipeline.recorder import AsyncAuditRecorder, AuditRecorder
from tests.soak.ledger import Ledger, now
from tests.soak.load import ORDINARY, Load, Plan, draw

_ATTEMPTS: Final = 20


class Unasked(Exception):
    """The application's own failure, which ends the transaction."""


def write(load: Load, number: int) -> None:
    """Write until the load is over: every third writer asynchronously, in two tasks."""
    # Or its remarks on the connections that are broken here on purpose would bury the figures.
    logging.getLogger("psycopg").addHandler(logging.NullHandler())
    if not load.locking:
        postgresql_chain._LOCK_HEADS = postgresql_chain._LOCK_HEADS.replace("FOR UPDATE", "")  # type: ignore[misc]
    ledger = Ledger(load.directory / f"writer-{number}.ledger")
    random = Random(number)
    if number % 3 == 2:
        asyncio.run(_write_async(load, random, ledger))
        return
    connection = _connected(load)
    while not load.is_over():
        plan = draw(load, random)
        attempts = 0
        while attempts < _ATTEMPTS and not _performed(connection, load, plan, ledger):
            attempts += 1
            if connection.closed:
                connection = _connected(load)
            time.sleep(random.random() * 0.01 * attempts)
    connection.close()


def _connected(load: Load) -> Connection[TupleRow]:
    while True:
        try:
            return psycopg.connect(load.writer_url, connect_timeout=10)
        except psycopg.OperationalError:
            time.sleep(0.05)


def _performed(connection: Connection[TupleRow], load: Load, plan: Plan, ledger: Ledger) -> bool:
    """Try the transaction once; False when it has to be tried again."""
    progress = _Progress(plan, ledger)
    try:
        connection.isolation_level = plan.isolation
        if plan.ending in {"block", "exception"}:
            with connection.transaction():
                _fill(connection, load, plan, progress)
                if plan.ending == "exception":
                    raise Unasked
                progress.committing()
        else:
            _fill(connection, load, plan, progress)
            if plan.ending == "rollback":
                connection.rollback()
                ledger.note("count", detail="rollbacks")
                return True
            progress.committing()
            connection.commit()
        progress.committed()
    except Exception as error:  # noqa: BLE001 - sorted out there
        again = progress.failed(error, closed=connection.closed)
        if not connection.closed:
            try:
                connection.rollback()
            except psycopg.OperationalError:
                connection.close()
        return not again
    return True


def _fill(connection: Connection[TupleRow], load: Load, plan: Plan, progress: "_Progress") -> None:
    """Do what the plan says between BEGIN and COMMIT."""
    progress.begin()
    recorder = AuditRecorder(connection, clock=load.clock(plan.late))
    for call in plan.calls:
        recorder.record_many(call)
        connection.execute(ORDINARY, ([event.event_id for event in call],))
    if plan.twice:
        try:
            recorder.record_many([*plan.undone, plan.calls[0][0]])
        except DuplicateEvent:
            progress.ledger.note("count", detail="refused duplicates")
        else:
            progress.ledger.note("complaint", detail="an event was recorded twice")
    if plan.undone:
        try:
            with connection.transaction():
                recorder.record_many(plan.undone)
                raise Unasked
        except Unasked:
            _check_open(connection.closed)
    time.sleep(plan.pause)


def _check_open(closed: bool) -> None:
    """psycopg leaves transaction blocks without an error when their connection is lost: here and around here."""
    if closed:
        raise psycopg.OperationalError("the connection was lost while a savepoint was rolled back")


class _Progress:
    """How far a transaction has come, noted as it goes."""

    def __init__(self, plan: Plan, ledger: Ledger) -> None:
        self.ledger = ledger
        self._plan = plan
        self._is_committing = False

    def begin(self) -> None:
        self.ledger.begin(self._plan.group, self._plan.event_ids)
        if self._plan.undone:
            self.ledger.begin(self._plan.undone[0].event_id, [event.event_id for event in self._plan.undone])

    def committing(self) -> None:
        self._is_committing = True
        self.ledger.note("committing", self._plan.group)

    def committed(self) -> None:
        self.ledger.note("committed", self._plan.group, now())

    def failed(self, error: Exception, *, closed: bool) -> bool:
        """Note why the transaction failed; whether to try it again."""
        group = self._plan.group
        if self._is_committing:
            self.ledger.note("lost" if closed else "refused", group)
        match error:
            case Unasked():
                self.ledger.note("count", detail="rollbacks")
                return False
            case DuplicateEvent(event_id=event_id) if event_id in self._plan.event_ids:
                # An earlier attempt was committed although no answer came: what the repeated id is for.
                self.ledger.note("committed", group, now())
                self.ledger.note("count", detail="commits found out by their event ids")
                return False
            case TimeoutError():
                self.ledger.note("count", detail="calls cut off")
            case OutboxLocked() if "deadlock" in str(error):
                self.ledger.note("count", detail="deadlock retries")
            case errors.DeadlockDetected():
                self.ledger.note("count", detail="deadlock retries")
            case OutboxLocked():
                self.ledger.note("count", detail="serialization retries")
            case errors.SerializationFailure():
                self.ledger.note("count", detail="serialization retries")
            case OutboxError() | psycopg.OperationalError() if closed:
                self.ledger.note("count", detail="connections lost")
            case _:
                self.ledger.note("complaint", group, f"{type(error).__module__}.{type(error).__qualname__}: {error}")
                return False
        return True


async def _write_async(load: Load, random: Random, ledger: Ledger) -> None:
    async with asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(_task(load, Random(random.random()), ledger))


async def _task(load: Load, random: Random, ledger: Ledger) -> None:
    connection = await _connected_async(load)
    while not load.is_over():
        plan = draw(load, random)
        attempts = 0
        while attempts < _ATTEMPTS and not await _performed_async(connection, load, plan, ledger):
            attempts += 1
            if connection.closed:
                connection = await _connected_async(load)
            await asyncio.sleep(random.random() * 0.01 * attempts)
    await connection.close()


async def _connected_async(load: Load) -> AsyncConnection[TupleRow]:
    while True:
        try:
            return await AsyncConnection.connect(load.writer_url, connect_timeout=10)
        except psycopg.OperationalError:
            await asyncio.sleep(0.05)


async def _performed_async(connection: AsyncConnection[TupleRow], load: Load, plan: Plan, ledger: Ledger) -> bool:
    """Try the transaction once; False when it has to be tried again."""
    progress = _Progress(plan, ledger)
    try:
        await connection.set_isolation_level(plan.isolation)
        await _fill_async(connection, load, plan, progress)
        if plan.ending in {"rollback", "exception"}:
            await connection.rollback()
            ledger.note("count", detail="rollbacks")
            return True
        progress.committing()
        await connection.commit()
        progress.committed()
    except Exception as error:  # noqa: BLE001 - sorted out there
        again = progress.failed(error, closed=connection.closed)
        if not connection.closed:
            try:
                await connection.rollback()
            except psycopg.OperationalError:
                await connection.close()
        return not again
    return True


async def _fill_async(connection: AsyncConnection[TupleRow], load: Load, plan: Plan, progress: _Progress) -> None:
    progress.begin()
    recorder = AsyncAuditRecorder(connection, clock=load.clock(plan.late))
    for call in plan.calls:
        async with asyncio.timeout(plan.hurry):
            await recorder.record_many(call)
        await connection.execute(ORDINARY, ([event.event_id for event in call],))
    if plan.undone:
        try:
            async with connection.transaction():
                await recorder.record_many(plan.undone)
                raise Unasked
        except Unasked:
            _check_open(connection.closed)
    await asyncio.sleep(plan.pause)
