"""What of a sealed day may leave, and whose rows have to stay.

A tenant's rows of a day stay or leave together, because they are proved together. They stay if any of them is under a
legal hold, if the tenant's chain was sealed with declared breaks that day (they are the evidence of that finding), and
if the tenant is the operator: holds, erasures and prunings follow from its chain.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from lumi_pipeline.days import day_end, day_start
from lumi_pipeline.erasure.holds import Hold
from lumi_pipeline.errors import PruneError
from lumi_pipeline.lake import Lake, events_prefix
from lumi_pipeline.sealedday import SealedDay
from lumi_pipeline.stores.purging import kept_by

_HAS_ACTOR = "SELECT 1 FROM events WHERE tenant_id = $tenant AND actor_id = $actor LIMIT 1"


@dataclass(frozen=True, slots=True)
class DayPlan:
    """What would leave of a day: ``events`` rows of ``tenants`` tenants.

    The rows of the ``kept`` tenants stay, some of them because of the holds in ``held``. ``size`` is how many bytes of
    Parquet would go, those that are written anew for what stays not counted off.
    """

    day: date
    events: int
    tenants: int
    kept: tuple[str, ...]
    held: tuple[Hold, ...]
    size: int


def plan_day(lake: Lake, sealed: SealedDay, holds: Sequence[Hold], operator_tenant: str) -> DayPlan | None:
    """Say what would leave of a day; None where nothing would.

    Raises :class:`~lumi_pipeline.errors.PruneError` when something has to leave that nobody can delete yet.
    """
    there = {t: tenant.record for t, tenant in sealed.present.items() if tenant.record.count}
    kept = {t for t, record in there.items() if t == operator_tenant or not record.unbroken}
    held = []
    for hold in holds:
        found = _held(lake, sealed, hold, set(there))
        if found:
            held.append(hold)
            kept |= found
    leaving = there.keys() - kept
    if not leaving:
        return None
    for file in sealed.event_files:
        reason = kept_by(lake.store, file.path)
        if reason is not None:
            raise PruneError(f"{file.path} can't be deleted by anybody yet: it is under {reason}. Nothing was touched")
    events = sum(there[t].count for t in leaving)
    size = sum(file.size for file in sealed.event_files)
    return DayPlan(sealed.record.day, events, len(leaving), tuple(sorted(kept)), tuple(held), size)


def _held(lake: Lake, sealed: SealedDay, hold: Hold, tenants: set[str]) -> set[str]:
    """The tenants of whose rows of the day a hold covers some."""
    day = sealed.record.day
    if (hold.first is not None and day_end(day) <= day_start(hold.first)) or (
        hold.last is not None and day > hold.last
    ):
        return set()
    if hold.tenant_id is None:
        return tenants
    if hold.tenant_id not in tenants:
        return set()
    if hold.actor_id is None:
        return {hold.tenant_id}
    with lake.searching(events_prefix(day)) as db:
        files = [lake.locate(file.path) for file in sealed.event_files]
        db.from_parquet(files, hive_partitioning=False).create_view("events")
        acted = db.execute(_HAS_ACTOR, {"tenant": hold.tenant_id, "actor": hold.actor_id}).fetchone()
    return {hold.tenant_id} if acted else set()
