"""``dagster.yaml`` works as it is, without DAGSTER_HOME, and so do Dagster's own commands in this repository."""

import re
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._config import validate_config
from dagster._core.instance.config import dagster_instance_config_schema

from assets.embedded import HOME, embedded_instance
from tests.assets.serving import clean, copy_project, dev
from tests.assets.settings import REPOSITORY, SETTINGS, with_postgresql
from tests.lake.world import World

QUERY = """{
  assetNodes { assetKey { path } dependencyKeys { path } }
  repositoriesOrError { ... on RepositoryConnection { nodes { jobs { name } sensors { sensorState { status } } } } }
}"""


def valid(settings: str) -> dict[str, dict[str, object]]:
    parsed = yaml.safe_load(settings)
    checked = validate_config(dagster_instance_config_schema(), parsed)
    assert checked.success, checked.errors
    assert isinstance(parsed, dict)
    return parsed


def test_the_settings_are_valid_and_call_nobody() -> None:
    settings = valid(SETTINGS)
    assert settings["telemetry"] == {"enabled": False}
    folders = set(re.findall(r"(?m)^ +base_dir: (\S+)", SETTINGS))
    assert folders == {str(HOME), f"{HOME}/logs"}


def test_the_postgresql_variant_is_valid_in_its_place() -> None:
    assert valid(with_postgresql())["storage"] == {"postgres": {"postgres_url": {"env": "LUMI_DAGSTER_POSTGRES_URL"}}}


def test_the_package_brings_the_same_settings() -> None:
    assert (REPOSITORY / "assets" / "dagster.yaml").read_text(encoding="utf-8") == SETTINGS


def test_a_set_home_is_used_with_its_own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\nstorage: {sqlite: {base_dir: elsewhere}}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with embedded_instance() as instance:
        assert instance.get_runs() == []
        assert not instance.telemetry_enabled
    assert (tmp_path / "elsewhere" / "history" / "runs.db").exists()
    assert not (tmp_path / HOME).exists()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copy_project(tmp_path / "project")


@pytest.mark.slow
def test_dagster_validates_the_definitions(project: Path, world: World) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate"],
        cwd=project,
        env=clean(project, LUMI_ROOT=world.place.root),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Validation successful for code location lumi" in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", ["dagster", "dg"])
def test_the_web_interface_shows_the_graph(project: Path, world: World, command: str) -> None:
    with dev(command, project, clean(project, LUMI_ROOT=world.place.root)) as ask:
        answer = ask(QUERY)
    nodes = {
        node["assetKey"]["path"][0]: [key["path"][0] for key in node["dependencyKeys"]] for node in answer["assetNodes"]
    }
    assert nodes == {"landed_events": [], "sealed_events": ["landed_events"], "published_day": ["sealed_events"]}
    [location] = answer["repositoriesOrError"]["nodes"]
    assert {job["name"] for job in location["jobs"]} >= {"daily", "landing", "audit_everything"}
    assert {sensor["sensorState"]["status"] for sensor in location["sensors"]} == {"RUNNING"}
    assert "Traceback" not in (project / "dev.log").read_text()


def test_the_instance_is_dagsters_own_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with embedded_instance() as instance:
        assert isinstance(instance, dg.DagsterInstance)
        assert instance.is_persistent
        assert not instance.telemetry_enabled
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
