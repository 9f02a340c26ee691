"""What is PostgreSQL's own about an outbox in it: roles, guards, what they refuse, and what its errors give away."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from time import sleep
from typing import LiteralString
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from lumi_pipeline.errors import (
    DuplicateEvent,
    OutboxError,
    OutboxLocked,
    OutboxMissing,
    OutboxNotInitialised,
    OutboxTampered,
    RecorderError,
)
from lumi_pipeline.importers import import_ndjson
from lumi_pipeline.outbox import Outbox
from lumi_pipeline.outbox.opening import init_outbox, open_outbox
from lumi_pipeline.outbox.postgresql import PostgresOutbox
from lumi_pipeline.outboxaddress import OutboxAddress, postgresql_address
from lumi_pipeline.recorder import AuditRecorder
from tests.databases import OPERATOR, database, new_postgresql_outbox, run, url_of
from tests.events.making import START, check_chains, new_event, record_at, stored
from tests.postgresql import Postgresql

DAY = START.date()
SAMPLE = Path(__file__).resolve().parents[2] / "data/sample/events.ndjson"


@pytest.fixture
def outbox(postgresql_outbox: Outbox) -> Outbox:
    return postgresql_outbox


@contextmanager
def login(outbox: Outbox, *roles: LiteralString) -> Iterator[PostgresOutbox]:
    """The same outbox, as somebody reaches it who has been granted ``roles`` alone."""
    name = f"login_{uuid4().hex}"
    with psycopg.connect(url_of(outbox), autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'for-tests'").format(sql.Identifier(name)))
        for role in roles:
            owner.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(name)))
        try:
            yield PostgresOutbox("the outbox", make_conninfo(url_of(outbox), user=name, password="for-tests"))
        finally:
            owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def refused(outbox: PostgresOutbox, statement: LiteralString) -> bool:
    with psycopg.connect(outbox.url) as connection:
        try:
            connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            return True
        finally:
            connection.rollback()
    return False


def test_initialising_again_changes_nothing(postgresql: Postgresql) -> None:
    url = postgresql.create_database()
    first = new_postgresql_outbox(url)
    record_at(first, START, new_event())
    first.close_day(DAY - timedelta(days=1))
    with first.snapshot() as snapshot:
        before = (snapshot.system_id, snapshot.closed_before)
    again = new_postgresql_outbox(url)
    with again.snapshot() as snapshot:
        assert (snapshot.system_id, snapshot.closed_before) == before
    assert len(stored(again)) == 1
    with pytest.raises(OutboxError, match="set up for the operator tenant lumi-operator, but 'operator_tenant' is ops"):
        init_outbox(postgresql_address(url), "ops")


def test_the_identity_names_server_and_database(postgresql: Postgresql) -> None:
    identities = set()
    for _ in range(2):
        with new_postgresql_outbox(postgresql.create_database()).snapshot() as snapshot:
            identities.add(snapshot.system_id)
    servers, databases = zip(*(identity.split("-") for identity in identities), strict=True)
    assert (len(set(servers)), len(set(databases))) == (1, 2)


def test_many_may_initialise_at_once(postgresql: Postgresql) -> None:
    url = postgresql.create_database()
    failures: list[BaseException] = []

    def initialise() -> None:
        try:
            new_postgresql_outbox(url)
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    threads = [Thread(target=initialise) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_outbox SET actor_id = 'somebody else'",
        "UPDATE audit_outbox SET actor_id = 'nobody' WHERE false",
        "UPDATE audit_outbox SET actor_name = NULL, payload_salt = NULL",
        "DELETE FROM audit_outbox",
        "DELETE FROM audit_outbox WHERE false",
        "TRUNCATE audit_outbox",
        "INSERT INTO audit_outbox SELECT * FROM audit_outbox ON CONFLICT (tenant_id, seq) DO UPDATE SET actor_id = ''",
        "SET session_replication_role = replica; DELETE FROM audit_outbox",
    ],
)
def test_not_even_the_owner_changes_or_removes_recorded_events(outbox: Outbox, statement: str) -> None:
    record_at(outbox, START, new_event(), new_event())
    before = stored(outbox)
    with (
        database(outbox) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"append-only: \w+ is refused"),
    ):
        run(connection, statement)
    assert stored(outbox) == before


def test_the_writer_records_for_every_tenant_and_does_nothing_else(outbox: Outbox) -> None:
    record_at(outbox, START, new_event())
    with login(outbox, "lumi_writer") as writer:
        with database(writer) as connection:
            recorded = AuditRecorder(connection).record_many([new_event(), new_event(tenant_id="newcomer")])
            connection.commit()
            with pytest.raises(DuplicateEvent):
                AuditRecorder(connection).record_many([new_event(event_id=recorded[0].event_id)])
        for statement in (
            "UPDATE audit_outbox SET actor_id = 'somebody else'",
            "DELETE FROM audit_outbox",
            "TRUNCATE audit_outbox",
            "SELECT after_state FROM audit_outbox",
            "UPDATE audit_chain_head SET chain_id = chain_id",
            "INSERT INTO audit_chain_head SELECT 'x', chain_id, 0, head_hash, last_recorded_at FROM audit_chain_head",
            "DELETE FROM audit_chain_head",
            "UPDATE audit_close SET closed_before = 'epoch'",
            "SELECT audit_close_day('2020-01-01')",
            "ALTER TABLE audit_outbox DISABLE TRIGGER ALL",
        ):
            assert refused(writer, statement), statement
    assert check_chains(outbox) == {"acme": 2, "newcomer": 1}


def test_the_writer_orders_nothing_in_the_operators_name(outbox: Outbox) -> None:
    """Legal holds, erasures and prunings follow from that chain, whether it was begun already or not."""
    for begun in (False, True):
        with login(outbox, "lumi_writer") as writer, database(writer) as connection:
            with pytest.raises(OutboxError, match="for the operator's own tenant lumi_pipeline"):
                AuditRecorder(connection).record_many([new_event(tenant_id=OPERATOR, action="LEGAL_HOLD_RELEASED")])
            connection.rollback()
        if not begun:
            record_at(outbox, START, new_event(tenant_id=OPERATOR))
    assert check_chains(outbox) == {OPERATOR: 1}


def test_the_writer_imports_history_and_lands_nothing(outbox: Outbox) -> None:
    with login(outbox, "lumi_writer") as granted:
        writer = PostgresOutbox.open(OutboxAddress(granted.name, granted.url))
        report = import_ndjson(writer, SAMPLE, recorded_at="occurred")
        assert report.added == report.read > 0
        assert import_ndjson(writer, SAMPLE, recorded_at="occurred").added == 0
        with pytest.raises(OutboxError, match=r"permission denied.*Grant the role lumi_pipeline"):
            check_chains(writer)
    assert sum(check_chains(outbox).values()) == report.added


def test_the_pipeline_reads_and_closes_and_records_for_the_operator_alone(outbox: Outbox) -> None:
    record_at(outbox, START, new_event())
    with login(outbox, "lumi_pipeline") as pipeline:
        assert check_chains(pipeline) == {"acme": 1}
        pipeline.close_day(DAY)
        with database(pipeline) as connection:
            AuditRecorder(connection).record_many([new_event(tenant_id=OPERATOR), new_event(tenant_id=OPERATOR)])
            connection.commit()
            for tenant_id in ("acme", "newcomer"):
                with pytest.raises(OutboxError, match="lumi_writer"):
                    AuditRecorder(connection).record_many([new_event(tenant_id=tenant_id)])
        for statement in (
            "INSERT INTO audit_outbox SELECT * FROM audit_outbox WHERE tenant_id = 'acme'",
            "UPDATE audit_outbox SET actor_id = 'somebody else'",
            "DELETE FROM audit_outbox",
            "UPDATE audit_chain_head SET chain_id = chain_id",
            "UPDATE audit_close SET closed_before = 'epoch'",
        ):
            assert refused(pipeline, statement), statement
        with psycopg.connect(pipeline.url) as connection:
            moved = connection.execute("UPDATE audit_chain_head SET next_seq = 0 WHERE tenant_id = 'acme'")
            assert moved.rowcount == 0
    assert check_chains(outbox) == {"acme": 1, OPERATOR: 2}


def test_an_owner_who_is_no_superuser_sets_up_and_records(postgresql: Postgresql) -> None:
    somewhere = new_postgresql_outbox(postgresql.create_database())  # the roles exist then
    empty = PostgresOutbox("the outbox", postgresql.create_database())
    with login(somewhere) as stranger:
        name = conninfo_to_dict(stranger.url)["user"]
        own = make_conninfo(empty.url, user=name, password="for-tests")
        with psycopg.connect(empty.url) as connection:
            database_name = sql.Identifier(connection.info.dbname)
            connection.execute(
                sql.SQL("ALTER DATABASE {} OWNER TO {}").format(database_name, sql.Identifier(str(name)))
            )
        owner = PostgresOutbox.init(OutboxAddress("the outbox", own), OPERATOR)
        record_at(owner, START, new_event(), new_event(tenant_id=OPERATOR))
        assert check_chains(owner) == {"acme": 1, OPERATOR: 1}
        with psycopg.connect(empty.url) as connection:
            connection.execute(sql.SQL("REASSIGN OWNED BY {} TO CURRENT_USER").format(sql.Identifier(str(name))))


def test_a_stranger_may_do_nothing(outbox: Outbox) -> None:
    with login(outbox) as stranger:
        with pytest.raises(OutboxError, match="permission denied"):
            stranger.closed_before()
        with database(stranger) as connection, pytest.raises(OutboxError, match="may not record"):
            AuditRecorder(connection).record_many([new_event()])
        with pytest.raises(OutboxError, match="permission denied"):
            stranger.close_day(DAY)


def test_a_temporary_table_does_not_get_in_the_way_of_ours(outbox: Outbox) -> None:
    outbox.close_day(DAY)
    with login(outbox, "lumi_writer") as writer, database(writer) as connection:
        # What a function without a search_path of its own would read first.
        run(connection, "CREATE TEMP TABLE audit_close AS SELECT timestamptz 'epoch' AS closing_before")
        (event,) = AuditRecorder(connection, clock=lambda: START).record_many([new_event(tenant_id="newcomer")])
        connection.commit()
        run(connection, "DROP TABLE pg_temp.audit_close")
        connection.commit()
    assert event.recorded_at == datetime.combine(DAY + timedelta(days=1), datetime.min.time(), UTC)


def test_what_is_not_there_is_named_without_the_password(postgresql: Postgresql) -> None:
    wrong = postgresql.url.replace("postgres:only-for-tests@", "postgres:hunter2@")
    nowhere = f"{postgresql.url.rpartition('/')[0]}/nowhere"
    silent = "postgresql://app:hunter2@127.0.0.1:1/app"
    for url, reason in ((wrong, "password authentication failed"), (nowhere, "does not exist"), (silent, "refused")):
        for opening in (open_outbox, lambda address: init_outbox(address, OPERATOR)):
            with pytest.raises(OutboxMissing, match=reason) as caught:
                opening(postgresql_address(url))
            assert "hunter2" not in str(caught.value)
            assert "only-for-tests" not in str(caught.value)
            assert caught.value.__cause__ is None
    with pytest.raises(OutboxError, match="not a connection URI") as refused_url:
        open_outbox(postgresql_address("postgresql://app:hunter2@host/app?no_such_parameter=1"))
    assert "hunter2" not in str(refused_url.value)


def test_a_database_without_our_tables_is_named_as_such(postgresql: Postgresql) -> None:
    url = postgresql.create_database()
    with pytest.raises(OutboxNotInitialised, match=r"no table audit_identity.*lumi outbox init"):
        open_outbox(postgresql_address(url))
    with (
        psycopg.connect(url) as connection,
        pytest.raises(OutboxNotInitialised, match="lumi outbox init"),
    ):
        AuditRecorder(connection).record_many([new_event()])
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE audit_identity (id text)")
    with pytest.raises(OutboxNotInitialised, match=r"audit_identity is not the one .* columns id instead of system_id"):
        open_outbox(postgresql_address(url))


def test_a_database_in_another_encoding_is_refused(postgresql: Postgresql) -> None:
    name = f"latin_{uuid4().hex}"
    with psycopg.connect(postgresql.url, autocommit=True) as owner:
        identifier = sql.Identifier(name)
        owner.execute(sql.SQL("CREATE DATABASE {} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0").format(identifier))
        try:
            with pytest.raises(OutboxError, match="encoding is LATIN1"):
                new_postgresql_outbox(f"{postgresql.url.rpartition('/')[0]}/{name}")
        finally:
            owner.execute(sql.SQL("DROP DATABASE {}").format(identifier))


def test_closing_waits_for_the_first_event_of_a_tenant(outbox: Outbox) -> None:
    end = datetime.combine(DAY + timedelta(days=1), datetime.min.time(), UTC)
    with database(outbox) as connection:
        AuditRecorder(connection).record_many([new_event()], recorded_at=[end - timedelta(microseconds=1)])
        with pytest.raises(OutboxLocked, match="the table audit_close"):
            outbox.close_day(DAY, timeout=0.05)
        connection.commit()
    outbox.close_day(DAY)
    assert outbox.closed_before() == end


def test_a_head_that_stays_locked_is_named_and_the_others_are_raised(outbox: Outbox) -> None:
    record_at(outbox, START, new_event(tenant_id="a"), new_event(tenant_id="b"), new_event(tenant_id="c"))
    with database(outbox) as connection:
        AuditRecorder(connection).record_many([new_event(tenant_id="b")], recorded_at=[START])
        with pytest.raises(OutboxLocked, match=r"the chain head of tenant b for longer than 0\.1 s"):
            outbox.close_day(DAY, timeout=0.1)
        with outbox.snapshot() as snapshot:
            raised = snapshot.heads()["last_recorded_at"].to_pylist()
            assert [time.date() > DAY for time in raised] == [True, False, True]
            assert snapshot.closed_before.date() < DAY
        # A new chain can't get into the day that is being closed.
        with database(outbox) as other:
            (event,) = AuditRecorder(other, clock=lambda: START).record_many([new_event(tenant_id="d")])
            other.commit()
        assert event.recorded_at.date() > DAY
        connection.commit()
    outbox.close_day(DAY)
    assert outbox.closed_before().date() == DAY + timedelta(days=1)


def test_a_snapshot_of_before_the_close_cannot_record_into_the_day(outbox: Outbox) -> None:
    record_at(outbox, START, new_event())
    with database(outbox) as connection:
        run(connection, "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.commit()
        for tenant_id in ("acme", "newcomer"):
            run(connection, "SELECT count(*) FROM audit_outbox")
            outbox.close_day(DAY if tenant_id == "acme" else DAY + timedelta(days=1))
            with pytest.raises(OutboxLocked, match="run this one again"):
                AuditRecorder(connection, clock=lambda: START).record_many([new_event(tenant_id=tenant_id)])
            connection.rollback()


def test_a_refused_call_of_a_held_transaction_gives_its_locks_back(outbox: Outbox) -> None:
    record_at(outbox, START, new_event(tenant_id="a"), taken := new_event(tenant_id="b"))
    with database(outbox) as connection, database(outbox) as other:
        run(connection, "SELECT 1")
        with pytest.raises(DuplicateEvent):
            AuditRecorder(connection).record_many([new_event(tenant_id="a"), new_event(event_id=taken.event_id)])
        run(other, "SET lock_timeout = '100ms'")
        AuditRecorder(other).record_many([new_event(tenant_id="a")])
        other.commit()
        connection.commit()
    assert check_chains(outbox) == {"a": 2, "b": 1}


def test_a_connection_in_autocommit_mode_needs_a_transaction(outbox: Outbox) -> None:
    with psycopg.connect(url_of(outbox), autocommit=True) as connection:
        recorder = AuditRecorder(connection)
        with pytest.raises(RecorderError, match=r"with connection\.transaction\(\)"):
            recorder.record_many([new_event()])
        with connection.transaction():
            recorder.record_many([new_event()])
    assert check_chains(outbox) == {"acme": 1}


def test_the_clock_is_read_after_the_wait_for_the_head(outbox: Outbox) -> None:
    record_at(outbox, START, new_event())
    times: list[datetime] = []

    def record() -> None:
        with database(outbox) as waiting:
            (event,) = AuditRecorder(waiting).record_many([new_event()])
            times.append(event.recorded_at)
            waiting.commit()

    with database(outbox) as holder:
        AuditRecorder(holder).record_many([new_event()])
        thread = Thread(target=record)
        thread.start()
        sleep(0.3)
        released = datetime.now(UTC)
        holder.commit()
        thread.join()
    assert times[0] >= released


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ("entity_id = NULL", "entity_id must be UTF-8 text, not null"),
        ("occurred_at = 'infinity'", "occurred_at must be microseconds since 1970"),
        ("recorded_at = '-infinity'", "recorded_at must be microseconds since 1970"),
        ("recorded_at = '10000-01-01 00:00:00+00'", "recorded_at must be microseconds since 1970"),
        ("erased_at = '0001-01-01 00:00:00+00 BC'", "erased_at must be microseconds since 1970"),
        ("payload_salt = '\\x00'", "payload_salt must be 16 bytes or null"),
        ("prev_hash = ''", "prev_hash must be 32 bytes, not null"),
        ("integrity_hash = NULL", "integrity_hash must be 32 bytes, not null"),
    ],
)
def test_a_value_no_recorder_writes_is_named(outbox: Outbox, change: str, column: str) -> None:
    for tenant_id in ("acme", "globex", "initech"):
        record_at(outbox, START, *(new_event(tenant_id=tenant_id) for _ in range(20)))
    loosen(outbox, "audit_outbox")
    with database(outbox, guarded=False) as connection:
        run(connection, f"UPDATE audit_outbox SET {change} WHERE tenant_id = 'globex' AND seq = 12")  # noqa: S608
        connection.commit()
    with pytest.raises(OutboxTampered, match=f"tenant globex, seq 12, column {column}"):
        stored(outbox)


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ("chain_id = '\\x00'", "chain_id must be 16 bytes"),
        ("next_seq = NULL", "next_seq must be an integer"),
        ("head_hash = NULL", "head_hash must be 32 bytes"),
        ("last_recorded_at = 'infinity'", "last_recorded_at must be microseconds since 1970"),
    ],
)
def test_a_head_no_recorder_writes_is_named(outbox: Outbox, change: str, column: str) -> None:
    record_at(outbox, START, new_event(), new_event(tenant_id="globex"))
    loosen(outbox, "audit_chain_head")
    with database(outbox) as connection:
        run(connection, f"UPDATE audit_chain_head SET {change} WHERE tenant_id = 'globex'")  # noqa: S608
        connection.commit()
    with pytest.raises(OutboxTampered, match=f"audit_chain_head .*tenant globex, column {column}"):
        stored(outbox)


@pytest.mark.parametrize("statement", ["UPDATE audit_close SET closed_before = '-infinity'", "DELETE FROM audit_close"])
def test_a_close_no_pipeline_writes_is_named(outbox: Outbox, statement: str) -> None:
    with database(outbox) as connection:
        run(connection, statement)
        connection.commit()
    with pytest.raises(OutboxTampered, match="audit_close"):
        outbox.closed_before()


def test_a_forged_head_far_ahead_is_read_in_no_time(outbox: Outbox) -> None:
    record_at(outbox, START, *(new_event() for _ in range(5)))
    with database(outbox) as connection:
        run(connection, "UPDATE audit_chain_head SET next_seq = 9000000000000000000")
        connection.commit()
    with outbox.snapshot() as snapshot:
        assert sum(len(table) for table in snapshot.rows([("acme", 0)])) == 5


def loosen(outbox: Outbox, table: LiteralString) -> None:
    """Drop every rule of a table that an administrator could drop."""
    with psycopg.connect(url_of(outbox), autocommit=True) as connection:
        constraints = connection.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'c'", (table,)
        ).fetchall()
        for (name,) in constraints:
            connection.execute(
                sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(sql.Identifier(table), sql.Identifier(name))
            )
        columns = connection.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND attnotnull"
            " AND attname NOT IN ('tenant_id', 'seq')",
            (table,),
        ).fetchall()
        for (name,) in columns:
            connection.execute(
                sql.SQL("ALTER TABLE {} ALTER COLUMN {} DROP NOT NULL").format(
                    sql.Identifier(table), sql.Identifier(name)
                )
            )
