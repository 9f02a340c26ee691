"""Killing a run at each of its durable writes, to see what it leaves behind.

:func:`crashes` finds the writes by itself: it lets the run go through once, undisturbed, and then kills a new run
before and after every one of them. A write can't be forgotten, since a run reaches the disk through the store alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from transparency.store import ObjectStore

Run = Callable[[ObjectStore], object]


class Killed(BaseException):
    """The process is gone. Not an ``Exception``, so that no handler mistakes it for an error it could survive."""


@dataclass(frozen=True, slots=True)
class Write:
    """One durable write: the store's operation and its key."""

    operation: str
    key: str

    def __str__(self) -> str:
        return f"{self.operation} {self.key}"


class CrashingStore:
    """A store that notes every durable write, and kills the run before or after the one with a given number."""

    def __init__(self, inner: ObjectStore, *, before: int | None = None, after: int | None = None) -> None:
        """Count writes from 0; without ``before`` and ``after`` nobody is killed."""
        self.writes: list[Write] = []
        self._inner = inner
        self._before = before
        self._after = after
        self._dead = False

    def get(self, key: str) -> bytes:
        self._check_alive()
        return self._inner.get(key)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[str]:
        self._check_alive()
        return self._inner.list(prefix, start_after=start_after)

    def put_new(self, key: str, data: bytes) -> None:
        self._write(Write("put_new", key), lambda: self._inner.put_new(key, data))

    def put(self, key: str, data: bytes) -> None:
        self._write(Write("put", key), lambda: self._inner.put(key, data))

    def delete(self, key: str) -> None:
        self._write(Write("delete", key), lambda: self._inner.delete(key))

    def _write(self, write: Write, act: Callable[[], None]) -> None:
        self._check_alive()
        number = len(self.writes)
        self.writes.append(write)
        if number == self._before:
            self._kill()
        act()
        if number == self._after:
            self._kill()

    def _kill(self) -> None:
        self._dead = True
        raise Killed

    def _check_alive(self) -> None:
        assert not self._dead, "the run went on after it was killed"


@dataclass(frozen=True, slots=True)
class Crash:
    """What a killed run left: the store as it was at that moment, and a description of the moment."""

    moment: str
    store: ObjectStore


def writes_of(run: Run, store: ObjectStore) -> list[Write]:
    """Let ``run`` go through undisturbed and return its durable writes."""
    counting = CrashingStore(store)
    run(counting)
    return counting.writes


def crashes(run: Run, make_store: Callable[[], ObjectStore]) -> Iterator[Crash]:
    """Yield what ``run`` leaves when it is killed before, and after, each of its durable writes.

    ``make_store`` returns a new store each time, in the state that the run starts from. The run must be deterministic
    in what it writes; a kill that does not happen, or happens elsewhere than in the undisturbed run, fails the test.
    """
    expected = writes_of(run, make_store())
    assert expected, "the run wrote nothing, so there is nowhere to kill it"
    for number, write in enumerate(expected):
        for when in ("before", "after"):
            left = make_store()
            crashing = CrashingStore(left, **{when: number})
            try:
                run(crashing)
            except Killed:
                pass
            else:
                message = f"the run survived being killed {when} write {number}, {write}"
                raise AssertionError(message)
            assert crashing.writes == expected[: number + 1]
            yield Crash(f"{when} write {number}, {write}", left)
