"""The tests' own servers: one for all workers of a run, and gone with it."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.postgresql import CHOICE, Postgresql, PrivatePostgresql

REPOSITORY = Path(__file__).parents[1]
LONG = 60.0  # seconds; a deadline for what takes about one

OUTSIDE = """
import os, time
from pathlib import Path

HERE = Path(os.environ["HERE"])

def note(name, url):
    (HERE / name).write_text(url)

def test_one(postgresql):
    note("one", postgresql.url)
    while not (HERE / "two").exists():
        time.sleep(0.01)

def test_two(postgresql):
    note("two", postgresql.url)
    while not (HERE / "one").exists() or (HERE / "stay").exists():
        time.sleep(0.01)
"""


@pytest.fixture
def outside() -> Iterator[Path]:
    """A directory with two tests that need each other running, and a server; they note the server's address here.

    Not in the tests' usual place, which the server's owner can't enter, and whose path is too long for its socket.
    """
    with tempfile.TemporaryDirectory(prefix="lumi-outside-") as name:
        directory = Path(name)
        directory.chmod(0o711)
        (directory / "test_outside.py").write_text(OUTSIDE)
        (directory / "temporary").mkdir(mode=0o711)
        yield directory


def start(outside: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    """pytest over these tests; its servers are in a directory of their own, or what is left could be anybody's."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = inherited | {"HERE": str(outside), "TMPDIR": str(outside / "temporary")} | environment
    plugins = ["-p", "tests.servers", "-p", "tests.postgresql", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-rs", "-c", "pyproject.toml", *plugins, *options, str(outside)]
    return subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True)


def wait_until_gone(outside: Path, url: str) -> None:
    """Fails unless soon nothing answers at the address and none of the server's files is left."""
    end = time.monotonic() + LONG
    while list((outside / "temporary").glob("lumi-server-*")):
        assert time.monotonic() < end, "the server's files are still there"
        time.sleep(0.02)
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(url)


@pytest.mark.slow
def test_the_workers_share_one_server_which_is_gone_after_the_run(outside: Path) -> None:
    with start(outside, "-n", "2") as run:
        output = run.communicate(timeout=LONG)[0]
    assert run.returncode == 0, output
    url = (outside / "one").read_text()
    assert url == (outside / "two").read_text()
    wait_until_gone(outside, url)


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_the_server_is_gone_however_the_run_ended(outside: Path, ending: signal.Signals) -> None:
    (outside / "stay").touch()
    with start(outside, "-n", "2") as run:
        end = time.monotonic() + LONG
        while not ((outside / "one").exists() and (outside / "two").exists()):
            assert run.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        url = (outside / "two").read_text()
        psycopg.connect(url).close()
        run.send_signal(ending)
        (outside / "stay").unlink()
        wait_until_gone(outside, url)


def test_without_a_server_to_start_a_test_is_skipped_and_told_what_to_install(outside: Path) -> None:
    with start(outside, **{CHOICE: str(outside / "nothing")}) as run:
        output = run.communicate(timeout=LONG)[0]
    assert "2 skipped" in output
    assert "PostgreSQL's server is not installed" in output
    assert "apt-get install postgresql" in output
    assert run.returncode == 0
    assert not list((outside / "temporary").glob("lumi-server-*"))


def test_a_database_is_created_and_copied_and_orders_text_by_language(postgresql: Postgresql) -> None:
    first = postgresql.create_database()
    with psycopg.connect(first) as connection:
        connection.execute("CREATE TABLE words AS SELECT unnest(ARRAY['b', 'A', 'a', 'B']) AS word")
    with psycopg.connect(postgresql.create_database(template=first)) as connection:
        words = connection.execute("SELECT word FROM words ORDER BY word").fetchall()
        assert "".join(word for (word,) in words) == "aAbB"
        assert connection.execute("SHOW timezone").fetchone() == ("Asia/Kolkata",)


def test_a_private_server_survives_a_crash_and_the_end_of_its_sessions(private_postgresql: PrivatePostgresql) -> None:
    url = private_postgresql.create_database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    private_postgresql.stop("immediate")
    private_postgresql.start()
    connection = psycopg.connect(url)
    assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
    assert private_postgresql.kill_backends() == 1
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()
