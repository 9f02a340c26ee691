"""When a log's next key signs: what the day records decide (docs/formats.md, "Key rotation").

A day record announces the key. From the record of the next day on both keys sign, the old one and the new one, and
after :data:`OVERLAP` the new one alone. The same holds for the evidence key, and what it signs. Readers get that time
to learn of the new key. No verifier needs it: to them an old key stays good for what it has signed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from transparency.entries import DayRecord
from transparency.keys import VerifierKey

OVERLAP: Final = timedelta(days=30)
"""How long both keys sign."""


@dataclass(frozen=True, slots=True)
class Takeover:
    """A key that the record of the day ``announced`` names as the next one.

    ``begun`` is the UTC day on which the record after that one was sealed, with which the key is valid; None until
    there is such a record.
    """

    key: VerifierKey
    announced: date
    begun: date | None

    def is_alone(self, last: DayRecord) -> bool:
        """Tell whether a checkpoint whose last record is ``last`` is signed by this key and none before it.

        30 days have to be over in two ways: in the records, and on the clock by which they were sealed. Where one day
        is sealed a day both are the same. Where many are sealed at once, say after an outage, it is the clock that
        counts, because that is the time readers live in.
        """
        over = last.day - self.announced > OVERLAP
        return over and self.begun is not None and last.sealed.date() - self.begun >= OVERLAP


def signing_keys(first: VerifierKey, takeovers: Sequence[Takeover], last: DayRecord | None) -> tuple[VerifierKey, ...]:
    """Return the keys that sign when ``last`` is the log's last record, the oldest first.

    ``first`` is the key that the genesis names, ``takeovers`` are those that records announced since, in order; the
    last of them may not be valid yet. ``last`` is None for a log that has only its genesis.
    """
    keys: tuple[VerifierKey, ...] = (first,)
    for takeover in takeovers:
        if last is None or takeover.announced >= last.day:
            break
        keys = (takeover.key,) if takeover.is_alone(last) else (*keys, takeover.key)
    return keys
