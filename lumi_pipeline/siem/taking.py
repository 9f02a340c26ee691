"""From plans into the ledger: which batches are to be sent from now on, and in which lane."""

from datetime import datetime

from lumi_pipeline.siem import receipts
from lumi_pipeline.siem.ledger import Delivery, Do, Key, Move
from lumi_pipeline.siem.ledgerbook import LedgerBook
from lumi_pipeline.siem.plans import PlanBook
from transparency.encoding import Json


def take(book: LedgerBook, plans: PlanBook, now: datetime) -> tuple[list[Move], list[dict[str, Json]]] | None:
    """The move that takes the next plan up, with receipts for events it has no records of; None when there is none."""
    number = book.ledger.next_plan
    plan = plans.find(number)
    if plan is None:
        return None
    move = Move(
        Do.TAKE,
        now,
        number=number,
        sizes=tuple(batch.count for batch in plan.batches),
        lanes=tuple(f"{plan.lane}/{batch.route}" for batch in plan.batches),
        refused=len(plan.refused),
        detail=plan.refused[0].reason if plan.refused else "",
    )
    quarantined = [
        receipts.quarantined(
            book.destination,
            Delivery(Key(number, -1 - index, 0, 1), "", now),
            (refusal.tenant_id, refusal.seq, refusal.event_id),
            refusal.reason,
            now,
        )
        for index, refusal in enumerate(plan.refused)
    ]
    return [move], quarantined
