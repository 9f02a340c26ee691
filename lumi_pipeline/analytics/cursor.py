"""The place in a list of events where the next page begins, as text that a user carries from one call to the next.

It names the last event that was shown, not a number of events, so what arrives meanwhile moves nothing. It also pins
the question, because in the answer to another one the place would mean something else.
"""

import hashlib
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lumi_pipeline.errors import QuestionError
from lumi_pipeline.events import from_micros, to_micros

_TAG: Final = b"lumi/cursor/v1\n"
_PLACE: Final = struct.Struct(">qq8s")
_CHECK: Final = 8
_MAX_TEXT: Final = 512


@dataclass(frozen=True, slots=True)
class Cursor:
    """The key of an event in the order of lists: newest first, then by tenant and seq, both downwards."""

    recorded_at: datetime
    tenant_id: str
    seq: int

    def encode(self, question: str) -> str:
        """Return the cursor as text, for the answer to ``question`` alone."""
        place = _PLACE.pack(to_micros(self.recorded_at), self.seq, _digest(question.encode()))
        data = place + self.tenant_id.encode()
        return urlsafe_b64encode(data + _digest(data)).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str, question: str) -> "Cursor":
        """Read what :meth:`encode` wrote; :class:`~lumi_pipeline.errors.QuestionError` for anything else."""
        try:
            if len(text) > _MAX_TEXT or not text.isascii():
                raise ValueError
            whole = urlsafe_b64decode(text + "=" * (-len(text) % 4))
            data, check = whole[:-_CHECK], whole[-_CHECK:]
            micros, seq, asked = _PLACE.unpack_from(data)
            if check != _digest(data) or urlsafe_b64encode(whole).decode().rstrip("=") != text:
                raise ValueError
            cursor = cls(from_micros(micros), data[_PLACE.size :].decode(), seq)
        except (Base64Error, OverflowError, struct.error, ValueError):
            raise QuestionError("that is no cursor of 'lumi events'; copy all of it, as it was shown") from None
        if asked != _digest(question.encode()):
            raise QuestionError("that cursor is of another list; repeat the options that it was shown for")
        return cursor


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(_TAG + data).digest()[:_CHECK]
