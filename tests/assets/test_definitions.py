"""What Dagster is told of us, as one list: whatever is added, renamed or dropped shows here."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg

from assets.definitions import defs

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_golden_list() -> None:
    graph = defs.resolve_asset_graph()
    repository = defs.get_repository_def()
    assert {
        "assets": {
            key.to_user_string(): (
                node.group_name,
                sorted(node.kinds),
                sorted(parent.to_user_string() for parent in node.parent_keys),
                type(node.partitions_def).__name__,
            )
            for key in graph.get_all_asset_keys()
            for node in [graph.get(key)]
        },
        "checks": {
            f"{key.asset_key.to_user_string()}.{key.name}": graph.get_check_spec(key).blocking
            for key in graph.asset_check_keys
        },
        "jobs": sorted(job.name for job in repository.get_all_jobs() if job.name != "__ASSET_JOB"),
        "schedules": {
            schedule.name: (schedule.job_name, schedule.cron_schedule, schedule.execution_timezone)
            for schedule in repository.schedule_defs
        },
        "sensors": {sensor.name: type(sensor).__name__ for sensor in repository.sensor_defs},
        "resources": sorted(repository.get_top_level_resources()),
    } == {
        "assets": {
            "analyst_database": ("audit_log", ["duckdb"], ["published_day"], "DailyPartitionsDefinition"),
            "landed_events": ("audit_log", ["parquet", "sqlite"], [], "NoneType"),
            "published_day": (
                "audit_log",
                ["transparencylog"],
                ["sealed_events"],
                "DailyPartitionsDefinition",
            ),
            "sealed_events": ("audit_log", ["parquet"], ["landed_events"], "DailyPartitionsDefinition"),
            "siem_batches": ("siem", ["json"], ["landed_events"], "DailyPartitionsDefinition"),
            "siem_deliveries": ("siem", ["https"], ["siem_batches"], "DailyPartitionsDefinition"),
            "tenant_evidence": ("audit_log", ["csv"], ["published_day"], "MonthlyPartitionsDefinition"),
            "tenant_feeds": ("siem", ["json"], ["landed_events"], "DailyPartitionsDefinition"),
        },
        "checks": {
            "landed_events.chain_intact": False,
            "landed_events.heads_equal": False,
            "published_day.index_is_day": True,
            "published_day.log_consistent": True,
            "sealed_events.chain_intact": True,
            "sealed_events.counts_reconcile": True,
            "sealed_events.manifest_matches_bytes": True,
            "sealed_events.root_recomputes": True,
            "siem_batches.all_planned": False,
            "siem_deliveries.deliveries_reconcile": False,
            "tenant_evidence.bundles_verify": False,
        },
        "jobs": ["audit_everything", "daily", "landing", "monthly_evidence", "siem_delivery", "witness_submission"],
        "schedules": {
            "audit_schedule": ("audit_everything", "0 3 * * 0", "UTC"),
            "daily_schedule": ("daily", "15 0 * * *", "UTC"),
            "evidence_schedule": ("monthly_evidence", "0 4 2 * *", "UTC"),
            "landing_schedule": ("landing", "*/5 * * * *", "UTC"),
            "siem_reconcile_schedule": ("siem_delivery", "30 1 * * *", "UTC"),
            "witness_schedule": ("witness_submission", "15 6,12,18 * * *", "UTC"),
        },
        "sensors": {
            "failure_alert": "RunStatusSensorDefinition",
            "finding_alert": "RunStatusSensorDefinition",
            "gaps": "SensorDefinition",
            "siem_waiting": "SensorDefinition",
        },
        "resources": ["pipeline"],
    }


def test_everything_says_what_it_is_and_whose() -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description, key
        assert node.owners, key
        assert node.backfill_policy == dg.BackfillPolicy.single_run(), key
    for check in graph.asset_check_keys:
        assert graph.get_check_spec(check).description, check
    repository = defs.get_repository_def()
    for described in (*repository.schedule_defs, *repository.sensor_defs):
        assert described.description, described.name
    for job in repository.get_all_jobs():
        assert job.description or job.name == "__ASSET_JOB", job.name
        assert job.executor_def is dg.in_process_executor, job.name


def test_everything_starts_by_itself() -> None:
    repository = defs.get_repository_def()
    assert {s.default_status for s in repository.schedule_defs} == {dg.DefaultScheduleStatus.RUNNING}
    assert {s.default_status for s in repository.sensor_defs} == {dg.DefaultSensorStatus.RUNNING}


def python(code: str, directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LUMI_", "DAGSTER_"))}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=directory,
        env={**environment, "PYTHONPATH": str(REPOSITORY), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_loading_the_definitions_touches_nothing(tmp_path: Path) -> None:
    """No configuration is read, nothing is opened or made: a broken one must not take the code location down."""
    (tmp_path / "lumi.toml").write_text("this is not TOML")
    loaded = python(
        "import sys\n"
        "def refuse(event, arguments):\n"
        "    if event in ('socket.connect', 'sqlite3.connect'):\n"
        "        raise RuntimeError(event)\n"
        "sys.addaudithook(refuse)\n"
        "import assets.definitions\n",
        tmp_path,
    )
    assert (loaded.returncode, loaded.stderr) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["lumi.toml"]


def test_finding_out_that_nothing_is_to_do_loads_no_dagster(tmp_path: Path) -> None:
    loaded = python("import sys, assets.__main__; sys.exit('dagster' in sys.modules)", tmp_path)
    assert (loaded.returncode, loaded.stderr) == (0, "")


def test_the_calendar_begins_where_the_environment_says(tmp_path: Path) -> None:
    code = "from assets.partitions import DAYS; print(DAYS.get_first_partition_key())"
    assert python(code, tmp_path).stdout == "2000-01-01\n"
    assert python(code, tmp_path, LUMI_FIRST_DAY="1999-07-04").stdout == "1999-07-04\n"
    assert "LUMI_FIRST_DAY" in python(code, tmp_path, LUMI_FIRST_DAY="yesterday").stderr
