"""Processes that die while they plan or deliver: a store that is gone with its process, whoever of it still asks."""

from collections.abc import Callable
from threading import Lock

from tests.crashing import CrashingStore, Killed, Write
from transparency.store import ObjectStore


class DoomedStore(CrashingStore):
    """The store of a process that dies before or after one of its writes, or when it is told to.

    What a ``with`` block or another thread of it does after its death comes to nothing.
    """

    def __init__(self, inner: ObjectStore, *, before: int | None = None, after: int | None = None) -> None:
        super().__init__(inner, before=before, after=after)
        self._lock = Lock()

    def die(self) -> None:
        """Die here."""
        self._kill()

    def _write(self, write: Write, act: Callable[[], None]) -> None:
        with self._lock:
            super()._write(write, act)

    def _check_alive(self) -> None:
        if self._dead:
            raise Killed
