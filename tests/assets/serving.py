"""Dagster's own programs over a copy of the project: what they look for in the current directory, and ``dev``."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import create_server
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from tests.assets.settings import REPOSITORY, SETTINGS

Answer = dict[str, Any]  # as it comes: nested lists and dicts
Ask = Callable[[str], Answer]

_PATIENCE = 120  # seconds


def copy_project(directory: Path, settings: str = SETTINGS) -> Path:
    """Make ``directory`` one in which Dagster's commands find the definitions, and these settings."""
    directory.mkdir()
    shutil.copy(REPOSITORY / "pyproject.toml", directory)
    (directory / "dagster.yaml").write_text(settings, encoding="utf-8")
    (directory / "assets").symlink_to(REPOSITORY / "assets")
    return directory


def clean(directory: Path, **more: str) -> dict[str, str]:
    """The environment for Dagster's commands: nothing of the developer's own, and nobody is told of their use."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LUMI_", "DAGSTER_"))}
    # `dg` reports its use unless its user's own settings say otherwise: dagster.yaml is not asked.
    quiet = directory / "telemetry.toml"  # "dg.toml" would be the settings of a project
    quiet.write_text("[cli.telemetry]\nenabled = false\n")
    return {**kept, "PYTHONPATH": str(REPOSITORY), "DG_CLI_CONFIG": str(quiet), **more}


@contextmanager
def dev(command: str, project: Path, environment: Mapping[str, str]) -> Iterator[Ask]:
    """Run ``dagster dev`` or ``dg dev``: web server, daemon and code server. Yields what sends a GraphQL query.

    What they print is in ``dev.log`` in the project.
    """
    module = {"dagster": "dagster_webserver", "dg": "dagster_dg_cli"}[command]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed; it comes with the extra [ui]")
    with create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    log = project / "dev.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [Path(sys.executable).with_name(command), "dev", "--host", "127.0.0.1", "--port", str(port)],
            cwd=project,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield lambda query: _ask(f"http://127.0.0.1:{port}/graphql", query, process, log)
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(60)
        # The whole group: a code server outlives the rest until nobody has asked it for anything for a while, and for
        # ever when its instance's database goes away meanwhile.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _ask(url: str, query: str, process: subprocess.Popen[bytes], log: Path) -> Answer:
    request = Request(url, json.dumps({"query": query}).encode(), {"Content-Type": "application/json"})  # noqa: S310
    deadline = time.monotonic() + _PATIENCE
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
