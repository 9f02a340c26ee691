"""A witness that shares no code with us cosigns our checkpoints, and refuses a second history.

It is optional: the Python package aics-witness, which needs Python 3.12 or newer, in an environment of its own; the
environment variable AICS_WITNESS names its program. Without it the tests skip and say so.
"""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lumi_pipeline.witnessing import Cosigner
from tests.logs import ORIGIN, RecordingKey, entries, snapshot
from transparency.checkpoint import parse_signed_checkpoint
from transparency.errors import WitnessConflict
from transparency.keys import SigningKey, VerifierKey
from transparency.log import Log
from transparency.logview import LogView
from transparency.memorystore import MemoryStore
from transparency.policy import Policy, Witness, evaluate
from transparency.store import ObjectStore
from transparency.verify import Fetch

pytestmark = pytest.mark.slow

KEY = RecordingKey()
PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Real:
    """A running witness of its own make."""

    program: str
    config: Path
    policy: Policy

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [self.program, arguments[0], "--config", str(self.config), *arguments[1:]],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def cosigner(self, store: ObjectStore) -> Cosigner:
        return Cosigner(self.policy, LogView(store), lambda: datetime.now(UTC), required=True)

    def log(self, store: ObjectStore) -> Log:
        return Log(store, [KEY], cosign=self.cosigner(store))


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Real]:
    program = os.environ.get("AICS_WITNESS")
    if not program:
        pytest.skip("aics-witness is missing: pip install aics-witness==0.1.0 elsewhere; AICS_WITNESS=its program")
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    config = tmp_path / "witness.json"
    url = f"http://127.0.0.1:{port}"
    empty = Real(program, config, Policy(()))
    vkey = empty.run("init", "--name", "witness.example.org/w1", "--listen", f"127.0.0.1:{port}").strip()
    empty.run("add-log", "--origin", ORIGIN, "--vkey", KEY.verifier.vkey)
    witness = Witness("w1", VerifierKey.parse(vkey), url)
    process = subprocess.Popen([program, "serve", "--config", str(config)], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, "the witness ended by itself"
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield Real(program, config, Policy((KEY.verifier,), (witness,), witness))
    finally:
        process.terminate()
        process.wait(PATIENCE)


def fetch_from(store: ObjectStore) -> Fetch:
    return lambda path: store.get(f"log/{path}")


def test_it_cosigns_a_log_that_grows_and_nothing_else(real: Real) -> None:
    store = MemoryStore()
    for size in (1, 3, 300):
        old = LogView(store).state().committed_size
        real.log(store).append(entries(size - old, old))
        verdict = evaluate(real.policy, parse_signed_checkpoint(store.get("log/checkpoint")))
        assert (verdict.quorum_met, verdict.split_view_excluded) == (True, True)
    before = store.get("log/checkpoint")
    time.sleep(1.1)  # a signature's time is in whole seconds
    fresh = real.log(store).refresh()
    assert fresh != before
    assert store.get("log-private/cosigned/000000000300") == before

    forgotten = MemoryStore()  # the same log, on a machine that doesn't know how far the witness is
    log = Log(forgotten, [KEY])
    log.append(entries(1))
    log.append(entries(300, 1))
    real.log(forgotten).refresh()
    assert len(parse_signed_checkpoint(forgotten.get("log/checkpoint")).note.signatures) == 2

    second = MemoryStore()
    log = Log(second, [KEY])
    log.append([*entries(300), b"another history"])
    with pytest.raises(WitnessConflict, match=r"301 entries .* another root"):
        real.log(second).refresh()
    log.append([b"and longer"])
    with pytest.raises(WitnessConflict, match=r"for 301 entries .* not the beginning of the 302"):
        real.log(second).refresh()
    assert len(json.loads(real.run("evidence"))) >= 1
    assert snapshot(second)["log/checkpoint"].count("—".encode()) == 1


def test_what_it_does_not_know_it_refuses(real: Real) -> None:
    for key, reason in ((SigningKey.generate(ORIGIN), "403"), (SigningKey.generate("log.example.com/else"), "404")):
        store = MemoryStore()
        Log(store, [key]).append(entries(1))
        cosigner = Cosigner(real.policy, LogView(store), lambda: datetime.now(UTC), required=False)
        checkpoint = store.get("log/checkpoint")
        assert cosigner(checkpoint) == checkpoint
        assert cosigner.last is not None
        assert reason in str(cosigner.last.replies[0].problem)
