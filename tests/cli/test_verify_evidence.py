"""Bundles written and verified on the command line, with the exit codes that scripts rely on."""

from pathlib import Path

import pytest

from tests.cli.system import Lumi, Ran, System
from tests.cli.test_verify import KEY, reason
from transparency.keys import ALG_COSIGNATURE, SigningKey


def written(lumi: Lumi, system: System, *options: str) -> Path:
    first, last = system.days
    ran = lumi("evidence", "--tenant", "acme", "--from", first, "--to", last, "--out", "audit", *options)
    assert ran.code == 0, ran.err
    return Path("audit") / f"evidence-acme-{first}-{last}{'.zip' if '--zip' in options else ''}"


def facts(ran: Ran) -> dict[str, object]:
    [verdict] = ran.json["verdicts"]  # type: ignore[misc]
    return dict(verdict)


def test_a_bundle_verifies_as_a_folder_as_a_zip_file_and_by_its_main_files(published: System, lumi: Lumi) -> None:
    folder, archive = written(lumi, published), written(lumi, published, "--zip")
    for path in (folder, archive, folder / "events.csv", folder / "evidence.json"):
        ran = lumi("verify", path, *KEY)
        assert ran.code == 0, ran.out + ran.err
        assert ran.out.startswith(f"verified: {path}\n")
        assert "  acme, " in ran.out
        assert "20 events of 2 days, 2 of which have any." in ran.out
        assert "Recomputed 20 events in" in ran.out
    told = facts(lumi("verify", archive, *KEY, "--json"))
    assert (told["events"], told["tenant"], told["days"], told["exit_code"]) == ("20", "acme", 2, 0)


def test_what_is_altered_fails_with_its_reason(published: System, lumi: Lumi) -> None:
    path = written(lumi, published)
    events = path / "events.csv"
    events.write_bytes(events.read_bytes().replace(b"TICKET_CREATED", b"TICKET_CLOSED", 1))
    ran = lumi("verify", path, *KEY, "--json")
    assert (ran.code, reason(ran)) == (1, "integrity-hash")
    assert "seq 0" in lumi("verify", path, *KEY).out
    events.write_bytes(b"\xef\xbb\xbf" + events.read_bytes())
    ran = lumi("verify", path, *KEY)
    assert ran.code == 1
    assert "failed (csv-resaved)" in ran.out
    assert "saved again by a spreadsheet" in ran.out


def test_what_keys_mean(published: System, lumi: Lumi) -> None:
    path = written(lumi, published)
    witness = SigningKey.generate("witness.test/w", ALG_COSIGNATURE).verifier.vkey
    evidence = SigningKey.load(published.directory / "keys/evidence.key").verifier.vkey
    keys = published.directory / "keys.txt"
    keys.write_text(f"{(published.root / 'log/log.vkey').read_text()}{evidence}\n")
    assert reason(lumi("verify", path, "--json")) == "ok"  # beside our own keys
    assert reason(lumi("verify", path, "--key", keys, "--json")) == "ok"
    ran = lumi("verify", path, "--key", evidence, "--json")
    assert (ran.code, reason(ran)) == (3, "key-unconfirmed")
    ran = lumi("verify", path, *KEY, "--key", witness, "--json")
    assert (ran.code, reason(ran)) == (1, "witness-quorum")
    other = SigningKey.generate("other.test/lumi").verifier.vkey
    ran = lumi("verify", path, "--key", other, "--json")
    assert (ran.code, reason(ran)) == (1, "checkpoint-origin")
    policy = published.directory / "policy"
    policy.write_text(f"log {(published.root / 'log/log.vkey').read_text().strip()}\nquorum none\n")
    assert reason(lumi("verify", path, "--policy", policy, "--json")) == "ok"
    ran = lumi("verify", path, "--policy", policy, "--key", witness)
    assert ran.code == 2
    assert "name witnesses in the policy" in ran.err


@pytest.mark.parametrize("name", ["events.csv", "evidence-acme.zip", "nothing"])
def test_what_is_not_there_is_missing(published: System, lumi: Lumi, name: str) -> None:
    ran = lumi("verify", published.directory / name, *KEY, "--json")
    assert (ran.code, reason(ran)) == (2, "missing")
