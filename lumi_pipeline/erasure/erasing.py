"""An erasure from beginning to end, in an order in which no crash leaves a lie behind.

1. Land, so that the lake has everything that the outbox has.
2. Choose and verify the events; refuse what is held, locked or damaged.
3. Fix the order (``erasures/<n>/order.json``).
4. Record the operator's audit event, unless a hold came in between; land it. Nothing was touched so far.
5. Erase part by part, in rounds, until one finds nothing. Whatever is done twice comes out the same.
6. Close the order (``erasures/<n>/done.json``).

Runs that land, seal, plan or publish beside it may have read rows that are erased meanwhile. They count what lies under
``erasures/`` before they read, and once more between writing and committing. An erasure adds to that, looks for what is
written and not committed, and then looks for what is committed. So of the two, one sees the other.

Until step 6 a verification says that an erasure is unfinished, which is neither success nor failure.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lumi_pipeline.catalogue import OUTBOX_ERASED
from lumi_pipeline.erasure.againstholds import forbidden_by
from lumi_pipeline.erasure.analystpart import AnalystPart
from lumi_pipeline.erasure.eventfiles import EventFiles
from lumi_pipeline.erasure.evidencepart import EvidencePart
from lumi_pipeline.erasure.feedpart import FeedPart
from lumi_pipeline.erasure.holds import HOLD_ACTIONS, Hold, Holds, active_holds
from lumi_pipeline.erasure.lakeparts import LakePart, OutboxPart
from lumi_pipeline.erasure.operatorchain import Act, OperatorChain
from lumi_pipeline.erasure.orders import (
    Order,
    OrderedRows,
    Outcome,
    begin_round,
    finish_order,
    keep_order,
    lake_has_none,
    newest_order,
    read_orders,
    unfinished_order,
)
from lumi_pipeline.erasure.parts import Part, Touched
from lumi_pipeline.erasure.planning import Chosen, Selection, choose
from lumi_pipeline.erasure.reasons import check_reason
from lumi_pipeline.erasure.siempart import SiemPart
from lumi_pipeline.erasure.underway import under_way
from lumi_pipeline.errors import ErasureError, LakeError, LumiError, UnfinishedErasure
from lumi_pipeline.events import from_micros, to_micros, uuid7
from lumi_pipeline.landing import heads_ahead
from lumi_pipeline.landings import read_cursors
from lumi_pipeline.pipeline import Pipeline

Progress = Callable[[str], None]
"""Told the name of each part when it is begun."""

_ACTIONS: Final = HOLD_ACTIONS | {OUTBOX_ERASED}
_ROUNDS: Final = 4
"""How often the parts are gone through until nothing is found: a seal under way may write what it read before."""


@dataclass(frozen=True, slots=True)
class ErasePlan:
    """What an erasure would do: the events, and by part what holds them.

    ``not_landed`` counts the tenant's events past the last landing, which were not looked at.
    """

    selection: Selection
    chosen: Chosen
    parts: Mapping[str, Touched]
    not_landed: int


@dataclass(frozen=True, slots=True)
class EraseReport:
    """What an erasure did: by part the objects that were written anew; ``order`` is None when there was nothing.

    ``resumed``: it had been interrupted, and this completed it.
    """

    order: Order | None
    resumed: bool
    parts: Mapping[str, Touched]
    seconds: Mapping[str, float]
    chosen: Chosen | None = None


class Eraser:
    """Carries out erasures of one pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.holds = Holds(pipeline.operator)
        # Another place that holds events is another part; each erases by itself, in this order. What is derived from
        # the lake comes after it, so that it is made anew from what is erased there.
        self._outbox = OutboxPart(pipeline)
        self.parts: tuple[Part, ...] = (
            self._outbox,
            LakePart(pipeline),
            SiemPart(pipeline),
            FeedPart(pipeline),
            EvidencePart(pipeline),
            AnalystPart(pipeline),
        )

    def plan(self, selection: Selection, *, except_held: bool = False) -> ErasePlan:
        """Say what would be erased where; changes nothing, and looks at what was landed so far.

        Raises :class:`~lumi_pipeline.errors.ErasureError` when it would be refused.
        """
        chosen = self._choose(selection, except_held=except_held)
        parts = {part.name: part.look(selection.tenant_id, chosen.events) for part in self.parts}
        return ErasePlan(selection, chosen, parts, self._not_landed(selection.tenant_id))

    def erase(
        self, selection: Selection, reason: str, *, except_held: bool = False, progress: Progress = lambda _: None
    ) -> EraseReport:
        """Erase what is selected, everywhere; an erasure that was interrupted is completed before.

        Raises :class:`~lumi_pipeline.errors.ErasureError` when it is refused: then nothing was touched.
        """
        check_reason(reason, "an erasure")
        selection.check(self._pipeline.config.operator_tenant)
        # First of all: if another run begins one from here on, it takes this number, and ours is in conflict with it.
        number = newest_order(self._pipeline.lake) + 1
        self.resume(progress)
        self._pipeline.land()
        chosen = self._choose(selection, except_held=except_held)
        if not chosen.events:
            return EraseReport(None, False, {}, {}, chosen)
        # What a part can't read, or does not know, is refused before anything is touched.
        for part in self.parts:
            part.look(selection.tenant_id, chosen.events)
        now = from_micros(to_micros(self._pipeline.clock()))
        tenant_id, selector = selection.tenant_id, selection.selector
        order = Order(number, uuid7(), tenant_id, selector, reason, now, chosen.events, chosen.gone)
        keep_order(self._pipeline.lake, order)
        self._give(order)
        parts, seconds = self._carry_out(order, progress)
        return EraseReport(order, False, parts, seconds, chosen)

    def resume(self, progress: Progress = lambda _: None) -> EraseReport | None:
        """Complete the erasure that was interrupted, if there is one; None otherwise."""
        order = unfinished_order(self._pipeline.lake)
        if order is None:
            return None
        self._give(order)
        parts, seconds = self._carry_out(order, progress)
        return EraseReport(order, True, parts, seconds)

    def again(self, progress: Progress = lambda _: None) -> list[EraseReport]:
        """Carry out every erasure once more that was given: what came back, from a backup for instance, goes again."""
        reports = []
        for known in read_orders(self._pipeline.lake):
            if known.outcome is Outcome.DONE:
                parts, seconds = self._carry_out(known.order, progress, again=True)
                reports.append(EraseReport(known.order, True, parts, seconds))
        return reports

    def _not_landed(self, tenant_id: str) -> int:
        sealed = self._pipeline.last_sealed()
        cursors = read_cursors(self._pipeline.lake, sealed.tenants if sealed else None)
        with self._pipeline.outbox.snapshot() as snapshot:
            ahead = heads_ahead(snapshot, cursors).get(tenant_id)
        known = cursors.get(tenant_id)
        return ahead.next_seq - (known.next_seq if known else 0) if ahead else 0

    def _choose(self, selection: Selection, *, except_held: bool) -> Chosen:
        selection.check(self._pipeline.config.operator_tenant)
        lake, days = self._pipeline.lake, self._pipeline.lake_days()
        orders = OrderedRows(known.order for known in read_orders(lake) if known.outcome is not Outcome.VOID)
        ordered = orders.of(selection.tenant_id)

        def marks(seqs: Sequence[int]) -> Mapping[int, int | None]:
            return self._outbox.marks(selection.tenant_id, seqs)

        waiting = next(under_way(lake, days, selection.tenant_id), None)
        besides = next(under_way(lake, days, selection.tenant_id, seals=False), None) if waiting else None
        try:
            chosen = choose(lake, EventFiles.of(lake, days), marks, selection, self.holds.active(), ordered)
        except LakeError as error:
            if waiting:  # files may be missing because they are on their way
                raise _must_wait(waiting) from error
            raise
        # A seal that is refused because of what is gone would be in the way for ever, and has no payload of it. What a
        # rebase copies it takes from the outbox, so that may have one.
        if waiting := besides if lake_has_none(chosen.events, chosen.gone) else waiting:
            raise _must_wait(waiting)
        if chosen.held and not except_held:
            raise ErasureError(_refusal(chosen.held))
        return chosen

    def _give(self, order: Order) -> None:
        """Record the event that orders it, once, and land it, so that the lake can account for itself."""
        pipeline = self._pipeline

        def decide(chain: OperatorChain) -> None:
            forbidding = forbidden_by(pipeline.lake, order, chain.events)
            given = any(event.event_id == order.event_id for event in chain.events)
            # What was given is carried out, whatever is held since; and what was held then, once it is released.
            if forbidding is not None and (not given or forbidding in active_holds(chain.events)):
                raise (_Misgiven if given else _Forbidden)(_refusal({forbidding: 1}))
            if given:
                raise _Given

        act = Act(OUTBOX_ERASED, str(order.number), order.summary(), order.event_id)
        try:
            pipeline.operator.record(act, decide, _ACTIONS)
        except _Given:
            pass
        except _Misgiven as misgiven:
            raise ErasureError(
                f"event {order.event_id} orders erasure {order.number} although that was forbidden then, so somebody "
                f"went around 'lumi erase', and it is not carried out: {misgiven}"
            ) from None
        except _Forbidden as forbidden:
            finish_order(pipeline.lake, order, Outcome.VOID)
            raise ErasureError(str(forbidden)) from None
        # A crash before this leaves the event in the outbox alone; nothing is touched before the lake has it too.
        pipeline.land()

    def _carry_out(
        self, order: Order, progress: Progress, *, again: bool = False
    ) -> tuple[dict[str, Touched], dict[str, float]]:
        try:
            return self._go_round(order, progress, again=again)
        except LumiError as error:
            raise UnfinishedErasure(
                f"erasure {order.number} is ordered and not finished: {error}. 'lumi erase --resume' completes it"
            ) from error

    def _go_round(
        self, order: Order, progress: Progress, *, again: bool
    ) -> tuple[dict[str, Touched], dict[str, float]]:
        """Go through all parts until nothing is left in any, nor on the way there; ``again`` where it was so before."""
        lake = self._pipeline.lake
        done: dict[str, Touched] = {}
        seconds: dict[str, float] = {}
        waiting = "something keeps writing what it erases; let running jobs end"
        for number in range(_ROUNDS):
            on_the_way: str | None = None
            if number:
                begin_round(lake, order)
                seals = not lake_has_none(order.events, order.gone)
                on_the_way = next(under_way(lake, self._pipeline.lake_days(), order.tenant_id, seals=seals), None)
                waiting = on_the_way or waiting
            found = 0
            for part in self.parts:
                progress(part.name)
                started = time.process_time()
                touched = part.erase(order)
                seconds[part.name] = seconds.get(part.name, 0.0) + time.process_time() - started
                done[part.name] = _sum(done.get(part.name, Touched()), touched)
                found += touched.objects
            if not found and (again if number == 0 else on_the_way is None):
                # Nothing is left anywhere. A crash before this leaves an erasure that looks unfinished, and is done.
                finish_order(lake, order, Outcome.DONE)
                return done, seconds
        raise UnfinishedErasure(waiting)


class _Given(Exception):
    """The event that orders an erasure is recorded already."""


class _Forbidden(Exception):
    """A hold forbids what is about to be ordered."""


class _Misgiven(Exception):
    """A hold forbade what was ordered, and it was ordered all the same."""


def _must_wait(found: str) -> ErasureError:
    return ErasureError(f"{found}, then erase; nothing was touched")


def _refusal(held: Mapping[Hold, int]) -> str:
    events = sum(held.values())
    holds = "; ".join(map(str, held))
    return (
        f"{events} of these events must not be erased: {holds}. Nothing was touched; release the hold, or erase the "
        "others with --except-held"
    )


def _sum(left: Touched, right: Touched) -> Touched:
    notes = tuple(dict.fromkeys((*left.notes, *right.notes)))
    return Touched(left.objects + right.objects, left.size + right.size, left.events + right.events, notes)
