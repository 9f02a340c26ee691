"""What the doctor finds about witnesses and about keys that are being replaced."""

import time
from datetime import timedelta

from lumi_pipeline.doctor.findings import Status
from lumi_pipeline.recorder import system_clock
from lumi_pipeline.rotation import Role
from tests.doctor.setups import ORIGIN, Setup, look, look_at_all
from tests.siem.fakes.http import answer
from tests.transparency.fakes.witness import Witness, WitnessServer
from transparency.keys import SigningKey


def test_each_witness_is_asked(files: Setup) -> None:
    assert look(files, "witnesses").detail.startswith("not configured: ")
    vkey = SigningKey.load(files.config.log_key_file).verifier.vkey
    policy = files.config.log_key_file.parent / "policy"
    setup = files.having(policy_file=policy)
    with WitnessServer(Witness("witness.example.org/w1", b"w" * 32, time.time, {ORIGIN: [vkey]})) as server:
        policy.write_text(f"log {vkey}\nwitness w1 {server.witness.vkey} {server.url}\nquorum w1\n")
        assert "no checkpoint yet" in look(setup, "witnesses").detail
        setup.publish()
        public = setup.pipeline.lake.store.get("log/checkpoint")
        assert look(setup, "witnesses").detail.startswith("all 1 cosign, the last checkpoint of ")
        server.script(answer(503), answer(503))
        failing, no_quorum = look_at_all(setup, "witnesses")
        assert (failing.status, "w1: it is busy" in failing.detail) == (Status.PROBLEM, True)
        assert (no_quorum.status, "would not be published" in no_quorum.detail) == (Status.PROBLEM, True)
        [warned] = look_at_all(setup.having(policy_file=policy, witness_fail="open"), "witnesses")
        assert warned.status == Status.WARNING
        server.witness.latest[ORIGIN] = (9, bytes(32))
        assert "Somebody else signs" in look(setup, "witnesses").detail
        assert setup.pipeline.lake.store.get("log/checkpoint") == public


def test_a_replacement_that_is_not_finished_is_told(files: Setup) -> None:
    files.publish()
    files.pipeline.rotate(Role.LOG)
    assert look(files, "keys of this log").status == Status.OK
    for key in list(files.pipeline.lake.store.list("log-private/rotations/")):
        files.pipeline.lake.store.delete(key)
    found = look(files, "keys of this log")
    assert (found.status, found.detail) == (Status.WARNING, "the replacement of the log key is not finished")
    assert "lumi keys rotate --log" in str(found.remedy)


def test_a_policy_that_lacks_a_new_key_is_told(files: Setup) -> None:
    vkey = SigningKey.load(files.config.log_key_file).verifier.vkey
    policy = files.config.log_key_file.parent / "policy"
    policy.write_text(f"log {vkey}\nquorum none\n")
    setup = files.having(policy_file=policy)
    setup.record(4)
    setup.pipeline.run(through=(system_clock() - timedelta(days=4)).date())
    setup.pipeline.rotate(Role.LOG)
    assert look(setup, "keys of this log").status == Status.OK
    setup.pipeline.run()
    found = look(setup, "keys of this log")
    assert (found.status, "lacks a key that the log signs with" in found.detail) == (Status.WARNING, True)
    line = str(found.remedy).partition("add the line: ")[2]
    policy.write_text(f"log {vkey}\n{line}\nquorum none\n")
    assert look(setup, "keys of this log").status == Status.OK
