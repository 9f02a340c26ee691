"""docs/threat-model.md claims no detection that no attack or test shows, and knows every attack."""

import re
from collections.abc import Iterator

import pytest

from lumi_pipeline.drill.attacks import ATTACKS
from tests.docs.test_commands import REPOSITORY

PAGE = (REPOSITORY / "docs" / "threat-model.md").read_text(encoding="utf-8")
HEADER = ["party", "could", "detected by", "shown by", "when, and who learns of it"]
QUOTED = re.compile(r"`([^`]+)`")


def rows() -> Iterator[list[str]]:
    """The rows of the table of parties."""
    table = PAGE.split("## By party\n", 1)[1].split("\n## ", 1)[0].strip().split("\n")
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert lines[0] == HEADER
    yield from lines[2:]


SHOWN = {name for row in rows() for name in QUOTED.findall(row[3])}


@pytest.mark.parametrize("row", list(rows()), ids=lambda row: row[1][:60])
def test_what_is_said_to_be_detected_is_shown_by_something(row: list[str]) -> None:
    assert len(row) == len(HEADER)
    nothing_claimed = row[2].startswith(("not detected", "**not detected"))
    assert nothing_claimed or QUOTED.findall(row[3])


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_what_shows_it_exists(name: str) -> None:
    known = {attack.name for attack in ATTACKS}
    assert name in known or (name.startswith("tests/") and (REPOSITORY / name).is_file())


def test_every_attack_is_told() -> None:
    assert {attack.name for attack in ATTACKS} <= SHOWN


def test_what_no_check_finds_is_told_as_such() -> None:
    """And nothing else is: what the page gives up, the drill gives up, and the other way round."""
    given_up = {name for row in rows() if row[2].startswith("**not detected") for name in QUOTED.findall(row[3])}
    assert given_up == {attack.name for attack in ATTACKS if attack.beyond}
