"""Checkpoints (C2SP tlog-checkpoint), three lines and no more."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transparency.checkpoint import (
    Checkpoint,
    open_checkpoint,
    parse_signed_checkpoint,
    sign_checkpoint,
    verify_checkpoint,
)
from transparency.errors import CheckpointError, NoteError, VerificationError
from transparency.keys import ALG_COSIGNATURE, SigningKey, VerifierKey
from transparency.note import sign_note

LOG: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "lumi_v1.json").read_text())["log"]
ORIGIN = "audit.example.com/lumi"
KEY = SigningKey.parse(LOG["secret_key"])
ROOT = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


@pytest.mark.parametrize("vector", LOG["checkpoints"])
def test_reference_vectors(vector: dict[str, Any]) -> None:
    checkpoint = Checkpoint(ORIGIN, vector["size"], bytes.fromhex(vector["root"]))
    assert sign_checkpoint(checkpoint, [KEY]) == vector["signed"].encode()
    for form in ("signed", "cosigned"):
        signed = open_checkpoint(vector[form].encode(), [VerifierKey.parse(LOG["vkey"])])
        assert signed.checkpoint == checkpoint
        assert signed.data == vector[form].encode()


@given(st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_round_trip(size: int, root: bytes) -> None:
    checkpoint = Checkpoint(ORIGIN, size, root)
    assert Checkpoint.parse(checkpoint.text) == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n\n",
        f"{ORIGIN}\n1\n{ROOT}",
        f"{ORIGIN}\n1\n",
        f"{ORIGIN}\n1\n{ROOT}\nextension\n",
        f"{ORIGIN}\n1\n{ROOT}\n\n",
        f"\n1\n{ROOT}\n",
        f"or igin\n1\n{ROOT}\n",
        f"or+igin\n1\n{ROOT}\n",
        f"{ORIGIN}\n01\n{ROOT}\n",
        f"{ORIGIN}\n-1\n{ROOT}\n",
        f"{ORIGIN}\n1 \n{ROOT}\n",
        f"{ORIGIN}\n\n{ROOT}\n",
        f"{ORIGIN}\n9223372036854775808\n{ROOT}\n",
        f"{ORIGIN}\n{'9' * 10_000}\n{ROOT}\n",
        f"{ORIGIN}\n1\n{ROOT[:-1]}\n",
        f"{ORIGIN}\n1\n{ROOT[:-2]}B=\n",
        f"{ORIGIN}\n1\nAAAA\n",
        f"{ORIGIN}\n1\n{ROOT} \n",
    ],
)
def test_malformed_checkpoints(text: str) -> None:
    with pytest.raises(CheckpointError):
        Checkpoint.parse(text)
    if text.endswith("\n"):
        with pytest.raises(CheckpointError):
            parse_signed_checkpoint(sign_note(text, [KEY]))


def test_a_note_is_needed() -> None:
    with pytest.raises(NoteError):
        parse_signed_checkpoint(f"{ORIGIN}\n1\n{ROOT}\n".encode())


def test_only_the_keys_of_the_log_sign_for_it() -> None:
    checkpoint = Checkpoint(ORIGIN, 1, bytes(32))
    with pytest.raises(CheckpointError, match="cannot sign for"):
        sign_checkpoint(checkpoint, [SigningKey("other.example.com", bytes(32))])
    with pytest.raises(NoteError):
        sign_checkpoint(checkpoint, [SigningKey(ORIGIN, bytes(32), ALG_COSIGNATURE)])
    with pytest.raises(CheckpointError):
        sign_checkpoint(Checkpoint(ORIGIN, 1, bytes(31)), [KEY])


def test_another_log_is_named_as_such() -> None:
    signed = sign_checkpoint(Checkpoint(ORIGIN, 1, bytes(32)), [KEY])
    for keys in ([], [SigningKey("other.example.com", bytes(32)).verifier]):
        with pytest.raises(VerificationError, match=ORIGIN) as caught:
            open_checkpoint(signed, keys)
        assert caught.value.reason == "checkpoint-origin"


def test_a_key_of_the_same_name_does_not_suffice() -> None:
    signed = sign_checkpoint(Checkpoint(ORIGIN, 1, bytes(32)), [KEY])
    with pytest.raises(VerificationError) as caught:
        open_checkpoint(signed, [SigningKey(ORIGIN, bytes(32)).verifier])
    assert caught.value.reason == "checkpoint-signature"


def test_another_trusted_key_does_not_sign_for_the_log() -> None:
    other = SigningKey("other.example.com", bytes(32))
    data = sign_note(Checkpoint(ORIGIN, 1, bytes(32)).text, [other])
    with pytest.raises(VerificationError, match="no trusted key") as caught:
        open_checkpoint(data, [KEY.verifier, other.verifier])
    assert caught.value.reason == "checkpoint-signature"


def test_an_altered_checkpoint() -> None:
    vector = LOG["checkpoints"][0]["signed"]
    for altered in (vector.replace("\n2\n", "\n3\n"), vector.replace("ymss", "zmss")):
        with pytest.raises(VerificationError) as caught:
            open_checkpoint(altered.encode(), [KEY.verifier])
        assert caught.value.reason == "checkpoint-signature"


def test_both_keys_of_a_rotation_are_returned() -> None:
    new = SigningKey(ORIGIN, b"\x07" * 32)
    signed = parse_signed_checkpoint(sign_checkpoint(Checkpoint(ORIGIN, 5, bytes(32)), [KEY, new]))
    assert verify_checkpoint(signed, [new.verifier, KEY.verifier]) == [KEY.verifier, new.verifier]
    assert verify_checkpoint(signed, [new.verifier]) == [new.verifier]
