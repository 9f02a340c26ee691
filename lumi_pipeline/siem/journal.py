"""A journal in an object store: objects numbered from 0 without a gap, each created only if absent.

Whoever creates number n has written it; whoever comes second is told, and reads again. Nothing is ever replaced.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from transparency.errors import ObjectConflict, ObjectMissing
from transparency.store import ObjectStore


class Overtaken(Exception):
    """Somebody else has written this number; nothing of ours was."""


@dataclass(frozen=True, slots=True)
class Journal:
    """The journal under ``prefix``, which ends with ``/``; ``suffix`` is how its objects' names end."""

    store: ObjectStore
    prefix: str
    suffix: str = ".json"

    def key(self, number: int) -> str:
        """Key of an entry."""
        return f"{self.prefix}{number:012d}{self.suffix}"

    def read(self, number: int) -> bytes:
        """Return an entry; :class:`~transparency.errors.ObjectMissing` when there is none."""
        return self.store.get(self.key(number))

    def find(self, number: int) -> bytes | None:
        """Return an entry, or None when there is none."""
        try:
            return self.read(number)
        except ObjectMissing:
            return None

    def append(self, number: int, data: bytes) -> None:
        """Create an entry; raises :class:`Overtaken` when there is another one by now."""
        try:
            self.store.put_new(self.key(number), data)
        except ObjectConflict:
            raise Overtaken(self.key(number)) from None

    def last(self) -> int | None:
        """Return the highest number, or None of an empty journal.

        A journal may have grown for years, so it is not listed: twice its logarithm in questions find the end.
        """
        if not self.reaches(0):
            return None
        low, step = 0, 1
        while self.reaches(low + step):
            low, step = low + step, 2 * step
        high = low + step  # low is there, high is not
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.reaches(middle) else (low, middle)
        return low

    def since(self, number: int) -> Iterator[tuple[int, bytes]]:
        """Yield the entries from a number on, in order, as long as there are any."""
        while (data := self.find(number)) is not None:
            yield number, data
            number += 1

    def reaches(self, number: int) -> bool:
        """Whether there is an entry of this number or a higher one."""
        after = self.key(number - 1) if number else ""
        return next(iter(self.store.list(self.prefix, start_after=after)), None) is not None
