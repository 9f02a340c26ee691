"""``dagster.yaml`` works as it is, without DAGSTER_HOME, and so do Dagster's own commands in this repository."""

import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import dagster as dg
import pytest
import yaml
from dagster._config import validate_config
from dagster._core.instance.config import dagster_instance_config_schema

from assets.embedded import HOME, embedded_instance
from tests.lake.world import World

REPOSITORY = Path(__file__).resolve().parents[2]
SETTINGS = (REPOSITORY / "dagster.yaml").read_text(encoding="utf-8")

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
    [variant] = re.findall(r"(?m)(^# storage:\n(?:#   .*\n)+)", SETTINGS)
    uncommented = re.sub("(?m)^# ?", "", variant)
    settings, replaced = re.subn(r"(?m)^storage:\n(?:  .*\n)+", uncommented, SETTINGS)
    assert replaced == 1
    assert valid(settings)["storage"] == {"postgres": {"postgres_url": {"env": "LUMI_DAGSTER_POSTGRES_URL"}}}


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


def environment(world: World) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LUMI_", "DAGSTER_"))}
    # `dg` reports its use unless its user's own settings say otherwise: dagster.yaml is not asked.
    quiet = world.directory / "dg.toml"
    quiet.write_text("[cli.telemetry]\nenabled = false\n")
    return {**kept, "PYTHONPATH": str(REPOSITORY), "LUMI_ROOT": str(world.root), "DG_CLI_CONFIG": str(quiet)}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what Dagster's commands look for in the current directory."""
    directory = tmp_path / "project"
    directory.mkdir()
    for name in ("pyproject.toml", "dagster.yaml"):
        shutil.copy(REPOSITORY / name, directory)
    (directory / "assets").symlink_to(REPOSITORY / "assets")
    return directory


@pytest.mark.slow
def test_dagster_validates_the_definitions(project: Path, world: World) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate"],
        cwd=project,
        env=environment(world),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Validation successful for code location lumi" in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", ["dagster", "dg"])
def test_the_web_interface_shows_the_graph(project: Path, world: World, command: str) -> None:
    module = {"dagster": "dagster_webserver", "dg": "dagster_dg_cli"}[command]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed; it comes with the extra [ui]")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    log = project / "dev.log"
    program = Path(sys.executable).with_name(command)
    with log.open("w") as out:
        process = subprocess.Popen(
            [program, "dev", "--host", "127.0.0.1", "--port", str(port)],
            cwd=project,
            env=environment(world),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        answer = ask(f"http://127.0.0.1:{port}/graphql", process, log)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            # The whole group: the web server and the daemon are processes of their own.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    nodes = {
        node["assetKey"]["path"][0]: [key["path"][0] for key in node["dependencyKeys"]] for node in answer["assetNodes"]
    }
    assert nodes == {"landed_events": [], "sealed_events": ["landed_events"], "published_day": ["sealed_events"]}
    [location] = answer["repositoriesOrError"]["nodes"]
    assert {job["name"] for job in location["jobs"]} >= {"daily", "landing", "audit_everything"}
    assert {sensor["sensorState"]["status"] for sensor in location["sensors"]} == {"RUNNING"}
    assert "Traceback" not in log.read_text()


def ask(url: str, process: subprocess.Popen[bytes], log: Path) -> dict[str, dict[str, list[dict[str, object]]]]:
    request = Request(url, json.dumps({"query": QUERY}).encode(), {"Content-Type": "application/json"})  # noqa: S310
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(request, timeout=10) as response:  # noqa: S310 - this machine, started above
                answer = json.load(response)
        except (URLError, OSError):
            time.sleep(0.5)
            continue
        if answer.get("data", {}).get("assetNodes"):
            return dict(answer["data"])
        time.sleep(0.5)
    pytest.fail(f"no answer: {log.read_text()[-3000:]}")


def test_the_instance_is_dagsters_own_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    with embedded_instance() as instance:
        assert isinstance(instance, dg.DagsterInstance)
        assert instance.is_persistent
        assert not instance.telemetry_enabled
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
