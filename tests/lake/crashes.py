"""Killing a pipeline at each of its durable steps: those of the lake's store and the commits of the outbox alike."""

import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock, current_thread, main_thread

import psycopg
from psycopg.abc import Params, Query
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from lumi_pipeline.outbox import Outbox
from lumi_pipeline.outbox.postgresql import PostgresOutbox
from lumi_pipeline.outbox.sqlite import SqliteOutbox
from lumi_pipeline.pipeline import Pipeline
from tests.crashing import CrashingStore, Killed, Write
from tests.lake.places import sampled
from tests.lake.world import World
from transparency.store import ObjectStore

Act = Callable[[Pipeline], object]


class Unkilled(AssertionError):
    """A run got through before it came to the write at which it was to be killed."""


class Mortal(CrashingStore):
    """The store of a run that may be killed; commits of the outbox are counted among its writes.

    Where the run writes in several threads, they die with it.
    """

    def __init__(self, inner: ObjectStore, **kill: int) -> None:
        super().__init__(inner, **kill)
        self._lock = Lock()

    def commit(self, act: Callable[[], None]) -> None:
        self._write(Write("commit", "outbox"), act)

    def _write(self, write: Write, act: Callable[[], None]) -> None:
        with self._lock:
            super()._write(write, act)

    def _check_alive(self) -> None:
        if self._dead and current_thread() is not main_thread():
            raise Killed
        super()._check_alive()


class _SqliteConnection(sqlite3.Connection):
    """A connection whose commits are durable steps of the run."""

    def __init__(self, mortal: Mortal, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self._mortal = mortal

    def execute(self, sql: str, parameters: object = (), /) -> sqlite3.Cursor:
        if sql != "COMMIT":
            return super().execute(sql, parameters)  # type: ignore[arg-type]
        self.commit()
        return self.cursor()

    def commit(self) -> None:
        self._mortal.commit(super().commit)


@dataclass(frozen=True, slots=True)
class MortalSqliteOutbox(SqliteOutbox):
    """The outbox as a run that may be killed sees it."""

    mortal: Mortal

    def connect(self, timeout: float = 5.0) -> sqlite3.Connection:
        return sqlite3.connect(
            self.path, timeout, isolation_level=None, factory=partial(_SqliteConnection, self.mortal)
        )


class _PostgresConnection(psycopg.Connection[TupleRow]):
    """A connection whose commits are durable steps of the run, and each step of closing a day is one."""

    mortal: Mortal

    def execute(self, query: Query, params: Params | None = None, **options: bool | None) -> psycopg.Cursor[TupleRow]:
        cursors: list[psycopg.Cursor[TupleRow]] = []

        def act() -> None:
            cursors.append(super(_PostgresConnection, self).execute(query, params, **options))  # type: ignore[arg-type]

        if "audit_close_day" in str(query):
            self.mortal.commit(act)
        else:
            act()
        return cursors[0]

    def commit(self) -> None:
        if self.read_only or self.info.transaction_status == TransactionStatus.IDLE:
            super().commit()  # the end of a snapshot, or of nothing: nothing lasts of it
        else:
            self.mortal.commit(super().commit)


@dataclass(frozen=True, slots=True)
class MortalPostgresOutbox(PostgresOutbox):
    """The same in PostgreSQL."""

    mortal: Mortal

    def _connect(self, *, autocommit: bool = False) -> psycopg.Connection[TupleRow]:
        connection = _PostgresConnection.connect(self.url, autocommit=autocommit)
        connection.mortal = self.mortal
        return connection


def mortal_outbox(outbox: Outbox, mortal: Mortal) -> Outbox:
    """The outbox as a run that may be killed sees it."""
    if isinstance(outbox, SqliteOutbox):
        return MortalSqliteOutbox(outbox.path, mortal)
    assert isinstance(outbox, PostgresOutbox)
    return MortalPostgresOutbox(outbox.name, outbox.url, mortal)


def perform(world: World, act: Act, **kill: int) -> list[Write]:
    """Do ``act`` on a pipeline of this world, and return its durable writes, in order.

    ``kill`` says before or after which of them it dies, counted from 0; then it must.
    """
    mortals: list[Mortal] = []

    def wrap(store: ObjectStore) -> ObjectStore:
        mortals.append(Mortal(store, **kill))
        return mortals[0]

    pipeline = world.pipeline(wrap)
    pipeline.outbox = mortal_outbox(world.outbox, mortals[0])
    if not kill:
        act(pipeline)
        return mortals[0].writes
    try:
        act(pipeline)
    except Killed:
        return mortals[0].writes
    raise Unkilled(f"the run survived being killed at {kill}")


@dataclass(frozen=True, slots=True)
class Crash:
    """What a killed run left, and a description of the moment."""

    moment: str
    write: Write
    world: World


def crashes(start: World, act: Act, directory: Path) -> Iterator[Crash]:
    """Yield what ``act`` leaves when it is killed before its first durable write, and after each of them.

    After one write is before the next: nothing lasts but what is written, so these are all the states there can be.
    Each world is a copy of ``start``; where copying costs much, only some of the moments are tried. ``act`` must be
    deterministic in what it writes, though not in the order where it writes in several threads: a kill that does not
    happen, or other writes than in the undisturbed run, fail the test.
    """
    expected = perform(start.copy(directory / "undisturbed"), act)
    assert expected, "the run wrote nothing, so there is nowhere to kill it"
    for number, write in sampled(list(enumerate(expected)), start.place):
        for when in ("before", "after") if number == 0 else ("after",):
            world = start.copy(directory / f"{number}-{when}")
            writes = perform(world, act, **{when: number})
            assert len(writes) == number + 1
            assert Counter(writes) <= Counter(expected)
            yield Crash(f"{when} write {number}, {write}", write, world)


def kind(write: Write) -> str:
    """A write without what is particular to it: ``put_new seals/day=D/day.txt``."""
    key = re.sub(r"day=\d{4}-\d\d-\d\d", "day=D", write.key)
    key = re.sub(r"\b[0-9a-f]{64}\b", "H", key)
    key = re.sub(r"-[0-9a-f]{16}\b", "-H", key)
    return f"{write.operation} {re.sub(r'[0-9]+(?=[-/.]|$)', 'N', key)}"


def everything(world: World) -> dict[str, object]:
    """All that a run can have changed: every object of the lake, and every row of the outbox."""
    found: dict[str, object] = dict(world.contents())
    for table in ("audit_identity", "audit_close", "audit_chain_head", "audit_outbox"):
        found[table] = world.select(f"SELECT * FROM {table}")  # noqa: S608 - constants
    return found
