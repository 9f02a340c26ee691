"""From plans into the ledger: which batches are to be sent from now on, and in which lane."""

from collections.abc import Callable
from datetime import datetime

from lumi_pipeline.siem import receipts
from lumi_pipeline.siem.ledger import Delivery, Do, Key, Move
from lumi_pipeline.siem.ledgerbook import LedgerBook
from lumi_pipeline.siem.plans import LIVE, Batch, Plan, PlanBook
from transparency.encoding import Json

Taken = tuple[list[Move], list[dict[str, Json]]]
"""Moves, and the receipts of events that there are no records of."""


def take(book: LedgerBook, plans: PlanBook, now: datetime) -> Taken | None:
    """What takes the next live plan up, or leaves the next one for later where it is a backfill; None without any."""
    ledger = book.ledger
    if any(part.lane == LIVE for part in ledger.later):
        return take_later(book, plans, LIVE, now)
    plan = plans.find(ledger.next_plan)
    if plan is None:
        return None
    if plan.lane != LIVE:
        return [deferred(plan.number, plan.number + 1, plan.lane, now)], []
    return taken(book.destination, plan, lambda _: plan.lane, now)


def take_later(book: LedgerBook, plans: PlanBook, lane: str, now: datetime) -> Taken | None:
    """What takes the first plan up that was left for a lane; None where there is none any more."""
    part = next((part for part in book.ledger.later if part.lane == lane), None)
    return None if part is None else taken(book.destination, plans.read(part.first), lambda _: lane, now)


def deferred(first: int, end: int, lane: str, now: datetime) -> Move:
    """The move that leaves plans for a lane."""
    return Move(Do.DEFER, now, number=first, end=end, lanes=(lane,))


def taken(destination: str, plan: Plan, lane: Callable[[Batch], str], now: datetime) -> Taken:
    """What takes a plan up; ``lane`` says in which lane a batch goes."""
    move = Move(
        Do.TAKE,
        now,
        number=plan.number,
        sizes=tuple(batch.count for batch in plan.batches),
        lanes=tuple(f"{lane(batch)}/{batch.route}" for batch in plan.batches),
        refused=len(plan.refused),
        detail=plan.refused[0].reason if plan.refused else "",
    )
    quarantined = [
        receipts.quarantined(
            destination,
            Delivery(Key(plan.number, -1 - index, 0, 1), "", now),
            (refusal.tenant_id, refusal.seq, refusal.event_id),
            refusal.reason,
            now,
        )
        for index, refusal in enumerate(plan.refused)
    ]
    return [move], quarantined
