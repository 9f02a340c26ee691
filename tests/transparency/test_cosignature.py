"""Witness cosignatures (C2SP tlog-cosignature, v1)."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transparency.checkpoint import Checkpoint, parse_signed_checkpoint, sign_checkpoint
from transparency.cosignature import (
    Cosignature,
    cosign,
    cosignature_time,
    merge_cosignatures,
    verify_cosignatures,
)
from transparency.errors import CosignatureError, VerificationError
from transparency.keys import ALG_COSIGNATURE, SigningKey
from transparency.note import Note, Signature, format_note, parse_note

LOG: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "lumi_v1.json").read_text())["log"]
WITNESS = SigningKey("witness.example.org/w1", bytes.fromhex(LOG["witness_seed"]), ALG_COSIGNATURE)
KEY = SigningKey("example.com/log", bytes(32))
CHECKPOINT = Checkpoint("example.com/log", 7, bytes(32))
NOTE = parse_note(sign_checkpoint(CHECKPOINT, [KEY]))


@pytest.mark.parametrize("vector", LOG["checkpoints"])
def test_reference_vectors(vector: dict[str, Any]) -> None:
    signed = parse_signed_checkpoint(vector["signed"].encode())
    line = cosign(signed.checkpoint, WITNESS, vector["witness_time"])
    assert format_note(merge_cosignatures(signed.note, [line])) == vector["cosigned"].encode()
    note = parse_note(vector["cosigned"].encode())
    assert verify_cosignatures(note, [WITNESS.verifier]) == [Cosignature(WITNESS.verifier, vector["witness_time"])]


@given(st.integers(0, 2**63 - 1))
def test_any_time_survives(time: int) -> None:
    line = cosign(CHECKPOINT, WITNESS, time)
    assert cosignature_time(line) == time
    note = merge_cosignatures(NOTE, [line])
    assert verify_cosignatures(note, [WITNESS.verifier]) == [Cosignature(WITNESS.verifier, time)]


def test_the_signature_covers_time_and_checkpoint() -> None:
    line = cosign(CHECKPOINT, WITNESS, 1000)
    later = (1001).to_bytes(8) + line.signature[8:]
    other = cosign(Checkpoint("example.com/log", 8, bytes(32)), WITNESS, 1000)
    plain = (1000).to_bytes(8) + WITNESS.sign(CHECKPOINT.text.encode())
    for signature in (later, other.signature, plain):
        note = Note(NOTE.text, (*NOTE.signatures, Signature(line.name, line.key_id, signature)))
        with pytest.raises(VerificationError, match=r"witness\.example\.org/w1") as caught:
            verify_cosignatures(note, [WITNESS.verifier])
        assert caught.value.reason == "witness-signature"


@pytest.mark.parametrize("signature", [b"", bytes(64), bytes(71), bytes(73), b"\x80" + bytes(71)])
def test_lines_that_are_no_cosignatures(signature: bytes) -> None:
    line = Signature(WITNESS.name, WITNESS.verifier.key_id, signature)
    with pytest.raises(CosignatureError):
        cosignature_time(line)
    with pytest.raises(CosignatureError):
        merge_cosignatures(NOTE, [line])
    with pytest.raises(VerificationError) as caught:
        verify_cosignatures(Note(NOTE.text, (line,)), [WITNESS.verifier])
    assert caught.value.reason == "witness-signature"


def test_strangers_are_ignored() -> None:
    other = SigningKey("witness.example.org/w1", b"\x09" * 32, ALG_COSIGNATURE)
    note = merge_cosignatures(NOTE, [cosign(CHECKPOINT, other, 5)])
    assert verify_cosignatures(note, [WITNESS.verifier]) == []


def test_a_log_key_cannot_cosign() -> None:
    with pytest.raises(CosignatureError, match="signs notes"):
        cosign(CHECKPOINT, KEY, 5)
    line = Signature(
        KEY.name,
        KEY.verifier.key_id,
        (5).to_bytes(8) + KEY.sign(b"cosignature/v1\ntime 5\n" + CHECKPOINT.text.encode()),
    )
    with pytest.raises(VerificationError):
        verify_cosignatures(Note(NOTE.text, (line,)), [KEY.verifier])


@pytest.mark.parametrize("time", [-1, 2**63])
def test_times_out_of_range(time: int) -> None:
    with pytest.raises(CosignatureError):
        cosign(CHECKPOINT, WITNESS, time)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_the_freshest_line_of_a_witness_stays(times: list[int]) -> None:
    note = NOTE
    for time in times:
        note = merge_cosignatures(note, [cosign(CHECKPOINT, WITNESS, time)])
    assert verify_cosignatures(note, [WITNESS.verifier]) == [Cosignature(WITNESS.verifier, max(times))]
    assert note.signatures[0] == NOTE.signatures[0]
    assert len(note.signatures) == 2


def test_a_cosignature_does_not_displace_the_log() -> None:
    line = cosign(CHECKPOINT, WITNESS, 5)
    disguised = Signature(KEY.name, KEY.verifier.key_id, line.signature)
    with pytest.raises(CosignatureError):
        merge_cosignatures(NOTE, [disguised])


def test_several_witnesses_at_once() -> None:
    keys = [SigningKey(f"w{number}", bytes([number]) * 32, ALG_COSIGNATURE) for number in range(5)]
    note = merge_cosignatures(NOTE, [cosign(CHECKPOINT, key, number) for number, key in enumerate(keys)])
    assert [found.time for found in verify_cosignatures(note, [key.verifier for key in keys])] == [0, 1, 2, 3, 4]
    assert parse_note(format_note(note)) == note
