"""``lumi prune``: what it prints, for people and for machines, and how it ends."""

import json
from datetime import timedelta

import pytest

from tests.cli.system import Lumi, System


def test_prune(published: System, lumi: Lumi, monkeypatch: pytest.MonkeyPatch) -> None:
    first, last = published.days
    before = ("--before", str(last))
    refused = lumi("prune", *before)
    assert (refused.code, "no retention is configured" in refused.err) == (1, True)
    monkeypatch.setenv("LUMI_RETENTION_DAYS", "1")
    young = lumi("prune", "--before", str(last + timedelta(days=300)))
    assert (young.code, f"none before {last + timedelta(days=300)}" in young.err) == (1, True)

    plan = lumi("prune", *before, "--dry-run", "--json")
    assert [day["day"] for day in json.loads(plan.out)["days"]] == [str(first)]
    shown = lumi("prune", *before, "--dry-run").out
    assert shown.startswith("Would prune 30 events of 1 day")
    assert "Nothing was changed." in shown

    placed = lumi("hold", "add", "--tenant", "acme", "--reason", "case 4711", "--json")
    assert f"Stays: what is under hold {placed.json['hold']}" in lumi("prune", *before).out
    assert lumi("hold", "release", str(placed.json["hold"]), "--reason", "closed").code == 0
    done = lumi("prune", *before, "--json")
    [day] = json.loads(done.out)["days"]
    assert (day["events"], day["kept"], done.json["outbox_rows"]) == (10, [], 10)
    assert lumi("prune", *before).out == f"There is nothing to prune before {last}.\n"

    verified = lumi("verify", "--all", "--json")
    assert verified.code == 0
    [told] = [found for found in json.loads(verified.out)["verdicts"] if found["subject"] == str(first)]
    assert (told["reason"], told["pruned"]) == ("pruned", "30")
    gone = lumi("prove", published.event_ids[0])
    assert (gone.code, "pruned under policy" in gone.err) == (1, True)


def test_usage(published: System, lumi: Lumi) -> None:
    assert published.root.exists()
    ran = lumi("prune")
    assert (ran.code, "--before" in ran.err) == (2, True)
