"""Runs a load: starts the processes, disturbs them if asked to, and gathers what came of it."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from random import Random
from typing import Final

from lumi_pipeline.errors import LumiError
from lumi_pipeline.outbox.opening import open_outbox
from tests.postgresql import PrivatePostgresql
from tests.soak.judge import Evidence
from tests.soak.lander import keep_landing, land_once
from tests.soak.ledger import Ledger
from tests.soak.load import WRITERS, Load
from tests.soak.writer import write

_PATIENCE: Final = 120

# Forked from a process that has everything imported and nothing open: 16 interpreters start in no time.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([write.__module__, keep_landing.__module__])


def prepare_forking() -> None:
    """Return once the process that the others are forked from has imported what they need."""
    first = _processes.Process(target=time.time)
    first.start()
    first.join()


class Crowd:
    """The processes of a load; any of them can be killed, and is replaced by a new one."""

    def __init__(self, load: Load, writers: int = WRITERS) -> None:
        self._load = load
        self._started = 0
        self.writers = [self._start(write) for _ in range(writers)]
        self.lander = self._start(keep_landing)

    def kill_writer(self, random: Random) -> None:
        place = random.randrange(len(self.writers))
        _kill(self.writers[place])
        self.writers[place] = self._start(write)

    def kill_lander(self) -> None:
        _kill(self.lander)
        self.lander = self._start(keep_landing)

    def finish(self) -> None:
        """Wait until all have ended by themselves."""
        for process in (*self.writers, self.lander):
            process.join(max(self._load.until - time.time(), 0) + _PATIENCE)
            assert process.exitcode == 0, f"{process.name} ended with {process.exitcode}"

    def stop(self) -> None:
        """Whatever happened, leave nobody behind."""
        for process in (*self.writers, self.lander):
            _kill(process)

    def _start(self, work: Callable[[Load, int], None]) -> BaseProcess:
        self._started += 1
        process = _processes.Process(
            target=work, args=(self._load, self._started), name=f"{work.__name__}-{self._started}", daemon=True
        )
        process.start()
        return process


def _kill(process: BaseProcess) -> None:
    process.kill()
    process.join(_PATIENCE)


@contextmanager
def crowd(load: Load, writers: int = WRITERS) -> Iterator[Crowd]:
    """The processes of a load, which are gone with the block."""
    started = Crowd(load, writers)
    try:
        yield started
    finally:
        started.stop()


def disturb(people: Crowd, server: PrivatePostgresql, load: Load, restarts: int) -> None:
    """Kill writers, the landing and the server while the load lasts; note what was done."""
    random = Random(restarts)
    ledger = Ledger(load.directory / "driver.ledger")
    every = (load.until - load.began) / (restarts + 1)
    crash = load.began + every
    while not load.is_over():
        time.sleep(random.random() * 0.3)
        if random.random() < 0.97:
            people.kill_writer(random)
            ledger.note("count", detail="writers killed")
        else:
            people.kill_lander()
            ledger.note("count", detail="landings killed")
        if time.time() > crash:
            server.stop("immediate")
            time.sleep(random.random() * 0.3)
            server.start()
            ledger.note("count", detail="server crashes")
            crash += every


def outcome(load: Load, url: str) -> Evidence:
    """Land what is left and gather the evidence; ``url`` is the administrator's."""
    ledger = Ledger(load.directory / "lander-last.ledger")
    try:
        while land_once(open_outbox(load.address), load.lake, ledger).number is not None:
            pass
    except LumiError as error:
        ledger.note("complaint", detail=str(error))
    return Evidence.gather(load.directory, load.lake, url)
