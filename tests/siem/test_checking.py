"""Receipts and statements as a customer verifies them: whatever is altered is named."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from lumi_pipeline.siem.account import Period
from lumi_pipeline.siem.checking import looks_like_receipts, verify_receipts
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.verdict import Status
from tests.lake.world import EVIDENCE_KEY, LOG_KEY, World, at, day
from transparency.keys import SigningKey

KEYS = [EVIDENCE_KEY.verifier]


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Thirty events of three tenants and days, delivered to files."""
    directory = tmp_path_factory.mktemp("receipts")
    world = World.create(directory / "world", at(3, "12:00:00"))
    for number in range(3):
        for tenant in ("acme", "globex"):
            world.record(tenant, *(at(number) + timedelta(seconds=second) for second in range(5)))
    world.send_to(
        {"name": "files", "kind": "https", "url": "http://127.0.0.1:9/", "allow_private": True, "since": "beginning"}
    )
    return world


@pytest.fixture(scope="module")
def file(delivered: World) -> Iterator[bytes]:
    from tests.assets.test_siem import Receiver  # noqa: PLC0415 - a server for this module alone

    with Receiver() as receiver:
        settings = delivered.config.destinations[0]
        routes = tuple(replace(r, options={**r.options, "url": receiver.url}) for r in settings.routes)
        delivered.config = replace(delivered.config, destinations=(replace(settings, routes=routes),))
        pipeline = delivered.pipeline()
        pipeline.land()
        exports = Exports(pipeline)
        list(exports.plan("files"))
        exports.deliver("files")
        yield delivered.store.get("siem/files/receipts/000000000000.jsonl")


def test_they_verify(file: bytes) -> None:
    assert looks_like_receipts(file)
    verdict = verify_receipts(file, KEYS, "receipts")
    assert (verdict.status, verdict.reason) == (Status.VERIFIED, "ok")
    assert verdict.facts["delivered"] == "30"
    assert EVIDENCE_KEY.verifier.vkey in verdict.lines[-1]


def test_without_a_key_they_are_consistent_and_no_more(file: bytes) -> None:
    verdict = verify_receipts(file, None, "receipts")
    assert (verdict.status, verdict.reason) == (Status.INCOMPLETE, "key-unconfirmed")


def test_another_key_is_told(file: bytes) -> None:
    verdict = verify_receipts(file, [LOG_KEY.verifier], "receipts")
    assert (verdict.status, verdict.reason) == (Status.FAILED, "note-unknown")
    forger = SigningKey(EVIDENCE_KEY.name, bytes(32))
    verdict = verify_receipts(file, [forger.verifier], "receipts")
    assert (verdict.status, verdict.reason) == (Status.FAILED, "note-unknown")


def test_whatever_is_altered_fails(file: bytes) -> None:
    """Every byte, one after the other."""
    for position in range(0, len(file), 7):
        altered = bytearray(file)
        altered[position] ^= 0x01
        verdict = verify_receipts(bytes(altered), KEYS, "receipts")
        assert verdict.status is Status.FAILED, (position, bytes(altered[position - 20 : position + 20]))


@pytest.mark.parametrize("kind", ["dropped-first", "dropped-middle", "dropped-last", "swapped", "repeated"])
def test_lines_can_not_be_taken_out_or_moved(file: bytes, kind: str) -> None:
    lines = file.splitlines(keepends=True)
    count = sum(line.startswith(b"{") for line in lines)
    receipts, note = lines[:count], lines[count:]
    assert len(receipts) == 3
    changed = {
        "dropped-first": receipts[1:],
        "dropped-middle": [receipts[0], receipts[2]],
        "dropped-last": receipts[:2],
        "swapped": [receipts[1], receipts[0], receipts[2]],
        "repeated": [*receipts, receipts[2]],
    }[kind]
    verdict = verify_receipts(b"".join([*changed, *note]), KEYS, "receipts")
    assert verdict.status is Status.FAILED
    assert verdict.reason in {"receipt-chain", "note-text"}


def test_a_statement_verifies_and_names_the_last_receipt(delivered: World, file: bytes) -> None:
    exports = Exports(delivered.pipeline())
    statement = exports.statement("files", Period(day(0), day(2)))
    assert statement.lacks_nothing
    data = statement.signed(exports.keys.signing())
    verdict = verify_receipts(data, KEYS, "statement")
    assert (verdict.status, verdict.facts["delivered"], verdict.facts["unaccounted"]) == (Status.VERIFIED, "30", "0")
    last = [line for line in file.splitlines() if line.startswith(b"{")][-1]
    import hashlib  # noqa: PLC0415 - independent of the code under test

    assert json.loads(data.splitlines()[0])["prev"] == hashlib.sha256(last).hexdigest()
