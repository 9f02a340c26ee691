"""Fetching side by side what is wanted in order: several workers, bounded memory, one stream."""

import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from threading import Event, Lock, Semaphore, Thread
from typing import Final, Generic, TypeVar

Unit = TypeVar("Unit")
Worker = TypeVar("Worker")
Item = TypeVar("Item")

_HELD_ITEMS: Final = 2
"""Items of one unit that wait to be taken; a worker that is ahead stands still rather than fill the memory."""

_BLINK: Final = 0.1
"""Seconds between two looks at whether the consumer has gone away."""


@dataclass(slots=True)
class _Channel(Generic[Item]):
    """The items of one unit, on their way from its worker to the consumer; an exception or None ends it."""

    items: "queue.Queue[Item | BaseException | None]" = field(default_factory=lambda: queue.Queue(_HELD_ITEMS))


class _Shared(Generic[Unit, Item]):
    """What the workers share: the units not begun yet, and the channels in the order of their units."""

    def __init__(self, units: Iterator[Unit], workers: int) -> None:
        self.stopped = Event()
        self.channels: queue.SimpleQueue[_Channel[Item] | BaseException | None] = queue.SimpleQueue()
        # One unit more than there are workers, so that none is idle when its unit is done and an earlier one is not.
        self.outstanding = Semaphore(workers + 1)
        self._units = units
        self._lock = Lock()

    def next(self) -> tuple[Unit, _Channel[Item]] | None:
        """Begin the next unit; None when there is none, or nobody wants it any more."""
        while not self.outstanding.acquire(timeout=_BLINK):
            if self.stopped.is_set():
                return None
        with self._lock:
            if self.stopped.is_set():
                return None
            try:
                unit = next(self._units, None)
            except BaseException as error:  # noqa: BLE001 - raised again where the stream is read
                self.stopped.set()
                self.channels.put(error)
                return None
            if unit is None:
                self.channels.put(None)
                return None
            channel: _Channel[Item] = _Channel()
            self.channels.put(channel)
            return unit, channel

    def put(self, channel: _Channel[Item], item: Item | BaseException | None) -> bool:
        """Hand on an item; False when nobody wants it any more."""
        while not self.stopped.is_set():
            try:
                channel.items.put(item, timeout=_BLINK)
            except queue.Full:
                continue
            return True
        return False


def in_order(
    units: Iterable[Unit],
    workers: Sequence[Callable[[], AbstractContextManager[Worker]]],
    fetch: Callable[[Worker, Unit], Iterator[Item]],
) -> Iterator[Item]:
    """Yield the items of all units, in the order of the units and within them, fetched by several workers at once.

    Each of ``workers`` makes the resource that one thread fetches with. An error of any of them is raised where its
    items would have come. Whoever stops reading early stops the workers.
    """
    shared: _Shared[Unit, Item] = _Shared(iter(units), len(workers))

    def work(make: Callable[[], AbstractContextManager[Worker]]) -> None:
        try:
            with make() as worker:
                while (begun := shared.next()) is not None:
                    _carry(shared, begun[1], fetch(worker, begun[0]))
        except BaseException as error:  # noqa: BLE001 - raised again where the stream is read
            shared.channels.put(error)

    threads = [Thread(target=work, args=(make,), name="lumi-outbox-reader", daemon=True) for make in workers]
    for thread in threads:
        thread.start()
    try:
        while (channel := shared.channels.get()) is not None:
            if isinstance(channel, BaseException):
                raise channel
            while (item := channel.items.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
            shared.outstanding.release()
    finally:
        shared.stopped.set()
        for thread in threads:
            thread.join()


def _carry(shared: _Shared[Unit, Item], channel: _Channel[Item], items: Iterator[Item]) -> None:
    try:
        for item in items:
            if not shared.put(channel, item):
                return
    except BaseException as error:  # noqa: BLE001 - raised again where the stream is read
        shared.put(channel, error)
    else:
        shared.put(channel, None)
