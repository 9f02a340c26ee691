"""Backfill: what a destination lacks of a period, found in its account, sent in a lane of its own, and stated.

What is lacking are rows that nothing accounts for, which are planned anew, and batches that are planned and not there,
which are moved over, so that live events need not wait behind them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from lumi_pipeline.siem.account import MissingRange, Period
from lumi_pipeline.siem.deliver import DeliveryReport
from lumi_pipeline.siem.exports import Exports
from lumi_pipeline.siem.ledger import Do, Key, Ledger, Move, State
from lumi_pipeline.siem.opening import opened
from lumi_pipeline.siem.plans import Batch, Plan, PlanBook, Ranges
from lumi_pipeline.siem.statements import Statement, keep_statement
from lumi_pipeline.siem.taking import deferred, taken
from transparency.encoding import Json


@dataclass(frozen=True, slots=True)
class Gap:
    """What a destination lacks of a period: rows that are in no plan, and events of batches that are not there yet.

    ``aged`` counts those of them whose time the destination does not take as it is. With ``force`` everything is sent
    again, and ``missing`` is everything. ``next_plan`` is the number of the first plan that is not taken into account.
    """

    period: Period
    missing: tuple[MissingRange, ...]
    open_events: int
    aged: int
    force: bool
    next_plan: int

    @property
    def events(self) -> int:
        """How many events are to be sent."""
        return sum(found.count for found in self.missing) + self.open_events


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """What a backfill did, and the statement that closes it, with the key under which that is stored."""

    gap: Gap
    delivery: DeliveryReport
    statement: Statement
    stored: str


def find_gap(exports: Exports, name: str, period: Period, *, force: bool = False) -> Gap:
    """Find what a destination lacks of a period, and change nothing."""
    with opened(exports.settings(name)) as destination, exports.account(name, period) as account:
        if force:
            missing, open_events = account.wanted(), 0
        else:
            missing = account.missing()
            open_events = sum(day.open for day in account.days())
        aged = account.touched(destination.age, exports.clock(), everything=force) if destination.age else 0
        return Gap(period, tuple(missing), open_events, aged, force, account.next_plan)


def backfill(exports: Exports, name: str, gap: Gap, patience: timedelta) -> BackfillReport:
    """Send what a destination lacks, waiting up to ``patience`` for what can only be sent later; then state the result.

    A crash anywhere leaves plans and a ledger that the next delivery, or backfill, goes on from.
    """
    # Live events are planned as such, so that what plans them later finds nothing that this backfill has sent.
    for _ in exports.plan(name):
        pass
    if exports.next_plan(name) != gap.next_plan:
        gap = find_gap(exports, name, gap.period, force=gap.force)
    lane = f"backfill-{exports.clock():%Y%m%dT%H%M%S%f}"
    with opened(exports.settings(name)) as destination:
        planner, number = exports.planner(destination), gap.next_plan
        for ranges in _rounds(gap.missing):
            for report in planner.backfill(lane, ranges, (gap.period.first, gap.period.last), number):
                number = report.number + 1
        if not gap.force:
            _move_over(exports, name, gap.period, lane)
        delivery = exports.deliverer(destination).run(patience)
    exports.digest(name)
    statement = exports.statement(name, gap.period)
    return BackfillReport(gap, delivery, statement, keep_statement(exports.lake, statement, exports.keys.signing))


def _rounds(missing: Sequence[MissingRange]) -> list[Ranges]:
    """Several ranges of one tenant go into several plans."""
    rounds: list[dict[str, tuple[int, int]]] = []
    taken: dict[str, int] = {}
    for found in missing:
        number = taken.get(found.tenant_id, 0)
        taken[found.tenant_id] = number + 1
        if number == len(rounds):
            rounds.append({})
        rounds[number][found.tenant_id] = (found.first, found.last + 1)
    return list(rounds)


def _move_over(exports: Exports, name: str, period: Period, lane: str) -> None:
    """Put what is planned, and not there, into the backfill's lane.

    Plans that hold nothing else are left for that lane as they are, however many they are, and the ledger stays small.
    Plans that hold other events too are taken up, and so are, in their lanes, the batches of these.
    """
    plans = PlanBook(exports.lake, name)
    with exports.attending(name) as (book, lease):
        now = exports.clock()
        read: dict[int, Plan] = {}
        moves: list[Move] = []
        lines: list[dict[str, Json]] = []
        for key in _movable(book.ledger):
            if key.plan not in read:
                read[key.plan] = plans.read(key.plan)
            batch = read[key.plan].batches[key.batch]
            if _concerns(batch, period):
                moves.append(Move(Do.RELEASE, now, key, lanes=(f"{lane}/{batch.route}",)))
        passed: list[Move] = []
        for plan, usual in _untaken(book.ledger, plans):
            inside = [_concerns(batch, period) for batch in plan.batches]
            if any(inside) and not all(inside):
                found, aside = taken(name, plan, partial(_lane_of, period, lane, usual), now)
                moves, passed, lines = [*moves, *passed, *found], [], [*lines, *aside]
            elif any(inside):
                moves, passed = [*moves, *passed, deferred(plan.number, plan.number + 1, lane, now)], []
            else:
                # Of no concern, but those behind it may be, and plans are left for later in their order.
                passed.append(deferred(plan.number, plan.number + 1, usual, now))
        book.write(_joined(moves), lines, now, lease.holder)


def _untaken(ledger: Ledger, plans: PlanBook) -> Iterator[tuple[Plan, str]]:
    """Yield the plans that were not taken up, in order, each with the lane that it is in."""
    for part in ledger.later:
        for number in range(part.first, part.end):
            yield plans.read(number), part.lane
    for plan in plans.since(ledger.next_plan):
        yield plan, plan.lane


def _joined(moves: Iterable[Move]) -> list[Move]:
    """Make one move of those that leave plans for the same lane, one after the other."""
    joined: list[Move] = []
    for move in moves:
        last = joined[-1] if joined else None
        if last and move.do is last.do is Do.DEFER and (last.end, last.lanes) == (move.number, move.lanes):
            joined[-1] = replace(last, end=move.end)
        else:
            joined.append(move)
    return joined


def _movable(ledger: Ledger) -> list[Key]:
    found = ledger.of(State.PLANNED, State.WAITING, State.AMBIGUOUS, State.BLOCKED)
    return [delivery.key for delivery in found]


def _lane_of(period: Period, lane: str, usual: str, batch: Batch) -> str:
    return lane if _concerns(batch, period) else usual


def _concerns(batch: Batch, period: Period) -> bool:
    tenants = {None, *(share.tenant_id for share in batch.tenants)}
    return period.first <= batch.day <= period.last and period.tenant_id in tenants
