"""``python -m assets``: what it says, how it ends, and that it needs nothing set up beforehand."""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from time import sleep

import dagster as dg
import pytest

from assets.__main__ import main
from assets.embedded import HOME, embedded_instance
from lumi_pipeline.days import last_complete_day
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.recorder import AuditRecorder
from tests.databases import database
from tests.lake.places import NewPlace
from tests.lake.world import ORIGIN, World, new_event

REPOSITORY = Path(__file__).resolve().parents[2]
Call = Callable[..., tuple[int, str, str]]

# These tests go by the real clock, as the command does. So that midnight can't fall into one, they name the last day.
LAST = last_complete_day(datetime.now(UTC))
FIRST = LAST - timedelta(days=2)


def noon(day: date) -> datetime:
    return datetime.combine(day, time(12), UTC)


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dagster's records before the first run: making the tables takes a second each time, copying them none."""
    home = tmp_path_factory.mktemp("dagster")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.delenv("DAGSTER_HOME", raising=False)
        with embedded_instance() as instance:
            assert instance.get_runs() == []
    (home / HOME / "start.lock").unlink()
    return home / HOME


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_home: Path, new_place: NewPlace) -> World:
    """The current directory holds a ``lumi.toml``, an outbox without events, keys, and Dagster's empty records."""
    world = World.create(tmp_path / "here", noon(LAST), new_place)
    (world.directory / "lumi.toml").write_text(
        f'root = "{world.config.root}"\noutbox = "{world.config.outbox.url}"\norigin = "{ORIGIN}"\n'
        'log_key_file = "log.key"\nevidence_key_file = "evidence.key"\nanalyst_db = "analyst.duckdb"\n'
    )
    shutil.copytree(empty_home, world.directory / HOME)
    monkeypatch.chdir(world.directory)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return world


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    """Run the command here; return its exit code, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run


def fill(world: World) -> None:
    world.record_all([("acme", noon(FIRST)), ("globex", noon(FIRST)), ("acme", noon(LAST))])


def own(world: World) -> Pipeline:
    return Pipeline.open(world.config)


def test_it_catches_up_and_then_has_nothing_to_do(here: World, call: Call) -> None:
    fill(here)
    code, out, err = call("--to", str(LAST))
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split(",")[0].split(" in ")[0] for line in lines] == [
        "landed 3 events of 2 tenants",
        "2 checks passed",
        f"3 days to do: {FIRST} to {LAST}",
        f"sealed {FIRST}: 2 events of 2 tenants",
        f"sealed {FIRST + timedelta(days=1)}: 0 events of 2 tenants",
        f"sealed {LAST}: 1 event of 2 tenants",
        f"published 3 days ({FIRST} to {LAST}): the log has 4 entries",
        "analyst database: 3 events",
        "8 checks passed",
    ]
    assert call("--to", str(LAST)) == (0, f"Nothing to do: every complete day up to {LAST} is published.\n", "")

    # Dagster has records of both runs, where dagster.yaml says.
    with embedded_instance() as instance:
        runs = instance.get_runs()
        assert sorted((run.job_name, run.status.value) for run in runs) == [
            ("daily", "SUCCESS"),
            ("landing", "SUCCESS"),
        ]
        assert instance.get_latest_materialization_event(dg.AssetKey("published_day")) is not None
    assert (HOME / "history" / "runs.db").exists()


def test_named_days_are_verified_again(here: World, call: Call) -> None:
    fill(here)
    own(here).run(LAST)
    code, out, err = call("--from", str(FIRST), "--to", str(FIRST))
    assert (code, err) == (0, "")
    assert f"1 day to do: {FIRST}\n" in out
    assert f"verified {FIRST}: 2 events" in out


def test_an_empty_outbox_is_said_to_be_empty(here: World, call: Call) -> None:
    code, out, err = call("--to", str(LAST))
    assert (code, err) == (0, "")
    assert out == f"Nothing to do: no event was ever recorded in the outbox {here.outbox.name}.\n"
    assert not (HOME / "start.lock").exists()


def test_the_first_day_is_still_going_on(here: World, call: Call) -> None:
    here.record("acme", datetime.now(UTC) - timedelta(milliseconds=10))
    code, out, err = call("--to", str(LAST))
    assert (code, err) == (0, "")
    assert "landed 1 event of 1 tenant" in out
    assert "No day is complete yet" in out


@pytest.mark.slow
def test_a_broken_chain_is_one_message_and_the_days_before_are_published(here: World, call: Call) -> None:
    fill(here)
    own(here).land()
    own(here).land()
    here.record("globex", noon(LAST))
    here.tamper("UPDATE audit_outbox SET actor_id = 'x' WHERE tenant_id = 'globex' AND seq = 1")
    code, out, err = call("--to", str(LAST))
    assert code == 1
    assert f"error: {LAST} is not sealed: 1 break(s)" in err
    assert "lumi acknowledge" in err
    assert "Traceback" not in err
    assert "landed_events: chain_intact: 1 break(s)" in err
    assert f"published 2 days ({FIRST} to {FIRST + timedelta(days=1)})" in out
    assert own(here).unpublished_days() == []

    assert call("--to", str(LAST))[0] == 1
    own(here).acknowledge(LAST, "a test changed it")
    code, out, err = call("--to", str(LAST))
    assert code == 0
    assert "sealed_events: chain_intact:" in err
    assert f"published 1 day ({LAST})" in out


def test_days_that_a_crash_left_unpublished_go_first(here: World, call: Call) -> None:
    fill(here)
    own(here).land()
    assert len(list(own(here).seal([FIRST]))) == 1
    code, out, _ = call("--to", str(LAST))
    assert code == 0
    assert out.index(f"published 1 day ({FIRST})") < out.index(
        f"published 2 days ({FIRST + timedelta(days=1)} to {LAST})"
    )


def test_a_locked_outbox_is_tried_again_and_then_told(here: World, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(here)
    own(here).land()
    monkeypatch.setattr("assets.failures.PAUSE", 0)
    monkeypatch.setattr(f"{type(here.outbox).__module__}.{type(here.outbox).__name__}.close_day.__defaults__", (0.1,))
    with database(here.outbox) as connection:
        AuditRecorder(connection).record_many([new_event("acme")])
        code, _, err = call("--to", str(LAST))
    assert code == 1
    assert err.count(f"sealed_events is tried again in a moment: {LAST} is not closed") == 2
    assert f"error: {LAST} is not closed: a transaction has been holding" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--from", "yesterday"), 2, "--from"),
        (("--days", "3"), 2, "--days"),
        (("extra",), 2, "extra"),
        (("--from", str(LAST), "--to", str(FIRST)), 2, f"before it begins on {LAST}"),
        (("--config", "nowhere.toml"), 2, "nowhere.toml"),
        (("--to", "9999-12-31"), 1, "is not over yet"),
        (("--from", str(FIRST), "--to", "9999-12-31"), 1, "is not over yet"),
    ],
)
def test_mistakes_are_told_plainly(
    here: World, call: Call, arguments: tuple[str, ...], code: int, message: str
) -> None:
    fill(here)
    found, _, err = call(*arguments)
    assert (found, "Traceback" in err) == (code, False)
    assert message in err
    assert not (HOME / "start.lock").exists()


def test_a_day_before_the_log_is_refused(here: World, call: Call) -> None:
    fill(here)
    own(here).run(LAST)
    code, _, err = call("--from", "2001-01-01")
    assert (code, err) == (2, f"error: 2001-01-01 is before the first day of the log, {FIRST}\n")


def test_a_missing_outbox_is_told_plainly(here: World, call: Call) -> None:
    here.place.lose_outbox()
    code, out, err = call()
    assert (code, out) == (1, "")
    assert re.match("error: (there is no outbox at |the outbox .* does not exist)", err)


def test_events_older_than_the_calendar_name_the_remedy(
    here: World, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(here)
    own(here).land()
    monkeypatch.setattr("assets.backlog.first_partition", lambda: LAST)
    code, _, err = call("--to", str(LAST))
    assert code == 2
    assert f"set LUMI_FIRST_DAY={FIRST}" in err


def test_a_first_day_that_is_none_is_told_plainly(here: World, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(here)
    monkeypatch.setenv("LUMI_FIRST_DAY", "yesterday")
    code, out, err = call()
    assert (code, out) == (2, "")
    assert err.startswith("error: LUMI_FIRST_DAY: ")


def test_help_has_examples(call: Call) -> None:
    code, out, _ = call("-h")
    assert code == 0
    assert "python -m assets --to 2026-11-21" in out


@pytest.mark.slow
def test_a_second_start_waits_for_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables of a new instance are created by one process at a time."""
    monkeypatch.chdir(tmp_path)
    HOME.mkdir(parents=True)
    starting = [
        sys.executable,
        "-c",
        "from assets.embedded import *\nwith embedded_instance() as i: print(i.get_runs())",
    ]
    with (HOME / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(starting, env=clean(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(5)
        assert sorted(path.name for path in HOME.iterdir()) == ["start.lock"]
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "[]\n", "")
    assert (HOME / "history" / "runs.db").exists()


@pytest.mark.slow
def test_as_a_program(here: World) -> None:
    """The real thing, warnings being errors; and again, when nothing is left to do."""
    fill(here)
    command = [sys.executable, "-W", "error", "-m", "assets", "--to", str(LAST)]
    first = subprocess.run(command, env=clean(), capture_output=True, text=True, check=False)
    assert first.stderr == ""
    assert first.returncode == 0
    assert "published 3 days" in first.stdout
    again = subprocess.run(command, env=clean(), capture_output=True, text=True, check=False)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.startswith("Nothing to do")


def clean() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LUMI_", "DAGSTER_"))}
    return {**kept, "PYTHONPATH": str(REPOSITORY)}


@pytest.mark.slow
def test_interrupted_it_ends_at_once_and_says_so(here: World) -> None:
    fill(here)
    own(here).land()
    connection = here.outbox.connect()
    AuditRecorder(connection).record_many([new_event("acme")])  # so that closing the day waits
    command = [sys.executable, "-m", "assets", "--to", str(LAST)]
    process = subprocess.Popen(command, env=clean(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == f"3 days to do: {FIRST} to {LAST}\n"
    sleep(3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    connection.close()
    assert (process.returncode, err.strip()) == (130, "interrupted")
