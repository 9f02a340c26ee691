"""Publishing: append the sealed days' records to the log, where anyone can see them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from lumi_pipeline.errors import ConcurrentRun, LakeError
from lumi_pipeline.lake import Lake, seal_prefix
from lumi_pipeline.sealing import load_sealed_day
from transparency.entries import Genesis, day_index
from transparency.errors import ConcurrentAppend
from transparency.keys import SigningKey
from transparency.log import Log


@dataclass(frozen=True, slots=True)
class PublishReport:
    """The log after publishing: its size and root, the checkpoint as published, and the days that were appended."""

    size: int
    root: bytes
    days: tuple[date, ...]
    checkpoint: str
    seconds: float


def open_log(lake: Lake, key: SigningKey) -> Log:
    """The log under a lake's root."""
    return Log(lake.store, [key])


def publish(lake: Lake, key: SigningKey, genesis: Genesis, sealed: Sequence[date]) -> PublishReport:
    """Append the records of ``sealed`` (all sealed days, in order) that the log doesn't hold yet.

    Also finishes what a crashed run left, and removes landed files that published days have made superfluous.
    """
    started = time.monotonic()
    log = open_log(lake, key)
    size = log.state().committed_size
    days = tuple(day for day in sealed if day_index(genesis.first_day, day) >= size)
    entries = [] if size else [genesis.encode()]
    entries += [lake.store.get(f"{seal_prefix(day)}day.txt") for day in days]
    try:
        state = log.append(entries, old_size=size)
    except ConcurrentAppend as error:
        raise ConcurrentRun(str(error)) from None
    if sealed:
        _remove_sealed_landings(lake, load_sealed_day(lake, sealed[-1]).tenants.landing_floor)
    checkpoint = lake.store.get("log/checkpoint").decode()
    return PublishReport(state.committed_size, state.root, days, checkpoint, time.monotonic() - started)


def _remove_sealed_landings(lake: Lake, floor: int) -> None:
    """Delete the files of the landings below ``floor``: their rows are sealed, published and read back.

    Their commit objects stay, so that no number is ever used twice. A crash here leaves files for the next run.
    """
    for key in list(lake.store.list("landed/")):
        number = key.removeprefix("landed/").partition("/")[0]
        if not number.isdecimal():
            raise LakeError(f"{key} does not belong to a landing; move it out of the lake")
        if int(number) < floor:
            lake.discard(key)
