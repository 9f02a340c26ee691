"""``lumi erase`` and ``lumi hold``: what they print, for people and for machines, and how they end."""

import json

import pytest

from tests.cli.system import Lumi, System

ERASE = ("erase", "--tenant", "acme", "--reason", "ticket PRIV-12")


def test_hold_and_erase(published: System, lumi: Lumi) -> None:
    event = ("--event", published.event_ids[0])
    placed = lumi("hold", "add", "--tenant", "acme", "--reason", "case 4711", "--json")
    assert placed.code == 0
    hold = str(placed.json["hold"])
    assert "case 4711" in lumi("hold", "list").out
    assert [found["hold"] for found in json.loads(lumi("hold", "list", "--json").out)["holds"]] == [hold]

    refused = lumi(*ERASE, *event)
    assert (refused.code, hold in refused.err, "Nothing was touched" in refused.err) == (1, True, True)
    assert lumi("hold", "release", hold, "--reason", "closed").code == 0
    assert lumi("hold", "list").out == "There is no legal hold.\n"

    plan = lumi("erase", "--tenant", "acme", *event, "--dry-run", "--json")
    assert (plan.code, plan.json["events"]) == (0, 1)
    assert "Would erase 1 event, " in lumi("erase", "--tenant", "acme", *event, "--dry-run").out
    done = lumi(*ERASE, *event, "--json")
    assert (done.code, done.json["events"], done.json["erasure"]) == (0, 1, 0)
    assert "There is nothing to erase; 1 event had been erased before." in lumi(*ERASE, *event).out
    assert lumi("erase", "--resume").out == "Nothing was left to erase.\n"
    assert json.loads(lumi("erase", "--resume", "--json").out)["erasures"][0]["erasure"] == 0
    verified = lumi("verify", "--all")
    assert "1 erasure(s) of 1 event(s)" in verified.out
    assert verified.code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("erase",), "give --tenant"),
        (("erase", "--tenant", "acme"), "either --actor or --event"),
        (("erase", "--tenant", "acme", "--actor", "a", "--event", "b"), "either --actor or --event"),
        (("erase", "--resume", "--dry-run"), "--resume completes"),
        (("erase", "--tenant", "acme", "--actor", "a"), "--reason says why"),
    ],
)
def test_usage(published: System, lumi: Lumi, arguments: tuple[str, ...], said: str) -> None:
    assert published.root.exists()
    ran = lumi(*arguments)
    assert (ran.code, said in ran.err) == (2, True)
