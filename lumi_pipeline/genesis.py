"""The log's first entry as this side keeps it: what fixes origin, first day and first keys."""

from typing import Final

from lumi_pipeline.errors import ConcurrentRun
from lumi_pipeline.lake import Lake
from transparency.entries import Genesis
from transparency.errors import ObjectConflict, ObjectMissing

GENESIS_KEY: Final = "log-private/genesis.txt"


def read_genesis(lake: Lake) -> Genesis | None:
    """The genesis as it was fixed when the first day was sealed; None before that."""
    try:
        return Genesis.parse(lake.store.get(GENESIS_KEY))
    except ObjectMissing:
        return None


def write_genesis(lake: Lake, genesis: Genesis) -> None:
    """Fix the genesis, create-only. A crash after this leaves a log whose first day is known and not sealed yet."""
    try:
        lake.store.put_new(GENESIS_KEY, genesis.encode())
    except ObjectConflict:
        raise ConcurrentRun("another run began the log first; run again to carry on from there") from None
