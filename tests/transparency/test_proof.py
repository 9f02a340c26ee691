"""Proof files (C2SP tlog-proof)."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transparency.encoding import b64encode
from transparency.errors import ProofFormatError
from transparency.proof import MAX_PATH_LENGTH, MAX_PROOF_SIZE, TlogProof

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "lumi_v1.json").read_text())
PROOFS: dict[str, str] = VECTORS["proofs"]
HEADER = "c2sp.org/tlog-proof@v1\n"
HASH = b64encode(bytes(32))
HASHES = st.binary(min_size=32, max_size=32)


@pytest.mark.parametrize("name", PROOFS)
def test_reference_vectors_round_trip(name: str) -> None:
    data = PROOFS[name].encode()
    proof = TlogProof.parse(data)
    assert proof.format() == data
    assert proof.checkpoint == VECTORS["log"]["checkpoints"][1]["cosigned"].encode()
    assert json.loads(proof.extra or b"")["genesis"] == VECTORS["log"]["entries"][0]


@given(
    st.integers(0, 2**63 - 1),
    st.lists(HASHES, max_size=MAX_PATH_LENGTH),
    st.binary(min_size=1, max_size=200),
    st.none() | st.binary(min_size=1, max_size=200),
)
def test_round_trip(index: int, path: list[bytes], checkpoint: bytes, extra: bytes | None) -> None:
    proof = TlogProof(index, tuple(path), checkpoint, extra)
    assert TlogProof.parse(proof.format()) == proof


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEADER,
        HEADER[:-1],
        "c2sp.org/tlog-proof@v2\nindex 0\n\ncheckpoint",
        f"{HEADER}index 0\n",
        f"{HEADER}index 0\n\n",
        f"{HEADER}index 0\n{HASH}",
        f"{HEADER}index 0\n{HASH}\n",
        f"{HEADER}index 00\n\ncheckpoint",
        f"{HEADER}index -1\n\ncheckpoint",
        f"{HEADER}index 9223372036854775808\n\ncheckpoint",
        f"{HEADER}index  0\n\ncheckpoint",
        f"{HEADER}index\n\ncheckpoint",
        f"{HEADER}index 0 \n\ncheckpoint",
        f"{HEADER}\nindex 0\n\ncheckpoint",
        f"{HEADER}extra YQ==\nextra YQ==\nindex 0\n\ncheckpoint",
        f"{HEADER}index 0\nextra YQ==\n\ncheckpoint",
        f"{HEADER}extra \nindex 0\n\ncheckpoint",
        f"{HEADER}extra\nindex 0\n\ncheckpoint",
        f"{HEADER}extra YQ=\nindex 0\n\ncheckpoint",
        f"{HEADER}extra YR==\nindex 0\n\ncheckpoint",
        f"{HEADER}extra Y\u00e9==\nindex 0\n\ncheckpoint",
        f"{HEADER}index 0\n{HASH[:-1]}\n\ncheckpoint",
        f"{HEADER}index 0\n{b64encode(bytes(31))}\n\ncheckpoint",
        f"{HEADER}index 0\n{HASH} \n\ncheckpoint",
        f"{HEADER}index 0\n" + f"{HASH}\n" * 64 + "\ncheckpoint",
        HEADER.replace("\n", "\r\n") + "index 0\r\n\r\ncheckpoint",
        f"\ufeff{HEADER}index 0\n\ncheckpoint",
        f"{HEADER}index 0\n\n" + "c" * (2**20 + 1),
    ],
    ids=lambda text: repr(text[22:70]),
)
def test_malformed_proofs(text: str) -> None:
    with pytest.raises(ProofFormatError):
        TlogProof.parse(text.encode())


def test_the_checkpoint_is_verbatim() -> None:
    proof = TlogProof.parse(f"{HEADER}index 0\n\n\nany\n\nbytes \xff".encode("latin-1"))
    assert proof.checkpoint == b"\nany\n\nbytes \xff"


def test_sizes() -> None:
    largest = TlogProof(0, (), b"checkpoint", bytes(3 * 2**24 - 300))
    assert TlogProof.parse(largest.format()) == largest
    with pytest.raises(ProofFormatError, match="at most"):
        TlogProof(0, (), b"checkpoint", bytes(3 * 2**24)).format()
    with pytest.raises(ProofFormatError, match="at most"):
        TlogProof.parse(bytes(MAX_PROOF_SIZE + 1))


@pytest.mark.parametrize(
    "proof",
    [
        TlogProof(-1, (), b"c"),
        TlogProof(2**63, (), b"c"),
        TlogProof(0, (bytes(31),), b"c"),
        TlogProof(0, (bytes(32),) * 64, b"c"),
        TlogProof(0, (), b""),
        TlogProof(0, (), b"c", b""),
    ],
)
def test_nothing_is_written_that_could_not_be_read(proof: TlogProof) -> None:
    with pytest.raises(ProofFormatError):
        proof.format()
