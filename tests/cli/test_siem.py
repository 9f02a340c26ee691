"""What an on-call person types: ``lumi siem``, also where something is damaged or mistyped."""

import pytest

from tests.cli.system import EVENTS_A_DAY, Lumi, System


@pytest.fixture
def planned(published: System, lumi: Lumi) -> System:
    """Two destinations, for which everything is planned."""
    with (published.directory / "lumi.toml").open("a") as file:
        for name in ("one", "two"):
            file.write(f'[[destinations]]\nname = "{name}"\nkind = "file"\npath = "{name}"\nsince = "beginning"\n')
    assert lumi("siem", "plan").code == 0
    return published


def test_one_that_is_damaged_hides_no_other(planned: System, lumi: Lumi) -> None:
    (planned.root / "siem/one/plans/000000000000.json").write_text("{")
    ran = lumi("siem", "status")
    assert (ran.code, "two" in ran.out, "one: siem/one/plans/000000000000.json was altered" in ran.err) == (
        1,
        True,
        True,
    )
    found = lumi("siem", "status", "--json").json["destinations"]
    assert isinstance(found, list)
    assert [("error" in status, status["name"]) for status in found] == [(False, "two"), (True, "one")]
    ran = lumi("siem", "plan")
    assert (ran.code, ran.out) == (1, "two: nothing new\n")
    assert "one unknown, two behind" in lumi("status").out
    assert lumi("siem", "deliver", "two", "--json").json["two"]["delivered"] == str(2 * EVENTS_A_DAY)  # type: ignore[index]


@pytest.mark.parametrize("command", [["reconcile"], ["backfill", "--from", "2026-01-01"]])
def test_of_a_tenant_that_there_is_not_nothing_is_stated(planned: System, lumi: Lumi, command: list[str]) -> None:
    ran = lumi("siem", command[0], "one", *command[1:], "--tenant", "acmee")
    assert ran.code == 2
    assert "no event of a tenant 'acmee' was landed; did you mean 'acme'?" in ran.err
    assert not list(planned.root.glob("siem/one/statements/*"))


@pytest.mark.usefixtures("planned")
def test_only_what_is_in_quarantine_is_shown_and_released(lumi: Lumi) -> None:
    ran = lumi("siem", "quarantine", "one", "--show", "0.0.0.1")
    assert (ran.code, ran.out) == (1, "")
    assert "0.0.0.1 is not in quarantine" in ran.err
    ran = lumi("siem", "quarantine", "one", "--release", "all")
    assert (ran.code, ran.out) == (0, "0 events will be sent again by 'lumi siem deliver one'.\n")
    assert lumi("siem", "quarantine", "one", "--release", "all", "--show", "0.0.0.1").code == 2


def test_a_name_that_was_changed_is_missed(planned: System, lumi: Lumi) -> None:
    toml = planned.directory / "lumi.toml"
    toml.write_text(toml.read_text().replace('name = "one"', 'name = "one-b"'))
    ran = lumi("siem", "status")
    assert ran.code == 0
    assert ran.err.startswith(f"one: {2 * EVENTS_A_DAY} events planned for it, and not delivered; no destination")
    assert lumi("siem", "status", "two").err == ""


def test_a_beginning_that_comes_too_late_is_told(planned: System, lumi: Lumi) -> None:
    toml = planned.directory / "lumi.toml"
    toml.write_text(toml.read_text().replace('since = "beginning"', 'since = "2026-01-01"', 1))
    ran = lumi("siem", "plan")
    assert (ran.code, ran.out) == (0, "one: nothing new\ntwo: nothing new\n")
    assert ran.err.startswith("one: 'since' has no effect any more: its first plan began with 0001-01-01")


def test_blocked_batches_are_given_up_by_name(planned: System, lumi: Lumi) -> None:
    for body in planned.root.glob("siem/one/batches/*/*"):
        body.unlink()
    assert lumi("siem", "deliver", "one").code == 1
    ran = lumi("siem", "status", "one")
    ids = [line.split()[3].strip(",") for line in ran.out.splitlines() if line.startswith("one:   blocked batch ")]
    assert [len(found) for found in ids] == [12, 12]
    [found] = lumi("siem", "status", "one", "--json").json["destinations"]  # type: ignore[misc,union-attr]
    assert [row[0][:12] for row in found["blocked_batches"]] == ids  # type: ignore[index,call-overload,union-attr]

    for wrong in (["--give-up"], ["--give-up", ids[0], "--all"], [ids[0]], ["--all"], ["--reason", "x"]):
        assert lumi("siem", "unblock", "one", *wrong).code == 2, wrong
    for wrong, said in (("zzzz", "is the id of none of them"), ("", "too short"), (ids[0][:3], "too short")):
        ran = lumi("siem", "unblock", "one", "--give-up", wrong, "--reason", "x")
        assert (ran.code, said in ran.err) == (1, True), ran.err
    assert "needs a reason" in lumi("siem", "unblock", "one", "--give-up", ids[0]).err

    ran = lumi("siem", "unblock", "one", "--give-up", ids[0][:6], "--reason", "sent by hand")
    assert (ran.code, ran.out) == (0, f"1 blocked batch given up, {EVENTS_A_DAY} events, with a receipt each.\n")
    assert f"{EVENTS_A_DAY} events blocked" in lumi("siem", "status", "one").out
    given_up = lumi("siem", "unblock", "one", "--give-up", "--all", "--reason", "nobody needs it", "--json").json
    assert given_up == {"given_up": {"batches": 1, "events": str(EVENTS_A_DAY)}}
    assert lumi("siem", "unblock", "one", "--json").json == {"unblocked": {"batches": 0}}
    assert lumi("siem", "status", "one").code == 0
