"""Steps of one stream that go on at the same time: while one part is written, the next is read, in bounded memory."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def overlapped(act: Callable[[_Item], _Result], items: Iterable[_Item]) -> Generator[_Result, None, None]:
    """Yield ``act(item)`` for every item, in order. It runs in a thread of its own, one item at a time.

    Meanwhile the next item is made and the result before is used, each by the thread that iterates; so there is at most
    one of each, and what ``act`` raises is raised here. It gains time where ``act`` lets go of Python's lock.

    However it ends, nothing goes on after it: it waits for the item that is worked on, begins no other, and closes
    ``items`` if that is a generator, which may be such a step too. Whoever may stop before the end has to close it.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="lumi-overlapped") as pool:
        running: deque[Future[_Result]] = deque()
        try:
            for item in items:
                running.append(pool.submit(act, item))
                del item  # or it would be kept until the next one is there
                if len(running) > 1:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
            if isinstance(items, Generator):
                items.close()
