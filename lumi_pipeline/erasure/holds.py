"""Legal holds: rows that must not be erased or removed, whoever asks for it.

A hold is nothing but two events of the operator's own chain, one that places it and one that releases it; what is held
follows from these. So a hold can't be lifted by changing a file, and who placed and lifted it, when and why is on
record.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from lumi_pipeline.catalogue import LEGAL_HOLD_PLACED, LEGAL_HOLD_RELEASED
from lumi_pipeline.days import day_end, day_start
from lumi_pipeline.erasure.operatorchain import Act, Operator, OperatorChain, OperatorEvent
from lumi_pipeline.erasure.reasons import check_reason
from lumi_pipeline.errors import ErasureError
from lumi_pipeline.events import TENANT_ID_SYNTAX, uuid7
from transparency.encoding import Json, excerpt, parse_day
from transparency.errors import EncodingError

HOLD_ACTIONS: Final = frozenset({LEGAL_HOLD_PLACED, LEGAL_HOLD_RELEASED})
_SHORTEST: Final = 8
"""Characters of a hold's id that name it at least."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Rows that are held: a tenant's, perhaps of one actor only, or recorded from ``first`` to ``last`` (UTC days).

    ``hold_id`` is the id of the event that placed it. A hold without tenant covers everything: its event does not say
    what, so nothing is erased until somebody has looked, and released it.
    """

    hold_id: str
    tenant_id: str | None
    actor_id: str | None
    first: date | None
    last: date | None
    reason: str
    placed_at: datetime

    @property
    def problem(self) -> str | None:
        """Why it would hold nothing at all, in words for whoever places it; None as a rule."""
        if self.tenant_id is not None and not TENANT_ID_SYNTAX.fullmatch(self.tenant_id):
            return f"{excerpt(self.tenant_id)} is not a tenant id: 1 to 128 of A-Z a-z 0-9 . _ -, no . _ - first"
        if self.actor_id is not None and not self.actor_id.strip():
            return "the actor's id is empty, so nothing would be held; leave it out to hold what everybody did"
        if self.first and self.last and self.first > self.last:
            return f"the hold would end on {self.last}, before it begins on {self.first}; exchange the two"
        return None

    def covers(self, tenant_id: str, actor_id: str, recorded_at: int) -> bool:
        """Whether a row is held; ``recorded_at`` in microseconds since 1970."""
        return (
            self.tenant_id in {None, tenant_id}
            and self.actor_id in {None, actor_id}
            and (self.first is None or recorded_at >= day_start(self.first))
            and (self.last is None or recorded_at < day_end(self.last))
        )

    def __str__(self) -> str:
        who = (f"tenant {self.tenant_id}" if self.tenant_id else "everything") + (
            f", actor {self.actor_id}" if self.actor_id else ""
        )
        period = f", {self.first or '…'} to {self.last or '…'}" if self.first or self.last else ""
        return f"hold {self.hold_id} ({who}{period}: {self.reason})"


@dataclass(frozen=True, slots=True)
class Holds:
    """Places, releases and lists holds. Every answer comes from the operator's verified chain."""

    operator: Operator

    def active(self) -> list[Hold]:
        """The holds that are not released, in the order in which they were placed."""
        return active_holds(self.operator.read(HOLD_ACTIONS).events)

    def place(
        self,
        tenant_id: str,
        reason: str,
        actor_id: str | None = None,
        first: date | None = None,
        last: date | None = None,
    ) -> Hold:
        """Place a hold; from the moment that this returns no erasure of what it covers begins."""
        hold = Hold(uuid7(), tenant_id, actor_id, first, last, reason, self.operator.clock())
        if hold.problem is not None:
            raise ErasureError(hold.problem)
        check_reason(reason, "a hold")
        state: dict[str, Json] = {
            "actor": actor_id,
            "from": str(first) if first else None,
            "reason": reason,
            "tenant": tenant_id,
            "to": str(last) if last else None,
        }
        self.operator.record(Act(LEGAL_HOLD_PLACED, hold.hold_id, state, hold.hold_id), lambda _: None, HOLD_ACTIONS)
        return hold

    def release(self, hold_id: str, reason: str) -> Hold:
        """Release the hold of this id, or of an id that begins so if there is but one."""
        check_reason(reason, "releasing a hold")
        hold = _named(hold_id, self.active())

        def still_active(chain: OperatorChain) -> None:
            _named(hold.hold_id, active_holds(chain.events))

        act = Act(LEGAL_HOLD_RELEASED, hold.hold_id, {"reason": reason}, uuid7())
        self.operator.record(act, still_active, HOLD_ACTIONS)
        return hold


def active_holds(events: Iterable[OperatorEvent]) -> list[Hold]:
    """The holds that these events of the operator's chain leave, in the order in which they were placed."""
    holds: dict[str, Hold] = {}
    for event in events:
        if event.action == LEGAL_HOLD_PLACED:
            holds[event.event_id] = _hold(event)
        elif event.action == LEGAL_HOLD_RELEASED:
            holds.pop(event.entity_id, None)
    return list(holds.values())


def _hold(event: OperatorEvent) -> Hold:
    """What an event holds; one that is not in the form that :meth:`Holds.place` gives it holds everything."""
    match event.state:
        case {
            "tenant": str(tenant_id),
            "reason": str(reason),
            "actor": None | str() as actor_id,
            "from": None | str() as begin,
            "to": None | str() as end,
        }:
            try:
                first, last = (None if text is None else parse_day(text) for text in (begin, end))
            except EncodingError:
                pass
            else:
                hold = Hold(event.event_id, tenant_id, actor_id, first, last, reason, event.recorded_at)
                if hold.problem is None:
                    return hold
    reason = "its event does not say what is held; 'lumi hold add' did not record it"
    return Hold(event.event_id, None, None, None, None, reason, event.recorded_at)


def _named(hold_id: str, holds: list[Hold]) -> Hold:
    found = [hold for hold in holds if hold.hold_id.startswith(hold_id)] if len(hold_id) >= _SHORTEST else []
    if len(found) != 1:
        what = f"{len(found)} holds have an id that begins with" if found else "there is no hold of the id"
        raise ErasureError(f"{what} {excerpt(hold_id)}; 'lumi hold list' shows those that there are")
    return found[0]
