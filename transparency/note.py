"""Signed notes: text, a blank line, and one line per signature (C2SP signed-note).

::

    any text that ends with a line feed

    — <name of the key> <base64(key id ‖ signature)>
    — <name of another key> <base64(key id ‖ signature)>

Anybody can append lines. So those of unknown keys count for nothing, and those of known keys must verify.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from transparency.encoding import b64decode, b64encode, decode_text, excerpt
from transparency.errors import EncodingError, KeyFormatError, NoteError, VerificationError
from transparency.keys import ALG_ED25519, KEY_ID_SIZE, SigningKey, VerifierKey, check_name

MAX_NOTE_SIZE = 1024 * 1024
MAX_SIGNATURES = 100
"""More than the 16 that C2SP asks for, few enough that a hostile note costs little to check."""

_SHOWN = 5
"""Signers that an error names."""

_LINE_START = "\u2014 "  # an em dash and a space
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: who claims to have signed (name and 4-byte key id), and the signature's own bytes.

    The signature is 64 bytes of Ed25519 for a log and 72 bytes (time ‖ Ed25519) for a witness; other types are
    carried along as they are.
    """

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        """The signature line with its line feed."""
        return f"{_LINE_START}{self.name} {b64encode(self.key_id + self.signature)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A note as read. **Nothing is verified**: the text means nothing until :func:`verify_note` has passed."""

    text: str
    """The signed text with its final line feed."""
    signatures: tuple[Signature, ...]


def parse_note(data: bytes) -> Note:
    """Read a signed note of at most 1 MiB and 100 signatures; raise NoteError.

    Lines of unknown keys must be well formed like all others, and no (name, key id) may sign twice.
    """
    try:
        content = decode_text(data, MAX_NOTE_SIZE, "signed note")
    except EncodingError as error:
        raise NoteError(str(error)) from None
    # The text may hold blank lines itself: it ends at the last one (C2SP signed-note, "Format").
    split = content.rfind("\n\n")
    if split < 0:
        raise NoteError("a signed note needs a blank line between its text and its signatures")
    text, lines = content[: split + 1], content[split + 2 :]
    _check_text(text)
    if not lines:
        raise NoteError("a signed note needs at least one signature line after its last blank line")
    return Note(text, parse_signature_lines(lines))


def parse_signature_lines(lines: str) -> tuple[Signature, ...]:
    """Read signature lines alone, as a witness returns them (C2SP tlog-witness); raise NoteError."""
    if len(lines) > MAX_NOTE_SIZE:
        raise NoteError(f"signature lines of more than {MAX_NOTE_SIZE} characters")
    if not lines.endswith("\n"):
        raise NoteError("the last signature line does not end with a line feed")
    if lines.count("\n") > MAX_SIGNATURES:
        raise NoteError(f"more than {MAX_SIGNATURES} signatures")
    signatures = tuple(_parse_signature_line(line) for line in lines.split("\n")[:-1])
    _check_distinct(signatures)
    return signatures


def format_note(note: Note) -> bytes:
    """Write a note in its only form, so that ``format_note(parse_note(data)) == data``."""
    _check_text(note.text)
    if not 0 < len(note.signatures) <= MAX_SIGNATURES:
        raise NoteError(f"a signed note holds 1 to {MAX_SIGNATURES} signatures, not {len(note.signatures)}")
    _check_distinct(note.signatures)
    data = f"{note.text}\n{''.join(signature.line for signature in note.signatures)}".encode()
    if len(data) > MAX_NOTE_SIZE:
        raise NoteError(f"a signed note of {len(data)} bytes; at most {MAX_NOTE_SIZE} are accepted")
    return data


def sign_note(text: str, keys: Sequence[SigningKey]) -> bytes:
    """Sign ``text`` (which ends with a line feed) with each key, in this order, and return the note."""
    _check_text(text)
    for key in keys:
        if key.verifier.algorithm != ALG_ED25519:
            raise NoteError(f"key {key.name} signs cosignatures, not notes")
    message = text.encode()
    signatures = (Signature(key.name, key.verifier.key_id, key.sign(message)) for key in keys)
    return format_note(Note(text, tuple(signatures)))


def verify_note(note: Note, keys: Sequence[VerifierKey]) -> list[VerifierKey]:
    """Check every signature by one of ``keys`` over the text; return the keys that signed, in the note's order.

    Lines of unknown keys are ignored. A failing signature of a known key, or no signature of any known key, raises
    VerificationError ``note-signature`` (C2SP signed-note, "Signatures").
    """
    message = note.text.encode()
    signed_by = []
    for key, signature in signatures_by(note, keys):
        if key.algorithm != ALG_ED25519 or not key.verify(message, signature.signature):
            raise VerificationError("note-signature", f"the signature by {key.name} ({key.vkey}) does not verify")
        signed_by.append(key)
    if not signed_by:
        wanted = ", ".join(key.vkey for key in keys) or "none"
        present = ", ".join(f"{excerpt(line.name)} ({line.key_id.hex()})" for line in note.signatures[:_SHOWN])
        raise VerificationError(
            "note-signature", f"the note is not signed by a trusted key, but by {present}; trusted: {wanted}"
        )
    return signed_by


def signatures_by(note: Note, keys: Sequence[VerifierKey]) -> list[tuple[VerifierKey, Signature]]:
    """Return the signature lines that claim to be by one of ``keys``, unverified, in the note's order."""
    known = {(key.name, key.key_id): key for key in keys}
    return [
        (known[signature.name, signature.key_id], signature)
        for signature in note.signatures
        if (signature.name, signature.key_id) in known
    ]


def _check_text(text: str) -> None:
    if not text.endswith("\n"):
        raise NoteError("the text of a signed note must end with a line feed")
    control = _CONTROL.search(text)
    if control:
        raise NoteError(f"the text of a signed note holds the control character {control.group()!r}")
    if text.startswith("\ufeff"):
        raise NoteError("the text of a signed note starts with a byte order mark")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NoteError("the text of a signed note holds a lone surrogate") from None


def _check_distinct(signatures: Sequence[Signature]) -> None:
    signers = set()
    for signature in signatures:
        signer = (signature.name, signature.key_id)
        if signer in signers:
            raise NoteError(f"two signatures by {excerpt(signature.name)} with key id {signature.key_id.hex()}")
        signers.add(signer)


def _parse_signature_line(line: str) -> Signature:
    if not line.startswith(_LINE_START):
        raise NoteError(f"a signature line starts with an em dash and a space; got {excerpt(line)}")
    name, _, encoded = line[len(_LINE_START) :].partition(" ")
    try:
        check_name(name)
        data = b64decode(encoded)
    except (KeyFormatError, EncodingError) as error:
        raise NoteError(f"malformed signature line: {error}") from None
    if len(data) <= KEY_ID_SIZE:
        raise NoteError(f"the signature by {excerpt(name)} is too short to hold a key id and a signature")
    return Signature(name, data[:KEY_ID_SIZE], data[KEY_ID_SIZE:])
