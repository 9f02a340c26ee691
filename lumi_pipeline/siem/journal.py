"""A journal in an object store: objects numbered from 0 without a gap, each created only if absent.

Whoever creates number n has written it; whoever comes second is told, and reads again. Nothing is ever replaced.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from transparency.errors import ObjectConflict, ObjectMissing
from transparency.store import ObjectStore

_LISTED: Final = 8000
"""Keys that are listed at once: on a disk it costs the same for one and for all, in S3 a request for a thousand."""


def first_of(count: int, holds: Callable[[int], bool]) -> int:
    """The first of the numbers below ``count`` that something holds of, and ``count`` where there is none.

    It has to hold of all numbers behind one that it holds of; few of them are asked about.
    """
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


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

        A journal may have grown for years, so it is not listed from end to end: what a listing of bounded length does
        not reach is leapt over, in steps that double.
        """
        low = -1
        while True:
            after = self.key(low) if low >= 0 else ""
            keys = list(islice(self.store.list(self.prefix, start_after=after), _LISTED))
            if keys:
                low = int(keys[-1].removeprefix(self.prefix).removesuffix(self.suffix))
            if len(keys) < _LISTED:
                return low if low >= 0 else None
            step = _LISTED
            while self.reaches(low + step):
                low, step = low + step, 2 * step

    def since(self, number: int) -> Iterator[tuple[int, bytes]]:
        """Yield the entries from a number on, in order, as long as there are any."""
        while (data := self.find(number)) is not None:
            yield number, data
            number += 1

    def reaches(self, number: int) -> bool:
        """Whether there is an entry of this number or a higher one."""
        after = self.key(number - 1) if number else ""
        return next(iter(self.store.list(self.prefix, start_after=after)), None) is not None
