"""What is PostgreSQL's own about an outbox in it: roles, rights, triggers, row security, durability, its clock."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Final, LiteralString, TypeAlias, cast

import psycopg
from psycopg import errors
from psycopg.rows import TupleRow

from lumi_pipeline.doctor.clocks import judge_clock
from lumi_pipeline.doctor.examination import Examination
from lumi_pipeline.doctor.findings import Check, Finding, listed, not_tried, ok, problem, warning
from lumi_pipeline.doctor.outbox import PROBE_TENANT, recording_check
from lumi_pipeline.events import from_micros

_Connection: TypeAlias = psycopg.Connection[TupleRow]

_TIMEOUTS: Final = "SELECT set_config('statement_timeout', '5s', true), set_config('lock_timeout', '2s', true)"
_ROLE: Final = """
SELECT current_user, rolsuper, pg_has_role(relowner, 'USAGE'),
    coalesce(pg_has_role(to_regrole('lumi_pipeline'), 'USAGE'), false),
    coalesce(pg_has_role(to_regrole('lumi_writer'), 'USAGE'), false)
FROM pg_roles, pg_class WHERE rolname = current_user AND pg_class.oid = to_regclass('audit_outbox')
"""
_TRIALS: Final[dict[str, LiteralString]] = {
    "UPDATE": "UPDATE audit_outbox SET actor_id = actor_id WHERE false",
    "DELETE": "DELETE FROM audit_outbox WHERE false",
    "TRUNCATE": "TRUNCATE audit_outbox",
}
# Bits of pg_trigger.tgtype (src/include/catalog/pg_trigger.h): 1 row, 2 before, 8 delete, 16 update, 32 truncate.
_GUARDED: Final = """
SELECT coalesce(bit_or(tgtype), 0) FROM pg_trigger
WHERE tgrelid = to_regclass('audit_outbox') AND tgfoid = to_regproc('audit_outbox_refuse')
    AND tgenabled = 'A' AND tgtype & 3 = 2 AND tgqual IS NULL AND tgattr::text = ''
"""
_BITS: Final = {"UPDATE": 16, "DELETE": 8, "TRUNCATE": 32}
_BY_TRIGGER: Final = "audit_outbox is append-only"
_MAY_TRUNCATE: Final = "SELECT has_table_privilege('audit_outbox', 'TRUNCATE')"
_LOCK: Final = "LOCK TABLE audit_outbox IN ACCESS EXCLUSIVE MODE NOWAIT"
_LOCK_TRIES: Final = 5

_RECORD_FOR_OTHERS: Final = """
INSERT INTO audit_outbox (tenant_id, seq, event_id, recorded_at, occurred_at, action, entity_type, entity_id, outcome,
    actor_type, actor_id, payload_hash, prev_hash, integrity_hash)
VALUES (%s, 0, gen_random_uuid(), 'epoch', 'epoch', 'P', 'p', 'p', 'p', 'p', 'p', %s, %s, %s)
"""
_START_FOR_OTHERS: Final = "SELECT audit_start_chain(%s, %s, %s)"
_CLOSE: Final = "SELECT audit_close_day((closed_before AT TIME ZONE 'UTC')::date - 1) FROM audit_close"
_DURABILITY: Final = """
SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') ORDER BY name
"""
_CLOCK: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_INIT: Final = "lumi outbox init, as the owner, puts it back"


def look_at_server(examination: Examination) -> Iterator[Finding]:
    """Name the server's version; one that is too old was refused with the outbox."""
    with _trying(examination) as connection:
        version = connection.info.server_version
        yield ok(f"PostgreSQL {version // 10000}.{version % 10000}")


def look_at_role(examination: Examination) -> Iterator[Finding]:
    """Find out as whom the pipeline connects, and whether that is more than it needs."""
    with _trying(examination) as connection:
        name, is_superuser, is_owner, has_pipeline, has_writer = _one(connection, _ROLE)
    use = "give the pipeline a login of its own that has lumi_pipeline alone (GRANT lumi_pipeline TO …)"
    if is_superuser:
        yield warning(f"connects as {name}, a superuser, whom neither rights nor row security bind", use)
    elif is_owner:
        yield warning(f"connects as {name}, the owner of the tables, who could drop what protects them", use)
    elif not has_pipeline:
        yield problem(f"the role {name} does not have lumi_pipeline", f"GRANT lumi_pipeline TO {name}")
    elif has_writer:
        yield warning(f"{name} may record for every tenant (lumi_writer)", use)
    else:
        yield ok(f"connects as {name}, who has lumi_pipeline and is neither owner nor superuser")


def look_at_protection(examination: Examination) -> Iterator[Finding]:
    """Try to change, delete and truncate events, without touching a row, and roll it back."""
    refused: dict[str, str] = {}
    tried = list(_TRIALS)
    with _trying(examination) as connection:
        for name, statement in _TRIALS.items():
            connection.execute("SAVEPOINT doctor_lock")
            if name == "TRUNCATE" and _one(connection, _MAY_TRUNCATE) == (True,) and not _lock(connection):
                tried.remove(name)
            elif (reason := _refusal(connection, statement)) is not None:
                refused[name] = "trigger" if reason.startswith(_BY_TRIGGER) else "missing right"
            connection.execute("ROLLBACK TO SAVEPOINT doctor_lock")  # gives the lock back
        bits = int(str(_one(connection, _GUARDED)[0]))
    allowed = [name for name in tried if name not in refused]
    unguarded = [name for name, bit in _BITS.items() if not bits & bit]
    if allowed:
        yield problem(
            f"{listed(allowed)} on audit_outbox not refused",
            f"find out who removed the trigger (lumi verify --all tells what was changed); {_INIT}",
        )
    elif unguarded:
        yield problem(
            f"this role lacks the right, but the trigger that refuses {listed(unguarded)} to everybody "
            "is gone or not enabled always",
            f"find out who did that (lumi verify --all tells what was changed); {_INIT}",
        )
    else:
        told = ", ".join(f"{name} by {by}" for name, by in refused.items())
        yield ok(f"refused: {told}; the triggers are in place (tried and rolled back)")
    if "TRUNCATE" not in tried:
        yield not_tried("TRUNCATE, as audit_outbox is in use by others and waiting would hold them up; try again")


def look_at_row_security(examination: Examination) -> Iterator[Finding]:
    """Try to record for another tenant than the operator's, which only applications may."""
    with _trying(examination) as connection:
        name, is_superuser, is_owner, _, has_writer = _one(connection, _ROLE)
        if is_superuser or is_owner or has_writer:
            yield not_tried(f"{name} may record for every tenant, see above")
            return
        zeros = bytes(32)
        inserted = _refusal(connection, _RECORD_FOR_OTHERS, PROBE_TENANT, zeros, zeros, zeros) is None
        started = _refusal(connection, _START_FOR_OTHERS, PROBE_TENANT, bytes(16), zeros) is None
    if inserted or started:
        what = "record events" if inserted else "start a chain"
        yield problem(f"{name} may {what} for tenants that are not the operator's: row security is off", _INIT)
    else:
        yield ok(f"{name} may not record for other tenants than the operator's (tried and rolled back)")


def look_at_closing(examination: Examination) -> Iterator[Finding]:
    """Close a day that is closed already, and roll it back."""
    with _trying(examination) as connection:
        reason = _refusal(connection, _CLOSE)
    if reason is None:
        yield ok("days can be closed (tried with one that is closed, and rolled back)")
    else:
        yield problem(f"no day can be closed: {reason}", "GRANT lumi_pipeline to the role that connects")


def look_at_durability(examination: Examination) -> Iterator[Finding]:
    """Look at the settings without which a committed event may be gone after a crash."""
    with _trying(examination) as connection:
        settings = dict(connection.execute(_DURABILITY).fetchall())
    off = [name for name, setting in settings.items() if setting == "off"]
    if off:
        yield problem(
            f"{listed(off)} off: after a crash, committed events may be gone or damaged, and landing stops",
            f"turn {'it' if len(off) == 1 else 'them'} on in postgresql.conf (or where the role or database sets it)",
        )
    else:
        yield ok(", ".join(f"{name} {setting}" for name, setting in settings.items()))


def look_at_clock(examination: Examination) -> Iterator[Finding]:
    """Compare the clock with the server's."""
    with _trying(examination) as connection:
        before = examination.clock()
        micros = int(str(_one(connection, _CLOCK)[0]))
        after = examination.clock()
    doubt = max(after - before, timedelta(0)) / 2
    yield judge_clock("the database's clock", before + doubt - from_micros(micros), doubt)


@contextmanager
def _trying(examination: Examination) -> Iterator[_Connection]:
    """Yield a connection in a transaction that waits for nobody for long and is rolled back, whatever happens."""
    outbox = examination.outbox
    with outbox.explained(), closing(cast("_Connection", outbox.connect())) as connection:
        connection.execute(_TIMEOUTS)
        try:
            yield connection
        finally:
            connection.rollback()


def _refusal(connection: _Connection, statement: LiteralString, *values: object) -> str | None:
    """Run a statement and undo it; return why it was refused for want of a right, None when it was not."""
    connection.execute("SAVEPOINT doctor")
    try:
        connection.execute(statement, values or None)
    except errors.InsufficientPrivilege as error:
        return error.diag.message_primary or "insufficient privilege"
    else:
        return None
    finally:
        connection.execute("ROLLBACK TO SAVEPOINT doctor")


def _lock(connection: _Connection) -> bool:
    """Take the lock that TRUNCATE needs if it is free: waiting for it would make everybody else wait as well."""
    for _ in range(_LOCK_TRIES):
        try:
            connection.execute(_LOCK)
        except errors.LockNotAvailable:
            connection.execute("ROLLBACK TO SAVEPOINT doctor_lock")
            time.sleep(0.05)
        else:
            return True
    return False


def _one(connection: _Connection, query: LiteralString) -> TupleRow:
    row = connection.execute(query).fetchone()
    return () if row is None else row


POSTGRESQL_CHECKS: Final = (
    Check("outbox server", look_at_server, "see the line about the outbox", ("outbox",)),
    Check("outbox role", look_at_role, "see the line about the outbox", ("outbox",)),
    Check("outbox protected", look_at_protection, "see lumi outbox init", ("outbox",)),
    Check("outbox tenants", look_at_row_security, "see lumi outbox init", ("outbox",)),
    Check("outbox closing", look_at_closing, "see lumi outbox init", ("outbox",)),
    Check("outbox durable", look_at_durability, "see the line about the outbox", ("outbox",)),
    Check("outbox clock", look_at_clock, "see the line about the outbox", ("outbox",)),
    recording_check(_trying),
)
