"""Timing two ways of doing the same, in turns."""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")
Mine = TypeVar("Mine")
Plain = TypeVar("Plain")

Way: TypeAlias = Callable[[], Callable[[], T]]
"""A way of doing something: the call prepares a run, which isn't timed, and returns what is to be timed."""


class DisagreementError(Exception):
    """Two ways did not give the same, so that comparing their times means nothing."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The wall-clock seconds of each run, in order."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass(frozen=True, slots=True)
class Speedup:
    """How many times as fast one way is as the other: the median over the pairs of runs, and the least and most.

    The runs of a pair follow each other, so what slows the whole machine down for a while slows both.
    """

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, mine: Timing, plain: Timing) -> "Speedup":
        pairs = [theirs / ours for ours, theirs in zip(mine.seconds, plain.seconds, strict=True)]
        return cls(statistics.median(pairs), min(pairs), max(pairs))


@dataclass(frozen=True, slots=True)
class Comparison(Generic[Mine, Plain]):
    """The times of both ways, and what they gave in each run."""

    mine: Timing
    plain: Timing
    results: tuple[tuple[Mine, Plain], ...]


def compare(
    mine: Way[Mine], plain: Way[Plain], same: Callable[[Mine, Plain], bool], runs: int
) -> Comparison[Mine, Plain]:
    """Run both ways ``runs`` times in turns; which one goes first alternates.

    Raises :class:`DisagreementError` unless ``same`` holds for what the two gave in every pair of runs.
    """
    mine_seconds, plain_seconds, results = [], [], []
    for run in range(runs):
        if run % 2:
            plain_time, theirs = timed(plain)
            mine_time, ours = timed(mine)
        else:
            mine_time, ours = timed(mine)
            plain_time, theirs = timed(plain)
        if not same(ours, theirs):
            raise DisagreementError("the two ways don't give the same, so their times can't be compared")
        mine_seconds.append(mine_time)
        plain_seconds.append(plain_time)
        results.append((ours, theirs))
    return Comparison(Timing(tuple(mine_seconds)), Timing(tuple(plain_seconds)), tuple(results))


def timed(way: Way[T]) -> tuple[float, T]:
    """Prepare and run a way once; return the seconds that the run took, and what it gave."""
    run = way()
    gc.collect()  # what an earlier run left is not this one's to clear away
    began = time.perf_counter()
    result = run()
    return time.perf_counter() - began, result
