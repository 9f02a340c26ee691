"""Cosignatures of a checkpoint that must not be published yet, because too few witnesses have signed it.

What they signed is kept: a witness that is away the next time has signed all the same, and when it did so first is not
lost. Once the checkpoint is kept by the log, what lies here is passed over; it is never removed.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from transparency.checkpoint import SignedCheckpoint
from transparency.cosignature import verify_cosignatures
from transparency.errors import FormatError, ObjectMissing, VerificationError
from transparency.journal import SIZE_DIGITS
from transparency.logview import PRIVATE_PREFIX, LogView
from transparency.note import Note, Signature, parse_note
from transparency.policy import Witness
from transparency.store import ObjectStore

GATHERED: Final = f"{PRIVATE_PREFIX}gathered/"


class Gathered:
    """The cosignatures that were gathered in vain so far, in ``store``."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._view = LogView(store)

    def of(self, signed: SignedCheckpoint, witnesses: Sequence[Witness]) -> Mapping[str, Signature]:
        """The verified lines of these witnesses, by the policy's names for them; none once the checkpoint is kept.

        What is not in form or does not verify counts for nothing: then that witness is asked, as always.
        """
        size = signed.checkpoint.size
        if self._view.first_checkpoint(size - 1) is not None:
            return {}
        try:
            lines = parse_note(self._store.get(_key(size))).signatures
        except (ObjectMissing, FormatError):
            return {}
        by_key = {(line.name, line.key_id): line for line in lines}
        found = ((witness, by_key.get((witness.key.name, witness.key.key_id))) for witness in witnesses)
        return {witness.name: line for witness, line in found if line is not None and _verifies(signed, witness, line)}

    def keep(self, size: int, cosigned: bytes) -> None:
        """Keep a checkpoint of this size with all cosignatures that it has."""
        # A crash before this loses what was signed now, and the next run asks again. Of two runs at once the later one
        # wins, and a line of the other is asked for again as well.
        self._store.put(_key(size), cosigned)


def _verifies(signed: SignedCheckpoint, witness: Witness, line: Signature) -> bool:
    try:
        return bool(verify_cosignatures(Note(signed.note.text, (line,)), [witness.key]))
    except VerificationError:
        return False


def _key(size: int) -> str:
    return f"{GATHERED}{size:0{SIZE_DIGITS}}"
