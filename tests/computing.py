"""Work for workers to do: spawned processes and Dask's workers import it by its name."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lumi_pipeline.errors import EventRejected


@dataclass(frozen=True, slots=True)
class Unit:
    """``number`` is what comes back; ``place`` is where units leave traces."""

    number: int
    place: Path


def square(unit: Unit) -> tuple[int, int]:
    """The square, and which process found it."""
    return unit.number**2, os.getpid()


def refuse_third(unit: Unit) -> int:
    """Fail at number 3."""
    if unit.number == 3:
        raise EventRejected("ip", "three is refused")
    return unit.number


def die_once(unit: Unit) -> int:
    """Be killed at number 3, the first time."""
    mark = unit.place / "died"
    if unit.number == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return unit.number


def die(unit: Unit) -> int:
    """Be killed at number 3, always."""
    if unit.number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return unit.number


def linger(unit: Unit) -> None:
    """Say which process this is, and take a minute."""
    (unit.place / f"worker-{os.getpid()}").touch()
    time.sleep(60)


@dataclass(frozen=True, slots=True)
class Doomed:
    """Any unit and its work; ``place`` is where units leave traces."""

    work: Callable[[Any], Any]
    unit: Any
    place: Path


def die_after(doomed: Doomed) -> Any:  # noqa: ANN401 - whatever the work returns
    """Do the work, and be killed before the result is told, the first time."""
    result = doomed.work(doomed.unit)
    try:
        (doomed.place / "died").touch(exist_ok=False)
    except FileExistsError:
        return result
    os.kill(os.getpid(), signal.SIGKILL)
    return result
