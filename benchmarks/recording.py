"""Recording in PostgreSQL, by several processes at once."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.synchronize import Barrier
from random import Random
from typing import Final

import psycopg
from psycopg import sql

from benchmarks.dataset import Dataset
from benchmarks.measuring import compare
from benchmarks.row import Row
from benchmarks.server import postgresql
from lumi_pipeline.events import COLUMNS, NewEvent
from lumi_pipeline.outbox.head import next_event, start_chain
from lumi_pipeline.outbox.postgresql import PostgresOutbox
from lumi_pipeline.outboxaddress import postgresql_address
from lumi_pipeline.recorder import AuditRecorder

TENANTS: Final = 50
BATCH: Final = 1000
_SHARE: Final = 100
"""One in so many of the data set's events is recorded: each costs a commit."""

_LEAST: Final = 160
_PATIENCE: Final = 600.0
_INSERT: Final = sql.SQL("INSERT INTO plain_outbox ({}) VALUES ({})").format(
    sql.SQL(", ").join(map(sql.Identifier, COLUMNS)), sql.SQL(", ").join(sql.Placeholder() * len(COLUMNS))
)

# Forked from a process that has everything imported and nothing open.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


@dataclass(frozen=True, slots=True)
class Job:
    """What one of the processes does: so many transactions of so many events each, for tenants taken at random."""

    url: str
    number: int
    transactions: int
    batch: int
    tenants: int


def one_tenant(data: Dataset, runs: int) -> Row:
    """Record for one tenant with four writers, which have to wait for each other."""
    return _measure("record-hot", data, runs, writers=4, tenants=1)


def many_tenants(data: Dataset, runs: int) -> Row:
    """Record for fifty tenants with four writers."""
    return _measure("record", data, runs, writers=4, tenants=TENANTS)


def many_writers(data: Dataset, runs: int) -> Row:
    """Record for fifty tenants with sixteen writers."""
    return _measure("record-16", data, runs, writers=16, tenants=TENANTS)


def batches(data: Dataset, runs: int) -> Row:
    """Record a thousand events in every transaction, with one writer."""
    return _measure("record-batch", data, runs, writers=1, tenants=TENANTS, batch=BATCH)


def _measure(name: str, data: Dataset, runs: int, *, writers: int, tenants: int, batch: int = 1) -> Row:
    share = 1 if batch > 1 else _SHARE
    transactions = max(data.events // share // batch, 1 if batch > 1 else _LEAST) // writers
    amount = transactions * batch * writers
    with postgresql() as url:
        PostgresOutbox.init(postgresql_address(url), "operator")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE plain_outbox (LIKE audit_outbox INCLUDING ALL)")

        def way(work: Callable[[Job, Barrier], None], table: str) -> Callable[[], Callable[[], int]]:
            def prepare() -> Callable[[], int]:
                before = _count(url, table)
                jobs = [Job(url, number, transactions, batch, tenants) for number in range(writers)]
                stack = ExitStack()
                barrier = stack.enter_context(_crew(work, jobs))

                def run() -> int:
                    with stack:
                        barrier.wait(_PATIENCE)  # all begin
                        barrier.wait(_PATIENCE)  # all are done
                    return _count(url, table) - before

                return run

            return prepare

        compared = compare(
            way(record, "audit_outbox"),
            way(insert, "plain_outbox"),
            lambda ours, theirs: ours == theirs == amount,
            runs,
        )
    events = "1 event" if batch == 1 else f"{batch} events"
    who = "1 writer" if writers == 1 else f"{writers} writers"
    whose = "1 tenant" if tenants == 1 else f"{tenants} tenants"
    return Row(
        name=name,
        what=f"recording in PostgreSQL: {who}, {whose}, {events} a transaction",
        against="inserting the same rows, numbered and hashed before, into a table with the same indexes",
        amount=amount,
        unit="events",
        mine=compared.mine,
        plain=compared.plain,
    )


@contextmanager
def _crew(work: Callable[[Job, Barrier], None], jobs: list[Job]) -> Iterator[Barrier]:
    """Processes that wait at the barrier for their start, and again when they are done."""
    barrier = _processes.Barrier(len(jobs) + 1)
    crew = [_processes.Process(target=work, args=(job, barrier), daemon=True) for job in jobs]
    for process in crew:
        process.start()
    try:
        yield barrier
    finally:
        for process in crew:
            process.join(_PATIENCE)


def record(job: Job, barrier: Barrier) -> None:
    """Record the events of a job."""
    random = Random(job.number)
    with _at_barrier(barrier, job.url) as connection:
        recorder = AuditRecorder(connection)
        barrier.wait(_PATIENCE)
        for _ in range(job.transactions):
            recorder.record_many([_event(random.randrange(job.tenants)) for _ in range(job.batch)])
            connection.commit()
        barrier.wait(_PATIENCE)


def insert(job: Job, barrier: Barrier) -> None:
    """Insert rows that are ready, under a tenant nobody else has."""
    head = start_chain(f"writer-{job.number}-{os.getpid()}", os.urandom(16), datetime.now(UTC))
    rows = []
    for number in range(job.transactions * job.batch):
        event, head = next_event(head, _event(number % job.tenants), datetime.now(UTC), os.urandom(16))
        rows.append([head.tenant_id, *(getattr(event, column) for column in COLUMNS[1:])])
    with _at_barrier(barrier, job.url) as connection, connection.cursor() as cursor:
        barrier.wait(_PATIENCE)
        for first in range(0, len(rows), job.batch):
            if job.batch == 1:
                cursor.execute(_INSERT, rows[first])
            else:
                cursor.executemany(_INSERT, rows[first : first + job.batch])
            connection.commit()
        barrier.wait(_PATIENCE)


@contextmanager
def _at_barrier(barrier: Barrier, url: str) -> Iterator[psycopg.Connection]:
    """A connection; when something fails nobody waits for this process any more."""
    try:
        with psycopg.connect(url) as connection:
            yield connection
    except BaseException:
        barrier.abort()
        raise


def _count(url: str, table: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
        return int(row[0]) if row else 0


def _event(tenant: int) -> NewEvent:
    return NewEvent(
        tenant_id=f"tenant-{tenant:02d}",
        action="TICKET_UPDATED",
        entity_type="ticket",
        entity_id="T-20418",
        actor_type="user",
        actor_id="u-17",
        auth_method="saml",
        actor_name="Zoë Ångström",
        ip="203.0.113.7",
        user_agent="Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
        request_id="req-8f1c2a",
        before_state='{"status": "open", "assignee": null}',
        after_state='{"status": "open", "assignee": "u-17"}',
    )
