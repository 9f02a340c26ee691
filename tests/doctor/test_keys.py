"""What the doctor finds about keys and the policy."""

import shutil
from pathlib import Path

import pytest

from lumi_pipeline.doctor.findings import Status
from tests.doctor.setups import ORIGIN, PASSWORD, Setup, look, look_at_all, look_at_everything
from transparency.entries import evidence_key_name
from transparency.keys import SigningKey

NAMES = {"log": ORIGIN, "evidence": evidence_key_name(ORIGIN)}


def path_of(setup: Setup, purpose: str) -> Path:
    return setup.config.log_key_file if purpose == "log" else setup.config.evidence_key_file


def replace_key(path: Path, name: str) -> SigningKey:
    path.unlink()
    key = SigningKey.generate(name)
    key.save_new(path)
    return key


@pytest.mark.parametrize("purpose", NAMES)
def test_a_key_is_tried_and_its_file_looked_at(files: Setup, purpose: str) -> None:
    path = path_of(files, purpose)
    secret = path.read_text().split("+", 4)[4].strip()

    def found(status: Status, said: str, remedy: str | None = None) -> None:
        finding = look(files, f"{purpose} key")
        assert finding.status == status
        assert said in finding.detail
        assert remedy is None or remedy in str(finding.remedy)
        assert secret not in repr(finding)

    found(Status.OK, "is private, signs and verifies")
    path.chmod(0o640)
    found(Status.PROBLEM, "mode 0640", f"chmod 600 {path}")
    path.chmod(0o600)
    path.parent.chmod(0o777)
    found(Status.PROBLEM, f"others may replace files in {path.parent}", "chmod go-w")
    path.parent.chmod(0o1777)
    found(Status.OK, "is private")
    path.parent.chmod(0o700)
    path.write_text(path.read_text().replace(secret, secret[:-4] + "AAA="))
    found(Status.PROBLEM, str(path), "restore it from its backup")
    replace_key(path, "another.example/log")
    found(Status.PROBLEM, "the key of 'another.example/log'", f"'{purpose}_key_file'")
    path.unlink()
    found(Status.PROBLEM, f"there is no {purpose} key at {path}", "lumi keys new")
    path.mkdir(mode=0o600)
    found(Status.PROBLEM, "not a regular file")


@pytest.mark.parametrize("purpose", NAMES)
def test_a_key_that_is_not_this_logs_is_found(files: Setup, purpose: str) -> None:
    assert "no log yet" in look(files, "keys of this log").detail
    files.publish()
    assert look(files, "keys of this log").status == Status.OK
    replace_key(path_of(files, purpose), NAMES[purpose])
    assert look(files, f"{purpose} key").status == Status.OK
    found = look(files, "keys of this log")
    assert (found.status, f"the {purpose} key is not the one" in found.detail) == (Status.PROBLEM, True)
    assert "put back the key" in str(found.remedy)


def test_a_swapped_public_key_is_found(setup: Setup) -> None:
    setup.publish()
    store = setup.pipeline.lake.store
    store.put("log/log.vkey", f"{SigningKey.generate(ORIGIN).verifier.vkey}\n".encode())
    found = look(setup, "keys of this log")
    assert (found.status, "log/log.vkey is not" in found.detail) == (Status.PROBLEM, True)


def test_a_policy_is_read(files: Setup) -> None:
    assert look(files, "policy").detail.startswith("not configured: ")
    policy = files.config.log_key_file.parent / "policy"
    setup = files.having(policy_file=policy)
    vkey = SigningKey.load(files.config.log_key_file).verifier.vkey
    for text, status, said in (
        (None, Status.PROBLEM, "can't be read"),
        ("nonsense\n", Status.PROBLEM, "nonsense"),
        ("quorum none\n", Status.WARNING, f"has no key of {ORIGIN}"),
        (f"log {vkey}\nquorum none\n", Status.OK, "names 1 log key(s) and 0 witness(es)"),
    ):
        if text is not None:
            policy.write_text(text)
        found = look(setup, "policy")
        assert (found.status, said in found.detail) == (status, True), found


def test_no_finding_holds_a_secret(setup: Setup) -> None:
    setup.publish()
    told = repr([look_at_everything(setup), [look_at_all(setup, "libraries")]])
    for path in (setup.config.log_key_file, setup.config.evidence_key_file):
        assert path.read_text().split("+", 4)[4].strip() not in told
    assert PASSWORD not in told
    assert "only-for-tests" not in told


def test_whoever_lacks_a_root_still_hears_of_the_keys(files: Setup) -> None:
    files.publish()
    root = files.config.root_path
    assert root is not None
    shutil.rmtree(root)
    root.write_text("not a directory")
    assert look(files, "root").status == Status.PROBLEM
    assert look(files, "log key").status == Status.OK
    assert look(files, "keys of this log").status == Status.SKIPPED
