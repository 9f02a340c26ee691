"""Foreign bytes: every parser returns a value or raises the error of its own kind, whatever it is given.

Inputs are valid ones, damaged in the ways that files get damaged or forged, and plain noise. What a parser of a
published form accepts must also be the only form of its value: writing it again gives the same bytes.
"""

import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import transparency
from transparency.checkpoint import Checkpoint, parse_signed_checkpoint
from transparency.cosignature import cosignature_time
from transparency.encoding import (
    b64decode,
    b64encode,
    canonical_json,
    decode_text,
    decode_varint,
    encode_varint,
    format_timestamp,
    hex_decode,
    parse_canonical_json,
    parse_day,
    parse_decimal,
    parse_timestamp,
)
from transparency.entries import DayRecord, Genesis, PreviousLog
from transparency.errors import (
    CheckpointError,
    CosignatureError,
    EncodingError,
    EntryError,
    FormatError,
    KeyFormatError,
    NoteError,
    ObjectMissing,
    PolicyError,
    ProofFormatError,
    TileError,
    VerificationError,
)
from transparency.history import History
from transparency.journal import Commit
from transparency.keys import SigningKey, VerifierKey
from transparency.merkle import verify_consistency, verify_inclusion
from transparency.monitor import Followed
from transparency.note import Signature, format_note, parse_note, parse_signature_lines
from transparency.patricia import verify_absence, verify_presence
from transparency.policy import Policy
from transparency.proof import TlogProof
from transparency.tiles import Tile, decode_bundle, decode_hashes, encode_bundle, encode_hashes
from transparency.verify import verify_day_inclusion, verify_log

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "lumi_v1.json").read_text())
LOG = VECTORS["log"]
ENTRIES = [entry.encode() for entry in LOG["entries"]]
SIGNED = [checkpoint["cosigned"].encode() for checkpoint in LOG["checkpoints"]]
HISTORY = History(Genesis.parse(ENTRIES[0]))
for entry in ENTRIES[1:]:
    HISTORY.add(DayRecord.parse(entry))
FOLLOWED = [Followed(SIGNED[-1], ENTRIES[0], ENTRIES[-1], tuple(HISTORY.takeovers)).encode()]
PROOFS = [proof.encode() for proof in VECTORS["proofs"].values()]
EXTRAS = [TlogProof.parse(proof).extra or b"" for proof in PROOFS]
POLICY = f"# ours\nlog {LOG['vkey']} https://log.example/\nwitness a {LOG['witness_vkey']}\n\ngroup g any a\nquorum g\n"
TENANT_PROOFS = [b64decode(json.loads(extra)["tenant_proof"]) for extra in EXTRAS]


def as_text(data: bytes) -> str:
    """Any bytes as text, lone surrogates included, as they come from a file name or a JSON escape."""
    return data.decode("utf-8", errors="surrogateescape")


@dataclass(frozen=True)
class Parser:
    """How to feed a parser with bytes, what it may raise, valid inputs, and what gives the input back."""

    parse: Callable[[bytes], Any]
    errors: tuple[type[FormatError], ...]
    seeds: Sequence[bytes]
    write: Callable[[Any], bytes] | None = None


def text_parser(
    parse: Callable[[str], Any],
    error: type[FormatError],
    seeds: Sequence[str],
    write: Callable[[Any], str] | None = None,
) -> Parser:
    return Parser(
        lambda data: parse(as_text(data)),
        (error,),
        [seed.encode() for seed in seeds],
        None if write is None else lambda value: write(value).encode(),
    )


PARSERS = {
    "checkpoint.Checkpoint.parse": text_parser(
        Checkpoint.parse,
        CheckpointError,
        [parse_note(data).text for data in SIGNED],
        lambda checkpoint: checkpoint.text,
    ),
    "checkpoint.parse_signed_checkpoint": Parser(
        parse_signed_checkpoint, (NoteError, CheckpointError), SIGNED, lambda signed: signed.data
    ),
    "cosignature.cosignature_time": Parser(
        lambda data: cosignature_time(Signature("w", b"\x00" * 4, data)),
        (CosignatureError,),
        [parse_note(data).signatures[1].signature for data in SIGNED],
    ),
    "encoding.b64decode": text_parser(b64decode, EncodingError, ["YWJj", "YQ==", ""], b64encode),
    "encoding.decode_text": Parser(
        lambda data: decode_text(data, 100, "it"), (EncodingError,), [b"a", b"\xf0\x9f\x8e\x89"], str.encode
    ),
    "encoding.decode_varint": Parser(
        lambda data: decode_varint(data, 0), (EncodingError,), [encode_varint(n) for n in (0, 127, 300, 2**64 - 1)]
    ),
    "encoding.hex_decode": text_parser(lambda text: hex_decode(text, 3), EncodingError, ["00ff7a"], bytes.hex),
    "encoding.parse_canonical_json": Parser(
        lambda data: parse_canonical_json(data, 1 << 20),
        (EncodingError,),
        EXTRAS,
        lambda value: canonical_json(value).encode(),
    ),
    "encoding.parse_day": text_parser(
        parse_day, EncodingError, ["2026-11-21", "0001-01-01"], lambda day: day.isoformat()
    ),
    "encoding.parse_decimal": text_parser(parse_decimal, EncodingError, ["0", "17", "9223372036854775807"], str),
    "encoding.parse_timestamp": text_parser(
        parse_timestamp, EncodingError, ["2026-11-21T00:00:00.000000Z"], format_timestamp
    ),
    "entries.DayRecord.parse": Parser(DayRecord.parse, (EntryError,), ENTRIES[1:], DayRecord.encode),
    "entries.Genesis.parse": Parser(
        Genesis.parse,
        (EntryError,),
        [ENTRIES[0], ENTRIES[0] + b"previous old.example 7 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"],
        Genesis.encode,
    ),
    "entries.PreviousLog.parse": text_parser(
        PreviousLog.parse,
        EntryError,
        ["old.example 7 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="],
        lambda previous: previous.text,
    ),
    "journal.Commit.parse": Parser(
        lambda data: Commit.parse(3, data), (EncodingError,), [Commit(3, 4, bytes(32)).encode()], Commit.encode
    ),
    "keys.SigningKey.parse": text_parser(
        SigningKey.parse, KeyFormatError, [LOG["secret_key"], LOG["evidence_secret_key"]], lambda key: key.text
    ),
    "keys.VerifierKey.parse": text_parser(
        VerifierKey.parse,
        KeyFormatError,
        [LOG["vkey"], LOG["evidence_vkey"], LOG["witness_vkey"]],
        lambda key: key.vkey,
    ),
    "note.parse_note": Parser(parse_note, (NoteError,), SIGNED, format_note),
    "note.parse_signature_lines": text_parser(
        parse_signature_lines,
        NoteError,
        ["".join(signature.line for signature in parse_note(SIGNED[0]).signatures)],
        lambda signatures: "".join(signature.line for signature in signatures),
    ),
    "policy.Policy.parse": Parser(Policy.parse, (PolicyError,), [POLICY.encode()]),
    "proof.TlogProof.parse": Parser(TlogProof.parse, (ProofFormatError,), PROOFS, TlogProof.format),
    "tiles.Tile.parse": text_parser(
        Tile.parse,
        TileError,
        ["tile/0/000", "tile/63/x001/x234/067", "tile/entries/000.p/255"],
        lambda tile: tile.path,
    ),
    "tiles.decode_bundle": Parser(
        lambda data: decode_bundle(data, 3),
        (TileError,),
        [encode_bundle(ENTRIES), encode_bundle([b"", b"a", b""])],
        encode_bundle,
    ),
    "tiles.decode_hashes": Parser(lambda data: decode_hashes(data, 3), (TileError,), [bytes(96)], encode_hashes),
    "monitor.Followed.parse": Parser(
        Followed.parse, (FormatError, VerificationError), FOLLOWED, lambda followed: followed.encode()
    ),
}

NOISE = st.binary(max_size=80) | st.text(max_size=40).map(str.encode)
SPACES = [b" ", b"\t", b"\n", b"\n\n", b"\r\n", b"\xc2\xa0", b"\xe2\x80\xa8"]
NO_UTF8 = [b"\xff", b"\xed\xa0\x80", b"\xc0\x80"]
SIGNS = [b"\x00", b"\xef\xbb\xbf", b"+", b"-", b"/", b"=", b"==", b'"', b"\\", b"\\u0000", b"{", b"[" * 20, b"]"]
NUMBERS = [b"0", b"00", b"1", b"9" * 30, b"A" * 44, b"1e999", b"NaN", b"\xd9\xa3"]
WORDS = [b"\xe2\x80\x94 ", b"none", b"any", b"extra ", b"index ", b"quorum ", b"previous ", b".p/", b"x"]
TOKENS = st.sampled_from(SPACES + NO_UTF8 + SIGNS + NUMBERS + WORDS)


@st.composite
def damaged(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """A valid input with one to four pieces flipped, cut, repeated, moved or put in; or noise."""
    data = draw(st.sampled_from(seeds) | NOISE)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from([0, 1, 1, 2, 8, 40, 400])))
        piece = data[start:end]
        match draw(st.sampled_from(["flip", "cut", "repeat", "move", "insert", "lines"])):
            case "flip" if piece:
                data = data[:start] + bytes([piece[0] ^ draw(st.integers(1, 255))]) + data[start + 1 :]
            case "cut":
                data = data[:start] + data[end:]
            case "repeat":
                data = data[:end] + piece * draw(st.integers(1, 3)) + data[end:]
            case "move":
                rest = data[:start] + data[end:]
                target = draw(st.integers(0, len(rest)))
                data = rest[:target] + piece + rest[target:]
            case "insert":
                data = data[:start] + draw(TOKENS | NOISE) + data[start:]
            case _:
                data = b"\n".join(draw(st.permutations(data.split(b"\n")[:12])))
    return data


def public_parsers() -> set[str]:
    """Every public function and class method of the package that is named like a parser."""
    found = {"cosignature.cosignature_time"}
    for module_info in pkgutil.iter_modules(transparency.__path__):
        module = importlib.import_module(f"transparency.{module_info.name}")
        for name, value in vars(module).items():
            if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
                continue
            if inspect.isfunction(value) and ("parse" in name or "decode" in name):
                found.add(f"{module_info.name}.{name}")
            elif inspect.isclass(value) and hasattr(value, "parse"):
                found.add(f"{module_info.name}.{name}.parse")
    return found


def test_every_public_parser_is_fuzzed_here() -> None:
    assert public_parsers() == PARSERS.keys()


@pytest.mark.parametrize("name", PARSERS)
def test_valid_inputs_are_accepted(name: str) -> None:
    parser = PARSERS[name]
    for seed in parser.seeds:
        value = parser.parse(seed)
        assert parser.write is None or parser.write(value) == seed


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=120)
@given(st.data())
def test_parsers_return_or_raise_their_own_error(name: str, data: st.DataObject) -> None:
    parser = PARSERS[name]
    given_bytes = data.draw(damaged(parser.seeds))
    try:
        value = parser.parse(given_bytes)
    except parser.errors as error:
        str(error).encode()  # a message that can be printed
        return
    if parser.write is not None:
        assert parser.write(value) == given_bytes


@settings(max_examples=150)
@given(damaged(TENANT_PROOFS), st.binary(min_size=32, max_size=32))
@example(b"", bytes(32))
def test_map_proofs_verify_or_are_refused(proof: bytes, key: bytes) -> None:
    for verify in (
        lambda: verify_presence(bytes(32), key, bytes(32), proof),
        lambda: verify_absence(bytes(32), key, proof),
    ):
        with pytest.raises((ProofFormatError, VerificationError)):
            verify()


@given(
    st.integers(-1, 2**64), st.integers(-1, 2**64), st.lists(st.binary(max_size=33) | st.just(bytes(32)), max_size=70)
)
def test_tree_proofs_of_noise_are_refused(one: int, two: int, path: list[bytes]) -> None:
    with pytest.raises(VerificationError):
        verify_inclusion(bytes(32), one, two, path, b"\x01" * 32)
    with pytest.raises(VerificationError):
        verify_consistency(one, two, bytes(32), b"\x01" * 32, path)


HASH_LISTS = st.lists(
    st.binary(max_size=33) | st.sampled_from([b64decode(h) for h in json.loads(EXTRAS[0])["genesis_path"]]), max_size=5
)


@settings(max_examples=150)
@given(st.tuples(damaged(SIGNED), damaged(ENTRIES), HASH_LISTS, damaged(ENTRIES), st.integers(-1, 2**63), HASH_LISTS))
def test_a_day_of_noise_fails_with_a_reason(parts: tuple[bytes, bytes, list[bytes], bytes, int, list[bytes]]) -> None:
    with pytest.raises(VerificationError) as caught:
        verify_day_inclusion(Policy.pinning(LOG["vkey"]), *parts)
    assert caught.value.reason


@settings(max_examples=100)
@given(st.lists(damaged([*SIGNED, encode_bundle(ENTRIES), bytes(96)]), min_size=3, max_size=3))
def test_a_log_of_noise_fails_with_a_reason(contents: list[bytes]) -> None:
    files = dict(zip(("checkpoint", "tile/0/000.p/3", "tile/entries/000.p/3"), contents, strict=True))
    files["checkpoint"] = SIGNED[1] if contents[0][:1] == b"a" else contents[0]

    def fetch(path: str) -> bytes:
        if path not in files:
            raise ObjectMissing(path)
        return files[path]

    with pytest.raises(VerificationError) as caught:
        verify_log(fetch, Policy.pinning(LOG["vkey"]))
    assert caught.value.reason
