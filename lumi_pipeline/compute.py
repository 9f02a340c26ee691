"""Where heavy work runs: in this process, in processes of this machine, or on a Dask cluster (the setting ``compute``).

Work is a function of a module and a small frozen description of one unit. Data goes through the lake, never through a
description or a result. A unit may run twice, because the worker that did it first may have died before it said so; so
whatever a unit writes is the same each time. What a unit raises is raised here, as it was.
"""

import os
import re
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from multiprocessing import parent_process
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from lumi_pipeline.errors import ComputeError, ConfigError
from transparency.encoding import excerpt

if TYPE_CHECKING:
    from distributed import Client

_SYNTAX: Final = re.compile(r"inline|processes:([1-9][0-9]{0,2})|dask:((?:tcp|tls)://[^\s/@]+:[0-9]{1,5})")
_AHEAD: Final = 2
"""Units handed out per worker: one that it does, and one that is there when it is done."""

_ATTEMPTS: Final = 3
"""How often units are tried whose worker died. The third death is no accident; most often memory is too small."""

_CONNECTING: Final = "10s"

_Unit = TypeVar("_Unit")
_Result = TypeVar("_Result")


class Compute(Protocol):
    """Does units of work, in any order and any number at a time."""

    def map(self, work: Callable[[_Unit], _Result], units: Iterable[_Unit]) -> Iterator[_Result]:
        """Yield what ``work`` returns for each unit, in the order of the units.

        The first unit in that order that raises ends it; those after it may have run or not.
        """
        ...


def parse_compute(text: str, source: str) -> str:
    """Check a setting's value; raises :class:`~lumi_pipeline.errors.ConfigError`."""
    if not _SYNTAX.fullmatch(text):
        raise ConfigError(
            f"{source}: {excerpt(text)} is no place to compute; use inline, processes:N or dask:tcp://HOST:PORT"
        )
    return text


def open_compute(text: str) -> Compute:
    """Return what a setting's value names; nothing is started or connected before there is work."""
    found = _SYNTAX.fullmatch(text)
    if found is None:
        raise ConfigError(f"{excerpt(text)} is no place to compute")
    if found[1]:
        return Processes(int(found[1]))
    return Dask(found[2]) if found[2] else Inline()


@dataclass(frozen=True, slots=True)
class Inline:
    """One unit after the other, here."""

    def map(self, work: Callable[[_Unit], _Result], units: Iterable[_Unit]) -> Iterator[_Result]:
        """See :class:`Compute`."""
        for unit in units:
            yield work(unit)


@dataclass(frozen=True, slots=True)
class Processes:
    """Processes of this machine. They are started for each ``map`` and gone when it ends."""

    count: int

    def map(self, work: Callable[[_Unit], _Result], units: Iterable[_Unit]) -> Iterator[_Result]:
        """See :class:`Compute`; raises :class:`~lumi_pipeline.errors.ComputeError` where workers keep dying."""
        from concurrent.futures.process import BrokenProcessPool  # noqa: PLC0415 - not for those who stay inline

        remaining = iter(units)
        begun: deque[_Unit] = deque()
        deaths = 0
        while deaths < _ATTEMPTS:
            try:
                for result in self._attempt(work, begun, remaining):
                    deaths = 0
                    yield result
            except BrokenProcessPool:
                # Killed, or out of memory. Nobody knows which unit did that: what was begun is begun again.
                deaths += 1
            else:
                return
        raise ComputeError(
            f"workers died {deaths} times before {begun[0]} was done; is there memory for {self.count} of them?"
        )

    def _attempt(
        self, work: Callable[[_Unit], _Result], begun: deque[_Unit], remaining: Iterator[_Unit]
    ) -> Iterator[_Result]:
        """Do what was begun before, then the rest; ``begun`` is what was handed out and not yielded."""
        from concurrent.futures import ProcessPoolExecutor  # noqa: PLC0415
        from multiprocessing import get_context  # noqa: PLC0415

        # Spawned, as a fork would take along the locks of threads (of Polars, for instance) without the threads.
        with ProcessPoolExecutor(self.count, get_context("spawn"), initializer=_start_worker) as pool:
            try:
                futures = deque(pool.submit(work, unit) for unit in begun)
                while True:
                    for unit in islice(remaining, self.count * _AHEAD - len(futures)):
                        begun.append(unit)
                        futures.append(pool.submit(work, unit))
                    if not futures:
                        return
                    result = futures.popleft().result()
                    begun.popleft()
                    yield result
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class Dask:
    """The workers of a Dask scheduler that runs already, each with this very version installed."""

    address: str

    def map(self, work: Callable[[_Unit], _Result], units: Iterable[_Unit]) -> Iterator[_Result]:
        """See :class:`Compute`; raises :class:`~lumi_pipeline.errors.ComputeError` without workers for it."""
        try:
            from distributed import Client, KilledWorker  # noqa: PLC0415 - an extra, and half a second
        except ImportError:
            raise ConfigError("compute is dask, which is not installed: pip install 'lumi-pipeline[dask]'") from None
        remaining = iter(units)
        first = list(islice(remaining, 1))
        if not first:
            return
        try:
            client = Client(self.address, timeout=_CONNECTING, set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise ComputeError(f"no Dask scheduler answers at {self.address}: {error}") from None
        with client:
            ahead = self._workers(client) * _AHEAD
            futures: deque[Any] = deque()

            def submit(some: Iterable[_Unit]) -> None:
                futures.extend(client.submit(work, unit, pure=False, retries=0) for unit in some)

            submit(first)
            submit(islice(remaining, ahead - 1))
            while futures:
                try:
                    result = futures.popleft().result()
                except KilledWorker as error:
                    raise ComputeError(f"workers of {self.address} died again and again at one unit: {error}") from None
                submit(islice(remaining, 1))
                yield result

    def _workers(self, client: "Client") -> int:
        """How many units the workers do at a time; all of them have to be of this version, or results would differ."""
        threads = client.nthreads()
        if not threads:
            raise ComputeError(f"the Dask scheduler at {self.address} has no workers; start some, and run again")
        versions = client.run(_version)
        others = {address: found for address, found in versions.items() if found != _version()}
        if others:
            address, found = min(others.items())
            raise ComputeError(f"Dask worker {address} has {found}, and here is {_version()}; install the same on both")
        return sum(threads.values())


def _version() -> str:
    return ", ".join(f"{name} {version(name)}" for name in ("lumi-pipeline", "pyarrow"))


def _start_worker() -> None:
    # Control-C reaches the whole group of processes; the one that hands out the work says what happened, alone.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    Thread(target=_end_with_caller, name="compute-caller", daemon=True).start()


def _end_with_caller() -> None:
    # A caller that is killed tells nobody. Its workers hold both ends of the pipe that units come through, so they
    # would wait for the next one for ever. What they were doing is done again when it is wanted again.
    caller = parent_process()
    if caller is not None:
        caller.join()
        os._exit(1)
