"""Cosignatures: a witness's word that a checkpoint follows from all it saw before (C2SP tlog-cosignature, v1).

A witness signs ``cosignature/v1``, its time, and the checkpoint's text. In the signature line the signature is
preceded by the time, as eight bytes, big endian, in seconds since 1970. The time is what the witness says; it is
reported and compared with no clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from transparency.checkpoint import Checkpoint
from transparency.encoding import MAX_INT64
from transparency.errors import CosignatureError, VerificationError
from transparency.keys import ALG_COSIGNATURE, SIGNATURE_SIZE, SigningKey, VerifierKey
from transparency.note import Note, Signature, signatures_by

_TIME_SIZE = 8


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A verified cosignature: which witness, and when (POSIX seconds) it held this to be the log's largest tree."""

    witness: VerifierKey
    time: int


def cosignature_time(signature: Signature) -> int:
    """Return the time that a cosignature line claims, unverified; raise CosignatureError if it is not one."""
    if len(signature.signature) != _TIME_SIZE + SIGNATURE_SIZE:
        raise CosignatureError(f"the line of {signature.name} is not a cosignature/v1: it has the wrong length")
    time = int.from_bytes(signature.signature[:_TIME_SIZE], "big")
    if time > MAX_INT64:
        raise CosignatureError(f"the cosignature of {signature.name} has a time beyond 2^63-1")
    return time


def cosign(checkpoint: Checkpoint, key: SigningKey, time: int) -> Signature:
    """Make the cosignature line of a witness whose key is of type ``ALG_COSIGNATURE``, at ``time`` (POSIX seconds).

    Whether the checkpoint deserves it (consistency with the last one) is for the witness to check first.
    """
    if key.verifier.algorithm != ALG_COSIGNATURE:
        raise CosignatureError(f"key {key.name} signs notes, not cosignatures")
    if not 0 <= time <= MAX_INT64:
        raise CosignatureError(f"time {time} is outside 0 to 2^63-1")
    signature = key.sign(_message(checkpoint.text, time))
    return Signature(key.name, key.verifier.key_id, time.to_bytes(_TIME_SIZE, "big") + signature)


def verify_cosignatures(note: Note, witnesses: Sequence[VerifierKey]) -> list[Cosignature]:
    """Check every cosignature by one of ``witnesses`` on a checkpoint's note; return them in the note's order.

    Lines of unknown keys are ignored. One that fails raises VerificationError ``witness-signature``.
    """
    cosignatures = []
    for witness, signature in signatures_by(note, witnesses):
        try:
            time = cosignature_time(signature)
        except CosignatureError as error:
            raise VerificationError("witness-signature", str(error)) from None
        ed25519 = signature.signature[_TIME_SIZE:]
        if witness.algorithm != ALG_COSIGNATURE or not witness.verify(_message(note.text, time), ed25519):
            raise VerificationError("witness-signature", f"the cosignature by {witness.vkey} does not verify")
        cosignatures.append(Cosignature(witness, time))
    return cosignatures


def merge_cosignatures(note: Note, lines: Sequence[Signature]) -> Note:
    """Add cosignature lines to a checkpoint's note; a fresher one takes the place of an older by the same witness.

    Nothing is verified here: check new lines with :func:`verify_cosignatures` before. Lines that are not
    cosignatures, or claim a (name, key id) under which something else has signed, raise CosignatureError.
    """
    merged = {(signature.name, signature.key_id): signature for signature in note.signatures}
    for line in lines:
        time = cosignature_time(line)
        present = merged.get((line.name, line.key_id))
        if present is None or cosignature_time(present) < time:
            merged[line.name, line.key_id] = line
    return Note(note.text, tuple(merged.values()))


def _message(text: str, time: int) -> bytes:
    """Return what a witness signs (C2SP tlog-cosignature, "Ed25519 signed message")."""
    return f"cosignature/v1\ntime {time}\n{text}".encode()
