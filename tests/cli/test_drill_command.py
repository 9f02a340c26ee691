"""``lumi drill`` as a script meets it; README.md shows the table, and a test runs that."""

import pytest

from lumi_pipeline.drill.attacks import ATTACKS
from tests.cli.system import Lumi, System


@pytest.mark.slow
def test_the_command_as_json(published: System, lumi: Lumi) -> None:
    before = published.outbox.read_bytes()
    ran = lumi("drill", "--day", published.days[0], "--json")
    assert (ran.code, ran.err, published.outbox.read_bytes()) == (0, "", before)
    expected = sum(attack.beyond is None for attack in ATTACKS)
    assert (ran.json["day"], ran.json["exit_code"], ran.json["kept"]) == (str(published.days[0]), 0, None)
    assert ran.json["detected"] == ran.json["expected"] == expected
    assert {attack["outcome"] for attack in ran.json["attacks"]} == {"detected", "beyond"}  # type: ignore[attr-defined]


@pytest.mark.usefixtures("recorded")
def test_the_command_says_why_it_can_do_nothing(lumi: Lumi) -> None:
    ran = lumi("drill")
    assert (ran.code, ran.out, "no published day has" in ran.err) == (3, "", True)
    assert lumi("drill", "--day", "yesterday").code == 2
