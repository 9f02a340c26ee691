"""Where a destination stands, for whoever is woken up by it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from itertools import groupby
from typing import Final

from lumi_pipeline.errors import LumiError
from lumi_pipeline.lake import Lake
from lumi_pipeline.records import json_count, json_text
from lumi_pipeline.siem.lease import Holder, current_holder
from lumi_pipeline.siem.ledger import Delivery, Hold, Ledger, State
from lumi_pipeline.siem.ledgerbook import LedgerBook
from lumi_pipeline.siem.plans import Plan, PlanBook, Planned
from lumi_pipeline.siem.receipts import ReceiptBook, parse_receipt
from transparency.encoding import Json, format_timestamp, parse_timestamp

LISTED: Final = 100


class Health(Enum):
    """How a destination is, in one word."""

    OK = "ok"
    BEHIND = "behind"
    WAITING = "waiting"
    ATTENTION = "attention"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class BlockedBatch:
    """A batch, or a slice of one, that waits for somebody's decision: the batch's id, how many events, and why."""

    batch_id: str
    events: int
    reason: str


@dataclass(frozen=True, slots=True)
class DestinationStatus:
    """A look at one destination; counts of events.

    ``lag`` is how long the oldest batch that is not delivered has been waiting; None when nothing is. ``unplanned``
    were landed and are in no plan yet. ``hold`` says why nothing is sent right now. ``blocked`` are past their
    deadline, of lost files, or of a lane that is held while others go on; ``blocked_reason`` says which. Of those that
    wait for a decision ``blocked_batches`` are the first, at most :data:`LISTED`.
    """

    name: str
    kind: str
    lag: timedelta | None
    unplanned: int
    open_batches: int
    open_events: int
    quarantined: int
    blocked: int
    receipts: int
    last_receipt: datetime | None
    hold: Hold | None
    holder: Holder | None
    reason: str
    blocked_reason: str
    blocked_batches: tuple[BlockedBatch, ...]

    def health(self, now: datetime) -> Health:
        """One word for all of it."""
        if self.hold is not None and self.hold.settings:
            return Health.BLOCKED
        if self.blocked or self.quarantined:
            return Health.ATTENTION
        if self.hold is not None and self.hold.until > now:
            return Health.WAITING
        return Health.BEHIND if self.open_events or self.unplanned else Health.OK

    def to_json(self, now: datetime) -> dict[str, Json]:
        """The status as JSON; event counts as text."""
        return {
            "blocked": str(self.blocked),
            "blocked_batches": [[b.batch_id, str(b.events), b.reason] for b in self.blocked_batches],
            "blocked_reason": self.blocked_reason,
            "health": self.health(now).value,
            "hold": None
            if self.hold is None
            else {"settings": self.hold.settings, "until": format_timestamp(self.hold.until)},
            "kind": self.kind,
            "lag_seconds": None if self.lag is None else int(self.lag.total_seconds()),
            "last_receipt": format_timestamp(self.last_receipt) if self.last_receipt else None,
            "name": self.name,
            "open_batches": str(self.open_batches),
            "open_events": str(self.open_events),
            "quarantined": str(self.quarantined),
            "reason": self.reason,
            "receipts": str(self.receipts),
            "unplanned": str(self.unplanned),
        }


@dataclass(slots=True)
class _Untaken:
    """What lies in plans that were not taken up yet, and since when."""

    batches: int = 0
    events: int = 0
    refused: int = 0
    since: datetime | None = None

    def add(self, plan: Plan) -> None:
        self.batches += len(plan.batches)
        self.events += sum(batch.count for batch in plan.batches)
        self.refused += len(plan.refused)
        self.since = min(self.since or plan.at, plan.at)


def look(
    lake: Lake, receipts: ReceiptBook, name: str, kind: str, *, unplanned: int, now: datetime
) -> DestinationStatus:
    """Look at a destination, and change nothing."""
    book, plans = LedgerBook(lake, name), PlanBook(lake, name)
    ledger = book.ledger
    untaken = _Untaken()
    for number in (number for part in ledger.later for number in range(part.first, part.end)):
        untaken.add(plans.read(number))
    for plan in plans.since(ledger.next_plan):
        untaken.add(plan)
    waiting = [*ledger.sendable(), *ledger.of(State.SENDING, State.ACCEPTED)]
    since = [delivery.since for delivery in waiting] + ([untaken.since] if untaken.since else [])
    blocked, quarantined = ledger.of(State.BLOCKED), ledger.of(State.QUARANTINED)
    holder = current_holder(lake, name)
    return DestinationStatus(
        name,
        kind,
        now - min(since) if since else None,
        unplanned,
        len(waiting) + untaken.batches,
        sum(delivery.key.count for delivery in waiting) + untaken.events,
        len(quarantined) + untaken.refused,
        sum(delivery.key.count for delivery in [*blocked, *(d for d in waiting if d.lane in ledger.pauses)]),
        ledger.receipts,
        _last_receipt(receipts, book),
        ledger.hold,
        holder if holder and holder.until > now else None,
        _reason(ledger),
        blocked[-1].detail if blocked else _paused(ledger),
        tuple(BlockedBatch(i, d.key.count, d.detail) for d, i in identified(plans, blocked[:LISTED])),
    )


def identified(plans: PlanBook, deliveries: Iterable[Delivery]) -> Iterator[tuple[Delivery, str]]:
    """Yield batches, or slices, in order of their plans, with their batches' ids; of a lost plan, their keys."""
    for number, found in groupby(deliveries, lambda delivery: delivery.key.plan):
        try:
            batches = plans.read(number).batches
        except LumiError:  # that is why they are blocked, and nobody can say any more what is in them
            batches = ()
        for delivery in found:
            yield delivery, batches[delivery.key.batch].batch_id if batches else str(delivery.key)


def unplanned_events(planned: Planned, ends: Mapping[str, int], starts: Mapping[str, int]) -> int:
    """How many landed rows of tenants (tenant → seq behind the last) no live plan has dealt with."""
    return sum(max(after - planned.next_seq(tenant_id, starts), 0) for tenant_id, after in ends.items())


def _last_receipt(filed: ReceiptBook, book: LedgerBook) -> datetime | None:
    # In a file, as a rule; only a run that died leaves some in the ledger, whose segments of an outage are many.
    found = filed.last()
    number = 0 if found is None else json_count(found[1]["number"]) + 1
    pending = [parse_receipt(line) for line in book.receipts_since(number)]
    receipts = pending or ([found[1]] if found else [])
    return parse_timestamp(json_text(receipts[-1]["at"])) if receipts else None


def _reason(ledger: Ledger) -> str:
    """Why things are not where they should be, the worst first."""
    if ledger.hold is not None and (ledger.hold.settings or ledger.sendable()):
        return ledger.hold.detail
    if ledger.pauses:
        return _paused(ledger)
    for state in (State.BLOCKED, State.AMBIGUOUS, State.WAITING, State.QUARANTINED):
        found = ledger.of(state)
        if found:
            return found[-1].detail
    return ""


def _paused(ledger: Ledger) -> str:
    """Why a lane is held while others go on; empty if none is."""
    return next((f"{lane}: {pause.detail}" for lane, pause in ledger.pauses.items()), "")
