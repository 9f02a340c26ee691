"""``lumi erase`` and ``lumi hold``: what they print, for people and for machines, and how they end."""

import json
from contextlib import closing

import pytest

from lumi_pipeline.events import PAYLOAD_COLUMNS
from lumi_pipeline.outbox.sqlite import SqliteOutbox
from lumi_pipeline.recorder import AuditRecorder
from tests.cli.system import Lumi, System
from tests.lake.world import new_event

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
    shown = lumi("erase", "--tenant", "acme", *event, "--dry-run").out
    assert "Would erase 1 event, " in shown
    assert "Not landed yet" not in shown
    done = lumi(*ERASE, *event, "--json")
    assert (done.code, done.json["events"], done.json["erasure"]) == (0, 1, 0)
    assert "There is nothing to erase; 1 event had been erased before." in lumi(*ERASE, *event).out
    assert lumi("erase", "--resume").out == "Nothing was left to erase.\n"
    assert json.loads(lumi("erase", "--resume", "--json").out)["erasures"][0]["erasure"] == 0
    verified = lumi("verify", "--all")
    assert "1 erasure(s) of 1 event(s)" in verified.out
    assert f"ordered by event {done.json['event_id']}: ticket PRIV-12" in verified.out
    assert verified.code == 0


def test_what_a_dry_run_and_a_hold_can_not_see_is_said(published: System, lumi: Lumi) -> None:
    other = lumi("hold", "add", "--tenant", "acmee", "--reason", "case")
    assert (other.code, "No event of tenant acmee was landed so far" in other.err) == (0, True)
    with closing(SqliteOutbox.open(published.outbox).connect()) as connection:
        AuditRecorder(connection).record_many([new_event("acme")])
        connection.commit()
    plan = lumi("erase", "--tenant", "acme", "--event", published.event_ids[0], "--dry-run")
    assert "Not landed yet: 1 event of the tenant" in plan.out


def test_what_is_gone_already(published: System, lumi: Lumi) -> None:
    with closing(SqliteOutbox.open(published.outbox).connect()) as connection:
        [event] = AuditRecorder(connection).record_many([new_event("acme")])
        connection.execute("DROP TRIGGER audit_outbox_no_update")
        nulls = ", ".join(f"{column} = NULL" for column in PAYLOAD_COLUMNS)
        blank = f"UPDATE audit_outbox SET {nulls}, erased_at = 7 WHERE event_id = ?"  # noqa: S608 - constants
        connection.execute(blank, (event.event_id,))
        connection.commit()
    only = ("--event", event.event_id)
    refused = lumi(*ERASE, *only)
    assert (refused.code, f"with --already-gone (event {event.event_id})" in refused.err) == (1, True)
    assert "lumi erase --tenant acme --event ID --reason TEXT', with --already-gone" in lumi("verify", "--all").out
    there = lumi(*ERASE, "--event", published.event_ids[0], "--already-gone")
    assert (there.code, "--already-gone is for what is gone everywhere" in there.err) == (1, True)

    found = "Gone already, without an order: 1 in the lake, 1 in the outbox."
    shown = lumi("erase", "--tenant", "acme", *only, "--already-gone", "--dry-run").out
    assert (shown.startswith("Would erase 1 event, "), found in shown) == (True, True)
    done = lumi(*ERASE, *only, "--already-gone", "--json")
    assert (done.code, done.json["events"], done.json["already_gone"]) == (0, 1, {"lake": 1, "outbox": 1})
    verified = lumi("verify", "--all")
    assert "(gone already when it was ordered: 1 in the lake, 1 in the outbox), ordered by event" in verified.out
    assert verified.code == 0
    assert "There is nothing to erase; 1 event had been erased before." in lumi(*ERASE, *only, "--already-gone").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("erase",), "give --tenant"),
        (("erase", "--tenant", "acme"), "either --actor or --event"),
        (("erase", "--tenant", "acme", "--actor", "a", "--event", "b"), "either --actor or --event"),
        (("erase", "--resume", "--dry-run"), "--resume completes"),
        (("erase", "--resume", "--already-gone"), "--resume completes"),
        (("erase", "--tenant", "acme", "--already-gone"), "either --actor or --event"),
        (("erase", "--tenant", "acme", "--actor", "a"), "--reason says why"),
    ],
)
def test_usage(published: System, lumi: Lumi, arguments: tuple[str, ...], said: str) -> None:
    assert published.root.exists()
    ran = lumi(*arguments)
    assert (ran.code, said in ran.err) == (2, True)
