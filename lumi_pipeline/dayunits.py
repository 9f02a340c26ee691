"""Verifying sealed days side by side: each is a unit of work for :mod:`lumi_pipeline.compute`.

A unit says where the lake is and which day is meant. Whoever does it opens the lake himself, takes the day before as it
is stored (that it is sound is another unit's verdict), and returns the verdict, the same that one process would give.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from lumi_pipeline.compute import Compute
from lumi_pipeline.erasure.confirming import Erasures, ReadErasures
from lumi_pipeline.meanwhile import Meanwhile
from lumi_pipeline.pruning.confirming import Prunings, ReadPrunings
from lumi_pipeline.sealing import Progress, Sealer
from lumi_pipeline.stores.roots import LakeAddress
from lumi_pipeline.verdict import Status, Verdict
from lumi_pipeline.verification import verify_days
from transparency.entries import Genesis


@dataclass(frozen=True, slots=True)
class DayUnit:
    """One sealed day of the log that ``genesis`` (its entry) begins."""

    address: LakeAddress
    genesis: bytes
    erasures: ReadErasures
    prunings: ReadPrunings
    day: date


def verify_day(unit: DayUnit) -> Verdict:
    """Recompute the day from its stored rows. Nothing is written."""
    lake = unit.address.open(_now)
    genesis = Genesis.parse(unit.genesis)
    erasures, prunings = Erasures.already(lake, unit.erasures), Prunings.already(lake, unit.prunings)
    sealer = Sealer(lake, genesis, _now, erasures, prunings)
    [verdict] = verify_days(lake, sealer, genesis, [unit.day])
    return verdict


def verify_days_apart(
    compute: Compute,
    address: LakeAddress,
    genesis: Genesis,
    sealer: Sealer,
    days: Sequence[date],
    *,
    progress: Progress,
    meanwhile: Meanwhile | None = None,
) -> Iterator[Verdict]:
    """Yield the verdicts on sealed days in order, as :func:`~lumi_pipeline.verification.verify_days` does."""
    erasures, prunings, entry = sealer.erasures.read(), sealer.prunings.read(), genesis.encode()
    units = (DayUnit(address, entry, erasures, prunings, day) for day in days)
    for day, verdict in zip(days, compute.map(verify_day, units), strict=True):
        progress(int(str(verdict.facts.get("events", "0"))))
        if verdict.status is not Status.VERIFIED and meanwhile is not None and meanwhile.went_on():
            yield from verify_days(address.open(_now), sealer, genesis, [day])
        else:
            yield verdict


def _now() -> datetime:
    return datetime.now(UTC)
