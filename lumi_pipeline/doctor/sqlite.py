"""What is SQLite's own about an outbox in it: triggers, the journal, its clock."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final, cast

from lumi_pipeline.doctor.clocks import judge_clock
from lumi_pipeline.doctor.examination import Examination
from lumi_pipeline.doctor.findings import Check, Finding, listed, ok, problem, warning
from lumi_pipeline.doctor.mounts import mount_of
from lumi_pipeline.doctor.outbox import PROBE_TENANT, recording_check
from lumi_pipeline.events import COLUMNS
from lumi_pipeline.outbox.sqlite import SqliteOutbox, database_now

_WAIT: Final = 3.0
"""Seconds to wait for a writer."""

_FULL: Final = 2
_VALUES: Final = {
    "tenant_id": PROBE_TENANT,
    "seq": 0,
    "event_id": "00000000-0000-0000-0000-00000000d0c0",
    "recorded_at": 0,
    "occurred_at": 0,
    **dict.fromkeys(("action", "entity_type", "entity_id", "outcome", "actor_type", "actor_id"), "probe"),
    **dict.fromkeys(("payload_hash", "prev_hash", "integrity_hash"), bytes(32)),
}
_ROW: Final = tuple(_VALUES.get(column) for column in COLUMNS)
_INSERT: Final = f"INTO audit_outbox ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
_MINE: Final = f"tenant_id = '{PROBE_TENANT}'"
_TRIALS: Final = {
    "UPDATE": (f"UPDATE audit_outbox SET actor_id = 'changed' WHERE {_MINE}", ()),  # noqa: S608 - constants
    "INSERT OR REPLACE": (f"INSERT OR REPLACE {_INSERT}", _ROW),
    "DELETE": (f"DELETE FROM audit_outbox WHERE {_MINE}", ()),  # noqa: S608 - constants
}


def look_at_protection(examination: Examination) -> Iterator[Finding]:
    """Try to change and to remove an event that the same transaction put there, and roll it back."""
    allowed = []
    with _trying(examination) as connection:
        # A row of its own: triggers fire by row, and a new outbox has none.
        connection.execute(f"INSERT {_INSERT}", _ROW)
        for name, (statement, values) in _TRIALS.items():
            connection.execute("SAVEPOINT doctor")
            try:
                connection.execute(statement, values)
                allowed.append(name)
            except sqlite3.IntegrityError:
                pass  # refused, by the trigger: that is the only constraint in the way
            finally:
                connection.execute("ROLLBACK TO doctor")
    if allowed:
        yield problem(
            f"{listed(allowed)} on audit_outbox {'is' if len(allowed) == 1 else 'are'} not refused: a trigger is gone",
            "find out who dropped it (lumi verify --all tells what was changed); lumi outbox init puts it back",
        )
    else:
        yield ok(f"{listed(list(_TRIALS))} on audit_outbox are refused by triggers (tried and rolled back)")


def look_at_durability(examination: Examination) -> Iterator[Finding]:
    """Look at the journal, at what a commit of ours waits for, and at what the file lies on."""
    with closing(_outbox(examination).connect(_WAIT)) as connection, examination.outbox.explained():
        (journal,) = connection.execute("PRAGMA journal_mode").fetchone()
        (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
    mount = mount_of(_outbox(examination).path)
    if mount is not None and mount.is_remote:
        yield problem(
            f"the file lies on {mount.kind} ({mount.point}), where SQLite's locks and its WAL can't be relied on",
            "move it to a local disk, or use PostgreSQL",
        )
    elif journal != "wal":
        yield warning(
            f"journal_mode is {journal}: landing and recording wait for each other",
            "lumi outbox init sets it to WAL",
        )
    elif synchronous < _FULL:
        yield problem("commits do not wait for the disk (PRAGMA synchronous)", "use SqliteOutbox.connect() as it is")
    else:
        yield ok("WAL, and connections of ours commit with synchronous FULL; the application's own must do the same")


def look_at_clock(examination: Examination) -> Iterator[Finding]:
    """Compare the clock with SQLite's, which is that of the machine too."""
    with closing(_outbox(examination).connect(_WAIT)) as connection, examination.outbox.explained():
        there = database_now(connection.cursor())
    yield judge_clock("the database's clock", examination.clock() - there)


@contextmanager
def _trying(examination: Examination) -> Iterator[sqlite3.Connection]:
    """Yield a connection in a transaction that holds the write lock and is rolled back, whatever happens."""
    with closing(_outbox(examination).connect(_WAIT)) as connection, examination.outbox.explained():
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        finally:
            connection.execute("ROLLBACK")


def _outbox(examination: Examination) -> SqliteOutbox:
    return cast("SqliteOutbox", examination.outbox)


SQLITE_CHECKS: Final = (
    Check("outbox protected", look_at_protection, "let the pipeline's user write to the file", ("outbox",)),
    Check("outbox durable", look_at_durability, "see the line about the outbox", ("outbox",)),
    Check("outbox clock", look_at_clock, "see the line about the outbox", ("outbox",)),
    recording_check(_trying),
)
