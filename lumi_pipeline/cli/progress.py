"""Progress bars: on a terminal only, and only for what takes longer than a moment."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.progress import Progress

PATIENCE: Final = 2.0
"""Seconds before a bar appears; what is done by then needs none."""


class Meter:
    """Takes note of how far something has come; on a terminal a bar shows it."""

    def __init__(self, bar: "Progress | None", label: str, total: int | None) -> None:
        self._bar = bar
        self._task = bar.add_task(label, total=total) if bar else None

    def advance(self, units: int) -> None:
        """So many more units are done."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, units)

    def reach(self, done: int, total: int | None = None) -> None:
        """So many units are done by now, of so many if that is known."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total)


@contextmanager
def progress(label: str, unit: str, total: int | None = None) -> Iterator[Meter]:
    """Show a bar with rate and time left while the block runs; ``total`` None when nobody knows yet."""
    if not sys.stderr.isatty():
        yield Meter(None, label, total)
        return
    bar = _bar(unit)
    meter = Meter(bar, label, total)
    lock = threading.Lock()
    over = False

    def start() -> None:
        with lock:
            if not over:
                bar.start()

    timer = threading.Timer(PATIENCE, start)
    timer.daemon = True
    timer.start()
    try:
        yield meter
    finally:
        timer.cancel()
        with lock:
            over = True
            bar.stop()


def _bar(unit: str) -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Rate(ProgressColumn):
        """Units a second."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.0f} {unit}/s" if task.speed else "", style="progress.data.speed")

    return Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        # What is printed meanwhile goes above the bar; when it goes to a pipe, the bar must leave it alone.
        redirect_stdout=sys.stdout.isatty(),
    )
