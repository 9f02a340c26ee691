"""Where the configuration comes from, who may read it, and what this runs on."""

import os
import platform
import re
import stat
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from lumi_pipeline.config import CONFIG_VARIABLE, SETTINGS
from lumi_pipeline.doctor.examination import Examination
from lumi_pipeline.doctor.findings import Check, Finding, not_configured, not_tried, ok, problem, warning
from lumi_pipeline.outboxaddress import holds_password

_PACKAGE: Final = "lumi-pipeline"
_LIBRARIES: Final = ("duckdb", "pyarrow", "polars", "psycopg", "adbc-driver-postgresql", "botocore", "s3fs", "dagster")
_LOWER_BOUND: Final = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*>=\s*([0-9.]+)")
_TESTED: Final = re.compile(r"Programming Language :: Python :: (3\.[0-9]+)")
_OTHERS_READ: Final = stat.S_IRGRP | stat.S_IROTH


def look_at_configuration(examination: Examination) -> Iterator[Finding]:
    """Say which settings came from where."""
    file = examination.config.file
    variables = [setting.variable for setting in SETTINGS if setting.variable in os.environ]
    places = [str(file) if file else f"no lumi.toml here and no {CONFIG_VARIABLE}: built-in defaults"]
    yield ok(", then ".join([*places, *([", ".join(variables)] if variables else [])]))


def look_at_permissions(examination: Examination) -> Iterator[Finding]:
    """Find secrets and events that others on this machine can read."""
    config = examination.config
    found = []
    if config.file is not None and _holds_password(config.file) and _mode(config.file) & _OTHERS_READ:
        found.append(
            problem(
                f"{config.file} holds the outbox's password and has mode {_mode(config.file):04o}",
                f"chmod 600 {config.file}, or put the URL into LUMI_OUTBOX; then change the password",
            )
        )
    box = config.outbox.path
    if box is not None and box.is_file() and _mode(box) & stat.S_IROTH:
        found.append(
            warning(f"everybody on this machine can read all events in {box}", f"chmod o-r {box}, and its directory")
        )
    if found:
        yield from found
    elif box is not None:
        yield ok("no password in lumi.toml, and the outbox file is not for everybody")
    else:
        yield ok("no password where others can read it")


def look_at_python(examination: Examination) -> Iterator[Finding]:  # noqa: ARG001 - every check takes it
    """Compare Python with the versions that the package names."""
    version = platform.python_version()
    here = f"Python {version} on {platform.system()} {platform.release()} ({platform.machine()})"
    tested = [(int(minor), name) for name in _tested_versions() for minor in [name.partition(".")[2]]]
    if tested and sys.version_info[:2] > (3, max(tested)[0]):
        newest = max(tested)[1]
        yield warning(f"{here}, newer than {newest}, the newest that this was tested with", f"prefer Python {newest}")
    else:
        yield ok(here)


def look_at_libraries(examination: Examination) -> Iterator[Finding]:  # noqa: ARG001 - every check takes it
    """Hold the installed libraries against the lower bounds of the package. Nothing of them is imported."""
    try:
        wanted = metadata.requires(_PACKAGE) or []
    except metadata.PackageNotFoundError:
        yield not_tried(f"{_PACKAGE} is not installed as a package, so nothing says which versions it needs")
        return
    bounds = {
        found[1].lower(): found[2] for line in wanted if "extra" not in line and (found := _LOWER_BOUND.match(line))
    }
    shown, wrong = [], []
    for name in _LIBRARIES:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{name} is not installed")
            continue
        shown.append(f"{name} {version}")
        if name in bounds and _release(version) < _release(bounds[name]):
            wrong.append(f"{name} {version} is older than {bounds[name]}")
    if wrong:
        yield problem(", ".join(wrong), "install what requirements.lock names: make check, or pip install -U")
    else:
        yield ok(", ".join(shown))


def look_at_dagster(examination: Examination) -> Iterator[Finding]:  # noqa: ARG001 - every check takes it
    """Say which Dagster instance would be used."""
    home = os.environ.get("DAGSTER_HOME")
    file = Path(home or "").absolute() / "dagster.yaml"
    if file.is_file():
        yield ok(str(file))
    elif home:
        yield warning(f"DAGSTER_HOME is {home}, which has no dagster.yaml", "correct it, or copy dagster.yaml there")
    else:
        yield not_configured("there is no dagster.yaml here and no DAGSTER_HOME; lumi run needs neither")


def _tested_versions() -> list[str]:
    try:
        lines = metadata.metadata(_PACKAGE).get_all("Classifier") or []
    except metadata.PackageNotFoundError:
        return []
    return [found[1] for line in lines if (found := _TESTED.fullmatch(str(line)))]


def _release(version: str) -> tuple[int, ...]:
    """The numbers that a version begins with: enough to hold it against a lower bound."""
    numbers = re.match(r"[0-9]+(\.[0-9]+)*", version)
    return tuple(map(int, numbers[0].split("."))) if numbers else ()


def _holds_password(file: Path) -> bool:
    outbox = tomllib.loads(file.read_text(encoding="utf-8")).get("outbox")
    return isinstance(outbox, str) and holds_password(outbox)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


SURROUNDING_CHECKS: Final = (
    Check("configuration", look_at_configuration, ""),
    Check("permissions", look_at_permissions, "let nobody but the pipeline's user read what holds secrets"),
    Check("python", look_at_python, ""),
    Check("libraries", look_at_libraries, ""),
    Check("dagster", look_at_dagster, ""),
)
