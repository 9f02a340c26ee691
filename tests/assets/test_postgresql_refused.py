"""Dagster's database can't be used: ``python -m assets`` says so in one message, without the password."""

import sys
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from assets.__main__ import main
from assets.embedded import HOME
from tests.assets.machines import FIRST, URL, Database, Machine, arguments
from tests.lake.world import World

Told = Callable[[], tuple[int, str]]


@pytest.fixture
def told(here: Machine, days_to_do: World, capfd: pytest.CaptureFixture[str]) -> Told:
    """Run the command; return how it ends and the one message that it ends with."""

    def run() -> tuple[int, str]:
        code = main(arguments(days_to_do, FIRST, FIRST))
        out, err = capfd.readouterr()
        assert out == f"1 day to do: {FIRST}\n"
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert [path.name for path in (here.directory / HOME).iterdir()] == ["start.lock"]  # nothing is kept elsewhere
        return code, err

    return run


@pytest.mark.parametrize(
    ("url", "code", "message"),
    [
        ("postgresql://{user}:s3cr3t@{host}:{port}/{user}", 1, "password authentication failed"),
        ("postgresql://{user}:s3cr3t%@{host}:{port}/{user}", 1, "password authentication failed"),
        ("postgresql://nobody:s3cr3t@{host}:{port}/{user}", 1, "password authentication failed"),
        ("postgresql://{user}:s3cr3t@{host}:1/{user}", 1, "Connection refused"),
        ("postgresql://{user}:{password}@{host}:{port}/s0meth1ng", 1, '"s0meth1ng" does not exist'),
        ("postgresql://{user}:{password}@{host}:{port}/{user}?sslmode=require", 1, "SSL"),
        ("postgresql://{user}:{password}@{host}:{port}/{user}?mode=s", 1, 'invalid connection option "mode"'),
        (
            "postgresql://{user}:{password}@{host}:{port}/postgres?options=-c%20timezone%3DUTC",
            1,
            "permission denied for schema public",
        ),
        ("postgresql://{user}:s3cr3t@s3cr3t@{host}:{port}/{user}", 2, "is not a URL of PostgreSQL"),
        ("postgresql://{user}:s3cr3t@{host}:s3cr3t/{user}", 2, "is not a URL of PostgreSQL"),
        ("postgres://{user}:s3cr3t@{host}:{port}/{user}", 2, "is not a URL of PostgreSQL"),
        ("s3cr3t", 2, "is not a URL of PostgreSQL"),
        ("", 2, f"{URL} is not set"),
    ],
)
def test_what_is_wrong_with_the_database_is_one_message_without_the_password(
    *, told: Told, database: Database, monkeypatch: pytest.MonkeyPatch, url: str, code: int, message: str
) -> None:
    good = urlsplit(database.url)
    parts = {"user": good.username, "password": database.password, "host": good.hostname, "port": good.port}
    monkeypatch.setenv(URL, url.format(**parts))
    found, err = told()
    assert message in err
    assert found == code
    assert "s3cr3t" not in err
    assert database.password not in err


def test_a_database_in_another_time_zone_is_refused(told: Told, database: Database) -> None:
    database.work_in("America/New_York")
    code, err = told()
    assert code == 2
    assert "works in the time zone America/New_York" in err
    assert f"ALTER DATABASE \"{database.name}\" SET timezone TO 'UTC'" in err
    assert database.tables() == []


def test_a_missing_package_is_named(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dagster_postgres", None)  # what Python takes for not installed
    code, err = told()
    assert (code, "pip install 'lumi-pipeline[dagster-postgres]'" in err) == (2, True)
