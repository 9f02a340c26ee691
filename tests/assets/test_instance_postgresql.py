"""``dagster.yaml`` with its PostgreSQL storage: first starts, runs at the same time, outages, and no password told."""

import logging
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import psycopg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration
from psycopg import sql

from assets.__main__ import main
from assets.definitions import defs
from assets.embedded import embedded_instance
from assets.partitions import range_tags
from assets.postgresql import LOCK
from assets.resources import PipelineResource
from assets.sensors import gaps
from lumi_pipeline.days import last_complete_day
from lumi_pipeline.pipeline import Pipeline
from tests.assets.serving import clean, copy_project, dev
from tests.assets.settings import with_postgresql
from tests.lake.world import ORIGIN, World
from tests.postgresql import Postgresql, PrivatePostgresql
from transparency.logview import LogView

pytest.importorskip("dagster_postgres", reason="dagster-postgres is not installed; it comes with an extra of that name")

URL = "LUMI_DAGSTER_POSTGRES_URL"
LONG = 60.0  # seconds; a deadline for what takes a few

# By the real clock, as the commands go by it. So that midnight can't fall into a test, the last day is named.
LAST = last_complete_day(datetime.now(UTC))
FIRST = LAST - timedelta(days=1)

OPEN = """
from assets.embedded import *
with embedded_instance() as instance:
    print(instance.get_runs(), instance.all_asset_keys(), instance.all_instigator_state())
"""

TIME_ZONE = sql.SQL("ALTER DATABASE {} SET timezone TO {}")


@dataclass(frozen=True, slots=True)
class Database:
    """A database of Dagster's own, with an owner who has nothing else, and a password that nothing else contains."""

    url: str
    password: str

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


@pytest.fixture
def database(postgresql: Postgresql) -> Iterator[Database]:
    created = postgresql.create_database()
    name, password = created.rpartition("/")[2], secrets.token_hex(8)
    owner = sql.Identifier(name)  # of the same name, as users are not a database's but the server's
    with psycopg.connect(postgresql.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(owner, password))
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(owner, owner))
        connection.execute(TIME_ZONE.format(owner, "UTC"))
    yield Database(f"postgresql://{name}:{password}@{created.partition('@')[2]}", password)
    postgresql.drop_databases()
    with psycopg.connect(postgresql.url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP ROLE {}").format(owner))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Two days to do, and a ``lumi.toml``."""
    world = World.create(tmp_path / "world", datetime.combine(LAST, clock(12), UTC))
    (world.directory / "lumi.toml").write_text(
        f'root = "lake"\noutbox = "sqlite:///outbox.db"\norigin = "{ORIGIN}"\n'
        'log_key_file = "log.key"\nevidence_key_file = "evidence.key"\n'
    )
    world.record_all([(tenant, datetime.combine(day, clock(12), UTC)) for day in (FIRST, LAST) for tenant in "ab"])
    return world


def pipeline(world: World) -> Pipeline:
    return PipelineResource(config_file=str(world.directory / "lumi.toml")).open()


@dataclass(frozen=True, slots=True)
class Machine:
    """A place of its own to start processes in, with the settings of the shared instance."""

    directory: Path
    url: str

    @property
    def environment(self) -> dict[str, str]:
        return clean(self.directory, **{URL: self.url})

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def do(self, world: World, first: date, last: date) -> subprocess.Popen[str]:
        config = str(world.directory / "lumi.toml")
        return self.start("-m", "assets", "--config", config, "--from", str(first), "--to", str(last))


@pytest.fixture
def machines(tmp_path: Path, database: Database) -> Callable[[int], list[Machine]]:
    def make(count: int) -> list[Machine]:
        return [machine(tmp_path / f"machine-{number}", database.url) for number in range(count)]

    return make


def machine(directory: Path, url: str) -> Machine:
    directory.mkdir()
    (directory / "dagster.yaml").write_text(with_postgresql(), encoding="utf-8")
    return Machine(directory, url)


@pytest.fixture
def here(tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """This process is on such a machine too."""
    here = machine(tmp_path / "here", database.url)
    monkeypatch.chdir(here.directory)
    monkeypatch.setenv(URL, database.url)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return here


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    end = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < end
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.05)


def tables(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return [name for (name,) in found]


@pytest.mark.slow
def test_first_starts_on_several_machines_go_one_after_the_other(
    machines: Callable[[int], list[Machine]], database: Database
) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid "
    waiting += "FROM pg_database WHERE datname = current_database())"
    with psycopg.connect(database.url) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        processes = [machine.start("-c", OPEN) for machine in machines(4)]
        wait_until(lambda: connection.execute(waiting).fetchone() == (4,))
        assert tables(database.url) == []
    for process in processes:
        out, err = process.communicate(timeout=LONG)
        assert (process.returncode, out, err) == (0, "[] [] []\n", "")


@pytest.mark.slow
def test_dagster_itself_makes_the_tables_and_migrates_them(
    machines: Callable[[int], list[Machine]], database: Database
) -> None:
    [machine] = machines(1)
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "dagster", "instance", "migrate"],
            cwd=machine.directory,
            env={**machine.environment, "DAGSTER_HOME": str(machine.directory)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert database.password not in done.stdout + done.stderr
        assert {"runs", "event_logs", "job_ticks"} < set(tables(database.url))


@pytest.mark.slow
def test_runs_over_different_days_at_the_same_time_do_each_day_once(
    world: World, machines: Callable[[int], list[Machine]], here: Machine, database: Database
) -> None:
    waiting = dict(zip((FIRST, LAST), machines(2), strict=True))
    for attempt in range(3):
        processes = {day: machine.do(world, day, day) for day, machine in waiting.items()}
        for day, process in processes.items():
            out, err = process.communicate(timeout=LONG)
            assert "Traceback" not in out + err
            assert database.password not in out + err
            if process.returncode == 0:
                del waiting[day]
            else:
                assert process.returncode == 1
                assert f"{FIRST} comes first" in err or "another run" in err.lower()
        if not waiting:
            break
        assert attempt < 2, "a second and a third run did not complete it either"

    assert LogView(world.store).state().published_size == 3  # the log's own entry and the two days
    assert sorted(key for key in world.store.list("seals/") if key.endswith("/day.txt")) == [
        f"seals/day={day}/day.txt" for day in (FIRST, LAST)
    ]
    verified = here.start("-m", "lumi_pipeline", "--config", str(world.directory / "lumi.toml"), "verify", "--all")
    out, err = verified.communicate(timeout=LONG)
    assert verified.returncode == 0, out + err
    with embedded_instance() as instance:
        runs = instance.get_runs()
        succeeded = [run for run in runs if run.status is dg.DagsterRunStatus.SUCCESS]
        assert {run.job_name for run in runs} == {"daily"}
        assert len(succeeded) == 2
        for asset in ("sealed_events", "published_day"):
            assert instance.get_materialized_partitions(dg.AssetKey(asset)) == {str(FIRST), str(LAST)}


@pytest.mark.slow
def test_a_day_before_its_turn_is_refused_and_its_events_are_kept(
    world: World, machines: Callable[[int], list[Machine]]
) -> None:
    [machine] = machines(1)
    process = machine.do(world, LAST, LAST)
    _, err = process.communicate(timeout=LONG)
    assert process.returncode == 1
    assert err == f"error: days are sealed in order, without a gap: {FIRST} comes first\n"
    own = pipeline(world)
    assert own.land().rows == 0  # that run has landed all there is
    assert own.missing_days(LAST) == [FIRST, LAST]


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_the_daemon_does_what_is_missing_and_nothing_holds_the_password(
    world: World, tmp_path: Path, database: Database
) -> None:
    own = pipeline(world)
    own.land()
    project = copy_project(tmp_path / "project", with_postgresql())
    environment = clean(project, **{URL: database.url, "LUMI_CONFIG": str(world.directory / "lumi.toml")})
    validated = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert validated.returncode == 0, validated.stderr
    query = "{ assetNodes { id } runsOrError { ... on Runs { results { status tags { key value } } } } }"

    def done(run: dict[str, object]) -> bool:
        return run["status"] == "SUCCESS" and {"key": "dagster/sensor_name", "value": "gaps"} in run["tags"]

    with dev("dagster", project, environment) as ask:
        wait_until(lambda: any(map(done, ask(query)["runsOrError"]["results"])))
        arguments = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert own.missing_days(LAST) == own.unpublished_days() == []
    assert not any(database.password.encode() in line for line in arguments)
    assert "Traceback" not in (project / "dev.log").read_text()
    files = [path for path in project.rglob("*") if path.is_file() and not path.is_relative_to(project / "assets")]
    assert project / "dev.log" in files
    assert not any(database.password.encode() in path.read_bytes() for path in files)
    with psycopg.connect(database.url) as connection:
        for name in tables(database.url):
            table = sql.Identifier(name)
            holding = sql.SQL("SELECT count(*) FROM {} WHERE {}::text LIKE {}")
            assert connection.execute(holding.format(table, table, f"%{database.password}%")).fetchone() == (0,)
    with embedded_instance() as instance:
        assert {state.instigator_name for state in instance.all_instigator_state()} >= {"gaps", "failure_alert"}


@pytest.mark.slow
def test_a_killed_run_is_waited_for_until_its_time_is_up(
    world: World, machines: Callable[[int], list[Machine]], here: Machine
) -> None:
    pipeline(world).land()
    connection = world.outbox.connect()
    connection.execute("BEGIN IMMEDIATE")  # so that closing the day waits
    process = machines(1)[0].do(world, FIRST, LAST)
    with embedded_instance() as instance:
        started = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
        wait_until(lambda: instance.get_runs_count(started) == 1, process)
        process.kill()
        process.communicate()
        connection.close()
        assert "in progress" in gap(instance, world)
        monitor(instance)
        assert instance.get_runs_count(started) == 1
    settings = here.directory / "dagster.yaml"
    limit = "max_runtime_seconds: 21600"
    assert limit in settings.read_text()
    settings.write_text(settings.read_text().replace(limit, "max_runtime_seconds: 1"))
    with embedded_instance() as instance:
        wait_until(lambda: monitor(instance) and instance.get_runs_count(started) == 0)
        [run] = instance.get_runs()
        assert run.status is dg.DagsterRunStatus.FAILURE
        assert "failed less than" in gap(instance, world)


def gap(instance: dg.DagsterInstance, world: World) -> str:
    """Why the gap sensor asks for no run."""
    with dg.build_sensor_context(instance) as context:
        answer = gaps(context, pipeline=PipelineResource(config_file=str(world.directory / "lumi.toml")))
    assert isinstance(answer, dg.SkipReason)
    return str(answer.skip_message)


def monitor(instance: dg.DagsterInstance) -> bool:
    """What the daemon does every two minutes."""
    with WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as workspace:
        assert list(execute_run_monitoring_iteration(workspace, logging.getLogger("monitoring"))) == [None]
    return True


def in_time_zone(zone: str, database: Database, postgresql: Postgresql) -> None:
    with psycopg.connect(postgresql.url, autocommit=True) as connection:
        connection.execute(TIME_ZONE.format(sql.Identifier(database.name), zone))


def test_a_failed_range_is_left_alone_whatever_time_zone_the_database_works_in(
    world: World, here: Machine, database: Database, postgresql: Postgresql
) -> None:
    in_time_zone("America/New_York", database, postgresql)
    pipeline(world).land()
    with dg.DagsterInstance.from_config(str(here.directory)) as instance:
        days = [FIRST, LAST]
        run = instance.create_run_for_job(defs.resolve_job_def("daily"), tags=range_tags(days))
        instance.report_run_failed(run)
        assert "failed less than 1:00:00 ago" in gap(instance, world)


@pytest.fixture
def told(here: Machine, world: World, capfd: pytest.CaptureFixture[str]) -> Callable[[], tuple[int, str]]:
    """Run the command; return how it ends and the one message that it ends with."""

    def run() -> tuple[int, str]:
        assert here.directory == Path.cwd()
        code = main(("--config", str(world.directory / "lumi.toml"), "--from", str(FIRST), "--to", str(FIRST)))
        out, err = capfd.readouterr()
        assert out == f"1 day to do: {FIRST}\n"
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        return code, err

    return run


def test_a_database_in_another_time_zone_is_refused(
    told: Callable[[], tuple[int, str]], database: Database, postgresql: Postgresql
) -> None:
    in_time_zone("America/New_York", database, postgresql)
    code, err = told()
    assert code == 2
    assert "works in the time zone America/New_York" in err
    assert f"ALTER DATABASE \"{database.name}\" SET timezone TO 'UTC'" in err
    assert tables(database.url) == []


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
    *,
    told: Callable[[], tuple[int, str]],
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    code: int,
    message: str,
) -> None:
    good = urlsplit(database.url)
    parts = {"user": good.username, "password": database.password, "host": good.hostname, "port": good.port}
    monkeypatch.setenv(URL, url.format(**parts))
    found, err = told()
    assert message in err
    assert found == code
    assert "s3cr3t" not in err
    assert database.password not in err


def test_a_missing_package_is_named(told: Callable[[], tuple[int, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dagster_postgres", None)  # what Python takes for not installed
    code, err = told()
    assert (code, "pip install 'lumi-pipeline[dagster-postgres]'" in err) == (2, True)


@pytest.mark.slow
def test_an_outage_in_the_middle_of_a_run_is_told_and_a_rerun_completes(
    world: World, tmp_path: Path, private_postgresql: PrivatePostgresql
) -> None:
    database = private_postgresql.create_database()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(TIME_ZONE.format(sql.Identifier(database.rpartition("/")[2]), "UTC"))
    here = machine(tmp_path / "here", database)
    pipeline(world).land()
    connection = world.outbox.connect()
    connection.execute("BEGIN IMMEDIATE")  # so that closing the day waits
    process = here.do(world, FIRST, LAST)
    wait_until(lambda: started(database) == 1, process)
    private_postgresql.stop("immediate")
    connection.close()
    out, err = process.communicate(timeout=LONG)
    assert process.returncode == 1
    assert "Traceback" not in out + err
    assert "only-for-tests" not in out + err
    [last] = [line for line in err.splitlines() if line.startswith("error: ")]
    assert "Dagster can't keep its records" in last
    private_postgresql.start()
    process = here.do(world, FIRST, LAST)
    out, err = process.communicate(timeout=LONG)
    assert (process.returncode, err) == (0, "")
    assert pipeline(world).unpublished_days() == pipeline(world).missing_days(LAST) == []


def started(url: str) -> int:
    """How many runs have begun, by Dagster's tables, which may not be there yet."""
    if "runs" not in tables(url):
        return 0
    with psycopg.connect(url) as connection:
        [(count,)] = connection.execute("SELECT count(*) FROM runs WHERE status = 'STARTED'").fetchall()
    return int(count)
