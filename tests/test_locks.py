"""The lock files: complete, hashed, in step with each other, and free of anybody's machine or registry."""

import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "requirements-ui.lock")

REQUIREMENT = re.compile(r"^(?P<name>[a-z0-9.-]+)(?:\[[a-z0-9,.-]+\])?==(?P<version>[^ ;]+)")


def read(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def pins(name: str) -> dict[str, set[str]]:
    """The versions that a lock names for each project; more than one where they depend on the Python version."""
    found: dict[str, set[str]] = {}
    for line in read(name).splitlines():
        match = REQUIREMENT.match(line)
        if match:
            found.setdefault(normal(match["name"]), set()).add(match["version"])
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_says_nothing_about_where_it_was_made(name: str) -> None:
    for number, line in enumerate(read(name).splitlines(), start=1):
        assert not re.search(r"://|(^|\s)--(extra-)?(index|find)|@ |(^|[\s=])[/~.]", line.split(" \\")[0]), (
            number,
            line,
        )


@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_is_hashed(name: str) -> None:
    lines = [line for line in read(name).splitlines() if line and not line.lstrip().startswith("#")]
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith(" "):
            assert re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?", line)
        else:
            assert REQUIREMENT.match(line), line
            assert line.endswith(" \\"), line
            assert following.startswith("    --hash="), line


def test_both_locks_name_the_same_versions() -> None:
    small, large = (pins(name) for name in LOCKS)
    assert {name: large.get(name) for name in small} == small


def test_everything_asked_for_is_locked() -> None:
    project = tomllib.loads(read("pyproject.toml"))
    extras = project["project"]["optional-dependencies"]
    wanted = [*project["build-system"]["requires"], *project["project"]["dependencies"], *extras["dev"]]
    for lock, requirements in zip(LOCKS, (wanted, [*wanted, *extras["ui"]]), strict=True):
        locked = pins(lock)
        assert {
            name for text in requirements if (name := normal(re.split(r"[<>=~!\[; ]", text)[0])) not in locked
        } == set()
