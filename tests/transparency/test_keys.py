"""Keys: their text, their files, and the ones that must not be used."""

import json
import os
import stat
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transparency.encoding import b64encode
from transparency.errors import KeyFormatError
from transparency.keys import ALG_COSIGNATURE, ALG_ED25519, SigningKey, VerifierKey, check_name

LOG: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "lumi_v1.json").read_text())["log"]

P = 2**255 - 19
# The points of order 1, 2, 4 and 8 (RFC 8032's curve has cofactor 8), in their canonical encodings.
SMALL_ORDER = [
    (1).to_bytes(32, "little"),
    (P - 1).to_bytes(32, "little"),
    bytes(32),
    bytes(31) + b"\x80",
    *(
        bytes.fromhex(f"{head}{tail}")
        for head, tails in (
            ("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc", ("05", "85")),
            ("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03", ("7a", "fa")),
        )
        for tail in tails
    ),
]
NOT_CANONICAL = [
    P.to_bytes(32, "little"),
    (P + 1).to_bytes(32, "little"),
    (P + 3).to_bytes(32, "little"),
    (P + 18).to_bytes(32, "little"),
    b"\xff" * 32,
    b"\x01" + bytes(30) + b"\x80",  # x = 0 with its sign bit set
]


def vkey_of(name: str, material: bytes) -> str:
    key_id = sha256(name.encode() + b"\n" + material).digest()[:4]
    return f"{name}+{key_id.hex()}+{b64encode(material)}"


@pytest.mark.parametrize(
    ("field", "algorithm"),
    [
        ("vkey", ALG_ED25519),
        ("evidence_vkey", ALG_ED25519),
        ("next_vkey", ALG_ED25519),
        ("witness_vkey", ALG_COSIGNATURE),
    ],
)
def test_vkeys_of_the_reference_vectors(field: str, algorithm: int) -> None:
    key = VerifierKey.parse(LOG[field])
    assert key.vkey == LOG[field]
    assert key.algorithm == algorithm
    assert VerifierKey.of(key.name, key.public, algorithm) == key
    assert key.fingerprint == sha256(LOG[field].encode()).hexdigest()


def test_secret_keys_of_the_reference_vectors() -> None:
    for secret, public in (("secret_key", "vkey"), ("evidence_secret_key", "evidence_vkey")):
        key = SigningKey.parse(LOG[secret])
        assert key.text == LOG[secret]
        assert key.verifier.vkey == LOG[public]
    witness = SigningKey("witness.example.org/w1", bytes.fromhex(LOG["witness_seed"]), ALG_COSIGNATURE)
    assert witness.verifier.vkey == LOG["witness_vkey"]
    assert SigningKey.parse(witness.text).verifier == witness.verifier


def test_signatures_follow_rfc_8032() -> None:
    # RFC 8032 section 7.1, test 2.
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    key = SigningKey("k", seed)
    assert key.verifier.public.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert key.sign(b"\x72") == signature
    assert key.verifier.verify(b"\x72", signature)
    assert not key.verifier.verify(b"\x73", signature)
    for wrong in (b"", signature[:-1], signature + b"\x00", bytes(64)):
        assert not key.verifier.verify(b"\x72", wrong)


def test_signatures_with_a_second_form_are_refused() -> None:
    key = SigningKey("k", bytes(32))
    signature = key.sign(b"m")
    order = 2**252 + 27742317777372353535851937790883648493
    shifted = int.from_bytes(signature[32:], "little") + order
    assert not key.verifier.verify(b"m", signature[:32] + shifted.to_bytes(32, "little"))


@pytest.mark.parametrize("public", SMALL_ORDER + NOT_CANONICAL, ids=bytes.hex)
def test_unsafe_public_keys_are_refused(public: bytes) -> None:
    for algorithm in (ALG_ED25519, ALG_COSIGNATURE):
        with pytest.raises(KeyFormatError, match="not a safe Ed25519 public key"):
            VerifierKey.parse(vkey_of("example.com/log", bytes([algorithm]) + public))


@pytest.mark.parametrize("algorithm", [0x02, 0x05, 0x06, 0xFF, 0x00])
def test_other_types_are_named_as_not_supported(algorithm: int) -> None:
    with pytest.raises(KeyFormatError, match=f"0x{algorithm:02x} is not supported"):
        VerifierKey.parse(vkey_of("example.com/log", bytes([algorithm]) + bytes(1312)))


GOOD = LOG["vkey"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "++",
        "name",
        "name+01234567",
        GOOD + "\n",
        " " + GOOD,
        GOOD[:-1],
        GOOD + "A",
        GOOD.replace("85b76073", "85B76073"),
        GOOD.replace("85b76073", "85b76074"),
        GOOD.replace("85b76073", "5b76073"),
        GOOD.replace("audit", "Audit"),
        "+" + GOOD.split("+", 1)[1],
        "name+01234567+",
        vkey_of("name", b"\x01" + bytes(range(31))),
        vkey_of("name", b"\x01" + bytes(range(33))),
        vkey_of("na me", b"\x01" + VerifierKey.parse(GOOD).public),
        "n" * 5000,
    ],
)
def test_malformed_vkeys(text: str) -> None:
    with pytest.raises(KeyFormatError):
        VerifierKey.parse(text)


@pytest.mark.parametrize(
    "name", ["", "a b", "a+b", "a\tb", "a\nb", "a\u00a0b", "a\u2003b", "a\x7f", "a\x85", "a\ud800", "n" * 1025]
)
def test_names_that_cannot_be_used(name: str) -> None:
    with pytest.raises(KeyFormatError):
        check_name(name)
    with pytest.raises(KeyFormatError):
        SigningKey(name, bytes(32))


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters="+"), min_size=1, max_size=100),
    st.binary(min_size=32, max_size=32),
)
def test_every_other_name_travels(name: str, seed: bytes) -> None:
    key = SigningKey(name, seed)
    assert VerifierKey.parse(key.verifier.vkey) == key.verifier
    assert SigningKey.parse(key.text).verifier == key.verifier


def test_parts_must_belong_together() -> None:
    key = VerifierKey.parse(GOOD)
    with pytest.raises(KeyFormatError, match="does not match"):
        VerifierKey(key.name, bytes(4), key.algorithm, key.public)
    with pytest.raises(KeyFormatError, match="32 bytes"):
        VerifierKey.of(key.name, key.public[:31])


def test_generated_keys_differ_and_work() -> None:
    one, two = SigningKey.generate("a"), SigningKey.generate("a")
    assert one.verifier != two.verifier
    assert one.verifier.verify(b"m", one.sign(b"m"))
    assert not two.verifier.verify(b"m", one.sign(b"m"))


def test_the_secret_shows_nowhere_by_itself() -> None:
    key = SigningKey.parse(LOG["secret_key"])
    secret = LOG["secret_key"].rsplit("+", 1)[1]
    assert secret not in repr(key)
    assert secret not in str(key)
    assert secret not in f"{[key]}"


@pytest.mark.parametrize(
    "text",
    [
        LOG["secret_key"][:-1],
        LOG["secret_key"] + "!",
        LOG["secret_key"].replace("+85b76073+", "+85b76074+"),
        LOG["secret_key"].replace("+85b76073+", "+"),
        LOG["secret_key"].replace("audit.example.com/lumi+85b76073+", ""),
        LOG["secret_key"].replace("PRIVATE+KEY+", ""),
        LOG["secret_key"][:-4],
        LOG["secret_key"].replace("+AQAB", "+AgAB"),
    ],
)
def test_malformed_secret_keys_are_refused_without_repeating_them(text: str) -> None:
    with pytest.raises(KeyFormatError) as caught:
        SigningKey.parse(text)
    assert "AwQFBgcI" not in str(caught.value)


def test_a_secret_key_in_the_place_of_a_vkey_is_not_repeated() -> None:
    with pytest.raises(KeyFormatError, match="secret key") as caught:
        VerifierKey.parse(LOG["secret_key"])
    assert "AQAB" not in str(caught.value)


def test_key_files(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    key = SigningKey.generate("example.com/log")
    key.save_new(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == key.text + "\n"
    assert SigningKey.load(path).verifier == key.verifier
    assert list(tmp_path.iterdir()) == [path]


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    path.write_text("precious")
    with pytest.raises(KeyFormatError, match="never overwritten"):
        SigningKey.generate("a").save_new(path)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o700, 0o601])
def test_key_files_that_others_may_use_are_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "log.key"
    SigningKey.generate("a").save_new(path)
    path.chmod(mode)
    with pytest.raises(KeyFormatError, match=f"mode {mode:04o}.*chmod 600 {path}"):
        SigningKey.load(path)
    path.chmod(0o400)
    SigningKey.load(path)


def test_key_files_that_are_none(tmp_path: Path) -> None:
    missing, pipe, folder, text, binary = (tmp_path / name for name in ("missing", "pipe", "folder", "text", "binary"))
    os.mkfifo(pipe, 0o600)
    folder.mkdir(0o700)
    text.write_text(LOG["vkey"])
    binary.write_bytes(b"\xff" * 10_000)
    text.chmod(0o600)
    binary.chmod(0o600)
    for path in (missing, pipe, folder, text, binary):
        with pytest.raises(KeyFormatError, match=str(path)):
            SigningKey.load(path)
    with pytest.raises(KeyFormatError, match="cannot write"):
        SigningKey.generate("a").save_new(missing / "log.key")
