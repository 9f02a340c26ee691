"""Checkpoints: what a log signs about its tree (C2SP tlog-checkpoint).

Ours are exactly three lines, ``origin``, ``size`` and base64 ``root``; extension lines are refused, because nobody
could audit them. The origin is also the name of the log's key. That a log is signed says nothing of its tree: whether
size and root belong to anything is found by proofs (merkle.py) and tiles (tiles.py).

Verdicts go through :func:`transparency.policy.evaluate`, which is :func:`verify_checkpoint` and the witnesses;
:func:`open_checkpoint` is for who trusts keys and asks for no witnesses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from transparency.encoding import b64decode, b64encode, excerpt, parse_decimal
from transparency.errors import CheckpointError, EncodingError, KeyFormatError, VerificationError
from transparency.keys import SigningKey, VerifierKey, check_name
from transparency.merkle import HASH_SIZE
from transparency.note import Note, format_note, parse_note, sign_note, verify_note


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a log: its identity, its number of entries, and the 32-byte RFC 6962 root over them."""

    origin: str
    size: int
    root: bytes

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Read the three lines; raise CheckpointError."""
        lines = text.split("\n", 4)
        if len(lines) != 4 or lines[3]:
            raise CheckpointError("a checkpoint is exactly three lines: origin, size, root (no extension lines)")
        origin, size, root = lines[:3]
        try:
            check_name(origin)
            return cls(origin, parse_decimal(size), b64decode(root, HASH_SIZE))
        except (EncodingError, KeyFormatError) as error:
            raise CheckpointError(f"malformed checkpoint: {error}") from None

    @property
    def text(self) -> str:
        """The three lines, each with its line feed: what is signed."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root)}\n"


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint with the note it came in. **Not verified** by being parsed: see :func:`verify_checkpoint`."""

    checkpoint: Checkpoint
    note: Note

    @property
    def data(self) -> bytes:
        """The signed checkpoint, byte for byte as it was read."""
        return format_note(self.note)


def sign_checkpoint(checkpoint: Checkpoint, keys: Sequence[SigningKey]) -> bytes:
    """Sign with each of the log's keys (two while a key is being replaced); all are named like the origin."""
    for key in keys:
        if key.name != checkpoint.origin:
            raise CheckpointError(
                f"key {key.name} cannot sign for {checkpoint.origin}: a log key is named like the log"
            )
    Checkpoint.parse(checkpoint.text)  # what could not be read back must never be signed
    return sign_note(checkpoint.text, keys)


def parse_signed_checkpoint(data: bytes) -> SignedCheckpoint:
    """Read a signed checkpoint without verifying it; raise NoteError or CheckpointError."""
    note = parse_note(data)
    return SignedCheckpoint(Checkpoint.parse(note.text), note)


def verify_checkpoint(signed: SignedCheckpoint, keys: Sequence[VerifierKey]) -> list[VerifierKey]:
    """Check that a trusted key of the log itself signed; return those of the log's keys that did.

    ``keys`` may hold those of other logs too, as a policy does; a line by one of them counts for nothing here, but
    must verify. Raises VerificationError: ``checkpoint-origin`` when none of ``keys`` belongs to this log at all,
    ``checkpoint-signature`` when one of them signed wrongly, or none of the log's signed.
    """
    origin = signed.checkpoint.origin
    if all(key.name != origin for key in keys):
        trusted = ", ".join(sorted({excerpt(key.name) for key in keys})) or "no log"
        raise VerificationError(
            "checkpoint-origin",
            f"the checkpoint is of the log {excerpt(origin)}, but the trusted keys are of {trusted}",
        )
    try:
        signed_by = [key for key in verify_note(signed.note, keys) if key.name == origin]
    except VerificationError as error:
        raise VerificationError("checkpoint-signature", f"checkpoint of {origin}: {error}") from None
    if not signed_by:
        raise VerificationError("checkpoint-signature", f"no trusted key of {origin} signed its checkpoint")
    return signed_by


def open_checkpoint(data: bytes, keys: Sequence[VerifierKey]) -> SignedCheckpoint:
    """Read a signed checkpoint and verify it against the log's trusted keys."""
    signed = parse_signed_checkpoint(data)
    verify_checkpoint(signed, keys)
    return signed
