"""Signed notes (C2SP signed-note)."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transparency.encoding import b64encode
from transparency.errors import NoteError, VerificationError
from transparency.keys import ALG_COSIGNATURE, SigningKey, VerifierKey
from transparency.note import (
    MAX_NOTE_SIZE,
    MAX_SIGNATURES,
    Note,
    Signature,
    format_note,
    parse_note,
    parse_signature_lines,
    sign_note,
    verify_note,
)

LOG: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "lumi_v1.json").read_text())["log"]
SIGNED = [checkpoint[form].encode() for checkpoint in LOG["checkpoints"] for form in ("signed", "cosigned")]
ALICE = SigningKey("example.com/alice", bytes(32))
BOB = SigningKey("example.com/bob", b"\x01" * 32)
TEXT = "one\n\n\ntwo\n"
LINE = f"\u2014 example.com/alice {b64encode(b'idid' + bytes(64))}\n"


def note_with(text: str, *lines: str) -> bytes:
    return f"{text}\n{''.join(lines)}".encode()


@pytest.mark.parametrize("data", SIGNED)
def test_reference_vectors_round_trip_and_verify(data: bytes) -> None:
    note = parse_note(data)
    assert format_note(note) == data
    key = VerifierKey.parse(LOG["vkey"])
    assert verify_note(note, [key]) == [key]


def test_signing_is_deterministic_and_matches_the_vectors() -> None:
    key = SigningKey.parse(LOG["secret_key"])
    for checkpoint in LOG["checkpoints"]:
        signed = checkpoint["signed"].encode()
        assert sign_note(parse_note(signed).text, [key]) == signed


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff")), min_size=1))
def test_any_text_survives(lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    data = sign_note(text, [ALICE, BOB])
    note = parse_note(data)
    assert note.text == text
    assert verify_note(note, [BOB.verifier, ALICE.verifier]) == [ALICE.verifier, BOB.verifier]
    assert format_note(note) == data


def test_the_text_ends_at_the_last_blank_line() -> None:
    inner = sign_note("inner\n", [BOB]).decode()
    note = parse_note(sign_note(inner, [ALICE]))
    assert note.text == inner
    assert [signature.name for signature in note.signatures] == ["example.com/alice"]
    assert parse_note(note_with("\n\n", LINE)).text == "\n\n"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\n\n",
        b"text\n",
        b"text\n\n",
        note_with("text\n", "text\n"),
        note_with("text\n", LINE[:-1]),
        note_with("text\n", LINE, "\n"),
        note_with("text\n", LINE, "x"),
        note_with("text\n", LINE, LINE),
        note_with("text\n", LINE, LINE.replace("AAA=", "AAE=")),
        note_with("text\n", LINE.replace("\u2014", "-")),
        note_with("text\n", LINE.replace("\u2014", "\u2013")),
        note_with("text\n", LINE.replace("\u2014 ", "\u2014")),
        note_with("text\n", LINE.replace("\u2014 ", "\u2014  ")),
        note_with("text\n", LINE.replace("alice ", "alice\u00a0")),
        note_with("text\n", LINE.replace("alice ", "alice")),
        note_with("text\n", LINE.replace("alice ", "alice  ")),
        note_with("text\n", LINE.replace("alice", "al+ice")),
        note_with("text\n", LINE.replace("alice", "al\u3000ice")),
        note_with("text\n", LINE.replace("example.com/alice", "")),
        note_with("text\n", LINE.replace("=\n", "\n")),
        note_with("text\n", LINE.replace("\n", " \n")),
        note_with("text\n", LINE.replace("\n", "\r\n")),
        note_with("text\n", f"\u2014 a {b64encode(b'idid')}\n"),
        note_with("text\n", f"\u2014 a {b64encode(b'id')}\n"),
        note_with("text\n", "\u2014 a \n"),
        note_with("text\r\n", LINE),
        note_with("te\x00xt\n", LINE),
        note_with("te\txt\n", LINE),
        note_with("te\x1bxt\n", LINE),
        note_with("te\x7fxt\n", LINE),
        note_with("te\x9bxt\n", LINE),
        note_with("\ufefftext\n", LINE),
        b"te\xffxt\n\n" + LINE.encode(),
        b"te\xed\xa0\x80xt\n\n" + LINE.encode(),
        note_with("text\n", LINE)[:-1] + b"\x00",
    ],
    ids=lambda data: repr(data[:50]),
)
def test_malformed_notes(data: bytes) -> None:
    with pytest.raises(NoteError):
        parse_note(data)


def test_sixteen_signatures_and_more_are_read() -> None:
    keys = [SigningKey(f"k{number}", number.to_bytes(32)) for number in range(MAX_SIGNATURES)]
    note = parse_note(sign_note(TEXT, keys))
    assert len(verify_note(note, [key.verifier for key in keys])) == MAX_SIGNATURES
    with pytest.raises(NoteError, match="more than 100 signatures"):
        parse_note(note_with("text\n", *(LINE.replace("alice", str(number)) for number in range(MAX_SIGNATURES + 1))))


def test_size_is_capped_before_anything_else() -> None:
    assert parse_note(note_with("x" * (MAX_NOTE_SIZE - len(LINE.encode()) - 2) + "\n", LINE))
    with pytest.raises(NoteError, match="at most 1048576"):
        parse_note(b"\xff" * (MAX_NOTE_SIZE + 1))


def test_unknown_keys_are_ignored() -> None:
    note = parse_note(sign_note(TEXT, [ALICE, BOB]))
    assert verify_note(note, [BOB.verifier]) == [BOB.verifier]
    stranger = Signature(BOB.name, b"\x00\x01\x02\x03", bytes(64))  # a known name with another id is another key
    assert verify_note(Note(TEXT, (*note.signatures, stranger)), [BOB.verifier]) == [BOB.verifier]


@pytest.mark.parametrize("keys", [[], [BOB.verifier], [SigningKey("example.com/alice", b"\x02" * 32).verifier]])
def test_a_note_by_nobody_we_know(keys: list[VerifierKey]) -> None:
    with pytest.raises(VerificationError, match="not signed by a trusted key") as caught:
        verify_note(parse_note(sign_note(TEXT, [ALICE])), keys)
    assert caught.value.reason == "note-signature"


@pytest.mark.parametrize("signature", [bytes(64), b"\x00", ALICE.sign(b"other\n"), ALICE.sign(TEXT.encode()) + b"\x00"])
def test_a_failing_known_signature_rejects_the_whole_note(signature: bytes) -> None:
    good, _ = parse_note(sign_note(TEXT, [BOB, ALICE])).signatures
    note = Note(TEXT, (good, Signature(ALICE.name, ALICE.verifier.key_id, signature)))
    with pytest.raises(VerificationError, match=r"example\.com/alice") as caught:
        verify_note(note, [ALICE.verifier, BOB.verifier])
    assert caught.value.reason == "note-signature"
    assert verify_note(note, [BOB.verifier]) == [BOB.verifier]


def test_the_key_of_a_witness_signs_no_notes() -> None:
    witness = SigningKey("w", bytes(32), ALG_COSIGNATURE)
    with pytest.raises(NoteError, match="cosignatures"):
        sign_note(TEXT, [witness])
    plain = Signature("w", witness.verifier.key_id, witness.sign(TEXT.encode()))
    with pytest.raises(VerificationError):
        verify_note(Note(TEXT, (plain,)), [witness.verifier])


@pytest.mark.parametrize("text", ["", "no line end", "tab\t\n", "\ufeffmark\n", "\ud800\n", "nul\x00\n"])
def test_nothing_is_signed_that_could_not_be_read(text: str) -> None:
    with pytest.raises(NoteError):
        sign_note(text, [ALICE])


def test_a_note_needs_distinct_signers() -> None:
    with pytest.raises(NoteError, match="1 to 100"):
        sign_note(TEXT, [])
    with pytest.raises(NoteError, match="two signatures"):
        sign_note(TEXT, [ALICE, ALICE])


def test_signature_lines_alone() -> None:
    note = parse_note(sign_note(TEXT, [ALICE, BOB]))
    assert parse_signature_lines("".join(signature.line for signature in note.signatures)) == note.signatures
    for lines in ("", "\n", LINE[:-1], LINE + LINE, LINE + "\n", "x\n", LINE * (MAX_SIGNATURES + 1), "x" * 2**21):
        with pytest.raises(NoteError):
            parse_signature_lines(lines)
