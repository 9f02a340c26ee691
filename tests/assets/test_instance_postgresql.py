"""``dagster.yaml`` with its PostgreSQL storage: first starts, runs at the same time, runs that die, outages."""

import logging
import subprocess
import sys
from pathlib import Path

import dagster as dg
import psycopg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration
from psycopg import sql

from assets.definitions import defs
from assets.embedded import embedded_instance
from assets.partitions import range_tags
from assets.postgresql import LOCK
from assets.resources import PipelineResource
from assets.sensors import gaps
from tests.assets.machines import FIRST, LAST, LONG, URL, Database, Machine, new_database, pipeline, wait_until
from tests.assets.serving import clean, copy_project, dev
from tests.assets.settings import with_postgresql
from tests.lake.world import World
from tests.postgresql import PrivatePostgresql
from transparency.logview import LogView

OPEN = """
from assets.embedded import *
with embedded_instance() as instance:
    print(instance.get_runs(), instance.all_asset_keys(), instance.all_instigator_state())
"""

WAITING = """
SELECT count(*) FROM pg_locks
WHERE locktype = 'advisory' AND NOT granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@pytest.mark.slow
def test_first_starts_on_several_machines_go_one_after_the_other(tmp_path: Path, database: Database) -> None:
    machines = [Machine.create(tmp_path / name, database) for name in "abc"]
    with psycopg.connect(database.url) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        processes = [machine.start("-c", OPEN) for machine in machines]
        wait_until(lambda: connection.execute(WAITING).fetchone() == (3,))
        assert database.tables() == []
    for process in processes:
        out, err = process.communicate(timeout=LONG)
        assert (process.returncode, out, err) == (0, "[] [] []\n", "")


@pytest.mark.slow
def test_dagster_itself_makes_the_tables_and_migrates_them(tmp_path: Path, database: Database) -> None:
    machine = Machine.create(tmp_path / "machine", database)
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
        assert {"runs", "event_logs", "job_ticks"} < set(database.tables())


@pytest.mark.slow
def test_runs_over_different_days_at_the_same_time_do_each_day_once(
    days_to_do: World, tmp_path: Path, here: Machine, database: Database
) -> None:
    waiting = {day: Machine.create(tmp_path / str(day), database) for day in (FIRST, LAST)}
    for attempt in range(3):
        processes = {day: machine.do(days_to_do, day, day) for day, machine in waiting.items()}
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

    assert LogView(days_to_do.store).state().published_size == 3  # the log's own entry and the two days
    assert sorted(key for key in days_to_do.store.list("seals/") if key.endswith("/day.txt")) == [
        f"seals/day={day}/day.txt" for day in (FIRST, LAST)
    ]
    verified = here.start("-m", "lumi_pipeline", "--config", str(days_to_do.directory / "lumi.toml"), "verify", "--all")
    out, err = verified.communicate(timeout=LONG)
    assert verified.returncode == 0, out + err
    with embedded_instance() as instance:
        runs = instance.get_runs()
        assert {run.job_name for run in runs} == {"daily"}
        assert len([run for run in runs if run.status is dg.DagsterRunStatus.SUCCESS]) == 2
        for asset in ("sealed_events", "published_day"):
            assert instance.get_materialized_partitions(dg.AssetKey(asset)) == {str(FIRST), str(LAST)}


@pytest.mark.slow
def test_a_day_before_its_turn_is_refused_and_its_events_are_kept(days_to_do: World, here: Machine) -> None:
    process = here.do(days_to_do, LAST, LAST)
    _, err = process.communicate(timeout=LONG)
    assert process.returncode == 1
    assert err == f"error: days are sealed in order, without a gap: {FIRST} comes first\n"
    own = pipeline(days_to_do)
    assert own.land().rows == 0  # that run has landed all there is
    assert own.missing_days(LAST) == [FIRST, LAST]


@pytest.mark.slow
@pytest.mark.usefixtures("here")
def test_the_daemon_does_what_is_missing_and_nothing_holds_the_password(
    days_to_do: World, tmp_path: Path, database: Database
) -> None:
    own = pipeline(days_to_do)
    own.land()
    project = copy_project(tmp_path / "project", with_postgresql())
    environment = clean(project, **{URL: database.url, "LUMI_CONFIG": str(days_to_do.directory / "lumi.toml")})
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
    asked_for = {"key": "dagster/sensor_name", "value": "gaps"}
    with dev("dagster", project, environment) as ask:
        wait_until(
            lambda: any(
                run["status"] == "SUCCESS" and asked_for in run["tags"] for run in ask(query)["runsOrError"]["results"]
            )
        )
        processes = command_lines()
    assert own.missing_days(LAST) == own.unpublished_days() == []
    if sys.platform == "linux":
        assert any(b"dagster" in line for line in processes)
    assert not any(database.password.encode() in line for line in processes)
    assert "Traceback" not in (project / "dev.log").read_text()
    files = [path for path in project.rglob("*") if path.is_file() and not path.is_relative_to(project / "assets")]
    assert project / "dev.log" in files
    assert not any(database.password.encode() in path.read_bytes() for path in files)
    with psycopg.connect(database.url) as connection:
        for name in database.tables():
            holding = sql.SQL("SELECT count(*) FROM {0} WHERE {0}::text LIKE {1}")
            query_of = holding.format(sql.Identifier(name), f"%{database.password}%")
            assert connection.execute(query_of).fetchone() == (0,)
    with embedded_instance() as instance:
        assert {state.instigator_name for state in instance.all_instigator_state()} >= {"gaps", "failure_alert"}


def command_lines() -> list[bytes]:
    """Those of all processes, where the system shows them as files."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes())
        except OSError:
            continue  # it has ended
    return found


@pytest.mark.slow
def test_a_killed_run_is_waited_for_until_its_time_is_up(days_to_do: World, here: Machine, database: Database) -> None:
    pipeline(days_to_do).land()
    connection = days_to_do.outbox.connect()
    connection.execute("BEGIN IMMEDIATE")  # so that closing the day waits
    process = here.do(days_to_do, FIRST, LAST)
    wait_until(lambda: database.runs("STARTED") == 1, process)
    process.kill()
    process.communicate()
    connection.close()
    with embedded_instance() as instance:
        assert "in progress" in gap(instance, days_to_do)
        monitor(instance)
        assert database.runs("STARTED") == 1
    settings = here.directory / "dagster.yaml"
    limit = "max_runtime_seconds: 21600"
    assert limit in settings.read_text()
    settings.write_text(settings.read_text().replace(limit, "max_runtime_seconds: 1"))
    with embedded_instance() as instance:
        wait_until(lambda: monitor(instance) and database.runs("STARTED") == 0)
        assert database.runs("FAILURE") == 1
        assert "failed less than" in gap(instance, days_to_do)


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


def test_a_failed_range_is_left_alone_whatever_time_zone_the_database_works_in(
    days_to_do: World, here: Machine, database: Database
) -> None:
    database.work_in("America/New_York")
    pipeline(days_to_do).land()
    with dg.DagsterInstance.from_config(str(here.directory)) as instance:
        run = instance.create_run_for_job(defs.resolve_job_def("daily"), tags=range_tags([FIRST, LAST]))
        instance.report_run_failed(run)
        assert "failed less than 1:00:00 ago" in gap(instance, days_to_do)


@pytest.mark.slow
def test_an_outage_in_the_middle_of_a_run_is_told_and_a_rerun_completes(
    days_to_do: World, tmp_path: Path, private_postgresql: PrivatePostgresql
) -> None:
    pytest.importorskip("dagster_postgres", reason="dagster-postgres is not installed; an extra of that name brings it")
    with new_database(private_postgresql) as database:
        here = Machine.create(tmp_path / "here", database)
        pipeline(days_to_do).land()
        connection = days_to_do.outbox.connect()
        connection.execute("BEGIN IMMEDIATE")  # so that closing the day waits
        process = here.do(days_to_do, FIRST, LAST)
        wait_until(lambda: database.runs("STARTED") == 1, process)
        private_postgresql.stop("immediate")
        connection.close()
        out, err = process.communicate(timeout=LONG)
        assert process.returncode == 1
        assert "Traceback" not in out + err
        assert database.password not in out + err
        [last] = [line for line in err.splitlines() if line.startswith("error: ")]
        assert "Dagster can't keep its records" in last
        private_postgresql.start()
        process = here.do(days_to_do, FIRST, LAST)
        out, err = process.communicate(timeout=LONG)
        assert (process.returncode, err) == (0, "")
        own = pipeline(days_to_do)
        assert own.unpublished_days() == own.missing_days(LAST) == []
