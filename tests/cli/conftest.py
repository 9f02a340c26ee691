"""Fixtures: a way to run commands, and a small system before and after its first run."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lumi_pipeline.cli.app import app
from lumi_pipeline.cli.ending import execute
from tests.cli.system import Lumi, Ran, System, record


@pytest.fixture
def lumi(capfd: pytest.CaptureFixture[str]) -> Lumi:
    """Run one command line in this process."""

    def run(*arguments: object) -> Ran:
        capfd.readouterr()
        code = execute(app, "lumi", [str(argument) for argument in arguments])
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err, captured.err
        return Ran(code, captured.out, captured.err)

    return run


def _copy(template: System, directory: Path) -> System:
    shutil.copytree(template.directory, directory)
    return System(directory, template.days, template.event_ids)


@pytest.fixture(scope="session")
def recorded_template(tmp_path_factory: pytest.TempPathFactory) -> System:
    directory = tmp_path_factory.mktemp("recorded")
    (directory / "lumi.toml").write_text(
        'root = "lake"\noutbox = "sqlite:///outbox.db"\norigin = "log.test/lumi"\n'
        'log_key_file = "keys/log.key"\nevidence_key_file = "keys/evidence.key"\nanalyst_db = "analyst.duckdb"\n',
        encoding="utf-8",
    )
    for command in (["outbox", "init"], ["keys", "new"]):
        assert execute(app, "lumi", ["--config", str(directory / "lumi.toml"), *command]) == 0
    today = datetime.now(UTC).date()
    days = (today - timedelta(days=4), today - timedelta(days=3))
    event_ids = [event_id for day in days for event_id in record(directory / "outbox.db", day)]
    return System(directory, days, tuple(event_ids))


@pytest.fixture(scope="session")
def published_template(recorded_template: System, tmp_path_factory: pytest.TempPathFactory) -> System:
    system = _copy(recorded_template, tmp_path_factory.mktemp("published") / "system")
    assert (
        execute(
            app, "lumi", ["--config", str(system.directory / "lumi.toml"), "run", "--through", str(system.days[-1])]
        )
        == 0
    )
    return system


@pytest.fixture
def recorded(recorded_template: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """Two days of events in the outbox; nothing landed. It is the current directory."""
    system = _copy(recorded_template, tmp_path / "system")
    monkeypatch.chdir(system.directory)
    return system


@pytest.fixture
def published(published_template: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """The same, with both days sealed and published."""
    system = _copy(published_template, tmp_path / "system")
    monkeypatch.chdir(system.directory)
    return system
