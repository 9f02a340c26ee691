"""Prunings that the policy which their own event names, or a legal hold, forbade.

``lumi prune`` orders none of these: it decides in view of the operator's chain and records its event right behind. So
whoever removes days by an event of another making, and calls it policy, is told from those who followed it.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Final

from lumi_pipeline.erasure.holds import Hold, active_holds
from lumi_pipeline.erasure.operatorchain import OperatorEvent
from lumi_pipeline.errors import LumiError
from lumi_pipeline.lake import Lake
from lumi_pipeline.pruned import Pruned
from lumi_pipeline.sealedday import load_sealed_day
from transparency.encoding import parse_day
from transparency.errors import EncodingError

_DIGITS: Final = 7


def against_policy(lake: Lake, given: Sequence[Pruned], events: Sequence[OperatorEvent]) -> Iterator[str]:
    """Yield what is wrong with these prunings; ``events`` are those of the chain about holds and prunings, in order.

    Holds of one actor are not judged: whose rows they were is gone with the rows.
    """
    places = {event.event_id: number for number, event in enumerate(events)}
    for pruned in given:
        number = places[pruned.event_id]
        problem = _too_early(pruned, events[number]) or _held(lake, pruned, active_holds(events[:number]))
        if problem is not None:
            yield f"event {pruned.event_id} pruned {pruned.day} {problem}: 'lumi prune' refuses that"


def _too_early(pruned: Pruned, event: OperatorEvent) -> str | None:
    match event.state:
        case {"before": str(before), "retention_days": str(kept)} if kept.isdecimal() and len(kept) < _DIGITS:
            try:
                last = parse_day(before)
            except EncodingError:
                return "and names no day before which it may"
            reached = event.recorded_at.date() - timedelta(days=int(kept))
            return None if pruned.day < last <= reached else f"before {kept} days were over, which it says are kept"
    return "and does not say how many days are kept"


def _held(lake: Lake, pruned: Pruned, holds: Sequence[Hold]) -> str | None:
    relevant = [hold for hold in holds if hold.actor_id is None and _concerns(hold, pruned.day)]
    if not relevant:
        return None
    try:
        tenants = load_sealed_day(lake, pruned.day).tenants.tenants
    except LumiError:
        return None  # what is wrong with the day is told with the day
    left = {t for t, tenant in tenants.items() if tenant.record.count and t not in pruned.kept}
    for hold in relevant:
        if left & {hold.tenant_id} or (hold.tenant_id is None and left):
            return f"although {hold} was in force"
    return None


def _concerns(hold: Hold, day: date) -> bool:
    return (hold.first is None or day >= hold.first) and (hold.last is None or day <= hold.last)
