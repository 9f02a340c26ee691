"""Witnesses on the command line: what ``lumi run`` and ``lumi witness submit`` say of them."""

import time
from collections.abc import Iterator

import pytest

from tests.cli.system import Lumi, System
from tests.siem.fakes.http import answer
from tests.transparency.fakes.witness import Witness, WitnessServer
from transparency.keys import SigningKey


@pytest.fixture
def witness(recorded: System) -> Iterator[WitnessServer]:
    """A witness that the configured policy asks for."""
    vkey = SigningKey.load(recorded.directory / "keys/log.key").verifier.vkey
    strict = Witness("witness.example.org/w1", b"w" * 32, time.time, {"log.test/lumi": [vkey]})
    with WitnessServer(strict) as server:
        policy = f"log {vkey}\nwitness w1 {strict.vkey} {server.url}/\nquorum w1\n"
        (recorded.directory / "policy").write_text(policy, encoding="utf-8")
        with (recorded.directory / "lumi.toml").open("a", encoding="utf-8") as config:
            config.write('policy_file = "policy"\n')
        yield server


def test_a_run_says_who_cosigned_and_submitting_asks_again(
    recorded: System, witness: WitnessServer, lumi: Lumi
) -> None:
    through = ("run", "--through", str(recorded.days[-1]))
    witness.script(answer(503))
    ran = lumi(*through)
    assert (ran.code, "lacks the policy's quorum of witnesses: witness 'w1' needed" in ran.err) == (1, True)
    assert lumi("status", "--json").json["unpublished"]

    ran = lumi(*through)
    assert ran.code == 0
    assert "Cosigned by w1 at " in ran.out
    assert ran.err == ""
    verified = lumi("verify", "lake/log", "--json").json
    assert verified["exit_code"] == 0
    assert "Split view not excluded" not in str(verified)

    ran = lumi("witness", "submit")
    assert (ran.code, "The quorum is met: witness 'w1' needed." in ran.out) == (0, True)
    shown = lumi("witness", "submit", "--json").json
    [reply] = shown["witnesses"]  # type: ignore[misc]
    assert (shown["size"], shown["fresh_quorum"], reply["problem"]) == (3, True, None)
    assert lumi("fsck").code == 0


def test_who_does_not_cosign_is_named(recorded: System, witness: WitnessServer, lumi: Lumi) -> None:
    witness.script(*[answer(404, b"no such log")] * 3)
    ran = lumi("--witness-fail", "open", "run", "--through", recorded.days[-1])
    assert ran.code == 0
    assert "witness w1: it does not know the log log.test/lumi" in ran.err
    assert "Published without the policy's quorum (witness 'w1'); try again: lumi witness submit" in ran.err
    ran = lumi("witness", "submit")
    assert (ran.code, "The quorum is not met by these" in ran.err) == (1, True)
    assert lumi("witness", "submit", "--json").json["fresh_quorum"] is False
    assert lumi("witness", "submit").code == 0


def test_delivery_waits_for_no_witness(recorded: System, witness: WitnessServer, lumi: Lumi) -> None:
    with (recorded.directory / "lumi.toml").open("a", encoding="utf-8") as config:
        config.write('[[destinations]]\nname = "files"\nkind = "file"\npath = "sent"\nsince = "beginning"\n')
    witness.script(answer(503))
    assert lumi("run", "--through", recorded.days[-1]).code == 1
    assert list((recorded.directory / "sent").rglob("*.gz"))


def test_without_witnesses_there_is_nobody_to_ask(published: System, lumi: Lumi) -> None:
    assert published.root.exists()
    ran = lumi("witness", "submit")
    assert (ran.code, "no witness is configured" in ran.err) == (2, True)
    ran = lumi("--witness-fail", "ajar", "witness", "submit")
    assert (ran.code, "neither 'closed' nor 'open'" in ran.err) == (2, True)


def test_a_policy_that_is_wrong_is_named_with_what_to_correct(published: System, lumi: Lumi) -> None:
    vkey = SigningKey.load(published.directory / "keys/log.key").verifier.vkey
    witness = Witness("witness.example.org/w1", b"w" * 32, time.time, {}).vkey
    policy = published.directory / "my.policy"
    for url, said in (("ftp://a.example/", "https://"), ("http://[::1/x", "URL is not one")):
        policy.write_text(f"log {vkey}\nwitness w1 {witness} {url}\nquorum w1\n", encoding="utf-8")
        ran = lumi("--policy-file", policy, "witness", "submit")
        assert (ran.code, said in ran.err, "correct its address in the policy" in ran.err) == (1, True, True), ran.err
    policy.write_text("log x\n", encoding="utf-8")
    for command in (("witness", "submit"), ("fsck",), ("evidence", "--tenant", "a", "--from", "2026-01-01", "--to")):
        last = ("2026-01-02", "--out", "audit") if command[-1] == "--to" else ()
        ran = lumi("--policy-file", policy, *command, *last)
        assert (ran.code, f"{policy}: policy line 1: " in ran.err) == (2, True), ran.err
