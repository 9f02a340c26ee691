"""``lumi drill`` as a user meets it: the table, the count at its end, exit codes."""

import pytest

from lumi_pipeline.drill.attacks import ATTACKS
from tests.cli.system import Lumi, System


@pytest.mark.slow
def test_the_command_shows_a_table_and_ends_with_a_count(published: System, lumi: Lumi) -> None:
    before = published.outbox.read_bytes()
    ran = lumi("drill", "--day", published.days[1])
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    expected = sum(attack.beyond is None for attack in ATTACKS)
    assert lines[-1] == f"{expected} of {expected} detected"
    assert any(line.startswith("attack ") and line.endswith("reason") for line in lines)
    assert any("against a database administrator integrity begins at landing" in line for line in lines)
    assert published.outbox.read_bytes() == before
    ran = lumi("drill", "--json")
    assert (ran.code, ran.json["exit_code"], ran.json["kept"]) == (0, 0, None)
    assert {attack["outcome"] for attack in ran.json["attacks"]} == {"detected", "beyond"}  # type: ignore[attr-defined]


def test_the_command_says_why_it_can_do_nothing(recorded: System, lumi: Lumi) -> None:
    ran = lumi("drill")
    assert (ran.code, ran.out, "no published day has" in ran.err) == (3, "", True)
    assert lumi("drill", "--day", "yesterday").code == 2
