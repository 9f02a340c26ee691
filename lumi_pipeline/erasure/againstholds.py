"""Erasures that were ordered although a legal hold forbade it.

``lumi erase`` never does that: it decides in view of the operator's chain and records its order right behind. Whoever
records an order by other means, to have something inconvenient blanked, is found by this.
"""

from collections.abc import Iterator, Sequence

from lumi_pipeline.catalogue import OUTBOX_ERASED
from lumi_pipeline.erasure.eventfiles import EventFiles
from lumi_pipeline.erasure.holds import Hold, active_holds
from lumi_pipeline.erasure.operatorchain import OperatorEvent
from lumi_pipeline.erasure.orders import Order
from lumi_pipeline.lake import Lake


def forbidden_by(lake: Lake, order: Order, events: Sequence[OperatorEvent]) -> Hold | None:
    """A hold that covered events of an order when it was given; None as it should be.

    ``events`` are those of the operator's chain about holds and erasures, in order; an order that none of them gives is
    judged by the holds of now. Rows that were pruned since are not judged.
    """
    number = next((n for n, event in enumerate(events) if _gives(event, order)), len(events))
    holds = [hold for hold in active_holds(events[:number]) if hold.tenant_id in {None, order.tenant_id}]
    if not holds:
        return None
    # The days of logs that this one succeeds are among them.
    files = EventFiles.of(lake, lake.sealed_days())
    for row in files.rows(order.tenant_id, list(order.events.values())):
        for hold in holds:
            if hold.covers(order.tenant_id, row.actor_id, row.recorded_at):
                return hold
    return None


def against_holds(lake: Lake, orders: Sequence[Order], events: Sequence[OperatorEvent]) -> Iterator[str]:
    """Yield what is wrong with these orders, which were given."""
    for order in orders:
        hold = forbidden_by(lake, order, events)
        if hold is not None:
            yield (
                f"event {order.event_id} ordered erasure {order.number} of tenant {order.tenant_id} although {hold} "
                "was in force and covers some of its events: 'lumi erase' refuses that"
            )


def _gives(event: OperatorEvent, order: Order) -> bool:
    return event.action == OUTBOX_ERASED and event.event_id == order.event_id
