"""Publishing: append the sealed days' records to the log, where anyone can see them."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from lumi_pipeline.errors import ConcurrentRun, LakeError
from lumi_pipeline.keyring import Keyring
from lumi_pipeline.lake import Lake, seal_prefix
from lumi_pipeline.sealedday import load_sealed_day
from lumi_pipeline.witnessing import Cosigner, Cosigning
from transparency.entries import DayRecord, Genesis, day_index
from transparency.errors import ConcurrentAppend
from transparency.log import Log


@dataclass(frozen=True, slots=True)
class PublishReport:
    """The log after publishing: its size and root, the checkpoint as published, and the days that were appended.

    ``cosigning`` is what the witnesses said to the last checkpoint that was shown to them, if one was.
    """

    size: int
    root: bytes
    days: tuple[date, ...]
    checkpoint: str
    seconds: float
    cosigning: Cosigning | None = None


def publish(
    lake: Lake, keys: Keyring, genesis: Genesis, sealed: Sequence[date], cosigner: Cosigner | None = None
) -> PublishReport:
    """Append the records of ``sealed`` (all sealed days, in order) that the log doesn't hold yet.

    Also finishes what a crashed run left, and removes landed files that published days have made superfluous.
    """
    started = time.monotonic()
    log = Log(lake.store, keys.signers(genesis), cosign=cosigner)
    size = log.state().committed_size
    days = tuple(day for day in sealed if day_index(genesis.first_day, day) >= size)
    entries = [] if size else [genesis.encode()]
    for record in _records(lake, genesis, days):
        keys.check_announced(record)
        entries.append(record.encode())
    try:
        state = log.append(entries, old_size=size)
    except ConcurrentAppend as error:
        raise ConcurrentRun(str(error)) from None
    if sealed:
        _remove_sealed_landings(lake, load_sealed_day(lake, sealed[-1]).tenants.landing_floor)
    checkpoint = lake.store.get("log/checkpoint").decode()
    cosigning = cosigner.last if cosigner else None
    return PublishReport(state.committed_size, state.root, days, checkpoint, time.monotonic() - started, cosigning)


def refresh(lake: Lake, keys: Keyring, genesis: Genesis, cosigner: Cosigner) -> str:
    """Ask the witnesses once more about the newest checkpoint; return it with the cosignatures that it has now."""
    try:
        return Log(lake.store, keys.signers(genesis), cosign=cosigner).refresh().decode()
    except ConcurrentAppend as error:
        raise ConcurrentRun(str(error)) from None


def _records(lake: Lake, genesis: Genesis, days: Sequence[date]) -> Iterator[DayRecord]:
    """The records to publish, each held against what it commits to: what is signed once can't be taken back."""
    sealed = None
    if days and days[0] > genesis.first_day:
        sealed = load_sealed_day(lake, days[0] - timedelta(days=1)).record.sealed
    for day in days:
        record = load_sealed_day(lake, day).record
        index = day_index(genesis.first_day, day)
        if record.origin != genesis.origin or record.index != index or (sealed is not None and record.sealed < sealed):
            raise LakeError(f"{seal_prefix(day)}day.txt was altered: it does not fit the log that it is meant for")
        sealed = record.sealed
        yield record


def _remove_sealed_landings(lake: Lake, floor: int) -> None:
    """Delete the files of the landings below ``floor``: their rows are sealed, published and read back.

    Their commit objects stay, so that no number is ever used twice. A crash here leaves files for the next run.
    """
    numbers = {key: key.removeprefix("landed/").partition("/")[0] for key in lake.store.list("landed/")}
    keys = [key for key, number in numbers.items() if number.isdecimal() and int(number) < floor]
    for _ in lake.side_by_side(lake.discard, keys):
        pass
