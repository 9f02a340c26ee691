"""Object Lock: how long nobody may delete what was written, and which objects that is about."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

LOCKED_PREFIXES: Final = ("events/", "seals/", "log/")
"""Sealed days and the public log. Landings and the log's journal are working state, which is cleared away."""

MAX_DAYS: Final = 36_500
"""The longest retention that S3 knows: a hundred years."""

_SYNTAX: Final = re.compile(r"(compliance|governance):([1-9][0-9]{0,5})")


@dataclass(frozen=True, slots=True)
class Retention:
    """What is under retention can't be deleted or replaced for ``days`` days after it was written.

    ``mode`` is ``compliance`` (by nobody, the account's owner included) or ``governance`` (by nobody who lacks the
    right to bypass it). The source of both: S3 User Guide, "Locking objects with Object Lock".
    """

    mode: str
    days: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``MODE:DAYS``; raises ValueError with the reason."""
        found = _SYNTAX.fullmatch(text)
        if found is None:
            raise ValueError("it is not compliance:DAYS or governance:DAYS")
        days = int(found[2])
        if days > MAX_DAYS:
            raise ValueError(f"{days} days are more than S3's limit of {MAX_DAYS}")
        return cls(found[1], days)

    def __str__(self) -> str:
        return f"{self.mode}:{self.days}"


@dataclass(frozen=True, slots=True)
class ObjectLock:
    """A retention, the clock that it counts from, and the keys that it applies to."""

    retention: Retention
    clock: Callable[[], datetime]
    prefixes: tuple[str, ...] = LOCKED_PREFIXES

    def applies(self, key: str) -> bool:
        """Whether the object at ``key`` is to be locked."""
        return key.startswith(self.prefixes)

    def parameters(self, key: str) -> dict[str, object]:
        """What S3 has to be told with the object at ``key``; nothing if it is not to be locked."""
        if not self.applies(key):
            return {}
        return {
            "ObjectLockMode": self.retention.mode.upper(),
            "ObjectLockRetainUntilDate": self.clock() + timedelta(days=self.retention.days),
        }
