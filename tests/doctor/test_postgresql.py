"""What the doctor finds about an outbox in PostgreSQL."""

import socket
import time
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from lumi_pipeline.doctor.findings import Status, listed
from lumi_pipeline.outboxaddress import postgresql_address
from tests.doctor.setups import (
    PASSWORD,
    Setup,
    address_of,
    login_of,
    look,
    look_at_all,
    look_at_everything,
    on_servers,
    told,
)
from tests.postgresql import PrivatePostgresql

WITHOUT_TRUNCATE = """
DROP TRIGGER audit_outbox_append_only ON audit_outbox;
CREATE TRIGGER audit_outbox_append_only BEFORE UPDATE OR DELETE ON audit_outbox
    FOR EACH STATEMENT EXECUTE FUNCTION audit_outbox_refuse();
ALTER TABLE audit_outbox ENABLE ALWAYS TRIGGER audit_outbox_append_only;
"""

pytestmark = pytest.mark.slow  # the server is started first


@pytest.fixture
def setup(database_setup: Setup) -> Setup:
    return database_setup


def as_owner(setup: Setup) -> Setup:
    return setup.having(outbox=address_of(setup, owner=True))


def grant(setup: Setup, statement: LiteralString) -> None:
    with psycopg.connect(setup.owner_url, autocommit=True) as administrator:
        administrator.execute(sql.SQL(statement).format(login_of(setup)))


def test_the_pipelines_role_is_all_it_needs_and_no_more(setup: Setup) -> None:
    names = ("server", "role", "protected", "tenants", "closing", "clock", "recording", "identity")
    found = {name: look(setup, f"outbox {name}") for name in names}
    assert {name: one.status for name, one in found.items()} == dict.fromkeys(names, Status.OK)
    assert "UPDATE by missing right, DELETE by missing right, TRUNCATE by missing right" in found["protected"].detail
    assert "has lumi_pipeline and is neither owner nor superuser" in found["role"].detail


def test_the_owner_is_refused_by_trigger_and_is_too_much(setup: Setup) -> None:
    found = look(as_owner(setup), "outbox role")
    assert (found.status, "a superuser" in found.detail) == (Status.WARNING, True)
    found = look(as_owner(setup), "outbox protected")
    assert found.status == Status.OK
    assert "UPDATE by trigger, DELETE by trigger, TRUNCATE by trigger" in found.detail
    assert look(as_owner(setup), "outbox tenants").status == Status.SKIPPED
    grant(setup, "ALTER TABLE audit_outbox OWNER TO {}")
    found = look(setup, "outbox role")
    grant(setup, "REASSIGN OWNED BY {} TO postgres")
    assert (found.status, "the owner of the tables" in found.detail) == (Status.WARNING, True)
    assert "lumi_pipeline" in str(found.remedy)


def test_a_role_without_rights_is_told_which_to_get(setup: Setup) -> None:
    grant(setup, "REVOKE lumi_pipeline FROM {}")
    grant(setup, "GRANT lumi_writer TO {}")
    grant(setup, "GRANT SELECT ON audit_identity, audit_close, audit_chain_head, audit_outbox TO {}")
    found = look(setup, "outbox role")
    assert (found.status, "does not have lumi_pipeline" in found.detail) == (Status.PROBLEM, True)
    assert str(found.remedy).startswith("GRANT lumi_pipeline TO login_")
    found = look(setup, "outbox closing")
    assert (found.status, "audit_close_day" in found.detail) == (Status.PROBLEM, True)
    grant(setup, "GRANT lumi_pipeline TO {}")
    found = look(setup, "outbox role")
    assert (found.status, "may record for every tenant" in found.detail) == (Status.WARNING, True)


@pytest.mark.parametrize(
    ("statement", "missing"),
    [
        ("DROP TRIGGER audit_outbox_append_only ON audit_outbox", ["UPDATE", "DELETE", "TRUNCATE"]),
        ("ALTER TABLE audit_outbox DISABLE TRIGGER audit_outbox_append_only", ["UPDATE", "DELETE", "TRUNCATE"]),
        (WITHOUT_TRUNCATE, ["TRUNCATE"]),
    ],
)
def test_a_trigger_that_no_longer_refuses_is_found(setup: Setup, statement: LiteralString, missing: list[str]) -> None:
    setup.record(1)
    setup.administer(statement)
    found = look(as_owner(setup), "outbox protected")
    assert (found.status, found.detail) == (Status.PROBLEM, f"{listed(missing)} on audit_outbox not refused")
    found = look(setup, "outbox protected")  # this role lacks the right, but others have it
    assert found.status == Status.PROBLEM
    assert all(name in found.detail for name in ("lacks the right", *missing))
    with psycopg.connect(setup.owner_url) as connection:
        assert connection.execute("SELECT count(*) FROM audit_outbox").fetchone() == (3,)


def test_a_trigger_that_replication_gets_round_is_found(setup: Setup) -> None:
    setup.administer("ALTER TABLE audit_outbox ENABLE TRIGGER audit_outbox_append_only")
    for reached in (setup, as_owner(setup)):
        found = look(reached, "outbox protected")
        assert (found.status, "not enabled always" in found.detail) == (Status.PROBLEM, True)


def test_a_busy_table_is_not_waited_for(setup: Setup) -> None:
    with psycopg.connect(setup.owner_url) as other:
        other.execute("SELECT count(*) FROM audit_outbox")  # a reader, whom TRUNCATE would wait for
        found = look_at_all(as_owner(setup), "outbox protected")
    assert [one.status for one in found] == [Status.OK, Status.SKIPPED]
    assert "TRUNCATE" in found[1].detail


def test_missing_row_security_is_found(setup: Setup) -> None:
    setup.administer("ALTER TABLE audit_outbox DISABLE ROW LEVEL SECURITY")
    found = look(setup, "outbox tenants")
    assert (found.status, "may record events for tenants" in found.detail) == (Status.PROBLEM, True)


def test_rights_that_were_taken_are_found(setup: Setup) -> None:
    setup.administer(
        "REVOKE EXECUTE ON FUNCTION audit_close_day(date) FROM lumi_pipeline",
        "REVOKE INSERT ON audit_outbox FROM lumi_pipeline",
    )
    for name in ("outbox closing", "outbox recording"):
        found = look(setup, name)
        assert (found.status, "permission denied" in found.detail) == (Status.PROBLEM, True)


def test_a_server_that_can_lose_what_was_committed_is_found(
    setup: Setup, private_postgresql: PrivatePostgresql
) -> None:
    """The tests' shared server runs without fsync, for speed; their private ones with it."""
    found = look(setup, "outbox durable")
    assert (found.status, found.detail.startswith("fsync off")) == (Status.PROBLEM, True)
    directory = setup.config.log_key_file.parent / "durable"
    directory.mkdir()
    with on_servers(directory, private_postgresql, str(directory / "lake")) as durable:
        assert look(durable, "outbox durable").status == Status.OK
        with psycopg.connect(durable.owner_url, autocommit=True) as administrator:
            administrator.execute(sql.SQL("ALTER ROLE {} SET synchronous_commit = off").format(login_of(durable)))
        found = look(durable, "outbox durable")
        assert (found.status, found.detail.startswith("synchronous_commit off")) == (Status.PROBLEM, True)
    private_postgresql.drop_databases()


def test_a_dead_server_is_told_without_the_password(setup: Setup) -> None:
    address = address_of(setup, owner=False)
    dead = setup.having(outbox=type(address)(address.name, address.url.replace("@127.0.0.1:", "@127.0.0.1:1"), None))
    found = look(dead, "outbox")
    assert (found.status, "can't be reached" in found.detail) == (Status.PROBLEM, True)
    assert PASSWORD not in repr(found)


def test_a_server_that_accepts_and_never_answers_is_waited_for_once(setup: Setup) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://lumi:{PASSWORD}@127.0.0.1:{silent.getsockname()[1]}/app"
        started = time.monotonic()
        results = look_at_everything(setup.having(outbox=postgresql_address(url)))
        assert time.monotonic() - started < 18
    assert told(results, Status.PROBLEM).keys() == {"outbox"}
    assert told(results, Status.SKIPPED)["space"].startswith("not tried: ")
