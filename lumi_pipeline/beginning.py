"""How a log begins: with which day, and with which entry."""

from datetime import date
from typing import Final

from lumi_pipeline.config import Config
from lumi_pipeline.errors import ConfigError, LakeError, SealError
from lumi_pipeline.genesis import read_genesis
from lumi_pipeline.keyring import Keyring
from lumi_pipeline.lake import Lake
from lumi_pipeline.pending import Pending
from transparency.entries import Genesis

_PLAUSIBLE_DAYS: Final = 3653


def first_day(lake: Lake, config: Config) -> date | None:
    """The first day of the log, or what it will be: as configured, else that of the first landed event, if any."""
    genesis = read_genesis(lake)
    if genesis is not None:
        return genesis.first_day
    if config.first_day is not None:
        return config.first_day
    try:
        with Pending(lake, 0) as pending:
            return pending.first_day()
    except LakeError:
        begun = read_genesis(lake)  # by another run, which may have cleared away what it sealed
        if begun is None:
            raise
        return begun.first_day


def log_to_seal(lake: Lake, config: Config, keyring: Keyring, pending: Pending, today: date) -> Genesis:
    """The log's genesis, or the one it will have: sealing the first day fixes it."""
    genesis = read_genesis(lake)
    if genesis is not None:
        if genesis.origin != config.origin:
            raise ConfigError(f"the log here is {genesis.origin}, but 'origin' is {config.origin}; correct it")
        return genesis
    earliest = pending.first_day()
    first = config.first_day or earliest
    if first is None:
        raise SealError("there is no event yet, so there is no first day; record one, or set 'first_day'")
    if earliest is not None and earliest < first:
        raise SealError(
            f"'first_day' is {first}, but there are events of {earliest}, which no day would hold; correct it"
        )
    age = (today - first).days
    if config.first_day is None and age > _PLAUSIBLE_DAYS:
        raise SealError(f"the first event is of {first}, {age:,} days ago; if that is right, set 'first_day' to it")
    log, evidence = (files.current().verifier for files in keyring.files.values())
    return Genesis(config.origin, first, log, evidence)
