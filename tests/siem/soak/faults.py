"""What goes wrong on the way to a service, drawn from a seed."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from random import Random
from typing import Final

from tests.siem.fakes.http import Answer, Fault, Partial, Reply, ResetAfter, ResetBefore, Slow, TooLarge

_FAILURES: Final = (500, 502, 503, 504)

ALWAYS: Final[Mapping[str, Callable[[Random], Fault]]] = {
    "reset before the body": lambda _: ResetBefore(),
    "reset, stored": lambda _: ResetAfter(stored=True),
    "reset, not stored": lambda _: ResetAfter(stored=False),
    "429, seconds": lambda random: _busy(str(random.randint(1, 20))),
    "429, date": lambda random: _busy(format_datetime(_soon(random), usegmt=True)),
    "slow": lambda random: Slow(random.uniform(0.02, 0.2)),
    "413": lambda random: TooLarge(random.choice([4_000, 16_000, 64_000])),
    "5xx": lambda random: Answer(Reply(random.choice(_FAILURES))),
}
LATE: Final[Mapping[str, Callable[[Random], Fault]]] = {"no answer in time": lambda _: Slow(1.3)}
"""For destinations that wait for one second."""

HALF: Final[Mapping[str, Callable[[Random], Fault]]] = {
    "408, half stored": lambda random: Partial(random.randint(0, 9))
}
"""For services that take half a request and say that it took too long."""


@dataclass(slots=True)
class Faults:
    """Chooses the fault of each request; ``counts`` says what was chosen.

    ``share`` is how many of the requests meet one of ``kinds``. ``also`` are other things that happen, which let the
    request through.
    """

    random: Random
    kinds: Mapping[str, Callable[[Random], Fault]] = field(default_factory=lambda: ALWAYS)
    also: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    share: float = 0.25
    counts: Counter[str] = field(default_factory=Counter)
    _burst: int = 0

    def __call__(self) -> Fault | None:
        if self._burst:
            self._burst -= 1
            return Answer(Reply(self.random.choice(_FAILURES)))
        if self.random.random() > self.share:
            return None
        name = self.random.choice([*self.kinds, *self.also])
        self.counts[name] += 1
        if name in self.also:
            self.also[name]()
            return None
        if name == "5xx":
            self._burst = self.random.randint(0, 4)
        return self.kinds[name](self.random)


def _busy(after: str) -> Answer:
    return Answer(Reply(429, b"", {"Retry-After": after}))


def _soon(random: Random) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=random.randint(1, 20))
