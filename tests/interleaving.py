"""Running several runs against one store in a chosen order, operation by operation, the same way every time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock, Thread
from typing import TypeVar

from tests.crashing import Killed
from transparency.store import ObjectStore

_Result = TypeVar("_Result")
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Kill:
    """In a schedule: the run with this number dies before its next operation."""

    run: int


Step = int | Kill
"""In a schedule: the run with this number does its next operation on the store."""


def interleave(
    store: ObjectStore, runs: Sequence[Callable[[ObjectStore], object]], schedule: Iterable[Step]
) -> list[object]:
    """Start all runs, let them reach the store in the order of ``schedule``, and then one after the other to the end.

    Steps of runs that have ended are passed over. Returns for each run what it returned or raised (``Killed`` too).
    """
    actors = [_Actor(run, store) for run in runs]
    for actor in actors:
        actor.start()
    for step in schedule:
        actor = actors[step.run if isinstance(step, Kill) else step]
        actor.killed = actor.killed or isinstance(step, Kill)
        actor.move()
    for actor in actors:
        while not actor.ended:
            actor.move()
    return [actor.outcome for actor in actors]


def operations_of(run: Callable[[ObjectStore], object], store: ObjectStore) -> int:
    """Return how many operations a run does when it is alone."""
    actor, operations = _Actor(run, store), 0
    actor.start()
    while not actor.ended:
        actor.move()
        operations += 1
    return operations


class _Actor:
    """One run in its thread. It stands still before each of its operations until it is moved."""

    def __init__(self, run: Callable[[ObjectStore], object], store: ObjectStore) -> None:
        self.outcome: object = None
        self.ended = False
        self.killed = False
        self._may_move = Lock()  # both locks are used as signals: released by one thread, acquired by the other
        self._at_rest = Lock()
        self._may_move.acquire()
        self._at_rest.acquire()
        self._run = run
        self._store = _TurnStore(self.turn, store)
        self._thread = Thread(target=self._perform, daemon=True)

    def start(self) -> None:
        """Let the run go on to its first operation, or to its end."""
        self._thread.start()
        self._wait(self._at_rest)

    def move(self) -> None:
        """Let the run do one operation and go on to its next one, or to its end."""
        if not self.ended:
            self._may_move.release()
            self._wait(self._at_rest)

    def turn(self) -> None:
        """In the run's thread, before an operation: wait to be moved."""
        self._at_rest.release()
        self._wait(self._may_move)
        if self.killed:
            raise Killed

    def _perform(self) -> None:
        try:
            self.outcome = self._run(self._store)
        except BaseException as raised:  # noqa: BLE001 - the outcome of the run, for the test to judge
            self.outcome = raised
        self.ended = True
        self._at_rest.release()

    @staticmethod
    def _wait(signal: Lock) -> None:
        assert signal.acquire(timeout=_PATIENCE), "a run neither reached the store nor ended"


class _TurnStore:
    """The store as one run sees it: each operation waits for its turn."""

    def __init__(self, turn: Callable[[], None], inner: ObjectStore) -> None:
        self._turn = turn
        self._inner = inner

    def get(self, key: str) -> bytes:
        return self._in_turn(lambda: self._inner.get(key))

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[str]:
        return iter(self._in_turn(lambda: list(self._inner.list(prefix, start_after=start_after))))

    def put_new(self, key: str, data: bytes) -> None:
        self._in_turn(lambda: self._inner.put_new(key, data))

    def put(self, key: str, data: bytes) -> None:
        self._in_turn(lambda: self._inner.put(key, data))

    def delete(self, key: str) -> None:
        self._in_turn(lambda: self._inner.delete(key))

    def _in_turn(self, act: Callable[[], _Result]) -> _Result:
        self._turn()
        return act()
