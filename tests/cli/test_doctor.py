"""``lumi doctor``: what it prints, and how it ends."""

import json
import sys
from pathlib import Path

import pytest

from tests.cli.system import Lumi, System
from tests.cli.test_terminal import on_a_terminal


def tree(directory: Path) -> dict[str, bytes]:
    """Every file, but for the index of SQLite's journal, which readers share."""
    files = (path for path in directory.rglob("*") if path.is_file() and not path.name.endswith("-shm"))
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def test_a_healthy_system_changes_in_nothing(published: System, lumi: Lumi) -> None:
    published.outbox.chmod(0o600)
    before = tree(published.directory)
    ran = lumi("doctor")
    assert ran.code == 0, ran.out
    assert tree(published.directory) == before
    *lines, _, summary = ran.out.splitlines()
    assert summary == f"0 problems, 1 warning in {len(lines)} lines."  # days after the last that was sealed
    checks = lumi("doctor", "--json").json["checks"]
    assert isinstance(checks, list)
    width = max(len(check["name"]) for check in checks)
    for line, check in zip(lines, checks, strict=True):
        assert line.startswith(f"{check['status']:<7}  {check['name']:<{width}}  {check['detail'][:10]}")
        assert line.endswith(f" → {check['remedy']}") == bool(check["remedy"])
    assert {check["status"] for check in checks} == {"ok", "warning", "skipped"}


def test_a_problem_is_the_exit_code_and_has_a_remedy(published: System, lumi: Lumi) -> None:
    key = published.directory / "keys/log.key"
    key.chmod(0o644)
    ran = lumi("doctor")
    assert ran.code == 1
    [line] = [line for line in ran.out.splitlines() if line.startswith("problem")]
    assert "mode 0644" in line
    assert f"→ chmod 600 {key}" in line
    ran = lumi("doctor", "--json")
    assert ran.code == 1
    checks = ran.json["checks"]
    assert isinstance(checks, list)
    assert {check["status"] for check in checks} == {"ok", "warning", "problem", "skipped"}
    [found] = [check for check in checks if check["name"] == "log key"]
    assert found["status"] == "problem"
    assert found["remedy"].startswith("chmod 600")
    assert ran.json["problems"] == 1
    assert all(check.keys() == {"name", "status", "detail", "remedy"} for check in checks)
    assert len(ran.out.splitlines()) == 1


def test_a_bad_configuration_is_a_usage_error(published: System, lumi: Lumi) -> None:
    (published.directory / "lumi.toml").write_text('orign = "x"\n')
    ran = lumi("doctor")
    assert (ran.code, "did you mean 'origin'?" in ran.err, ran.out) == (2, True, "")
    assert lumi("doctor", "--everything").code == 2


def test_a_machine_without_anything_hears_what_to_do(
    tmp_path: Path, lumi: Lumi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = lumi("doctor", "--json")
    assert ran.code == 1
    wrong = {check["name"]: check for check in json.loads(ran.out)["checks"] if check["status"] == "problem"}
    assert wrong.keys() == {"outbox", "log key", "evidence key"}
    assert "lumi outbox init" in wrong["outbox"]["remedy"]
    assert "lumi keys new" in wrong["log key"]["remedy"]
    assert list(tmp_path.iterdir()) == []


def test_colours_are_for_terminals_that_want_them(published: System) -> None:
    command = [sys.executable, "-m", "lumi_pipeline", "doctor"]
    assert "\x1b[32mok" in on_a_terminal(command, published.directory)
    assert "\x1b[" not in on_a_terminal(command, published.directory, NO_COLOR="1")


def test_what_is_found_cannot_forge_a_line(published: System, lumi: Lumi) -> None:
    folder = published.directory / "a\nok       b\x1b[2J"
    folder.mkdir()
    ran = lumi("--log-key-file", folder / "log.key", "doctor")
    assert ran.code == 1
    assert "\x1b" not in ran.out
    assert not any(line.startswith("ok       b") for line in ran.out.splitlines())
