"""Which days of a lake are sealed, as its records and its log both say."""

from datetime import date

from lumi_pipeline.days import day_range
from lumi_pipeline.errors import LakeError
from lumi_pipeline.genesis import GENESIS_KEY, read_genesis
from lumi_pipeline.lake import Lake, seal_prefix
from transparency.entries import day_at
from transparency.logview import LogView


def sealed_days(lake: Lake) -> tuple[list[date], list[date]]:
    """Return the sealed days of logs that the lake's log succeeds, and those of the log itself, in order.

    Raises :class:`~lumi_pipeline.errors.LakeError` when a day has lost its record, which pruned days keep too.
    """
    # The log first: a day is sealed before it is logged, so whatever the log holds by now has to be listed.
    logged = LogView(lake.store).state().committed_size - 1
    days = lake.sealed_days()
    genesis = read_genesis(lake)
    earlier: list[date] = []
    if genesis is not None and genesis.previous is not None:
        earlier = [day for day in days if day < genesis.first_day]
        days = days[len(earlier) :]
    if logged > len(days) and genesis is not None:
        lost = next(i for i in range(1, logged + 1) if not lake.is_sealed(day_at(genesis.first_day, i)))
        key = f"{seal_prefix(day_at(genesis.first_day, lost))}day.txt"
        raise LakeError(f"{key} is missing, although the log holds that record; restore it: it is entry {lost}")
    if not days:
        return earlier, []
    if genesis is None:
        raise LakeError(f"{GENESIS_KEY} is missing although {days[0]} is sealed; restore it: it is the log's entry 0")
    if days[0] < genesis.first_day:
        raise LakeError(f"there is a record of {days[0]}, but the log begins on {genesis.first_day}; move it away")
    for day in sorted(set(day_range(genesis.first_day, days[-1])) - set(days)):
        # A listing is no snapshot: it may hold a day that another run sealed just now, and not the day before.
        if not lake.is_sealed(day):
            raise LakeError(f"the record of {day} is missing although {days[-1]} is sealed; restore it")
    return earlier, list(day_range(genesis.first_day, days[-1]))
