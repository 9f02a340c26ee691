"""A clock that runs fast, so that what the sender waits for (a dead one's lease, a pause) takes a moment."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

SPEED: Final = 100.0
"""Its seconds in one of ours. A request takes longer by it than it does; whatever a lease is for is so tried harder."""

_BEHIND: Final = timedelta(days=3)
"""How far in the past it begins, so that it never gets ahead of the database's."""


@dataclass(frozen=True, slots=True)
class FastClock:
    """The same time in every process that has it."""

    began: float = field(default_factory=time.time)

    @property
    def start(self) -> datetime:
        """What it showed first."""
        return datetime.fromtimestamp(self.began, UTC) - _BEHIND

    def __call__(self) -> datetime:
        return self.start + timedelta(seconds=(time.time() - self.began) * SPEED)

    @staticmethod
    def sleep(seconds: float) -> None:
        time.sleep(seconds / SPEED)
