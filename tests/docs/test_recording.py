"""Every snippet of docs/recording.md records into a real PostgreSQL (or SQLite), called as its framework would call it.

A snippet is found by the function that it defines, and runs from the page's own text.
"""

import asyncio
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier
from typing import Any, TypeAlias

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from lumi_pipeline import errors
from lumi_pipeline.errors import EventRejected, OutboxLocked, RecorderError
from lumi_pipeline.events import PAYLOAD_COLUMNS
from lumi_pipeline.outbox.sqlite import SqliteOutbox
from lumi_pipeline.recorder import AuditRecorder, EventFields
from tests.databases import new_postgresql_outbox
from tests.docs.test_commands import REPOSITORY, blocks
from tests.events.making import new_event
from tests.postgresql import Postgresql

Connection: TypeAlias = psycopg.Connection[TupleRow]
Message: TypeAlias = MutableMapping[str, object]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

PAGE = (REPOSITORY / "docs" / "recording.md").read_text(encoding="utf-8")
SNIPPETS = [block.text for block in blocks(PAGE) if block.language == "python"]
SHOWN_URL = "postgresql+psycopg://app@db.example.com/app"
TICKETS = "CREATE TABLE ticket (id integer PRIMARY KEY, status text NOT NULL, closings integer NOT NULL DEFAULT 0)"


def source(function: str) -> str:
    """The one snippet that defines the function."""
    [found] = [text for text in SNIPPETS if re.search(rf"^(?:async )?def {function}\(", text, re.MULTILINE)]
    return found


def snippet(function: str, shown: str = "", real: str = "") -> dict[str, Any]:
    """What a snippet defines, after the place that it shows was put right."""
    text = source(function)
    assert shown in text
    namespace: dict[str, Any] = {"__name__": function}
    exec(compile(text.replace(shown, real) if shown else text, f"{function} in recording.md", "exec"), namespace)  # noqa: S102 - it is our own page
    return namespace


@pytest.fixture
def url(postgresql: Postgresql) -> str:
    """A database with an outbox and an open ticket."""
    made = postgresql.create_database()
    new_postgresql_outbox(made)
    with psycopg.connect(made) as connection:
        connection.execute(TICKETS)
        connection.execute("INSERT INTO ticket VALUES (7, 'open')")
    return made


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    with psycopg.connect(url) as opened:
        yield opened


def sqlalchemy_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def committed(url: str) -> tuple[str, list[tuple[str, str, str]]]:
    """What others see: the ticket's status, and tenant, action and actor of every event."""
    with psycopg.connect(url) as connection:
        [(status,)] = connection.execute("SELECT status FROM ticket WHERE id = 7").fetchall()
        query = "SELECT tenant_id, action, actor_id FROM audit_outbox ORDER BY tenant_id, seq"
        return status, [(str(a), str(b), str(c)) for a, b, c in connection.execute(query).fetchall()]


NOTHING: tuple[str, list[tuple[str, str, str]]] = ("open", [])
CLOSED = ("closed", [("acme", "TICKET_CLOSED", "u-17")])
NOT_AN_ACTOR = "u-17\0"
"""What every snippet hands through to an event that is refused."""


def test_psycopg(url: str, connection: Connection) -> None:
    close_ticket = snippet("close_ticket")["close_ticket"]
    with pytest.raises(EventRejected):
        close_ticket(connection, 7, NOT_AN_ACTOR)
    assert committed(url) == NOTHING
    close_ticket(connection, 7, "u-17")
    assert committed(url) == CLOSED


def test_psycopg_async(url: str) -> None:
    close = snippet("close_ticket_async")["close_ticket_async"]

    async def steps() -> None:
        async with await AsyncConnection.connect(url) as connection:
            with pytest.raises(EventRejected):
                await close(connection, 7, NOT_AN_ACTOR)
            assert committed(url) == NOTHING
            await close(connection, 7, "u-17")

    asyncio.run(steps())
    assert committed(url) == CLOSED


def test_sqlalchemy(url: str) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")
    orm = pytest.importorskip("sqlalchemy.orm", reason="SQLAlchemy is not installed")
    close = snippet("close_with_session")["close_with_session"]
    engine = sqlalchemy.create_engine(sqlalchemy_url(url))
    try:
        with orm.Session(engine) as session:
            close(session, 7, "u-17")
            session.rollback()
        assert committed(url) == NOTHING
        with pytest.raises(EventRejected), orm.Session(engine) as session, session.begin():
            close(session, 7, NOT_AN_ACTOR)
        assert committed(url) == NOTHING
        with orm.Session(engine) as session, session.begin():
            close(session, 7, "u-17")
        assert committed(url) == CLOSED
    finally:
        engine.dispose()


def test_sqlalchemy_async(url: str) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy.ext.asyncio", reason="SQLAlchemy is not installed")
    close = snippet("close_with_async_session")["close_with_async_session"]

    async def steps() -> None:
        engine = sqlalchemy.create_async_engine(sqlalchemy_url(url))
        try:
            async with sqlalchemy.AsyncSession(engine) as session:
                await close(session, 7, "u-17")
                await session.rollback()
            assert committed(url) == NOTHING
            async with sqlalchemy.AsyncSession(engine) as session, session.begin():
                await close(session, 7, "u-17")
        finally:
            await engine.dispose()

    asyncio.run(steps())
    assert committed(url) == CLOSED


def test_fastapi(url: str) -> None:
    for package in ("fastapi", "sqlalchemy"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    httpx = pytest.importorskip("httpx", reason="httpx is not installed")
    shown = snippet("get_session", SHOWN_URL, sqlalchemy_url(url))

    async def steps() -> None:
        seen = []
        app = shown["app"]

        async def as_a_client_sees_it(scope: Message, receive: object, send: Send) -> None:
            async def watching(message: Message) -> None:
                if message["type"] == "http.response.start":
                    seen.append(committed(url))
                await send(message)

            await app(scope, receive, watching)

        transport = httpx.ASGITransport(app=as_a_client_sees_it, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            refused = await client.post("/tickets/7/close", headers={"user-id": "u" * (2**20 + 1)})
            assert (refused.status_code, committed(url)) == (500, NOTHING)
            done = await client.post("/tickets/7/close", headers={"user-id": "u-17", "x-request-id": "r-1"})
            assert (done.status_code, done.json()) == (200, {"status": "closed"})
            again = await client.post("/tickets/7/close", headers={"user-id": "u-17"})
            assert again.status_code == 404
        assert seen[1] == CLOSED, "the response is sent after the commit"
        await shown["engine"].dispose()

    asyncio.run(steps())
    assert committed(url) == CLOSED
    with psycopg.connect(url) as connection:
        query = "SELECT ip, request_id, user_agent LIKE 'python-httpx/%' FROM audit_outbox"
        assert connection.execute(query).fetchall() == [("127.0.0.1", "r-1", True)]


DJANGO = """
import os
import sys

import django
from django.conf import settings

parts = dict(item.split("=", 1) for item in os.environ["SERVER"].split())
settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", **parts}})
django.setup()

from django.db import connection, models

from lumi_pipeline.errors import RecorderError
from lumi_pipeline.recorder import AuditRecorder


class Ticket(models.Model):
    status = models.TextField()

    class Meta:
        app_label = "tickets"
        db_table = "ticket"


try:
    close_with_django(Ticket.objects.get(pk=7), "u-17\\0")
except RecorderError as error:
    print("refused", Ticket.objects.get(pk=7).status)
try:
    AuditRecorder(connection).record()
except RecorderError as error:
    print("connection.connection, inside transaction.atomic()" in str(error))
fields = {"entity_type": "ticket", "entity_id": "7", "actor_type": "user", "actor_id": "u-17"}
try:
    AuditRecorder(connection.connection).record(tenant_id="acme", action="TICKET_CLOSED", **fields)
except RecorderError as error:
    print("autocommit" in str(error))
close_with_django(Ticket.objects.get(pk=7), "u-17")
connection.close()
"""


def test_django(url: str, tmp_path: Path) -> None:
    """In a process of its own, as Django is configured once in each."""
    pytest.importorskip("django", reason="Django is not installed")
    at = psycopg.conninfo.conninfo_to_dict(url)
    server = {"NAME": at["dbname"], "USER": at["user"], "PASSWORD": at["password"], "HOST": at["host"]}
    environment = {**os.environ, "SERVER": " ".join(f"{k}={v}" for k, v in {**server, "PORT": at["port"]}.items())}
    script = tmp_path / "site.py"
    head, marker, rest = DJANGO.partition("\n\nclass Ticket")
    script.write_text(f"{head}\n{source('close_with_django')}{marker}{rest}", encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-P", script], env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout.split("\n")) == (0, ["refused open", "True", "True", ""]), ran.stderr
    assert committed(url) == CLOSED


@pytest.mark.parametrize("isolation", [None, "DEFERRED"])
def test_sqlite(tmp_path: Path, isolation: str | None) -> None:
    close = snippet("close_in_sqlite")["close_in_sqlite"]
    SqliteOutbox.init(tmp_path / "app.db")
    with closing(sqlite3.connect(tmp_path / "app.db", isolation_level=isolation)) as connection:
        connection.execute(TICKETS)
        connection.execute("INSERT INTO ticket VALUES (7, 'open', 0)")
        connection.commit()
        with pytest.raises(EventRejected):
            close(connection, 7, NOT_AN_ACTOR)
        assert connection.execute("SELECT status FROM ticket").fetchall() == [("open",)]
        close(connection, 7, "u-17")
        assert not connection.in_transaction
        query = "SELECT status, tenant_id, actor_id FROM ticket, audit_outbox"
        assert connection.execute(query).fetchall() == [("closed", "acme", "u-17")]


def test_several_tenants_at_once_never_deadlock(url: str) -> None:
    move = snippet("move_budget")["move_budget"]
    at_once = Barrier(4)

    def work() -> None:
        with psycopg.connect(url) as connection:
            at_once.wait(10)
            for _ in range(5):
                move(connection, 10, "billing")

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(work) for _ in range(4)]:
            done.result(30)
    events = committed(url)[1]
    assert events == [(tenant, "BUDGET_UPDATED", "billing") for tenant in ("acme", "globex") for _ in range(20)]


def test_what_deadlocks_is_tried_again(url: str) -> None:
    patiently = snippet("patiently")["patiently"]
    at_once = Barrier(2)
    met: list[Exception] = []
    with psycopg.connect(url) as connection:
        AuditRecorder(connection).record_many([new_event(tenant_id="acme"), new_event(tenant_id="globex")])

    def work(tenants: tuple[str, str]) -> None:
        first = True

        def in_two_calls() -> None:
            nonlocal first
            recorder = AuditRecorder(connection)
            recorder.record_many([new_event(tenant_id=tenants[0])])
            if first:
                first = False
                at_once.wait(10)
            try:
                recorder.record_many([new_event(tenant_id=tenants[1])])
            except OutboxLocked as error:
                met.append(error)
                raise

        with psycopg.connect(url) as connection:
            patiently(connection, in_two_calls)

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(work, ("acme", "globex")), threads.submit(work, ("globex", "acme"))]:
            done.result(30)
    assert len(met) == 1
    assert [tenant for tenant, _, _ in committed(url)[1]] == ["acme"] * 3 + ["globex"] * 3


def test_a_repeated_request_is_recorded_and_done_once(url: str, connection: Connection) -> None:
    close = snippet("close_once")["close_once"]
    for request in ("r-1", "r-1", "r-2"):
        close(connection, 7, "u-17", request)
    assert connection.execute("SELECT closings FROM ticket").fetchall() == [(2,)]
    assert len(committed(url)[1]) == 2


def test_a_refused_event_leaves_the_transaction_usable_and_autocommit_is_refused(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE ticket SET status = 'closed'")
        with pytest.raises(EventRejected):
            AuditRecorder(connection).record(**fields(actor_id=NOT_AN_ACTOR))
        AuditRecorder(connection).record(**fields(actor_id="u-17"))
    assert committed(url) == CLOSED
    with psycopg.connect(url, autocommit=True) as connection, pytest.raises(RecorderError, match="autocommit mode"):
        AuditRecorder(connection).record(**fields(actor_id="u-18"))
    assert committed(url) == CLOSED


def fields(**others: str) -> EventFields:
    given = {"tenant_id": "acme", "action": "TICKET_CLOSED", "entity_type": "ticket", "entity_id": "7"}
    return EventFields(**{**given, "actor_type": "user", **others})  # type: ignore[typeddict-item]


def test_the_role_that_the_page_grants_is_enough(url: str, postgresql: Postgresql) -> None:
    [statement] = [block.text for block in blocks(PAGE) if block.language == "sql"]
    login = f"app_{url.rpartition('_')[2]}"
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {login} LOGIN PASSWORD 'only-for-tests'")  # type: ignore[call-overload]
        try:
            owner.execute(f"GRANT SELECT, UPDATE ON ticket TO {login}")  # type: ignore[call-overload]
            owner.execute(statement.replace(" app;", f" {login};"))
            with psycopg.connect(url, user=login, password="only-for-tests") as connection:
                snippet("close_ticket")["close_ticket"](connection, 7, "u-17")
                with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                    connection.execute("SELECT actor_id FROM audit_outbox")
        finally:
            owner.execute(f"DROP OWNED BY {login}")  # type: ignore[call-overload]
            owner.execute(f"DROP ROLE {login}")  # type: ignore[call-overload]
    assert postgresql.databases == 1
    assert committed(url) == CLOSED


def test_every_snippet_is_run_by_a_test() -> None:
    tests = Path(__file__).read_text(encoding="utf-8")
    for text in SNIPPETS:
        functions = re.findall(r"^(?:async )?def (\w+)\(", text, re.MULTILINE)
        assert any(f'"{name}"' in tests or f"'{name}'" in tests for name in functions), functions


def test_tables_name_what_there_is() -> None:
    cells = re.findall(r"^\| (.+?) \|", PAGE, re.MULTILINE)
    for cell in cells:
        for name in re.findall(r"`([A-Z]\w+)`", cell):
            assert issubclass(getattr(errors, name), errors.LumiError)
    named = {name for cell in cells for name in re.findall(r"`([a-z_]+)`", cell)}
    assert named == set(EventFields.__annotations__) - {"occurred_at", "event_id"}
    assert all(f"`{name}`" in PAGE for name in set(PAYLOAD_COLUMNS) - {"payload_salt", "before_state", "after_state"})
