"""The evidence keys of a pipeline: those that sign now, and all that may have signed what was kept so far.

A key that was replaced stays good for what it signed (docs/formats.md, "Key rotation"). Which keys there were says the
log: its genesis, and the day records that announced another. It is read when no key that signs now is the signer.
"""

from collections.abc import Callable, Sequence
from functools import cache, cached_property

from lumi_pipeline.errors import LedgerError, LumiError
from lumi_pipeline.pipeline import Pipeline
from transparency.errors import NoteError, VerificationError
from transparency.keys import SigningKey, VerifierKey
from transparency.note import parse_note, signatures_by, verify_note


class EvidenceKeys:
    """What signs receipts, and what checks them.

    ``signing`` loads the keys that sign now: one, or two while one is being replaced. ``announced`` finds those that
    the log knows, and is asked once at most.
    """

    def __init__(
        self, signing: Callable[[], Sequence[SigningKey]], announced: Callable[[], Sequence[VerifierKey]] = tuple
    ) -> None:
        self.signing = signing
        self._announced = announced

    @classmethod
    def of(cls, pipeline: Pipeline) -> "EvidenceKeys":
        """The evidence keys of a pipeline; nothing is read yet."""
        return cls(cache(pipeline.evidence_keys), pipeline.known_evidence_keys)

    def check(self, data: bytes, text: str) -> None:
        """Check a note: that it has this text, and that one of the keys has signed it.

        Raises :class:`~lumi_pipeline.errors.LedgerError` otherwise.
        """
        try:
            note = parse_note(data)
            if note.text != text:
                raise LedgerError("the note at its end is about other lines than these")
            try:
                current = tuple(key.verifier for key in self.signing())
            except LumiError as error:  # whoever only looks needs no secret: the log knows the keys as well
                current, reason = (), f" ({error})"
            else:
                reason = ""
            keys = current if signatures_by(note, current) else self._known
            if not signatures_by(note, keys):
                signers = ", ".join(f"{line.name} ({line.key_id.hex()})" for line in note.signatures)
                raise LedgerError(f"it is signed by {signers}, which is no evidence key of this log{reason}")
            verify_note(note, keys)
        except (NoteError, VerificationError) as error:
            raise LedgerError(f"its note does not verify: {error}") from None

    @cached_property
    def _known(self) -> tuple[VerifierKey, ...]:
        return tuple(self._announced())
