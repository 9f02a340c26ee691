"""Landing, sealing and publishing from the command line."""

import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest

from tests.cli.system import EVENTS_A_DAY, TENANTS, Lumi, System


def test_run_does_everything_once(recorded: System, lumi: Lumi) -> None:
    first, last = recorded.days
    ran = lumi("run", "--through", last)
    assert ran.code == 0
    assert ran.err == ""
    assert "Landing 0: 60 events of 3 tenants" in ran.out
    assert f"{first} sealed: 30 events of 3 tenants" in ran.out
    assert f"Published 2 days ({first} to {last})" in ran.out
    assert (recorded.root / "log/checkpoint").read_text().startswith("log.test/lumi\n3\n")
    again = lumi("run", "--through", last)
    assert again.code == 0
    assert again.out.splitlines()[:2] == ["Nothing new in the outbox.", "No complete day was waiting to be sealed."]


def test_the_steps_one_by_one_and_as_json(recorded: System, lumi: Lumi) -> None:
    first, last = recorded.days
    landed = lumi("land", "--json").json
    assert (landed["rows"], landed["tenants"], landed["breaks"]) == (2 * EVENTS_A_DAY, len(TENANTS), [])
    assert landed["days"] == {str(first): EVENTS_A_DAY, str(last): EVENTS_A_DAY}
    assert lumi("land", "--json").json["number"] is None
    [seal] = lumi("seal", "--day", first, "--json").json["seals"]  # type: ignore[misc]
    assert (seal["day"], seal["index"], seal["fresh"], seal["rows"]) == (str(first), 1, True, EVENTS_A_DAY)
    [again] = lumi("seal", "--day", first, "--json").json["seals"]  # type: ignore[misc]
    assert again["fresh"] is False
    assert (again["map_root"], again["manifest_sha256"]) == (seal["map_root"], seal["manifest_sha256"])
    published = lumi("publish", "--json").json
    assert (published["size"], published["days"]) == (2, [str(first)])
    assert "Every sealed day is published." in lumi("publish").out


def test_run_as_json_is_one_object(recorded: System, lumi: Lumi) -> None:
    report = lumi("run", "--through", recorded.days[-1], "--json").json
    assert [seal["index"] for seal in report["seals"]] == [1, 2]  # type: ignore[attr-defined]
    assert report["publication"]["size"] == 3  # type: ignore[index]


def test_a_broken_chain_stops_the_day_until_it_is_acknowledged(recorded: System, lumi: Lumi) -> None:
    first, last = recorded.days
    with closing(sqlite3.connect(recorded.outbox)) as database, database:
        for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute("UPDATE audit_outbox SET actor_id = 'nobody' WHERE tenant_id = 'globex' AND seq = 12")
    ran = lumi("run", "--through", last)
    assert ran.code == 1
    assert f"{first} sealed" in ran.err  # what was done before is told
    assert f"error: {last} is not sealed: 1 break(s)" in ran.err
    assert "tenant globex seq 12: integrity-hash" in ran.err
    assert lumi("seal", "--day", last).code == 1
    refused = lumi("acknowledge", "--day", first, "--reason", "nothing to accept")
    assert (refused.code, "no report" in refused.err) == (1, True)
    assert lumi("acknowledge", "--day", last, "--reason", " ").code == 1
    accepted = lumi("acknowledge", "--day", last, "--reason", "known, ticket OPS-7", "--json")
    assert accepted.code == 0
    assert accepted.json["report_sha256"] in ran.err + "".join(p.name for p in recorded.root.rglob("breaks-*"))
    assert lumi("run", "--through", last).code == 0
    verdict = lumi("verify", "lake/log", "--key", "lake/log/log.vkey", "--json")
    assert verdict.code == 1
    assert verdict.json["verdicts"][0]["reason"] == "declared-break"  # type: ignore[index]


def test_days_that_cannot_be_sealed_are_refused(recorded: System, lumi: Lumi) -> None:
    _, last = recorded.days
    future = last + timedelta(days=4000)
    for arguments in (["run", "--through", future], ["seal", "--day", future]):
        ran = lumi(*arguments)
        assert (ran.code, "not over yet" in ran.err) == (1, True)
    assert lumi("seal", "--day", "2026-13-01").code == 2
    assert "sealed in order" in lumi("seal", "--day", last).err


@pytest.mark.usefixtures("recorded")
def test_nothing_is_published_before_something_is_sealed(lumi: Lumi) -> None:
    ran = lumi("publish")
    assert (ran.code, "nothing is sealed yet" in ran.err) == (1, True)


@pytest.mark.parametrize("command", [["run"], ["land"], ["seal", "--day", "2026-01-01"]])
def test_a_missing_outbox_is_named(recorded: System, lumi: Lumi, command: list[str]) -> None:
    recorded.outbox.unlink()
    ran = lumi(*command)
    assert ran.code == 1
    assert "lumi outbox init" in ran.err
    assert not recorded.outbox.exists()


def test_a_missing_key_is_never_invented(recorded: System, lumi: Lumi) -> None:
    (recorded.directory / "keys/log.key").unlink()
    ran = lumi("run", "--through", recorded.days[-1])
    assert ran.code != 0
    assert "lumi keys new" in ran.err
    assert not (recorded.directory / "keys/log.key").exists()
