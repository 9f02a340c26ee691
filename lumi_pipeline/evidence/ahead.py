"""One thread reads while another works on what was read: reading leaves Python's lock alone for most of its time."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")


def ahead(items: Iterator[_Item]) -> Iterator[_Item]:
    """Yield them, each while a thread gets the next one."""
    with ThreadPoolExecutor(1, thread_name_prefix="evidence") as pool:
        getting = pool.submit(next, items, None)
        while (item := getting.result()) is not None:
            getting = pool.submit(next, items, None)
            yield item
