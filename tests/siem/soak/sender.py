"""Sending processes: each plans for and delivers to every destination in turn, until it is killed."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import Final

from lumi_pipeline.config import Config
from lumi_pipeline.errors import ConcurrentRun, LeaseHeld, LumiError
from lumi_pipeline.pipeline import Pipeline
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.stores.roots import open_lake
from tests.siem.soak.clock import FastClock

_PATIENCE: Final = timedelta(seconds=90)
_KILLED: Final = -9

# Forked from a process that has everything imported and nothing open.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    [__name__, "pyarrow.dataset", "lumi_pipeline.siem.destinations.s3", "confluent_kafka"]
)


@dataclass(frozen=True, slots=True)
class Job:
    """What a sender needs to know. It writes errors that are none of its business into ``complaints``."""

    config: Config
    clock: FastClock
    complaints: Path
    seed: str

    def exports(self) -> Exports:
        """The destinations, as a new process would open them."""
        return Exports(Pipeline(self.config, open_lake(self.config, self.clock), self.clock, self.clock.sleep))


def send(job: Job, number: int) -> None:
    """Plan and deliver, over and over."""
    random = Random(f"{job.seed}/{number}")
    while True:
        exports = job.exports()
        for name in random.sample(exports.names, len(exports.names)):
            try:
                for _ in exports.plan(name):
                    pass
                exports.deliver(name, _PATIENCE)
            except (LeaseHeld, ConcurrentRun):
                continue  # another one is at it
            except LumiError as error:
                with job.complaints.open("a") as file:
                    file.write(f"{name}: {type(error).__name__}: {error}\n")
        time.sleep(0.02)


class Senders:
    """Some senders; any of them can be killed, and is replaced by a new one."""

    def __init__(self, job: Job, count: int) -> None:
        self._job = job
        self._started = 0
        self.killed = 0
        self._running = [self._start(send) for _ in range(count)]

    def kill(self, random: Random) -> None:
        """Kill one of them, wherever it is."""
        place = random.randrange(len(self._running))
        self._end(self._running[place])
        self.killed += 1
        self._running[place] = self._start(send)

    def stop(self) -> None:
        """Kill all of them."""
        for process in self._running:
            self._end(process)

    def _end(self, process: BaseProcess) -> None:
        process.kill()
        process.join()
        assert process.exitcode == _KILLED, f"{process.name} ended by itself, with {process.exitcode}"

    def _start(self, work: Callable[[Job, int], None]) -> BaseProcess:
        self._started += 1
        process = _processes.Process(target=work, args=(self._job, self._started), daemon=True)
        process.start()
        return process


@contextmanager
def sending(job: Job, count: int) -> Iterator[Senders]:
    """Senders, which are gone with the block."""
    senders = Senders(job, count)
    try:
        yield senders
    finally:
        senders.stop()
