"""What the doctor finds about the configuration, Python, libraries, Dagster; and how checks are carried out."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lumi_pipeline.config import load_config
from lumi_pipeline.doctor.checkup import examine
from lumi_pipeline.doctor.examination import Examination
from lumi_pipeline.doctor.findings import Check, Finding, Status, ok, problem, warning
from lumi_pipeline.errors import ConfigError, OutboxLocked
from tests.doctor.setups import Setup, look


def configured(directory: Path, text: str, mode: int = 0o644) -> Setup:
    file = directory / "lumi.toml"
    file.write_text(text)
    file.chmod(mode)
    config = load_config(file, {})
    return Setup(config, None, "", "")  # type: ignore[arg-type] - no outbox is needed to look at files


def test_where_the_settings_come_from_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = configured(tmp_path, 'origin = "a/b"\n')
    assert look(setup, "configuration").detail == str(tmp_path / "lumi.toml")
    monkeypatch.setenv("LUMI_ORIGIN", "c/d")
    assert look(setup, "configuration").detail == f"{tmp_path / 'lumi.toml'}, then LUMI_ORIGIN"
    assert "no lumi.toml" in look(setup.having(file=None), "configuration").detail


@pytest.mark.parametrize(("mode", "status"), [(0o644, Status.PROBLEM), (0o640, Status.PROBLEM), (0o600, Status.OK)])
def test_a_password_that_others_can_read_is_found(tmp_path: Path, mode: int, status: Status) -> None:
    setup = configured(tmp_path, 'outbox = "postgresql://lumi:hunter2@db/app"\n', mode)
    found = look(setup, "permissions")
    assert found.status == status
    assert "hunter2" not in repr(found)
    assert "LUMI_OUTBOX" in str(found.remedy) or status == Status.OK


def test_a_file_without_a_password_may_be_read(tmp_path: Path) -> None:
    assert look(configured(tmp_path, 'outbox = "postgresql://lumi@db/app"\n'), "permissions").status == Status.OK


def package(directory: Path, name: str, version: str, *lines: str) -> None:
    """Let a distribution be installed in ``directory``."""
    info = directory / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines]))


def test_the_libraries_that_are_installed_here_will_do(files: Setup) -> None:
    found = look(files, "libraries")
    assert (found.status, "duckdb" in found.detail, "dagster" in found.detail) == (Status.OK, True, True)
    assert look(files, "python").status in {Status.OK, Status.WARNING}


def test_a_library_that_is_too_old_is_found(files: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path, "duckdb", "1.9.9")
    monkeypatch.syspath_prepend(tmp_path)
    found = look(files, "libraries")
    assert (found.status, "duckdb 1.9.9 is older than 2.0" in found.detail) == (Status.PROBLEM, True)


def test_a_python_that_is_newer_than_tested_is_told(
    files: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path, "lumi_pipeline", "9", "Classifier: Programming Language :: Python :: 3.9")
    monkeypatch.syspath_prepend(tmp_path)
    found = look(files, "python")
    assert (found.status, "newer than 3.9" in found.detail) == (Status.WARNING, True)


def test_a_dagster_instance_is_found(files: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    assert look(files, "dagster").status == Status.SKIPPED
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert look(files, "dagster").status == Status.WARNING
    (tmp_path / "dagster.yaml").write_text("")
    assert look(files, "dagster").status == Status.OK
    monkeypatch.delenv("DAGSTER_HOME")
    assert look(files, "dagster").detail == str(tmp_path / "dagster.yaml")


def carried_out(files: Setup, *checks: Check) -> list[tuple[str, Status, str]]:
    results = examine(Examination(files.config), checks, patience=0.2)
    return [(result.name, result.finding.status, result.finding.detail) for result in results]


def test_a_check_that_fails_hides_no_other(files: Setup) -> None:
    def broken(_: Examination) -> Iterator[Finding]:
        yield ok("half way")
        raise ValueError("hunter2")

    def refused(_: Examination) -> Iterator[Finding]:
        raise ConfigError("no such thing")

    def busy(_: Examination) -> Iterator[Finding]:
        raise OutboxLocked("somebody is at it")

    never = threading.Event()

    def hanging(_: Examination) -> Iterator[Finding]:
        never.wait(60)
        yield ok("too late")

    found = carried_out(
        files,
        *(Check(look.__name__, look, "advice") for look in (broken, refused, busy, hanging)),
        Check("last", lambda _: [ok("well")], ""),
    )
    never.set()
    assert [(name, status) for name, status, _ in found] == [
        ("broken", Status.PROBLEM),
        ("refused", Status.PROBLEM),
        ("busy", Status.SKIPPED),
        ("hanging", Status.PROBLEM),
        ("last", Status.OK),
    ]
    assert "ValueError in test_surroundings.py:" in found[0][2]
    assert "hunter2" not in repr(found)
    assert [detail for *_, detail in found[1:]] == [
        "no such thing",
        "not tried: somebody is at it",
        "no answer within 0.2 s",
        "well",
    ]


def test_what_rests_on_a_problem_is_not_tried(files: Setup) -> None:
    found = carried_out(
        files,
        Check("a", lambda _: [warning("so so", "think")], ""),
        Check("b", lambda _: [problem("bad", "act")], "", ("a",)),
        Check("c", lambda _: [ok("never seen")], "", ("b",)),
        Check("d", lambda _: [ok("never seen")], "", ("c",)),
    )
    assert found == [
        ("a", Status.WARNING, "so so"),
        ("b", Status.PROBLEM, "bad"),
        ("c", Status.SKIPPED, "not tried: see b"),
        ("d", Status.SKIPPED, "not tried: see c"),
    ]


def test_every_problem_has_a_remedy(files: Setup) -> None:
    """Each way to end in a problem is tested elsewhere; here, that what a check raises has one too."""
    from lumi_pipeline.doctor.checkup import checks_of  # noqa: PLC0415

    cannot_raise = {"configuration", "python", "libraries", "dagster"}
    for check in checks_of(Examination(files.config)):
        assert check.advice or check.name in cannot_raise, check.name
    assert os.environ.get("LUMI_OUTBOX") is None
