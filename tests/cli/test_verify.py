"""Proofs made, and proofs, logs and our own history verified, with the exit codes that scripts rely on."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.cli.system import Lumi, Ran, System
from transparency.keys import ALG_COSIGNATURE, SigningKey

KEY = ("--key", "lake/log/log.vkey")


def reason(ran: Ran) -> str:
    [verdict] = ran.json["verdicts"]  # type: ignore[misc]
    return str(verdict["reason"])


@pytest.fixture
def proof(published: System, lumi: Lumi) -> Path:
    """The proof of an event with a payload that would colour the terminal."""
    path = published.directory / "receipt.tlog-proof"
    ran = lumi("prove", published.event_ids[1], "-o", path)
    assert ran.code == 0, ran.err
    return path


def test_a_proof_verifies_under_a_key_given_in_any_form(proof: Path, lumi: Lumi, published: System) -> None:
    vkey = (published.root / "log/log.vkey").read_text().strip()
    policy = published.directory / "policy"
    policy.write_text(f"log {vkey}\nquorum none\n")
    for trust in (KEY, ("--key", vkey), ("--policy", policy), ("--policy-file",)):
        ran = (
            lumi("--policy-file", policy, "verify", proof)
            if trust == ("--policy-file",)
            else lumi("verify", proof, *trust)
        )
        assert ran.code == 0, ran.err
        assert published.event_ids[1] in ran.out
        assert ran.out.startswith("verified: ")


def test_beside_our_own_key_what_we_published_is_trusted(proof: Path, lumi: Lumi) -> None:
    ran = lumi("verify", proof, "--json")
    assert (ran.code, reason(ran)) == (0, "ok")


def test_without_a_key_the_best_is_unconfirmed(proof: Path, lumi: Lumi, published: System) -> None:
    (published.directory / "keys/log.key").rename(published.directory / "elsewhere.key")
    ran = lumi("verify", proof, "--json")
    assert (ran.code, reason(ran)) == (3, "key-unconfirmed")
    assert "fingerprint" in lumi("verify", proof).out


def test_our_own_key_says_nothing_of_another_log(proof: Path, lumi: Lumi, published: System) -> None:
    ran = lumi("--origin", "other.test/lumi", "verify", proof, "--json")
    assert (ran.code, reason(ran)) == (3, "key-unconfirmed")
    (published.directory / "other.key").write_text(f"{SigningKey.generate('other.test/lumi').text}\n")
    (published.directory / "other.key").chmod(0o600)
    ran = lumi("--origin", "other.test/lumi", "--log-key-file", "other.key", "verify", proof, "--json")
    assert (ran.code, reason(ran)) == (3, "key-unconfirmed")


def test_a_proof_under_another_key_fails(proof: Path, lumi: Lumi) -> None:
    other = SigningKey.generate("log.test/lumi").verifier.vkey
    ran = lumi("verify", proof, "--key", other, "--json")
    assert (ran.code, reason(ran)) == (1, "checkpoint-signature")


def test_a_missing_quorum_fails(proof: Path, lumi: Lumi, published: System) -> None:
    witness = SigningKey.generate("witness.test/w", ALG_COSIGNATURE).verifier.vkey
    policy = published.directory / "policy"
    policy.write_text(f"witness w {witness}\nquorum w\n")
    ran = lumi("verify", proof, *KEY, "--policy", policy, "--json")
    assert (ran.code, reason(ran)) == (1, "witness-quorum")


@pytest.mark.parametrize("position", [-3, 60, 700])
def test_an_altered_proof_fails(proof: Path, lumi: Lumi, position: int) -> None:
    data = bytearray(proof.read_bytes())
    data[position] ^= 1
    proof.write_bytes(data)
    assert lumi("verify", proof, *KEY).code == 1


def test_a_redacted_proof_verifies_without_its_payload(published: System, lumi: Lumi) -> None:
    event_id = published.event_ids[1]
    assert lumi("prove", event_id.upper(), "--redact").code == 0
    path = published.directory / f"{event_id}.tlog-proof"
    assert b"Ana" not in path.read_bytes()
    ran = lumi("verify", path, *KEY)
    assert (ran.code, "withheld" in ran.out) == (0, True)


def test_a_proof_can_go_to_a_pipe_or_a_device(published: System, lumi: Lumi) -> None:
    assert lumi("prove", published.event_ids[0], "-o", "-").out.startswith("c2sp.org/tlog-proof@v1\n")
    pipe = published.directory / "pipe"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    assert lumi("prove", published.event_ids[0], "-o", pipe).code == 0
    reader.join(timeout=10)
    assert received[0].startswith(b"c2sp.org/tlog-proof@v1\n")
    assert pipe.is_fifo()


def test_what_cannot_be_proved_is_said(recorded: System, lumi: Lumi) -> None:
    assert "nothing is sealed yet" in lumi("prove", recorded.event_ids[0]).err
    assert lumi("run", "--through", recorded.days[0]).code == 0
    assert lumi("prove", recorded.event_ids[0]).code == 0
    unsealed = lumi("prove", recorded.event_ids[-1])
    assert (unsealed.code, "no sealed day holds" in unsealed.err) == (1, True)
    nonsense = lumi("prove", "../../etc/passwd")
    assert (nonsense.code, "not an event id" in nonsense.err) == (1, True)


def test_a_tenants_day_is_proved_and_verifies(published: System, lumi: Lumi) -> None:
    first = published.days[0]
    ran = lumi("prove", "--tenant", "acme", "--day", first)
    assert (ran.code, "acme had 10 events" in ran.out) == (0, True)
    assert lumi("verify", f"acme-{first}.tlog-proof", *KEY).code == 0
    ran = lumi("prove", "--tenant", "acne", "--day", first, "-o", "absent")
    assert (ran.code, "acne was not a tenant yet" in ran.out) == (0, True)
    ran = lumi("verify", "absent", *KEY)
    assert (ran.code, f"acne was not a tenant on {first}" in ran.out) == (0, True)
    assert lumi("prove", "--tenant", "acme", "--day", first, "-o", "-").out.startswith("c2sp.org/tlog-proof@v1\n")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "either EVENT_ID, or both"),
        (("--tenant", "acme"), 2, "either EVENT_ID, or both"),
        (("--day", "2026-10-25"), 2, "either EVENT_ID, or both"),
        (("0199f3c2-8b1e-7c40-9d53-1f0f6f1f2a77", "--tenant", "acme", "--day", "2026-10-25"), 2, "either EVENT_ID, or"),
        (("--tenant", "acme", "--day", "2026-10-25", "--redact"), 2, "--redact is for events"),
        (("--tenant", "acme", "--day", "2026-13-25"), 2, "2026-13-25"),
        (("--tenant", "../x", "--day", "2026-10-25"), 1, "not a tenant id"),
        (("--tenant", "acme", "--day", "1999-12-31"), 1, "the log begins with"),
        (("--tenant", "acme", "--day", "9999-12-31"), 1, "not sealed yet"),
    ],
)
def test_one_event_or_one_tenants_day(
    published: System, lumi: Lumi, arguments: tuple[str, ...], code: int, said: str
) -> None:
    assert published.root.is_dir()
    ran = lumi("prove", *arguments)
    assert (ran.code, said in ran.err) == (code, True), ran.err


def test_what_is_nothing_of_ours_is_a_matter_of_usage(published: System, lumi: Lumi) -> None:
    (published.directory / "notes.txt").write_text("hello")
    (published.directory / "empty").mkdir()
    for target in ("notes.txt", "empty", "missing", "lumi.toml"):
        assert lumi("verify", target, *KEY).code == 2, target
    os.mkfifo(published.directory / "pipe")
    ran = lumi("verify", "pipe", "--key", "pipe", *KEY)  # nobody writes to it, and nobody waits for that
    assert (ran.code, "Traceback" in ran.err) == (2, False)
    ran = lumi("verify", "pipe", *KEY, "--json")
    assert (ran.code, reason(ran)) == (2, "unrecognised")
    with (published.directory / "large").open("wb") as large:
        large.truncate((64 << 20) + 1)
    ran = lumi("verify", "large", *KEY, "--json")
    assert (ran.code, reason(ran)) == (2, "unrecognised")
    assert lumi("verify").code == 2
    assert lumi("verify", "notes.txt", "--all").code == 2
    assert lumi("verify", "notes.txt", "--from", "2026-01-01").code == 2
    assert lumi("verify", "lake", "--key", "nonsense").code == 2
    assert lumi("verify", "lake", "--key", "a+b+c").code == 2
    assert lumi("verify", "lake", "--policy", "notes.txt").code == 2
    secret = (published.directory / "keys/log.key").read_text().strip()
    for given in (secret, "keys/log.key"):
        ran = lumi("verify", "lake", "--key", given)
        assert (ran.code, secret in ran.out + ran.err) == (2, False)


def test_the_worst_verdict_decides(proof: Path, lumi: Lumi, published: System) -> None:
    altered = published.directory / "altered.tlog-proof"
    altered.write_bytes(proof.read_bytes().replace(b"\nindex 1", b"\nindex 2"))
    assert lumi("verify", proof, "lake", *KEY).code == 0
    assert lumi("verify", proof, "missing", *KEY).code == 2
    assert lumi("verify", proof, "http://127.0.0.1:1/log", *KEY).code == 3
    ran = lumi("verify", "http://127.0.0.1:1/log", altered, "missing", proof, *KEY, "--json")
    assert ran.code == ran.json["exit_code"] == 1
    assert [v["exit_code"] for v in ran.json["verdicts"]] == [3, 1, 2, 0]  # type: ignore[attr-defined]


@pytest.mark.parametrize("target", ["lake", "lake/log", "lake/log/checkpoint"])
def test_a_log_verifies_from_its_files(published: System, lumi: Lumi, target: str) -> None:
    ran = lumi("verify", target, *KEY)
    assert ran.code == 0, ran.out
    assert f"3 entries, {published.days[0]} to {published.days[1]}" in ran.out
    (published.directory / "keys/log.key").rename(published.directory / "elsewhere.key")
    assert lumi("verify", target).code == 3


def test_an_altered_log_fails(published: System, lumi: Lumi) -> None:
    [bundle] = (published.root / "log/tile/entries").rglob("*.p/3")
    bundle.chmod(0o644)
    original = bundle.read_bytes()
    bundle.write_bytes(original.replace(b"breaks 0", b"breaks 1"))
    for command in (["verify", "lake", *KEY], ["verify", "lake"], ["verify", "--all"], ["fsck"]):
        assert lumi(*command).code == 1, command
    bundle.unlink()
    assert lumi("verify", "lake", *KEY).code == 1
    (published.root / "log/checkpoint").write_text("garbage")
    assert lumi("verify", "lake", *KEY).code == 2


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's signature
        """Say nothing."""


@pytest.fixture
def web(published: System) -> Iterator[str]:
    """The published directory on a local web server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(published.directory))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_logs_and_proofs_verify_over_the_web(web: str, proof: Path, lumi: Lumi) -> None:
    for target in ("lake/log", "lake/log/", "lake/log/checkpoint", proof.name):
        ran = lumi("verify", f"{web}/{target}", *KEY)
        assert ran.code == 0, ran.out + ran.err
    assert lumi("verify", f"{web}/nothing", *KEY).code == 2
    assert lumi("verify", f"{web}/nothing.tlog-proof", *KEY).code == 2


def test_our_history_verifies(published: System, lumi: Lumi) -> None:
    ran = lumi("verify", "--all", "--json")
    assert ran.code == 0
    subjects = [verdict["subject"] for verdict in ran.json["verdicts"]]  # type: ignore[attr-defined]
    assert subjects == ["log", *(str(day) for day in published.days), "landings", "outbox"]
    one = lumi("verify", "--all", "--from", published.days[1], "--to", published.days[1], "--json")
    assert [v["subject"] for v in one.json["verdicts"]][1] == str(published.days[1])  # type: ignore[attr-defined]
    assert lumi("fsck").code == 0
    assert lumi("verify", "--all", "--to", "2020-01-01").code == 3


def test_an_unpublished_history_is_incomplete(recorded: System, lumi: Lumi) -> None:
    assert lumi("verify", "--all").code == 3
    assert lumi("fsck").code == 3
    assert lumi("land").code == 0
    assert lumi("seal", "--day", recorded.days[0]).code == 0
    assert lumi("verify", "--all").code == 3


def test_a_rewritten_outbox_is_found(published: System, lumi: Lumi) -> None:
    with closing(sqlite3.connect(published.outbox)) as database, database:
        for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute("UPDATE audit_outbox SET actor_id = 'nobody' WHERE tenant_id = 'acme' AND seq = 0")
    ran = lumi("verify", "--all")
    assert ran.code == 1
    assert "tenant acme seq 0" in ran.out
    published.outbox.unlink()
    assert lumi("verify", "--all").code == 3


def test_an_altered_partition_is_found(published: System, lumi: Lumi) -> None:
    part = next((published.root / "events").rglob("*.parquet"))
    part.chmod(0o644)
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    ran = lumi("verify", "--all")
    assert (ran.code, part.name in ran.out) == (1, True)


def test_nobody_can_colour_the_verifiers_terminal(proof: Path, lumi: Lumi, published: System) -> None:
    hostile = published.directory / "\x1b[32mverified"
    hostile.write_bytes(proof.read_bytes())
    assert "\x1b" not in lumi("verify", hostile, *KEY).out
