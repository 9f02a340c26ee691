"""Machines that share one Dagster instance, whose records are in a PostgreSQL database, and a world they all reach."""

import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from lumi_pipeline.config import load_config
from lumi_pipeline.days import last_complete_day
from lumi_pipeline.pipeline import Pipeline
from tests.assets.serving import clean
from tests.assets.settings import with_postgresql
from tests.lake.world import ORIGIN, World
from tests.postgresql import Postgresql

URL: Final = "LUMI_DAGSTER_POSTGRES_URL"
LONG: Final = 180.0
"""Seconds: a deadline, well beyond what anything here takes."""

# By the real clock, as the commands go by it. So that midnight can't fall into a test, the last day is named.
LAST: Final = last_complete_day(datetime.now(UTC))
FIRST: Final = LAST - timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Database:
    """A database of Dagster's own, with an owner who has nothing else, and a password that nothing else contains."""

    url: str
    password: str

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    def tables(self) -> list[str]:
        with psycopg.connect(self.url) as connection:
            found = connection.execute("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return [name for (name,) in found]

    def runs(self, status: str) -> int:
        """How many of Dagster's runs have this status."""
        if "runs" not in self.tables():
            return 0
        with psycopg.connect(self.url) as connection:
            [(count,)] = connection.execute("SELECT count(*) FROM runs WHERE status = %s", [status]).fetchall()
        return int(count)

    def work_in(self, zone: str) -> None:
        """Let its sessions work in this time zone, as an administrator does."""
        statement = sql.SQL("ALTER DATABASE {} SET timezone TO {}").format(sql.Identifier(self.name), zone)
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def new_database(server: Postgresql) -> Iterator[Database]:
    """A database as ``dagster.yaml`` says that it is to be made."""
    created = server.create_database()
    name, password = created.rpartition("/")[2], secrets.token_hex(8)
    owner = sql.Identifier(name)  # of the same name, as users are not a database's but the server's
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(owner, password))
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(owner, owner))
    database = Database(f"postgresql://{name}:{password}@{created.partition('@')[2]}", password)
    database.work_in("UTC")
    yield database
    server.drop_databases()
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP ROLE {}").format(owner))


@dataclass(frozen=True, slots=True)
class Machine:
    """A directory to start processes in, with the settings of the shared instance."""

    directory: Path
    database: Database

    @classmethod
    def create(cls, directory: Path, database: Database) -> "Machine":
        directory.mkdir()
        (directory / "dagster.yaml").write_text(with_postgresql(), encoding="utf-8")
        return cls(directory, database)

    @property
    def environment(self) -> dict[str, str]:
        return clean(self.directory, **{URL: self.database.url})

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Python with these arguments."""
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def do(self, world: World, first: date, last: date) -> subprocess.Popen[str]:
        """Start ``python -m assets`` over these days."""
        return self.start("-m", "assets", *arguments(world, first, last))


def arguments(world: World, first: date, last: date) -> tuple[str, ...]:
    """What ``python -m assets`` is told."""
    return ("--config", str(world.directory / "lumi.toml"), "--from", str(first), "--to", str(last))


def two_days(directory: Path) -> World:
    """A world with two days to do, and a ``lumi.toml``, so that processes find it."""
    world = World.create(directory, datetime.combine(LAST, clock(12), UTC))
    (world.directory / "lumi.toml").write_text(
        f'root = "lake"\noutbox = "sqlite:///outbox.db"\norigin = "{ORIGIN}"\n'
        'log_key_file = "log.key"\nevidence_key_file = "evidence.key"\nanalyst_db = "analyst.duckdb"\n'
    )
    world.record_all([(tenant, datetime.combine(day, clock(12), UTC)) for day in (FIRST, LAST) for tenant in "ab"])
    return world


def pipeline(world: World) -> Pipeline:
    """The world's pipeline, by the real clock, as the processes have it."""
    return Pipeline.open(load_config(world.directory / "lumi.toml"))


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Fails when it takes too long, or when ``process`` ends before."""
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.05)
