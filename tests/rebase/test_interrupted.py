"""A rebase that is killed, overtaken or recorded to at any moment is completed by the next, and loses nothing."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import cast

import psycopg
import pytest

from lumi_pipeline.errors import ConcurrentRun, ForkedOutbox, OutboxLocked, ReplacedOutbox
from lumi_pipeline.outbox import Connection, Outbox, Snapshot
from lumi_pipeline.outbox.sqlite import SqliteOutbox
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.rebase import RebaseReport
from lumi_pipeline.recorder import AuditRecorder
from tests.crashing import CrashingStore, Killed, Write
from tests.databases import OPERATOR, database, run, url_of
from tests.lake import places
from tests.lake.world import at, new_event
from tests.rebase.site import Site
from transparency.store import ObjectStore

KINDS = ("sqlite", "postgresql")


class Mortal(CrashingStore):
    """The store of a run that may be killed; what the run commits in the outbox counts among its writes."""

    def act(self, name: str, act: Callable[[], None]) -> None:
        self._write(Write(name, "outbox"), act)


class _SqliteConnection(sqlite3.Connection):
    def __init__(self, mortal: Mortal, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self._mortal = mortal

    def execute(self, sql: str, parameters: object = (), /) -> sqlite3.Cursor:
        if sql != "COMMIT":
            return super().execute(sql, parameters)  # type: ignore[arg-type]
        self.commit()
        return self.cursor()

    def commit(self) -> None:
        self._mortal.act("commit", super().commit)


@dataclass(frozen=True, slots=True)
class MortalOutbox:
    """An outbox whose commits are durable steps of a run."""

    inner: Outbox
    mortal: Mortal

    @property
    def name(self) -> str:
        return self.inner.name

    def connect(self) -> Connection:
        if isinstance(self.inner, SqliteOutbox):
            factory = cast("type[sqlite3.Connection]", partial(_SqliteConnection, self.mortal))
            return sqlite3.connect(self.inner.path, 5.0, isolation_level=None, factory=factory)
        connection = cast("psycopg.Connection", self.inner.connect())
        commit = connection.commit
        connection.commit = lambda: self.mortal.act("commit", commit)  # type: ignore[method-assign]
        return connection

    def explained(self) -> AbstractContextManager[None]:
        return self.inner.explained()

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        return self.inner.snapshot()

    def closed_before(self) -> datetime:
        return self.inner.closed_before()

    def close_day(self, day: date, timeout: float = 5.0) -> None:
        self.mortal.act("close", lambda: self.inner.close_day(day, timeout))


def rebase(pipeline: Pipeline) -> RebaseReport:
    return pipeline.rebaser().accept("restored on purpose", rerecord=True)


def perform(site: Site, **kill: int) -> list[Write]:
    """Rebase, killed before or after one of the durable steps if ``kill`` says so; return those it came to."""
    mortals: list[Mortal] = []

    def wrap(store: ObjectStore) -> ObjectStore:
        mortals.append(Mortal(store, **kill))
        return mortals[0]

    pipeline = site.pipeline(wrap)
    pipeline.outbox = MortalOutbox(site.outbox, mortals[0])
    try:
        rebase(pipeline)
    except Killed:
        assert kill
    else:
        assert not kill
    return mortals[0].writes


@pytest.fixture
def torn(site: Site) -> Site:
    """An older dump on another server, on which acme went another way; globex and initech lost events."""
    older = site.backup()
    site.record("acme", at(3, "08:00:00"), at(3, "08:10:00"))
    site.record("globex", at(3, "08:00:00"))
    site.record("initech", at(3, "08:00:00"))
    site.pipeline().run()
    site.restore(older, other_system=True)
    site.record("acme", at(3, "09:00:00"), at(3, "09:10:00"), at(3, "09:20:00"))
    return site


@pytest.mark.slow
def test_killed_at_any_step_it_is_completed_by_the_next(torn: Site, tmp_path: Path) -> None:
    steps = perform(torn.copy(tmp_path / "undisturbed"))
    assert [step.operation for step in steps] == [
        "put_new",  # found.json
        "close",
        "put_new",  # evidence of acme
        "commit",
        "commit",
        "commit",
        "commit",  # the operator's event
        "put_new",  # the landing's list of tenants
        "put_new",  # the landing
        "put_new",  # done.json
    ]
    numbers = range(len(steps))
    for number in numbers if places.thorough or torn.server is None else numbers[::-3]:
        # After one step is before the next: nothing lasts but what was written.
        for when in ("before", "after") if number == 0 else ("after",):
            left = torn.copy(tmp_path / f"{when}-{number}")
            guards = left.triggers()
            assert len(perform(left, **{when: number})) == number + 1
            assert left.triggers() == guards
            if number < len(steps) - 2:
                with pytest.raises(ReplacedOutbox):
                    left.pipeline().land()
            report = rebase(left.pipeline())
            finished = when == "after" and number == len(steps) - 1
            assert report.number == (None if finished else 0)
            assert report.resumed == (not finished and (when, number) != ("before", 0))
            assert len(list(left.store.list("rebases/000000000000/forked/acme/"))) == 1
            assert left.sql("SELECT count(*) FROM audit_outbox WHERE action = 'LANDING_REBASED'") == [(1,)]
            assert rebase(left.pipeline()).number is None
            left.assert_whole()


@pytest.mark.slow
def test_a_process_that_is_killed_between_two_chains_leaves_whole_chains(torn: Site) -> None:
    if torn.server is None:
        pytest.skip("in SQLite nobody can hold one chain and leave another to the process that is to be killed")
    torn.outbox.close_day(at(2).date())
    config, guards = torn.config, torn.triggers()
    options = ["--root", config.root, "--origin", config.origin, "--log-key-file", str(config.log_key_file)]
    command = ["landing", "rebase", "--accept", "--rerecord", "--reason", "restored on purpose"]
    with closing(cast("psycopg.Connection", torn.outbox.connect())) as application:
        application.execute("SELECT 1 FROM audit_chain_head WHERE tenant_id = 'globex' FOR UPDATE")
        process = subprocess.Popen(
            [sys.executable, "-m", "lumi_pipeline", *options, *command],
            env={**os.environ, "LUMI_OUTBOX": url_of(torn.outbox)},
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while torn.sql("SELECT count(*) FROM audit_outbox WHERE tenant_id = 'acme'") != [(10,)]:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert torn.triggers() == guards
    report = rebase(torn.pipeline())
    assert report.resumed
    assert [mended.tenant_id for mended in report.mended] == ["globex", "initech"]
    torn.assert_whole()


class held(AbstractContextManager[None]):  # noqa: N801 - reads as a word
    """Hold a tenant's chain head in an application's transaction, which is rolled back."""

    def __init__(self, site: Site, tenant_id: str) -> None:
        self._connection = site.outbox.connect()
        AuditRecorder(self._connection).record_many([new_event(tenant_id)])

    def __exit__(self, *_: object) -> None:
        self._connection.rollback()
        self._connection.close()


def test_it_waits_for_applications_that_hold_a_chain_and_says_so_in_the_end(
    torn: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("sqlite_repair", "postgresql_repair"):
        monkeypatch.setattr(f"lumi_pipeline.outbox.{module}.REPAIR_PATIENCE", 0.2)
    torn.outbox.close_day(at(2).date())
    with held(torn, "acme"), pytest.raises(OutboxLocked):
        rebase(torn.pipeline())
    rebase(torn.pipeline())
    torn.assert_whole()


class Meddling:
    """A store that lets something happen just before an object whose key begins so is created."""

    def __init__(self, inner: ObjectStore, prefix: str, act: Callable[[], object]) -> None:
        self._inner = inner
        self._prefix = prefix
        self._act: Callable[[], object] | None = act

    def get(self, key: str) -> bytes:
        return self._inner.get(key)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[str]:
        return self._inner.list(prefix, start_after=start_after)

    def put_new(self, key: str, data: bytes) -> None:
        act = self._act
        if key.startswith(self._prefix) and act is not None:
            self._act = None
            act()
        self._inner.put_new(key, data)

    def put(self, key: str, data: bytes) -> None:
        self._inner.put(key, data)

    def delete(self, key: str) -> None:
        self._inner.delete(key)


def meddled(site: Site, prefix: str, act: Callable[[], object]) -> Pipeline:
    return site.pipeline(lambda store: Meddling(store, prefix, act))


@pytest.mark.parametrize("key", ["rebases/000000000000/found", "landings/", "rebases/000000000000/done"])
def test_two_at_a_time_do_it_once(torn: Site, key: str) -> None:
    second = meddled(torn, key, lambda: rebase(torn.pipeline()))
    if "found" in key:
        with pytest.raises(ConcurrentRun):
            rebase(second)
    else:
        rebase(second)
    assert torn.sql("SELECT count(*) FROM audit_outbox WHERE action = 'LANDING_REBASED'") == [(1,)]
    assert rebase(torn.pipeline()).number is None
    torn.assert_whole()


def test_a_landing_of_the_database_before_wins(torn: Site) -> None:
    here, before = torn.outbox, torn.backup()
    torn.restore(before)
    torn.sql("UPDATE audit_identity SET system_id = 'another'")
    rebase(torn.pipeline())

    def land_there() -> None:
        torn.restore(before)
        torn.record("acme", at(3, "11:00:00"))
        torn.pipeline().land()
        torn.restore(here)

    torn.restore(here)
    with pytest.raises(ConcurrentRun, match="committed landing"):
        rebase(meddled(torn, "landings/", land_there))
    with pytest.raises(ReplacedOutbox):
        torn.pipeline().land()
    rebase(torn.pipeline())
    torn.assert_whole()


def test_what_is_recorded_while_it_looks_is_found_under_the_lock(torn: Site) -> None:
    def meddle() -> None:
        torn.record("globex", at(3, "09:30:00"))

    report = rebase(meddled(torn, "rebases/", meddle))
    assert [mended.taken_out for mended in report.mended if mended.tenant_id == "globex"] == [1]
    torn.assert_whole()


def test_a_fork_met_under_the_lock_waits_until_recording_again_is_asked_for(site: Site) -> None:
    older = site.backup()
    site.record("acme", at(3, "08:00:00"))
    site.pipeline().land()
    site.restore(older)
    pipeline = meddled(site, "rebases/", lambda: site.record("acme", at(3, "09:00:00")))
    with pytest.raises(ForkedOutbox, match="events were recorded for tenant acme"):
        pipeline.rebaser().accept("restored on purpose", rerecord=False)
    assert rebase(site.pipeline()).resumed
    site.assert_whole()


@pytest.mark.slow
def test_applications_go_on_recording_and_lose_nothing(torn: Site) -> None:
    stop = threading.Event()
    committed: list[str] = []
    failed: list[BaseException] = []

    def record(tenants: tuple[str, ...]) -> None:
        with closing(torn.outbox.connect()) as connection:
            while not stop.is_set():
                events = [new_event(tenant_id) for tenant_id in tenants]
                try:
                    AuditRecorder(connection).record_many(events)
                    time.sleep(0.01)
                    connection.commit()
                except OutboxLocked:
                    connection.rollback()
                except BaseException as error:  # noqa: BLE001 - shown by the test
                    connection.rollback()
                    failed.append(error)
                else:
                    committed.extend(event.event_id for event in events)
                time.sleep(0.01)

    threads = [threading.Thread(target=record, args=(tenants,)) for tenants in (("acme", "globex"), ("initech",))]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.5)
        rebase(torn.pipeline())
        time.sleep(0.5)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
    torn.committed += committed
    assert torn.pipeline().rebaser().check().is_accepted
    torn.clock.now = datetime.now(at(3).tzinfo)
    assert torn.pipeline().land().breaks == ()
    ids = torn.landed_ids()
    assert [event_id for event_id in torn.committed if ids[event_id] != 1] == []
    assert len(committed) > 10
    with database(torn.outbox) as connection:
        assert run(connection, "SELECT count(*) FROM audit_outbox WHERE tenant_id = ?", (OPERATOR,)) == [(1,)]
