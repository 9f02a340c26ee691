"""``verify.py`` on a machine that never heard of this project: an environment of its own that holds PyNaCl alone."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.evidence.corpus import cases
from tests.evidence.standalone import SCRIPT

INSTALL_SECONDS, RUN_SECONDS = 120, 60
NAMES = (
    "plain",
    "zip",
    "no-key",
    "hostile-text",
    "cell-actor_id.resigned",
    "declared-several",
    "saved-excel-utf8.kept",
)


@pytest.mark.slow
def test_the_script_judges_bundles(tmp_path: Path) -> None:
    python = tmp_path / "environment" / "bin" / "python"
    venv.create(tmp_path / "environment", with_pip=False)
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-input"]
    options = ["--disable-pip-version-check", "--only-binary", ":all:", "--retries", "0", "--timeout", "15", "pynacl"]
    done = subprocess.run([*install, *options], capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        pytest.skip(f"pip cannot install PyNaCl into a fresh environment here: {last}")
    listing = "import importlib.metadata as m; print(*sorted(d.name.lower() for d in m.distributions()))"
    environment = {"PATH": os.defpath}
    found = subprocess.run(
        [python, "-I", "-c", listing], env=environment, capture_output=True, text=True, timeout=RUN_SECONDS, check=True
    )
    assert set(found.stdout.split()) <= {"pynacl", "cffi", "pycparser"}
    by_name = {case.name: case for case in cases()}
    for name in NAMES:
        case = by_name[name]
        keys = [argument for key in case.keys for argument in ("--key", key)]
        command = [python, "-I", SCRIPT, case.write(tmp_path), "--json", *keys]
        run = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=RUN_SECONDS, check=False
        )
        assert (run.returncode, run.stderr) == (case.exit_code, ""), name
        assert json.loads(run.stdout)["reason"] == case.reason, name
